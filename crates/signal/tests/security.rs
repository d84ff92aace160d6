//! The properties that end-to-end encryption is for, each attacked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Party, prekey_id, signed_id};
use landbridge_curve::PublicKey;
use landbridge_signal::{
    Address, Advice, Ciphertext, DecryptError, EncryptError, IdentityChange, IdentityKeyPair,
    MemorySignalStore, PreKey, PreKeyBundle, SessionStore as _, SignedPreKey, TrustPolicy, decrypt,
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

#[test]
fn forward_secrecy_of_messages() {
    let (mut a, mut b, mut rng) = pair(1);
    let mut recorded = Vec::new();
    for _ in 0..4 {
        let [there, _] = round_trip(&mut a, &mut b, &mut rng);
        recorded.push(there);
    }
    // A thief takes all that B has, and has recorded everything.
    let mut thief = b.clone();
    for message in &recorded {
        let refused = thief.read(&a.address(), message, &mut rng);
        assert!(refused.is_err(), "an opened message opens again");
    }
}

#[test]
fn no_earlier_state_is_left_in_the_stored_form() {
    let (mut a, mut b, mut rng) = pair(2);
    let mut earlier: Vec<[u8; 32]> = Vec::new();
    let mut last = Vec::new();
    for _ in 0..8 {
        round_trip(&mut a, &mut b, &mut rng);
        let state = b.state(&a.address()).unwrap();
        earlier.extend(secrets(&state));
        last = state;
    }
    let still: Vec<_> = secrets(&last);
    for secret in &earlier[..earlier.len() - still.len()] {
        // A chain key may stand still while its chain is idle; all that moved on must be gone.
        if !still.contains(secret) {
            assert!(!last.windows(32).any(|bytes| bytes == secret), "an erased secret is still stored");
        }
    }
    // Root key, ratchet key and sending chain have all moved on.
    assert!(still[..3].iter().all(|secret| !earlier[..earlier.len() - still.len()].contains(secret)));
}

/// Root key, ratchet private and sending chain key of a stored record with one session.
fn secrets(state: &[u8]) -> Vec<[u8; 32]> {
    let session = &state[6..];
    [105, 137, 201].map(|at| session[at..at + 32].try_into().unwrap()).to_vec()
}

#[test]
fn forward_secrecy_of_the_first_message() {
    let (mut a, mut b, mut rng) = pair(3);
    let first = a.send(&b, b"first");
    let opened = b.read(&a.address(), &first, &mut rng).unwrap();
    assert_eq!(opened.used_prekey, Some(prekey_id(1)));
    assert!(!b.store.prekey_ids().contains(&prekey_id(1)));
    b.store.delete_session(&a.address()).unwrap();
    let again = b.read(&a.address(), &first, &mut rng);
    assert!(matches!(again, Err(DecryptError::NoPreKey { id: 1 })), "{again:?}");
    b.store.remove_signed_prekey(signed_id(1));
    let again = b.read(&a.address(), &first, &mut rng);
    assert!(matches!(again, Err(DecryptError::NoSignedPreKey { id: 1 })), "{again:?}");
}

#[test]
fn post_compromise_security() {
    let (mut a, mut b, mut rng) = pair(4);
    round_trip(&mut a, &mut b, &mut rng);
    let thief = b.clone();
    // Control: with the stolen state the next message opens.
    let [next, _] = round_trip(&mut a, &mut b, &mut rng);
    assert!(thief.clone().read(&a.address(), &next, &mut rng).is_ok());
    // One round trip later it does not, whatever the thief has seen.
    let [later, _] = round_trip(&mut a, &mut b, &mut rng);
    let mut watching = thief.clone();
    assert!(watching.read(&a.address(), &next, &mut rng).is_ok());
    for mut thief in [thief, watching] {
        let refused = thief.read(&a.address(), &later, &mut rng);
        assert!(matches!(refused, Err(DecryptError::NoSessionFits { .. })), "{refused:?}");
    }
}

/// Whoever holds B's keys alone can write a message "from A" that B's own code takes for A's, so a transcript proves
/// nothing to a third party: X3DH gives both sides the same secrets, and the MAC keys follow from them.
#[test]
fn deniability() {
    let mut rng = StdRng::seed_from_u64(5);
    let a = Party::new("a", &mut rng);
    let mut b = Party::new("b", &mut rng);
    // B begins a session with A's public bundle: that needs no secret of A.
    let change =
        process_bundle(&mut b.store, &a.address(), &a.bundle(None), TrustPolicy::Accept, &mut rng).unwrap();
    assert_eq!(change, IdentityChange::New);
    let state = b.state(&a.address()).unwrap();
    // X3DH gave B the chain key with which A could answer under its signed prekey. B writes that answer itself.
    let forged = forge_answer(&state, &b, b"I never wrote this");
    let opened = b.read(&a.address(), &forged, &mut rng).unwrap();
    assert_eq!(opened.plaintext, b"I never wrote this");
    assert_eq!(opened.identity, IdentityChange::Unchanged);
}

/// Swaps the two roles in B's stored session, so that its receiving chain becomes a sending one, and encrypts.
fn forge_answer(state: &[u8], b: &Party, text: &[u8]) -> Ciphertext {
    let session = &state[6..];
    let chain = &session[251..];
    let mut forged = Vec::from(&state[..6]);
    forged.extend_from_slice(&session[..33]);
    forged.extend_from_slice(&session[65..97]);
    forged.extend_from_slice(&session[33..65]);
    forged.extend_from_slice(&session[97..137]);
    // The private half of the ratchet key is A's and unknown; writing does not need it.
    forged.extend_from_slice(&[0; 32]);
    forged.extend_from_slice(&chain[..32]);
    forged.extend_from_slice(&chain[32..64]);
    forged.extend_from_slice(&[0; 8]);
    forged.extend_from_slice(&[0; 9]);
    forged.push(0);
    let length = u32::try_from(forged.len() - 6).unwrap();
    forged[2..6].copy_from_slice(&length.to_be_bytes());
    forged.push(0);
    let record = landbridge_signal::SessionRecord::from_bytes(&forged).unwrap();
    let identity = IdentityKeyPair::generate(&mut StdRng::seed_from_u64(0));
    let mut forger = MemorySignalStore::new(identity, 1);
    forger.save_session(&b.address(), &record).unwrap();
    landbridge_signal::encrypt(&mut forger, &b.address(), text, TrustPolicy::Accept).unwrap()
}

#[test]
fn messages_carry_no_signature_of_the_identity() {
    let (mut a, mut b, mut rng) = pair(6);
    let identity = a.bundle(None).identity;
    let mut all = vec![a.send(&b, b"first")];
    b.read(&a.address(), &all[0], &mut rng).unwrap();
    let answer = b.send(&a, b"answer");
    a.read(&b.address(), &answer, &mut rng).unwrap();
    all.push(a.send(&b, &[7; 300]));
    for message in &all {
        let bytes = &message.bytes;
        for end in 64..=bytes.len() {
            let (before, signature) = bytes[..end].split_at(end - 64);
            assert!(identity.verify(&[before], signature).is_err());
            assert!(identity.verify(&[&before[before.len().min(1)..]], signature).is_err());
        }
    }
}

#[test]
fn an_unknown_key_share_is_refused() {
    let (mut a, b, mut rng) = pair(7);
    // B's bundle is passed off as C's; C is asked to take what A wrote to B.
    let mut c = Party::new("c", &mut rng);
    let message = a.send(&b, b"for b");
    let refused = c.read(&a.address(), &message, &mut rng);
    assert!(matches!(refused, Err(DecryptError::NoSessionFits { .. })), "{refused:?}");
    // A message of A delivered under another name opens, but under the identity that it proves.
    let mut b = b;
    let opened = b.read(&Address::new("mallory", 0), &message, &mut rng).unwrap();
    assert_eq!(opened.identity, IdentityChange::New);
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
