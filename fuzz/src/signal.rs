//! Signal messages and stored records, one at a time.

use landbridge_proto::signal as proto;
use landbridge_signal::{
    Limits, SenderKeyRecord, SessionRecord, SessionStore as _, TrustPolicy, decrypt, encrypt,
    group::{self, SenderKeyMessage, SenderKeyStore as _},
    message::{MAC_LEN, PreKeySignalMessage, SignalMessage},
};
use prost::Message as _;

use crate::{
    input::{Input, rng},
    signal_world::{GROUP, WORLD, kind, kind_byte},
};

/// The three message readers: what they accept, prost reads as the same, and what they refuse lacks a part.
pub(crate) fn parsers(bytes: &[u8]) {
    let version = bytes.first().copied().unwrap_or_default();
    if let Ok(message) = SignalMessage::parse(bytes) {
        assert_eq!(message.version_byte(), version);
        let (body, mac) = bytes[1..].split_at(bytes.len() - 1 - MAC_LEN);
        assert_eq!(message.mac, mac);
        let theirs = proto::SignalMessage::decode(body).expect("prost reads what is accepted");
        assert_eq!(theirs.ciphertext.as_deref(), Some(message.ciphertext));
        assert_eq!(theirs.counter, Some(message.counter));
        assert_eq!(theirs.previous_counter.unwrap_or(0), message.previous_counter);
        assert_eq!(theirs.ratchet_key, Some(message.ratchet_key().to_typed().to_vec()));
    }
    if let Ok(message) = PreKeySignalMessage::parse(bytes) {
        assert_eq!(message.version_byte, version);
        let theirs = proto::PreKeySignalMessage::decode(&bytes[1..]).expect("prost reads what is accepted");
        assert_eq!(theirs.message.as_deref(), Some(message.message_bytes));
        assert_eq!(theirs.base_key, Some(message.base_key.to_typed().to_vec()));
        assert_eq!(theirs.identity_key, Some(message.identity.to_typed().to_vec()));
        assert_eq!(theirs.pre_key_id, message.prekey_id);
        assert_eq!(theirs.signed_pre_key_id, Some(message.signed_prekey_id));
        assert_eq!(theirs.registration_id.unwrap_or(0), message.registration_id);
        let inner = SignalMessage::parse(message.message_bytes).expect("the inner message was read");
        assert_eq!((inner.counter, inner.mac), (message.message.counter, message.message.mac));
    }
    if let Ok(message) = SenderKeyMessage::parse(bytes) {
        assert_eq!(message.version_byte, version);
        let end = bytes.len() - message.signature.len();
        assert_eq!(&bytes[end..], message.signature);
        let theirs = proto::SenderKeyMessage::decode(&bytes[1..end]).expect("prost reads what is accepted");
        assert_eq!(theirs.ciphertext.as_deref(), Some(message.ciphertext));
        assert_eq!((theirs.id, theirs.iteration), (Some(message.chain_id), Some(message.iteration)));
    }
}

pub(crate) fn parser_seeds() -> Vec<Vec<u8>> {
    let world = &*WORLD;
    let pairwise = world.unread.iter().map(|(message, _)| message.bytes.clone());
    let group = world.group_messages.iter().map(|(message, _)| message.clone());
    pairwise.chain(world.read.iter().map(|message| message.bytes.clone())).chain(group).collect()
}

/// A message at Bob's, fresh or in the middle of the conversation: only what Alice wrote opens, to what she wrote, and a
/// refusal changes nothing.
pub(crate) fn session(bytes: &[u8]) {
    let world = &*WORLD;
    let mut script = Input::new(bytes);
    let choice = script.u8();
    let mut bob = if choice & 2 == 0 { world.bob.clone() } else { world.fresh.clone() };
    let policy = if choice & 4 == 0 { TrustPolicy::Accept } else { TrustPolicy::Reject };
    let message = script.rest();
    let before = bob.state(&world.alice.address);
    match decrypt(&mut bob.store, &world.alice.address, kind(choice), message, policy, &mut rng(20)) {
        Err(error) => {
            let _ = (error.advice(), error.to_string());
            assert_eq!(bob.state(&world.alice.address), before, "a refusal left a trace");
        }
        Ok(opened) => {
            let inner = if kind_byte(kind(choice)) == 0 {
                message
            } else {
                PreKeySignalMessage::parse(message).expect("it was opened").message_bytes
            };
            let inner_of = |bytes: &[u8], of| {
                if kind_byte(of) == 0 {
                    Some(bytes.to_vec())
                } else {
                    PreKeySignalMessage::parse(bytes).ok().map(|message| message.message_bytes.to_vec())
                }
            };
            let genuine = world
                .unread
                .iter()
                .find(|(sent, _)| inner_of(&sent.bytes, sent.kind).as_deref() == Some(inner));
            let first = choice & 2 != 0
                && inner_of(&world.read[0].bytes, world.read[0].kind).as_deref() == Some(inner);
            let expected = genuine.map(|(_, text)| &**text).or(first.then_some(b"first"));
            assert_eq!(Some(&*opened.plaintext), expected, "a message that Alice never wrote");
            let again =
                decrypt(&mut bob.store, &world.alice.address, kind(choice), message, policy, &mut rng(21));
            assert!(again.is_err(), "a message opened twice");
        }
    }
}

pub(crate) fn session_seeds() -> Vec<Vec<u8>> {
    let world = &*WORLD;
    let sent = world.unread.iter().map(|(message, _)| message).chain(&world.read);
    sent.flat_map(|message| {
        [0, 2, 4].map(|choice| [&[choice | kind_byte(message.kind)], &*message.bytes].concat())
    })
    .collect()
}

/// Group messages and distributions at Bob's: only what Alice wrote opens, and a refusal changes nothing.
pub(crate) fn sender_key(bytes: &[u8]) {
    let world = &*WORLD;
    let alice = &world.alice.address;
    let Some((&choice, message)) = bytes.split_first() else { return };
    let mut bob = world.bob.clone();
    let before = bob.state(alice);
    if choice % 2 == 0 {
        match group::decrypt(&mut bob.store, GROUP, alice, message, &Limits::default()) {
            Ok(text) => {
                assert!(world.group_messages.contains(&(message.to_vec(), text)), "nobody wrote this");
                let again = group::decrypt(&mut bob.store, GROUP, alice, message, &Limits::default());
                assert!(again.is_err(), "a message opened twice");
            }
            Err(_) => assert_eq!(bob.state(alice), before, "a refusal left a trace"),
        }
        return;
    }
    match group::process_distribution(&mut bob.store, GROUP, alice, message) {
        Err(_) => assert_eq!(bob.state(alice), before, "a refusal left a trace"),
        Ok(announced) => {
            let record =
                bob.store.load_sender_key(GROUP, alice).expect("memory does not fail").expect("it was saved");
            let stored = record.to_bytes();
            let again = SenderKeyRecord::from_bytes(&stored).expect("a record that was written reads");
            assert_eq!(again.to_bytes(), stored);
            assert!(again.info().iter().any(|chain| chain.chain_id == announced.chain_id));
            // A chain of another id leaves the one that was there as it was.
            let (first, text) = &world.group_messages[0];
            let known = SenderKeyMessage::parse(first).expect("Alice's messages are whole").chain_id;
            if announced.chain_id != known {
                let opened = group::decrypt(&mut bob.store, GROUP, alice, first, &Limits::default());
                assert_eq!(opened.ok().as_ref(), Some(text));
            }
        }
    }
}

pub(crate) fn sender_key_seeds() -> Vec<Vec<u8>> {
    let world = &*WORLD;
    let messages = world.group_messages.iter().map(|(message, _)| [&[0], &**message].concat());
    messages.chain([[&[1], &*world.distribution].concat()]).collect()
}

/// Stored records: what is read back is written the same, and can be worked with.
pub(crate) fn records(bytes: &[u8]) {
    let world = &*WORLD;
    let Some((&choice, stored)) = bytes.split_first() else { return };
    if choice % 2 == 0 {
        let Ok(record) = SessionRecord::from_bytes(stored) else { return };
        // Bytes differ where they stand for the same key; what was written is always read back exactly.
        let written = record.to_bytes();
        assert_eq!(written.len(), stored.len());
        let again = SessionRecord::from_bytes(&written).expect("a record that was written reads");
        assert_eq!(again.to_bytes(), written, "another record came back");
        let _ = (record.info(), format!("{record:?}"));
        let mut bob = world.bob.clone();
        let alice = &world.alice.address;
        bob.store.save_session(alice, &record).expect("memory does not fail");
        let sent = encrypt(&mut bob.store, alice, b"text", TrustPolicy::Accept);
        assert!(
            sent.is_ok()
                || !record.has_current()
                || record.info().is_some_and(|info| info.next_counter == u32::MAX)
        );
        for (message, text) in &world.unread {
            match decrypt(
                &mut bob.store,
                alice,
                message.kind,
                &message.bytes,
                TrustPolicy::Accept,
                &mut rng(22),
            ) {
                Ok(opened) => assert_eq!(&opened.plaintext, text),
                Err(error) => drop(error.advice()),
            }
        }
        let mut record = record;
        record.archive_current();
        assert!(!record.has_current());
        SessionRecord::from_bytes(&record.to_bytes()).expect("a record that was written reads");
    } else {
        let Ok(record) = SenderKeyRecord::from_bytes(stored) else { return };
        // Bytes differ where they stand for the same key; what was written is always read back exactly.
        let written = record.to_bytes();
        assert_eq!(written.len(), stored.len());
        let again = SenderKeyRecord::from_bytes(&written).expect("a record that was written reads");
        assert_eq!(again.to_bytes(), written, "another record came back");
        let _ = (record.info(), format!("{record:?}"));
        let mut bob = world.bob.clone();
        let alice = &world.alice.address;
        bob.store.save_sender_key(GROUP, alice, &record).expect("memory does not fail");
        for (message, _) in &world.group_messages {
            let opened = group::decrypt(&mut bob.store, GROUP, alice, message, &Limits::default());
            let again = group::decrypt(&mut bob.store, GROUP, alice, message, &Limits::default());
            assert!(opened.is_err() || again.is_err(), "a message opened twice");
        }
        let _ = group::encrypt(&mut bob.store, GROUP, alice, b"text", &mut rng(23));
    }
}

pub(crate) fn record_seeds() -> Vec<Vec<u8>> {
    let world = &*WORLD;
    let mut seeds = Vec::new();
    for (party, peer) in [(&world.bob, &world.alice.address), (&world.alice, &world.bob.address)] {
        let mut record = party.store.load_session(peer).expect("memory does not fail").expect("it is there");
        seeds.push([&[0], record.to_bytes().as_slice()].concat());
        record.archive_current();
        seeds.push([&[0], record.to_bytes().as_slice()].concat());
    }
    for party in [&world.bob, &world.alice] {
        let record = party.store.load_sender_key(GROUP, &world.alice.address).expect("memory does not fail");
        seeds.push([&[1], record.expect("it is there").to_bytes().as_slice()].concat());
    }
    seeds
}
