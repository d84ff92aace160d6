//! Recorded sender-key conversations, and chains between two parties of this crate.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Party, vectors};
use landbridge_signal::{
    Address, IdentityKeyPair, Limits, MemorySignalStore, SenderKeyRecord,
    group::{self, GroupError, SenderKeyStore as _},
};
use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};

const GROUP: &str = "120363000000000000@g.us";

fn kind(error: &GroupError) -> &'static str {
    match error {
        GroupError::Version { got: 0..3 } => "legacy_version",
        GroupError::Version { .. } => "unknown_version",
        GroupError::InvalidKey(_) => "invalid_key",
        GroupError::NoSenderKey { .. } => "no_sender_key",
        GroupError::Duplicate { .. } => "duplicate",
        GroupError::TooFar { .. } => "too_far",
        GroupError::Malformed(_) | GroupError::BadSignature | GroupError::BadPadding => "invalid_message",
        _ => "internal",
    }
}

fn play(store: &mut MemorySignalStore, step: &Value) -> Result<Value, GroupError> {
    let group = step["group"].as_str().unwrap();
    let from = Address::new(step["from"].as_str().unwrap(), 0);
    let field = |name: &str| hex::decode(step[name].as_str().unwrap()).unwrap();
    match step["do"].as_str().unwrap() {
        "sender_key_process" => {
            group::process_distribution(store, group, &from, &field("distribution")).map(|_| json!({}))
        }
        "sender_key_decrypt" => group::decrypt(store, group, &from, &field("message"), &Limits::default())
            .map(|text| json!({"plaintext": hex::encode(text)})),
        other => panic!("{other}"),
    }
}

#[test]
fn recorded_conversations() {
    let file = vectors(include_str!("vectors/groups.json"));
    for conversation in file["conversations"].as_array().unwrap() {
        let identity = IdentityKeyPair::generate(&mut StdRng::seed_from_u64(1));
        let mut store = MemorySignalStore::new(identity, 1);
        for (number, step) in conversation["steps"].as_array().unwrap().iter().enumerate() {
            let at = format!("{} step {number}: {}", conversation["name"], step["note"]);
            let expect = &step["expect"];
            match play(&mut store, step) {
                Ok(reply) => {
                    assert!(expect["error"].is_null(), "{at}: {reply}");
                    // The text of a message after a gap was not recorded where it is empty.
                    for (field, value) in expect.as_object().unwrap() {
                        assert_eq!(&reply[field], value, "{at}");
                    }
                }
                Err(error) => {
                    let also = expect["also"].as_array().into_iter().flatten();
                    let right = also.chain([&expect["error"]]).any(|right| right == kind(&error));
                    assert!(right, "{at}: {error:?}");
                }
            }
        }
    }
}

#[test]
fn chains_are_kept_exactly_once_and_survive_storage() {
    let mut rng = StdRng::seed_from_u64(2);
    let (mut a, mut b) = (Party::new("a", &mut rng), Party::new("b", &mut rng));
    let own = a.address();
    let none = group::encrypt(&mut a.store, GROUP, &own, b"x", &mut rng);
    assert!(matches!(none, Err(GroupError::NoSenderKey { .. })));
    let told = group::distribution(&mut a.store, GROUP, &own, &mut rng).unwrap();
    let announced = group::process_distribution(&mut b.store, GROUP, &own, &told).unwrap();
    assert_eq!(announced.iteration, 0);
    let mut sent: Vec<(u8, Vec<u8>)> = (0..10)
        .map(|n| (n, group::encrypt(&mut a.store, GROUP, &own, &[n; 40], &mut rng).unwrap()))
        .collect();
    sent.swap(0, 9);
    sent.swap(3, 7);
    for (n, message) in &sent {
        let stored = b.store.load_sender_key(GROUP, &own).unwrap().unwrap().to_bytes();
        let read = SenderKeyRecord::from_bytes(&stored).unwrap();
        assert_eq!(*read.to_bytes(), *stored);
        b.store.save_sender_key(GROUP, &own, &read).unwrap();

        let mut bad = message.clone();
        bad[20] ^= 1;
        let refused = group::decrypt(&mut b.store, GROUP, &own, &bad, &Limits::default());
        assert!(matches!(refused, Err(GroupError::BadSignature)), "{refused:?}");
        assert_eq!(*b.store.load_sender_key(GROUP, &own).unwrap().unwrap().to_bytes(), *stored);

        let text = group::decrypt(&mut b.store, GROUP, &own, message, &Limits::default()).unwrap();
        assert_eq!(text, [*n; 40]);
        let again = group::decrypt(&mut b.store, GROUP, &own, message, &Limits::default());
        assert!(matches!(again, Err(GroupError::Duplicate { .. })));
    }
}

#[test]
fn the_jump_limit_is_a_setting() {
    let mut rng = StdRng::seed_from_u64(4);
    let (mut a, mut b) = (Party::new("a", &mut rng), Party::new("b", &mut rng));
    let own = a.address();
    let told = group::distribution(&mut a.store, GROUP, &own, &mut rng).unwrap();
    group::process_distribution(&mut b.store, GROUP, &own, &told).unwrap();
    let sent: Vec<_> =
        (0..5).map(|_| group::encrypt(&mut a.store, GROUP, &own, b"x", &mut rng).unwrap()).collect();
    let refused = group::decrypt(&mut b.store, GROUP, &own, &sent[4], &Limits { max_jump: 3 });
    assert!(matches!(refused, Err(GroupError::TooFar { jump: 4, limit: 3 })));
    group::decrypt(&mut b.store, GROUP, &own, &sent[3], &Limits { max_jump: 3 }).unwrap();
}
