//! The properties that end-to-end encryption is for, each shown by an attack on it, with a control that the attacker
//! can do what he needs to.
//!
//! | property | tests |
//! |---|---|
//! | forward secrecy of messages | `a_stolen_state_opens_nothing_that_was_read`, `no_earlier_secret_is_left_in_the_stored_form` |
//! | forward secrecy of the beginning | `a_recorded_first_message_opens_no_more`, `a_one_time_prekey_serves_once` |
//! | post-compromise security | `a_stolen_old_state_is_locked_out_by_a_round_trip`, of sender keys: `who_has_left_reads_no_further` |
//! | deniability | `the_receiver_alone_can_write_the_whole_conversation`, `the_initiator_can_write_the_answers`, `messages_carry_no_signature_of_the_identity` |
//! | authenticity | `an_unknown_key_share_is_refused`, `what_is_reflected_does_not_open`, `identities_are_bound_to_the_session` |
//! | replay | `nothing_opens_twice` |
//! | no key twice | `no_key_encrypts_two_texts`, `what_was_not_stored_was_not_sent` |
//! | limits | `skipped_keys_are_bounded` |
//! | atomicity | `every_flip_and_every_cut_is_refused_without_a_trace` |
//!
//! Retries and notices of changed identities are the client's: they are shown in its tests and in the sandbox's. That
//! erased rows leave the database file and its log is shown in `landbridge-store`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::HashSet;

use common::{Party, prekey_id, signed_id};
use landbridge_curve::{PrivateKey, PublicKey};
use landbridge_signal::{
    Address, Ciphertext, CiphertextKind, DecryptError, EncryptError, IdentityChange, IdentityKeyPair,
    IdentityStore, Limits, MemorySignalStore, PreKeyId, PreKeyStore, RegistrationId, SessionRecord,
    SessionStore, SignedPreKey, SignedPreKeyId, SignedPreKeyPublic, SignedPreKeyStore, StoreError,
    TrustPolicy, encrypt,
    group::{self, GroupError, SenderKeyStore as _},
    message::{PreKeySignalMessage, SignalMessage},
    process_bundle,
};
use rand::{SeedableRng as _, rngs::StdRng};
use ring::hmac;

const GROUP: &str = "120363000000000000@g.us";

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

fn mac(key: &[u8], data: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data);
    tag.as_ref().try_into().unwrap()
}

/// HKDF-SHA-256 of 64 bytes (RFC 5869), from its definition.
fn hkdf(salt: &[u8], ikm: &[u8], info: &[u8]) -> [[u8; 32]; 2] {
    let prk = mac(salt, ikm);
    let first = mac(&prk, &[info, &[1]].concat());
    [first, mac(&prk, &[&first[..], info, &[2]].concat())]
}

// Forward secrecy.

#[test]
fn a_stolen_state_opens_nothing_that_was_read() {
    let (mut a, mut b, mut rng) = pair(1);
    let mut recorded = Vec::new();
    for _ in 0..4 {
        let late = a.send(&b, b"late");
        let [there, _] = round_trip(&mut a, &mut b, &mut rng);
        b.read(&a.address(), &late, &mut rng).unwrap();
        recorded.extend([late, there]);
    }
    let skipped = a.send(&b, b"skipped");
    let last = a.send(&b, b"last");
    b.read(&a.address(), &last, &mut rng).unwrap();
    recorded.push(last);
    // A thief takes all that B has, and has recorded everything; also after a restart, through the stored form.
    let stored = b.store.load_session(&a.address()).unwrap().unwrap().to_bytes();
    let mut restarted = b.clone();
    let record = SessionRecord::from_bytes(&stored).unwrap();
    restarted.store.save_session(&a.address(), &record).unwrap();
    for mut thief in [b.clone(), restarted] {
        for message in &recorded {
            assert!(thief.read(&a.address(), message, &mut rng).is_err(), "an opened message opens again");
        }
        // Control: what B has not read, the thief reads.
        assert_eq!(thief.read(&a.address(), &skipped, &mut rng).unwrap().plaintext, b"skipped");
    }
}

/// The secrets of a stored record with one session: root key, ratchet private key, and every chain key with the message
/// seed that comes of it.
fn secrets(state: &[u8]) -> Vec<[u8; 32]> {
    let session = &state[6..];
    let at = |from: usize| -> [u8; 32] { session[from..from + 32].try_into().unwrap() };
    let mut all = vec![at(105), at(137)];
    let mut chains = vec![at(201)];
    let mut next = 251;
    for _ in 0..session[250] {
        chains.push(at(next + 32));
        let skipped = usize::from(u16::from_be_bytes(session[next + 68..next + 70].try_into().unwrap()));
        all.extend((0..skipped).map(|n| at(next + 70 + 36 * n + 4)));
        next += 70 + 36 * skipped;
    }
    assert_eq!(next + 1, session.len(), "nothing is archived");
    all.extend(chains.iter().flat_map(|chain| [*chain, mac(chain, &[1])]));
    all
}

#[test]
fn no_earlier_secret_is_left_in_the_stored_form() {
    let (mut a, mut b, mut rng) = pair(2);
    let one_time = *b.store.load_prekey(prekey_id(1)).unwrap().unwrap().as_bytes();
    let mut earlier: HashSet<[u8; 32]> = HashSet::new();
    for round in 0..8 {
        let late = a.send(&b, b"late");
        round_trip(&mut a, &mut b, &mut rng);
        earlier.extend(secrets(&b.state(&a.address()).unwrap()));
        if round % 2 == 0 {
            b.read(&a.address(), &late, &mut rng).unwrap();
        }
        earlier.extend(secrets(&b.state(&a.address()).unwrap()));
        b.send(&a, b"more");
    }
    let last = b.state(&a.address()).unwrap();
    let now = secrets(&last);
    earlier.insert(one_time);
    // A chain key may stand still while its chain is idle; all that moved on must be gone.
    let gone: Vec<_> = earlier.iter().filter(|secret| !now.contains(secret)).collect();
    assert!(gone.len() > 40, "only {} secrets were replaced", gone.len());
    for secret in gone {
        assert!(!last.windows(32).any(|bytes| bytes == secret), "an erased secret is still stored");
    }
    for secret in &now[..2] {
        assert!(last.windows(32).any(|bytes| bytes == secret), "what is looked for can be found");
    }
    assert!(
        b.store
            .prekey_ids()
            .iter()
            .all(|id| { *b.store.load_prekey(*id).unwrap().unwrap().as_bytes() != one_time })
    );
}

#[test]
fn a_recorded_first_message_opens_no_more() {
    let (mut a, mut b, mut rng) = pair(3);
    let first = a.send(&b, b"first");
    let opened = b.read(&a.address(), &first, &mut rng).unwrap();
    assert_eq!(opened.used_prekey, Some(prekey_id(1)));
    assert!(!b.store.prekey_ids().contains(&prekey_id(1)));
    b.store.delete_session(&a.address()).unwrap();
    let again = b.read(&a.address(), &first, &mut rng);
    assert!(matches!(again, Err(DecryptError::NoPreKey { id: 1 })), "{again:?}");
    // The signed prekey goes some rotations later; then no first message under it opens, recorded or delayed.
    let mut late = Party::new("late", &mut rng);
    late.meet(&b, None, &mut rng);
    let delayed = late.send(&b, b"delayed");
    b.store.remove_signed_prekey(signed_id(1));
    for (from, message) in [(&a, &first), (&late, &delayed)] {
        let again = b.read(&from.address(), message, &mut rng);
        assert!(matches!(again, Err(DecryptError::NoSignedPreKey { id: 1 })), "{again:?}");
    }
}

/// A server that hands the same one-time prekey out twice gets the second first message refused.
#[test]
fn a_one_time_prekey_serves_once() {
    let (mut a, mut b, mut rng) = pair(4);
    let mut c = Party::new("c", &mut rng);
    c.meet(&b, Some(1), &mut rng);
    let (of_a, of_c) = (a.send(&b, b"a"), c.send(&b, b"c"));
    b.read(&a.address(), &of_a, &mut rng).unwrap();
    let refused = b.read(&c.address(), &of_c, &mut rng);
    assert!(matches!(refused, Err(DecryptError::NoPreKey { id: 1 })), "{refused:?}");
    assert!(b.state(&c.address()).is_none());
    // A message that does not open uses up no key.
    let mut d = Party::new("d", &mut rng);
    d.meet(&b, Some(2), &mut rng);
    let good = d.send(&b, b"d");
    let mut bad = good.clone();
    let inner = PreKeySignalMessage::parse(&bad.bytes).unwrap().message_bytes.to_vec();
    let end = bad.bytes.windows(inner.len()).position(|part| part == inner).unwrap() + inner.len();
    bad.bytes[end - 1] ^= 1;
    assert!(b.read(&d.address(), &bad, &mut rng).is_err());
    assert_eq!(b.read(&d.address(), &good, &mut rng).unwrap().used_prekey, Some(prekey_id(2)));
}

// Post-compromise security.

#[test]
fn a_stolen_old_state_is_locked_out_by_a_round_trip() {
    let (mut a, mut b, mut rng) = pair(5);
    round_trip(&mut a, &mut b, &mut rng);
    let (of_a, of_b) = (a.clone(), b.clone());
    // Control: with the stolen state the next messages open, both ways.
    let [next, back] = round_trip(&mut a, &mut b, &mut rng);
    assert!(of_b.clone().read(&a.address(), &next, &mut rng).is_ok());
    // One round trip with fresh keys later, neither state opens anything, whatever the thief has seen meanwhile.
    let [later, later_back] = round_trip(&mut a, &mut b, &mut rng);
    let mut watching = of_b.clone();
    assert!(watching.read(&a.address(), &next, &mut rng).is_ok());
    let mut thieves = [of_b, watching];
    for thief in &mut thieves {
        let refused = thief.read(&a.address(), &later, &mut rng);
        assert!(matches!(refused, Err(DecryptError::NoSessionFits { .. })), "{refused:?}");
    }
    let mut thief = of_a;
    assert!(thief.read(&b.address(), &back, &mut rng).is_ok());
    let refused = thief.read(&b.address(), &later_back, &mut rng);
    assert!(matches!(refused, Err(DecryptError::NoSessionFits { .. })), "{refused:?}");
    // Writing in B's name ends when A has given up the chain that was stolen: five newer ones later.
    for _ in 0..5 {
        round_trip(&mut a, &mut b, &mut rng);
    }
    for thief in &mut thieves {
        let forged = thief.send(&a, b"forged");
        assert!(a.read(&b.address(), &forged, &mut rng).is_err(), "a forged message opens");
    }
}

#[test]
fn who_has_left_reads_no_further() {
    let mut rng = StdRng::seed_from_u64(6);
    let (mut a, mut b) = (Party::new("a", &mut rng), Party::new("b", &mut rng));
    let own = a.address();
    let told = group::distribution(&mut a.store, GROUP, &own, &mut rng).unwrap();
    group::process_distribution(&mut b.store, GROUP, &own, &told).unwrap();
    let before = group::encrypt(&mut a.store, GROUP, &own, b"with b", &mut rng).unwrap();
    // Whoever holds the chain key reads on, until a new chain is begun because B has left.
    let read =
        |b: &mut Party, bytes: &[u8]| group::decrypt(&mut b.store, GROUP, &own, bytes, &Limits::default());
    a.store.delete_sender_key(GROUP, &own).unwrap();
    group::distribution(&mut a.store, GROUP, &own, &mut rng).unwrap();
    let later = group::encrypt(&mut a.store, GROUP, &own, b"without b", &mut rng).unwrap();
    assert!(matches!(read(&mut b, &later), Err(GroupError::NoSenderKey { .. })));
    assert_eq!(read(&mut b, &before).unwrap(), b"with b");
    // Knowing the chain is not being its owner: B cannot write in A's name, not even with the old one.
    let chain = &told[told.windows(2).position(|head| head == [0x1a, 32]).unwrap() + 2..][..32];
    let record = b.store.load_sender_key(GROUP, &own).unwrap().unwrap().to_bytes();
    assert!(!record.windows(32).any(|bytes| bytes == chain), "the chain has moved on");
    let forged = group::encrypt(&mut b.store, GROUP, &own, b"forged", &mut rng);
    assert!(matches!(forged, Err(GroupError::NoSenderKey { .. })), "{forged:?}");
}

// Deniability.

/// The stored form of a session that has only written: what forging needs of it.
struct Forged<'a> {
    base: PublicKey,
    writer: PublicKey,
    reader: PublicKey,
    root: [u8; 32],
    ratchet: &'a PrivateKey,
    chain: [u8; 32],
    /// The prekeys that a first message names: signed and one-time.
    pending: Option<(u32, u32)>,
}

impl Forged<'_> {
    /// Writes in that session, with no key of the alleged writer.
    fn write(&self, to: &Address, text: &[u8]) -> Ciphertext {
        let (signed, one_time) = self.pending.unwrap_or_default();
        let session = [
            &[3][..],
            self.base.as_bytes(),
            self.writer.as_bytes(),
            self.reader.as_bytes(),
            &[0; 8],
            &self.root,
            self.ratchet.as_bytes(),
            self.ratchet.public().as_bytes(),
            &self.chain,
            &[0; 8],
            &[if self.pending.is_some() { 2 } else { 0 }],
            &signed.to_be_bytes(),
            &one_time.to_be_bytes(),
            &[0],
        ]
        .concat();
        let length = u32::try_from(session.len()).unwrap().to_be_bytes();
        let record = SessionRecord::from_bytes(&[&[1, 1][..], &length, &session, &[0]].concat()).unwrap();
        let identity = IdentityKeyPair::generate(&mut StdRng::seed_from_u64(0));
        let mut store = MemorySignalStore::new(identity, 1);
        store.save_session(to, &record).unwrap();
        encrypt(&mut store, to, text, TrustPolicy::Accept).unwrap()
    }
}

/// Whoever holds B's private keys writes, without any secret of A, a first message that B's own code takes for A's: its
/// four agreements can be computed on B's side alone. So a transcript proves nothing to a third party.
#[test]
fn the_receiver_alone_can_write_the_whole_conversation() {
    let mut rng = StdRng::seed_from_u64(7);
    let (a, mut b) = (Party::new("a", &mut rng), Party::new("b", &mut rng));
    let of_a = a.bundle(None).identity;
    let identity = b.store.identity_key().unwrap();
    let signed = b.store.load_signed_prekey(signed_id(1)).unwrap().unwrap();
    let one_time = b.store.load_prekey(prekey_id(3)).unwrap().unwrap();
    let (base, ratchet) = (PrivateKey::generate(&mut rng), PrivateKey::generate(&mut rng));
    let base = base.public();
    let agreements = [
        signed.key.agree(&of_a).unwrap(),
        identity.private().agree(&base).unwrap(),
        signed.key.agree(&base).unwrap(),
        one_time.agree(&base).unwrap(),
    ];
    let mut master = vec![0xff; 32];
    agreements.iter().for_each(|agreement| master.extend_from_slice(agreement.as_bytes()));
    let [root, _] = hkdf(&[0; 32], &master, b"WhisperText");
    let turned = signed.key.agree(&ratchet.public()).unwrap();
    let [root, chain] = hkdf(&root, turned.as_bytes(), b"WhisperRatchet");
    let pending = Some((1, 3));
    let forged =
        Forged { base, writer: of_a, reader: *identity.public(), root, ratchet: &ratchet, chain, pending };
    let message = forged.write(&b.address(), b"I never wrote this");
    assert_eq!(message.kind, CiphertextKind::PreKey);
    let opened = b.read(&a.address(), &message, &mut rng).unwrap();
    assert_eq!(opened.plaintext, b"I never wrote this");
    assert_eq!(opened.identity, IdentityChange::New);
    assert_eq!(b.store.remote_identity(&a.address()).unwrap(), Some(of_a));
    // B answers as to A, and the forger, who has the ratchet key that he chose, goes on as A.
    assert_eq!(b.send(&a, b"an answer").kind, CiphertextKind::Message);
}

/// The other way round: who begins a session can write the answers to it, for X3DH gave both sides the same chain.
#[test]
fn the_initiator_can_write_the_answers() {
    let mut rng = StdRng::seed_from_u64(8);
    let a = Party::new("a", &mut rng);
    let mut b = Party::new("b", &mut rng);
    // B begins a session with A's public bundle: that needs no secret of A.
    b.meet(&a, None, &mut rng);
    let state = b.state(&a.address()).unwrap();
    let session = &state[6..];
    let key = |from: usize| PublicKey::from_bytes(session[from..from + 32].try_into().unwrap());
    // The receiving chain of B's session is the one that A would write with, under A's signed prekey; whose private half
    // writing does not need.
    let signed_prekey = key(251);
    let chain = session[283..315].try_into().unwrap();
    let no_key = PrivateKey::from_bytes([0; 32]);
    let forged = Forged {
        base: key(1),
        writer: key(65),
        reader: key(33),
        root: session[105..137].try_into().unwrap(),
        ratchet: &no_key,
        chain,
        pending: None,
    };
    let written = forged.write(&b.address(), b"nor this");
    // The header names the key that was put in: the forger puts A's there, and makes the MAC anew, as its keys are his.
    let mut bytes = written.bytes[..written.bytes.len() - 8].to_vec();
    let at = bytes.windows(32).position(|part| part == no_key.public().as_bytes()).unwrap();
    bytes[at..at + 32].copy_from_slice(signed_prekey.as_bytes());
    let prk = mac(&[0; 32], &mac(&chain, &[1]));
    let first = mac(&prk, b"WhisperMessageKeys\x01");
    let mac_key = mac(&prk, &[&first[..], b"WhisperMessageKeys\x02"].concat());
    let covered = [&key(65).to_typed()[..], &key(33).to_typed(), &bytes].concat();
    bytes.extend_from_slice(&mac(&mac_key, &covered)[..8]);
    let message = Ciphertext { kind: CiphertextKind::Message, bytes };
    let opened = b.read(&a.address(), &message, &mut rng).unwrap();
    assert_eq!(opened.plaintext, b"nor this");
    assert_eq!(opened.identity, IdentityChange::Unchanged);
}

#[test]
fn messages_carry_no_signature_of_the_identity() {
    let (mut a, mut b, mut rng) = pair(9);
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

// Authenticity.

/// Mallory announces B's prekeys as hers, signed by her, and passes what A writes to her on to B as A's: B refuses it,
/// because A's side has agreed with Mallory's identity.
#[test]
fn an_unknown_key_share_is_refused() {
    let mut rng = StdRng::seed_from_u64(10);
    let (mut a, mut b) = (Party::new("a", &mut rng), Party::new("b", &mut rng));
    let mallory = Party::new("mallory", &mut rng);
    let of_mallory = mallory.store.identity_key().unwrap();
    let mut bundle = b.bundle(Some(1));
    let key = bundle.signed_prekey.key;
    // With B's signature the bundle is refused; with her own it is accepted, as it must be.
    bundle.identity = *of_mallory.public();
    let refused = process_bundle(&mut a.store, &mallory.address(), &bundle, a.policy, &mut rng);
    assert!(refused.is_err());
    let signature = of_mallory.private().sign(&[&key.to_typed()], &mut rng);
    bundle.signed_prekey = SignedPreKeyPublic { id: signed_id(1), key, signature };
    let _ = process_bundle(&mut a.store, &mallory.address(), &bundle, a.policy, &mut rng).unwrap();
    let message = encrypt(&mut a.store, &mallory.address(), b"for mallory", a.policy).unwrap();
    let refused = b.read(&a.address(), &message, &mut rng);
    assert!(matches!(refused, Err(DecryptError::NoSessionFits { .. })), "{refused:?}");
    assert!(b.state(&a.address()).is_none());
    assert!(b.store.prekey_ids().contains(&prekey_id(1)));
    // And what is for B does not open elsewhere.
    a.meet(&b, Some(1), &mut rng);
    let message = a.send(&b, b"for b");
    let mut c = Party::new("c", &mut rng);
    let refused = c.read(&a.address(), &message, &mut rng);
    assert!(matches!(refused, Err(DecryptError::NoSessionFits { .. })), "{refused:?}");
    // A message of A delivered under another name opens, but under the identity that it proves.
    let opened = b.read(&Address::new("mallory", 0), &message, &mut rng).unwrap();
    assert_eq!(opened.identity, IdentityChange::New);
    let proven = b.store.remote_identity(&Address::new("mallory", 0)).unwrap();
    assert_eq!(proven, Some(a.bundle(None).identity));
}

#[test]
fn identities_are_bound_to_the_session() {
    let (mut a, mut b, mut rng) = pair(11);
    let of_mallory = Party::new("mallory", &mut rng).bundle(None).identity;
    // Mallory's identity in A's first message: B computes another secret.
    let mut stolen = a.send(&b, b"first");
    let first = stolen.clone();
    let own = a.bundle(None).identity.to_typed();
    let at = stolen.bytes.windows(33).position(|bytes| bytes == own).unwrap();
    stolen.bytes[at..at + 33].copy_from_slice(&of_mallory.to_typed());
    assert!(b.read(&Address::new("mallory", 0), &stolen, &mut rng).is_err());
    // In a session that is there: what it was begun with counts, not what the envelope says.
    b.read(&a.address(), &first, &mut rng).unwrap();
    let mut second = a.send(&b, b"second");
    let at = second.bytes.windows(33).position(|bytes| bytes == own).unwrap();
    second.bytes[at..at + 33].copy_from_slice(&of_mallory.to_typed());
    b.policy = TrustPolicy::Accept;
    assert!(b.read(&a.address(), &second, &mut rng).is_err());
    assert_eq!(b.store.remote_identity(&a.address()).unwrap(), Some(a.bundle(None).identity));
    // Either identity is under every MAC: a record in which one was changed opens nothing.
    round_trip(&mut a, &mut b, &mut rng);
    let next = a.send(&b, b"next");
    let state = b.state(&a.address()).unwrap();
    for at in [33, 65] {
        let mut changed = state.clone();
        changed[6 + at..6 + at + 32].copy_from_slice(of_mallory.as_bytes());
        let mut other = b.clone();
        let record = SessionRecord::from_bytes(&changed).unwrap();
        other.store.save_session(&a.address(), &record).unwrap();
        let refused = other.read(&a.address(), &next, &mut rng);
        assert!(matches!(refused, Err(DecryptError::NoSessionFits { .. })), "{refused:?}");
    }
    assert!(b.read(&a.address(), &next, &mut rng).is_ok());
}

#[test]
fn what_is_reflected_does_not_open() {
    let (mut a, mut b, mut rng) = pair(12);
    // Both have begun a session with the other, so that each has something that it could take a reflection for.
    b.meet(&a, Some(1), &mut rng);
    let (of_a, of_b) = (a.send(&b, b"mine"), b.send(&a, b"mine"));
    assert!(a.read(&b.address(), &of_a, &mut rng).is_err());
    assert!(b.read(&a.address(), &of_b, &mut rng).is_err());
    b.read(&a.address(), &of_a, &mut rng).unwrap();
    a.read(&b.address(), &of_b, &mut rng).unwrap();
    for _ in 0..3 {
        let [there, back] = round_trip(&mut a, &mut b, &mut rng);
        assert!(a.read(&b.address(), &there, &mut rng).is_err(), "A takes its own message for B's");
        assert!(b.read(&a.address(), &back, &mut rng).is_err(), "B takes its own message for A's");
    }
}

// Replay, and keys that serve once.

#[test]
fn nothing_opens_twice() {
    let (mut a, mut b, mut rng) = pair(13);
    let mut recorded = vec![a.send(&b, b"first"), a.send(&b, b"second")];
    for message in &recorded {
        b.read(&a.address(), message, &mut rng).unwrap();
    }
    for _ in 0..3 {
        recorded.push(round_trip(&mut a, &mut b, &mut rng)[0].clone());
    }
    let nothing = |b: &mut Party, rng: &mut StdRng, when: &str| {
        for (number, message) in recorded.iter().enumerate() {
            assert!(b.read(&a.address(), message, rng).is_err(), "message {number} again, {when}");
        }
    };
    nothing(&mut b, &mut rng, "at once");
    let record = SessionRecord::from_bytes(&b.state(&a.address()).unwrap()).unwrap();
    b.store.save_session(&a.address(), &record).unwrap();
    nothing(&mut b, &mut rng, "after a restart");
    let mut record = b.store.load_session(&a.address()).unwrap().unwrap();
    record.archive_current();
    b.store.save_session(&a.address(), &record).unwrap();
    nothing(&mut b, &mut rng, "after the session was archived");
    b.meet(&a, Some(1), &mut rng);
    nothing(&mut b, &mut rng, "after a new session");
    b.store.delete_session(&a.address()).unwrap();
    nothing(&mut b, &mut rng, "after the session was lost");
}

fn place(message: &Ciphertext) -> (PublicKey, u32) {
    match message.kind {
        CiphertextKind::Message => {
            let parsed = SignalMessage::parse(&message.bytes).unwrap();
            (*parsed.ratchet_key(), parsed.counter)
        }
        CiphertextKind::PreKey => {
            let parsed = PreKeySignalMessage::parse(&message.bytes).unwrap();
            (*parsed.message.ratchet_key(), parsed.message.counter)
        }
    }
}

#[test]
fn no_key_encrypts_two_texts() {
    let (mut a, mut b, mut rng) = pair(14);
    let mut used = HashSet::new();
    for round in 0..60 {
        for _ in 0..round % 4 {
            let message = a.send(&b, b"x");
            let (ratchet, counter) = place(&message);
            assert!(used.insert((*ratchet.as_bytes(), counter)), "a key was used twice in round {round}");
        }
        match round % 7 {
            0 => drop(round_trip(&mut a, &mut b, &mut rng)),
            1 => {
                let record = SessionRecord::from_bytes(&a.state(&b.address()).unwrap()).unwrap();
                a.store.save_session(&b.address(), &record).unwrap();
            }
            2 => a.meet(&b, None, &mut rng),
            3 => {
                // Begun by B; A answers in it, and may come back to an archived one.
                b.meet(&a, None, &mut rng);
                let anew = b.send(&a, b"anew");
                a.read(&b.address(), &anew, &mut rng).unwrap();
            }
            _ => {}
        }
        if round % 7 == 0 {
            let message = b.send(&a, b"back");
            a.read(&b.address(), &message, &mut rng).unwrap();
        }
    }
    assert!(used.len() > 80);
}

/// A store whose writes fail.
struct Broken(MemorySignalStore);

impl IdentityStore for Broken {
    fn identity_key(&self) -> Result<IdentityKeyPair, StoreError> {
        self.0.identity_key()
    }
    fn registration_id(&self) -> Result<RegistrationId, StoreError> {
        self.0.registration_id()
    }
    fn remote_identity(&self, peer: &Address) -> Result<Option<PublicKey>, StoreError> {
        self.0.remote_identity(peer)
    }
    fn save_remote_identity(&mut self, _: &Address, _: &PublicKey) -> Result<(), StoreError> {
        Err(StoreError::new("the disk is full"))
    }
}

impl SessionStore for Broken {
    fn load_session(&self, peer: &Address) -> Result<Option<SessionRecord>, StoreError> {
        self.0.load_session(peer)
    }
    fn save_session(&mut self, _: &Address, _: &SessionRecord) -> Result<(), StoreError> {
        Err(StoreError::new("the disk is full"))
    }
    fn delete_session(&mut self, _: &Address) -> Result<(), StoreError> {
        Err(StoreError::new("the disk is full"))
    }
}

impl PreKeyStore for Broken {
    fn load_prekey(&self, id: PreKeyId) -> Result<Option<PrivateKey>, StoreError> {
        self.0.load_prekey(id)
    }
    fn remove_prekey(&mut self, _: PreKeyId) -> Result<(), StoreError> {
        Err(StoreError::new("the disk is full"))
    }
}

impl SignedPreKeyStore for Broken {
    fn load_signed_prekey(&self, id: SignedPreKeyId) -> Result<Option<SignedPreKey>, StoreError> {
        self.0.load_signed_prekey(id)
    }
}

/// If the advanced chain cannot be stored, there are no bytes to send; and nothing that was opened is shown.
#[test]
fn what_was_not_stored_was_not_sent() {
    let (mut a, mut b, mut rng) = pair(15);
    let mut broken = Broken(a.store.clone());
    let refused = encrypt(&mut broken, &b.address(), b"x", TrustPolicy::Accept);
    assert!(matches!(refused, Err(EncryptError::Store(_))));
    let message = a.send(&b, b"x");
    assert_eq!(place(&message).1, 0, "the counter was not used up");
    let mut broken = Broken(b.store.clone());
    let refused = landbridge_signal::decrypt(
        &mut broken,
        &a.address(),
        message.kind,
        &message.bytes,
        TrustPolicy::Accept,
        &mut rng,
    );
    assert!(matches!(refused, Err(DecryptError::Store(_))));
    assert_eq!(b.read(&a.address(), &message, &mut rng).unwrap().plaintext, b"x");
}

// Limits.

#[test]
fn skipped_keys_are_bounded() {
    let (mut a, mut b, mut rng) = pair(16);
    let most = usize::try_from(Limits::default().max_jump).unwrap();
    round_trip(&mut a, &mut b, &mut rng);
    let from = a.address();
    let skipped = |b: &Party| {
        let info = b.store.load_session(&from).unwrap().unwrap().info().unwrap();
        info.receiving_chains.iter().map(|chain| chain.skipped).collect::<Vec<_>>()
    };
    let sent: Vec<_> = (0..2 * most + 2).map(|_| a.send(&b, b"x")).collect();
    // One more than allowed is refused, and nothing is kept of the attempt.
    let before = b.state(&a.address());
    let refused = b.read(&a.address(), &sent[most + 1], &mut rng);
    assert!(matches!(refused, Err(DecryptError::TooFar { .. })), "{refused:?}");
    assert_eq!(b.state(&a.address()), before);
    // In two leaps twice as many are skipped: the older half of them is given up.
    b.read(&a.address(), &sent[most], &mut rng).unwrap();
    b.read(&a.address(), &sent[2 * most + 1], &mut rng).unwrap();
    assert_eq!(skipped(&b).last(), Some(&most));
    let lost = b.read(&a.address(), &sent[0], &mut rng);
    assert!(matches!(lost, Err(DecryptError::Duplicate { .. })), "{lost:?}");
    b.read(&a.address(), &sent[2 * most], &mut rng).unwrap();
    // Five chains are kept, whatever is skipped in them.
    let size = b.state(&a.address()).unwrap().len();
    for _ in 0..20 {
        a.send(&b, b"x");
        round_trip(&mut a, &mut b, &mut rng);
        assert!(skipped(&b).len() <= 5);
    }
    assert!(b.state(&a.address()).unwrap().len() < size);
}

// Atomicity.

/// Every cut and every single changed bit: refused, and everything is as it was. Of a first message the envelope is under
/// no MAC; what may be changed in it is the registration id alone.
#[test]
fn every_flip_and_every_cut_is_refused_without_a_trace() {
    let (mut a, mut b, mut rng) = pair(17);
    b.policy = TrustPolicy::Accept;
    let first = a.send(&b, b"first");
    let fresh = b.clone();
    b.read(&a.address(), &first, &mut rng).unwrap();
    let answer = b.send(&a, b"answer");
    a.read(&b.address(), &answer, &mut rng).unwrap();
    let next = a.send(&b, b"next");
    for (reader, message) in [(&fresh, &first), (&b, &next)] {
        let mut reader = reader.clone();
        let state = |reader: &Party| {
            let identity = reader.store.remote_identity(&a.address()).unwrap();
            (reader.state(&a.address()), identity, reader.store.prekey_ids())
        };
        let before = state(&reader);
        for cut in 0..message.bytes.len() {
            let part = Ciphertext { kind: message.kind, bytes: message.bytes[..cut].to_vec() };
            assert!(reader.read(&a.address(), &part, &mut rng).is_err(), "cut at {cut}");
            assert_eq!(state(&reader), before, "cut at {cut}");
        }
        for bit in 0..8 * message.bytes.len() {
            let mut changed = message.clone();
            changed.bytes[bit / 8] ^= 1 << (bit % 8);
            let mut trial = reader.clone();
            match trial.read(&a.address(), &changed, &mut rng) {
                Err(_) => assert_eq!(state(&trial), before, "bit {bit}"),
                Ok(opened) => {
                    assert_eq!(opened.plaintext, b"first", "bit {bit}");
                    let (one, other) = (
                        PreKeySignalMessage::parse(&message.bytes).unwrap(),
                        PreKeySignalMessage::parse(&changed.bytes).unwrap(),
                    );
                    assert_eq!(one.message_bytes, other.message_bytes, "bit {bit}");
                    assert_eq!(one.identity, other.identity, "bit {bit}");
                    assert_eq!(one.signed_prekey_id, other.signed_prekey_id, "bit {bit}");
                    assert_eq!(one.prekey_id, other.prekey_id, "bit {bit}");
                }
            }
        }
        reader.read(&a.address(), message, &mut rng).unwrap();
    }
}

#[test]
fn every_flip_and_every_cut_of_a_group_message_is_refused_without_a_trace() {
    let mut rng = StdRng::seed_from_u64(18);
    let (mut a, mut b) = (Party::new("a", &mut rng), Party::new("b", &mut rng));
    let own = a.address();
    let told = group::distribution(&mut a.store, GROUP, &own, &mut rng).unwrap();
    group::process_distribution(&mut b.store, GROUP, &own, &told).unwrap();
    let message = group::encrypt(&mut a.store, GROUP, &own, b"to all", &mut rng).unwrap();
    let state = |b: &Party| b.store.load_sender_key(GROUP, &own).unwrap().unwrap().to_bytes();
    let before = state(&b);
    let cuts = (0..message.len()).map(|cut| message[..cut].to_vec());
    let flips = (0..8 * message.len()).map(|bit| {
        let mut changed = message.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        changed
    });
    for bytes in cuts.chain(flips) {
        let refused = group::decrypt(&mut b.store, GROUP, &own, &bytes, &Limits::default());
        assert!(refused.is_err(), "{} opened", hex::encode(&bytes));
        assert_eq!(*state(&b), *before);
    }
    for cut in 0..told.len() {
        assert!(group::process_distribution(&mut b.store, GROUP, &own, &told[..cut]).is_err(), "{cut}");
        assert_eq!(*state(&b), *before);
    }
    group::decrypt(&mut b.store, GROUP, &own, &message, &Limits::default()).unwrap();
}
