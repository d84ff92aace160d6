//! Two parties over a network that loses, delays, repeats and damages: every message opens exactly once or not at all,
//! and what fails leaves no trace.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::Party;
use landbridge_signal::{
    Ciphertext, CiphertextKind, DecryptError, IdentityChange, Limits, RecordError, SessionRecord,
    SessionStore as _, Settings, TrustPolicy, decrypt,
};
use proptest::prelude::*;
use rand::{SeedableRng as _, rngs::StdRng};

#[derive(Debug, Clone, Copy)]
enum Op {
    Send(bool),
    Deliver(bool, prop::sample::Index),
    Drop(bool, prop::sample::Index),
    Repeat(bool, prop::sample::Index),
    Damage(bool, prop::sample::Index, prop::sample::Index),
    Store(bool),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let index = any::<prop::sample::Index>;
    let op = prop_oneof![
        6 => any::<bool>().prop_map(Op::Send),
        6 => (any::<bool>(), index()).prop_map(|(side, at)| Op::Deliver(side, at)),
        1 => (any::<bool>(), index()).prop_map(|(side, at)| Op::Drop(side, at)),
        1 => (any::<bool>(), index()).prop_map(|(side, at)| Op::Repeat(side, at)),
        2 => (any::<bool>(), index(), index()).prop_map(|(side, at, byte)| Op::Damage(side, at, byte)),
        1 => any::<bool>().prop_map(Op::Store),
    ];
    proptest::collection::vec(op, 1..120)
}

struct Letter {
    message: Ciphertext,
    text: Vec<u8>,
    /// Messages that the sender had opened when it wrote: more turns than these the ratchet cannot have made.
    opened: usize,
}

#[derive(Default)]
struct Mail {
    sent: Vec<Letter>,
    delivered: Vec<Letter>,
    /// Messages that this side has opened.
    opened: usize,
}

/// Takes a failing message to `to` and checks that nothing has changed by it.
fn refuse(to: &mut Party, from: &Party, message: &Ciphertext, rng: &mut StdRng) -> DecryptError {
    let before = to.state(&from.address());
    let keys = to.store.prekey_ids();
    let error = to.read(&from.address(), message, rng).expect_err("the message must not open");
    assert_eq!(to.state(&from.address()), before);
    assert_eq!(to.store.prekey_ids(), keys);
    error
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_message_opens_once(seed: u64, both_begin: bool, ops in ops()) {
        let mut rng = StdRng::seed_from_u64(seed);
        let (mut a, mut b) = (Party::new("a", &mut rng), Party::new("b", &mut rng));
        a.meet(&b, Some(1), &mut rng);
        let mut mails = [Mail::default(), Mail::default()];
        if both_begin {
            b.meet(&a, None, &mut rng);
        } else {
            let first = a.send(&b, b"first");
            b.read(&a.address(), &first, &mut rng).unwrap();
            mails[1].opened += 1;
        }
        let mut serial = 0u32;
        for op in ops {
            let (Op::Send(side) | Op::Deliver(side, _) | Op::Drop(side, _) | Op::Repeat(side, _)
            | Op::Damage(side, ..) | Op::Store(side)) = op;
            let (from, to) = if side { (&mut a, &mut b) } else { (&mut b, &mut a) };
            let (mine, other) = (usize::from(!side), usize::from(side));
            match op {
                Op::Send(_) => {
                    serial += 1;
                    let text = serial.to_be_bytes().repeat(rng.random_range(0..12));
                    let message = from.send(to, &text);
                    let opened = mails[mine].opened;
                    mails[mine].sent.push(Letter { message, text, opened });
                }
                Op::Deliver(_, at) if !mails[mine].sent.is_empty() => {
                    let at = at.index(mails[mine].sent.len());
                    let letter = mails[mine].sent.remove(at);
                    // Five chains are kept: an older letter may be lost.
                    let sure = mails[mine].opened - letter.opened <= 3;
                    match to.read(&from.address(), &letter.message, &mut rng) {
                        Ok(got) => {
                            prop_assert_eq!(&got.plaintext, &letter.text);
                            mails[other].opened += 1;
                            mails[mine].delivered.push(letter);
                        }
                        Err(error) => prop_assert!(!sure, "{error:?}"),
                    }
                }
                Op::Drop(_, at) if !mails[mine].sent.is_empty() => {
                    let at = at.index(mails[mine].sent.len());
                    mails[mine].sent.remove(at);
                }
                Op::Repeat(_, at) if !mails[mine].delivered.is_empty() => {
                    let letter = &mails[mine].delivered[at.index(mails[mine].delivered.len())];
                    let error = refuse(to, from, &letter.message, &mut rng);
                    let right = matches!(error, DecryptError::Duplicate { .. } | DecryptError::NoSessionFits { .. }
                        | DecryptError::NoPreKey { .. });
                    prop_assert!(right, "{error:?}");
                }
                Op::Damage(_, at, byte) if !mails[mine].sent.is_empty() => {
                    let letter = &mails[mine].sent[at.index(mails[mine].sent.len())];
                    if letter.message.kind == CiphertextKind::Message {
                        let mut message = letter.message.clone();
                        let byte = byte.index(message.bytes.len());
                        message.bytes[byte] ^= 1 << rng.random_range(0..8);
                        refuse(to, from, &message, &mut rng);
                    }
                }
                Op::Store(_) => {
                    let bytes = from.state(&to.address()).unwrap_or_default();
                    if !bytes.is_empty() {
                        let record = SessionRecord::from_bytes(&bytes).unwrap();
                        prop_assert_eq!(&*record.to_bytes(), &bytes);
                        from.store.save_session(&to.address(), &record).unwrap();
                    }
                }
                _ => {}
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(kind: bool, bytes in proptest::collection::vec(any::<u8>(), 0..200), head: bool) {
        let mut rng = StdRng::seed_from_u64(1);
        let mut party = Party::new("a", &mut rng);
        let mut bytes = bytes;
        if head {
            bytes.insert(0, 0x33);
        }
        let from = Party::new("b", &mut rng).address();
        let kind = if kind { CiphertextKind::PreKey } else { CiphertextKind::Message };
        let refused = decrypt(&mut party.store, &from, kind, &bytes, TrustPolicy::Accept, &mut rng);
        prop_assert!(refused.is_err());
        prop_assert!(party.state(&from).is_none());
        prop_assert!(SessionRecord::from_bytes(&bytes).is_err());
    }
}

#[test]
fn a_damaged_record_is_refused_and_never_panics() {
    let mut rng = StdRng::seed_from_u64(5);
    let (mut a, mut b) = (Party::new("a", &mut rng), Party::new("b", &mut rng));
    a.meet(&b, Some(1), &mut rng);
    for _ in 0..3 {
        let late = a.send(&b, b"late");
        let soon = a.send(&b, b"soon");
        b.read(&a.address(), &soon, &mut rng).unwrap();
        drop(late);
        let answer = b.send(&a, b"answer");
        a.read(&b.address(), &answer, &mut rng).unwrap();
    }
    let mut record = b.store.load_session(&a.address()).unwrap().unwrap();
    record.archive_current();
    b.store.save_session(&a.address(), &record).unwrap();
    a.meet(&b, Some(2), &mut rng);
    let anew = a.send(&b, b"anew");
    b.read(&a.address(), &anew, &mut rng).unwrap();
    let bytes = b.state(&a.address()).unwrap();
    assert_eq!(*SessionRecord::from_bytes(&bytes).unwrap().to_bytes(), bytes);
    for length in 0..bytes.len() {
        assert!(SessionRecord::from_bytes(&bytes[..length]).is_err(), "cut at {length}");
    }
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 0x80;
        // Most fields are keys, where every value is one; the structure must hold.
        let _ = SessionRecord::from_bytes(&bad);
    }
    let mut bad = bytes;
    bad[0] = 9;
    assert_eq!(SessionRecord::from_bytes(&bad).unwrap_err(), RecordError::UnknownFormat { got: 9 });
    bad[0] = 1;
    bad[6] = 4;
    assert_eq!(SessionRecord::from_bytes(&bad).unwrap_err(), RecordError::UnknownVersion { got: 4 });
}

#[test]
fn the_stored_form_is_stable() {
    let mut rng = StdRng::seed_from_u64(6);
    let record = SessionRecord::new();
    assert_eq!(*record.to_bytes(), [1, 0, 0]);
    let (mut a, b) = (Party::new("a", &mut rng), Party::new("b", &mut rng));
    a.meet(&b, Some(3), &mut rng);
    let bytes = a.state(&b.address()).unwrap();
    // Format, one session of 251 bytes and one chain of 70, nothing archived.
    assert_eq!(bytes.len(), 3 + 4 + 251 + 70);
    assert_eq!(bytes[..7], [1, 1, 0, 0, 1, 0x41, 3]);
    // Pending: with a one-time prekey; signed prekey 1, prekey 3; one chain.
    assert_eq!(bytes[7 + 240..7 + 251], [2, 0, 0, 0, 1, 0, 0, 0, 3, 1, bytes[7 + 250]]);
}

#[test]
fn the_jump_limit_is_a_setting() {
    let mut rng = StdRng::seed_from_u64(7);
    let (mut a, mut b) = (Party::new("a", &mut rng), Party::new("b", &mut rng));
    a.meet(&b, None, &mut rng);
    let sent: Vec<_> = (0..8).map(|_| a.send(&b, b"x")).collect();
    let strict = Settings { trust: TrustPolicy::Accept, limits: Limits { max_jump: 5 } };
    let from = a.address();
    let refused = decrypt(&mut b.store, &from, sent[6].kind, &sent[6].bytes, strict, &mut rng);
    assert!(matches!(refused, Err(DecryptError::TooFar { jump: 6, limit: 5 })), "{refused:?}");
    decrypt(&mut b.store, &from, sent[5].kind, &sent[5].bytes, strict, &mut rng).unwrap();
}

#[test]
fn an_identity_in_the_envelope_proves_nothing() {
    let mut rng = StdRng::seed_from_u64(8);
    let (mut a, mut b) = (Party::new("a", &mut rng), Party::new("b", &mut rng));
    b.policy = TrustPolicy::Accept;
    a.meet(&b, Some(1), &mut rng);
    let first = a.send(&b, b"one");
    let opened = b.read(&a.address(), &first, &mut rng).unwrap();
    assert_eq!(opened.identity, IdentityChange::New);
    // The second message under the same session, with the identity of somebody else written over it.
    let mut second = a.send(&b, b"two");
    let other = Party::new("c", &mut rng).bundle(None).identity;
    let own = a.bundle(None).identity.to_typed();
    let at = second.bytes.windows(33).position(|bytes| bytes == own).unwrap();
    second.bytes[at..at + 33].copy_from_slice(&other.to_typed());
    let refused = refuse(&mut b, &a, &second, &mut rng);
    assert!(matches!(refused, DecryptError::NoSessionFits { .. }), "{refused:?}");
}
