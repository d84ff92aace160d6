//! Secrets are not printed, and are gone when they are wiped.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use landbridge_curve::PrivateKey;
use zeroize::{Zeroize as _, ZeroizeOnDrop};

/// Fails if `shown` has any four consecutive bytes of a secret, in hexadecimal or as a list of numbers.
fn assert_hidden(shown: &str, secrets: &[&[u8]]) {
    let shown: String = shown.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_lowercase();
    for four in secrets.iter().flat_map(|secret| secret.windows(4)) {
        let numbers: Vec<_> = four.iter().map(u8::to_string).collect();
        let hexes: Vec<_> = four.iter().map(|byte| format!("{byte:x}")).collect();
        for form in [hex::encode(four), numbers.join(","), hexes.join(","), four.escape_ascii().to_string()] {
            assert!(!shown.contains(&form.to_lowercase()), "{form} is in {shown}");
        }
    }
}

#[test]
fn secrets_do_not_print() {
    let ours = PrivateKey::generate(&mut rand::rng());
    let shared = ours.agree(&PrivateKey::generate(&mut rand::rng()).public()).unwrap();
    let secrets: [&[u8]; 2] = [ours.as_bytes(), shared.as_bytes()];
    assert_hidden(&format!("{ours:?} {shared:?} {ours:#?} {shared:#?}"), &secrets);
}

#[test]
fn wiping_leaves_zeros() {
    let mut ours = PrivateKey::generate(&mut rand::rng());
    let mut shared = ours.agree(&PrivateKey::generate(&mut rand::rng()).public()).unwrap();
    ours.zeroize();
    shared.zeroize();
    assert_eq!((ours.as_bytes(), shared.as_bytes()), (&[0; 32], &[0; 32]));
}

#[test]
fn dropping_wipes() {
    fn wipes<T: ZeroizeOnDrop>() {}
    wipes::<PrivateKey>();
    wipes::<landbridge_curve::SharedSecret>();
}

#[test]
fn the_search_finds_what_is_there() {
    let secret = PrivateKey::generate(&mut rand::rng());
    let bytes = secret.as_bytes();
    let told = [format!("{bytes:?}"), format!("{bytes:#?}"), format!("{bytes:x?}"), hex::encode_upper(bytes)];
    for shown in told {
        assert!(std::panic::catch_unwind(|| assert_hidden(&shown, &[bytes])).is_err(), "{shown}");
    }
}
