//! What is refused, what is believed of identities, and what is never printed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Party, prekey_id, signed_id};
use landbridge_curve::PublicKey;
use landbridge_signal::{
    Advice, Ciphertext, DecryptError, EncryptError, IdentityChange, IdentityKeyPair, PreKey, PreKeyBundle,
    SignedPreKey, TrustPolicy, decrypt,
    message::{PreKeySignalMessage, SignalMessage},
    prekeys, process_bundle,
};
use rand::{SeedableRng as _, rngs::StdRng};

fn pair(seed: u64) -> (Party, Party, StdRng) {
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut a, b) = (Party::new("a", &mut rng), Party::new("b", &mut rng));
    a.meet(&b, Some(1), &mut rng);
    (a, b, rng)
}

/// One message each way, returned as they went over the wire.
fn round_trip(a: &mut Party, b: &mut Party, rng: &mut StdRng) -> [Ciphertext; 2] {
    let there = a.send(b, b"there");
    b.read(&a.address(), &there, rng).unwrap();
    let back = b.send(a, b"back");
    a.read(&b.address(), &back, rng).unwrap();
    [there, back]
}

fn low_order() -> PublicKey {
    PublicKey::from_bytes([0; 32])
}

#[test]
fn keys_of_low_order_are_refused() {
    let mut rng = StdRng::seed_from_u64(8);
    let mut a = Party::new("a", &mut rng);
    let b = Party::new("b", &mut rng);
    let mut bundle = b.bundle(Some(1));
    bundle.prekey.as_mut().unwrap().key = low_order();
    let refused = process_bundle(&mut a.store, &b.address(), &bundle, TrustPolicy::Accept, &mut rng);
    assert!(matches!(refused, Err(landbridge_signal::BundleError::LowOrderKey(_))));
    assert!(a.state(&b.address()).is_none());
    let (mut a, mut b, mut rng) = pair(9);
    let mut message = a.send(&b, b"x");
    let base = *PreKeySignalMessage::parse(&message.bytes).unwrap().base_key.as_bytes();
    let at = message.bytes.windows(32).position(|bytes| bytes == base).unwrap();
    message.bytes[at..at + 32].fill(0);
    let refused = b.read(&a.address(), &message, &mut rng);
    assert!(matches!(refused, Err(DecryptError::LowOrderKey(_))), "{refused:?}");
}

#[test]
fn versions_are_told_apart_and_the_low_nibble_does_not_matter() {
    let (mut a, mut b, mut rng) = pair(10);
    round_trip(&mut a, &mut b, &mut rng);
    let message = a.send(&b, b"x");
    for (first, legacy) in [(0x23, true), (0x13, true), (0x43, false), (0xf3, false)] {
        let mut other = message.clone();
        other.bytes[0] = first;
        let refused = b.read(&a.address(), &other, &mut rng).unwrap_err();
        assert_eq!(matches!(refused, DecryptError::LegacyVersion { .. }), legacy);
        assert_eq!(matches!(refused, DecryptError::UnknownVersion { .. }), !legacy);
        assert_eq!(refused.advice(), Advice::AskAgain);
    }
    // The MAC covers the byte as received, so another low nibble parses and then fails there.
    let mut other = message.clone();
    other.bytes[0] = 0x34;
    assert!(SignalMessage::parse(&other.bytes).is_ok());
    let refused = b.read(&a.address(), &other, &mut rng);
    assert!(matches!(refused, Err(DecryptError::NoSessionFits { tried: 1 })), "{refused:?}");
    b.read(&a.address(), &message, &mut rng).unwrap();
}

#[test]
fn an_inner_message_of_another_version_is_refused() {
    let (mut a, mut b, mut rng) = pair(11);
    let mut message = a.send(&b, b"x");
    let parsed = PreKeySignalMessage::parse(&message.bytes).unwrap();
    let inner = parsed.message_bytes.to_vec();
    let at = message.bytes.windows(inner.len()).position(|bytes| bytes == inner).unwrap();
    message.bytes[at] = 0x44;
    let refused = b.read(&a.address(), &message, &mut rng);
    assert!(matches!(refused, Err(DecryptError::UnknownVersion { got: 4 })), "{refused:?}");
}

/// A comes back under a new identity; what does B do under each policy?
fn comes_back(policy: TrustPolicy) -> (Party, Party, Ciphertext, StdRng) {
    let (mut a, mut b, mut rng) = pair(12);
    round_trip(&mut a, &mut b, &mut rng);
    b.policy = policy;
    let mut again = Party::new("a", &mut rng);
    again.meet(&b, Some(2), &mut rng);
    let message = again.send(&b, b"back again");
    (again, b, message, rng)
}

#[test]
fn a_changed_identity_is_reported_once_and_only_when_it_changed() {
    let (a, mut b, message, mut rng) = comes_back(TrustPolicy::Accept);
    let opened = b.read(&a.address(), &message, &mut rng).unwrap();
    assert!(matches!(opened.identity, IdentityChange::Changed { old } if old != a.bundle(None).identity));
    let (mut a, mut b) = (a, b);
    let next = a.send(&b, b"next");
    assert_eq!(b.read(&a.address(), &next, &mut rng).unwrap().identity, IdentityChange::Unchanged);
    // Learnt from a bundle instead.
    let third = Party::new("a", &mut rng);
    let bundle: PreKeyBundle = third.bundle(None);
    let change = process_bundle(&mut b.store, &a.address(), &bundle, b.policy, &mut rng).unwrap();
    assert!(matches!(change, IdentityChange::Changed { .. }));
    let change = process_bundle(&mut b.store, &a.address(), &bundle, b.policy, &mut rng).unwrap();
    assert_eq!(change, IdentityChange::Unchanged);
}

#[test]
fn reject_refuses_until_the_user_approves() {
    let (a, mut b, message, mut rng) = comes_back(TrustPolicy::Reject);
    let before = b.state(&a.address());
    let refused = b.read(&a.address(), &message, &mut rng).unwrap_err();
    assert!(matches!(refused, DecryptError::UntrustedIdentity { .. }));
    assert_eq!(refused.advice(), Advice::AskUser);
    assert_eq!(b.state(&a.address()), before);
    landbridge_signal::approve_identity(&mut b.store, &a.address(), &a.bundle(None).identity).unwrap();
    b.read(&a.address(), &message, &mut rng).unwrap();
}

#[test]
fn approve_to_send_reads_but_does_not_write() {
    let (a, mut b, message, mut rng) = comes_back(TrustPolicy::ApproveToSend);
    b.read(&a.address(), &message, &mut rng).unwrap();
    let refused = landbridge_signal::encrypt(&mut b.store, &a.address(), b"x", b.policy);
    assert!(matches!(refused, Err(EncryptError::UntrustedIdentity { .. })));
    landbridge_signal::approve_identity(&mut b.store, &a.address(), &a.bundle(None).identity).unwrap();
    landbridge_signal::encrypt(&mut b.store, &a.address(), b"x", b.policy).unwrap();
}

#[test]
fn debug_output_has_no_secret() {
    let mut rng = StdRng::seed_from_u64(13);
    let identity = IdentityKeyPair::generate(&mut rng);
    let signed = SignedPreKey::generate(signed_id(1), &identity, &mut rng);
    let prekey: PreKey = prekeys::generate(prekey_id(1), 1, &mut rng).remove(0);
    let (mut a, mut b, mut rng) = pair(14);
    let first = a.send(&b, b"a text to hide");
    let opened =
        decrypt(&mut b.store, &a.address(), first.kind, &first.bytes, TrustPolicy::Accept, &mut rng).unwrap();
    let shown = format!("{identity:?} {signed:?} {prekey:?} {opened:?} {:?}", b.store);
    assert!(shown.contains("[redacted]"));
    for secret in [identity.private().as_bytes(), signed.key.as_bytes(), prekey.key.as_bytes()] {
        assert!(!shown.contains(&hex::encode(secret)));
        assert!(!shown.contains(&format!("{secret:?}")));
    }
    assert!(!shown.contains(&format!("{:?}", b"a text to hide")));
}
