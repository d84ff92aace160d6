//! Wycheproof's vectors on the calls that the crates above make.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use curve25519_dalek::edwards::CompressedEdwardsY;
use landbridge_curve::{PrivateKey, PublicKey, SIGNATURE_LEN};
use wycheproof::{TestResult, eddsa, xdh};

/// Every group of x25519: low order is refused, and all else, non-canonical and twisted keys included, agrees as
/// RFC 7748 says.
#[test]
fn agreement() {
    let set = xdh::TestSet::load(xdh::TestName::X25519).unwrap();
    let (mut agreed, mut refused) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let case = (test.tc_id, &test.comment);
        let ours = PrivateKey::from_bytes(test.private_key.as_slice().try_into().unwrap());
        let theirs = PublicKey::from_slice(&test.public_key).unwrap();
        if test.flags.contains(&xdh::TestFlag::ZeroSharedSecret) {
            assert!(ours.agree(&theirs).is_err(), "{case:?}");
            assert!(theirs.is_low_order(), "{case:?}");
            refused += 1;
        } else {
            assert_eq!(ours.agree(&theirs).unwrap().as_bytes()[..], test.shared_secret[..], "{case:?}");
            assert!(!theirs.is_low_order(), "{case:?}");
            agreed += 1;
        }
    }
    assert_eq!((agreed, refused), (487, 31));
}

/// The same point as a Montgomery key, and the sign that XEdDSA sends with the signature.
fn montgomery(edwards: &[u8]) -> (PublicKey, u8) {
    let compressed = CompressedEdwardsY(edwards.try_into().unwrap());
    let point = compressed.decompress().unwrap();
    (PublicKey::from_bytes(point.to_montgomery().to_bytes()), edwards[31] & 0x80)
}

/// What Ed25519 refuses and XEdDSA takes, by number.
const LENIENT: [usize; 3] = [
    63, // s + q below 2^253: so do the deployed verifiers
    69, // s + 2^255: the top bit is no part of s here
    85, // s is q or a little more
];

/// XEdDSA is Ed25519 with the key in another form and its sign in the top bit of s, so Ed25519's vectors apply.
#[test]
fn signatures() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let (mut accepted, mut refused, mut lenient) = (0, 0, Vec::new());
    for group in &set.test_groups {
        let (key, sign) = montgomery(&group.key.pk);
        for test in &group.tests {
            let case = (test.tc_id, &test.comment);
            let mut signature = test.sig.to_vec();
            if signature.len() == SIGNATURE_LEN {
                signature[63] = signature[63] & 0x7f | sign;
            }
            let holds = key.verify(&[&test.msg], &signature).is_ok();
            match test.result {
                TestResult::Valid => {
                    assert!(holds, "{case:?}");
                    accepted += 1;
                }
                _ if holds => lenient.push(test.tc_id),
                _ => refused += 1,
            }
        }
    }
    assert_eq!(lenient, LENIENT);
    assert_eq!((accepted, refused), (88, 60));
}
