//! The hand-written readers and writers against the generated protobuf types.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::Party;
use landbridge_proto::signal;
use landbridge_signal::{
    CiphertextKind,
    group::{SenderKeyMessage, distribution},
    message::{PreKeySignalMessage, SignalMessage},
};
use proptest::prelude::*;
use prost::Message as _;
use rand::{SeedableRng as _, rngs::StdRng};

/// What the generated type says of the body of a `msg`, if it is complete.
fn oracle(body: &[u8]) -> Option<signal::SignalMessage> {
    let message = signal::SignalMessage::decode(body).ok()?;
    let key = message.ratchet_key.as_deref()?;
    let complete =
        key.len() == 33 && key[0] == 5 && message.counter.is_some() && message.ciphertext.is_some();
    complete.then_some(message)
}

fn field() -> impl Strategy<Value = Vec<u8>> {
    let key = any::<[u8; 32]>().prop_map(|key| {
        let mut typed = vec![0x0a, 33, 5];
        typed.extend_from_slice(&key);
        typed
    });
    let varint = (1u8..9, any::<u64>()).prop_map(|(number, value)| {
        let mut out = vec![number << 3];
        prost::encoding::encode_varint(value, &mut out);
        out
    });
    let bytes = (1u8..9, proptest::collection::vec(any::<u8>(), 0..20)).prop_map(|(number, value)| {
        let mut out = vec![number << 3 | 2, u8::try_from(value.len()).unwrap()];
        out.extend_from_slice(&value);
        out
    });
    let fixed = (5u8..9, any::<u64>(), any::<bool>()).prop_map(|(number, value, long)| {
        let mut out = vec![number << 3 | if long { 1 } else { 5 }];
        out.extend_from_slice(&value.to_le_bytes()[..if long { 8 } else { 4 }]);
        out
    });
    let counter = any::<u32>().prop_map(|value| {
        let mut out = vec![0x10];
        prost::encoding::encode_varint(u64::from(value), &mut out);
        out
    });
    let text = proptest::collection::vec(any::<u8>(), 0..40).prop_map(|value| {
        let mut out = vec![0x22, u8::try_from(value.len()).unwrap()];
        out.extend_from_slice(&value);
        out
    });
    let junk = proptest::collection::vec(any::<u8>(), 1..6);
    prop_oneof![6 => key, 6 => counter, 6 => text, 2 => varint, 1 => bytes, 1 => fixed, 1 => junk]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn reads_what_the_generated_type_reads(fields in proptest::collection::vec(field(), 0..7)) {
        let body = fields.concat();
        let mut bytes = vec![0x33];
        bytes.extend_from_slice(&body);
        bytes.extend_from_slice(&[7; 8]);
        let expected = oracle(&body);
        match SignalMessage::parse(&bytes) {
            Ok(message) => {
                let expected = expected.expect("the generated type reads it too");
                prop_assert_eq!(Some(message.counter), expected.counter);
                prop_assert_eq!(message.previous_counter, expected.previous_counter.unwrap_or(0));
                prop_assert_eq!(Some(message.ciphertext), expected.ciphertext.as_deref());
                prop_assert_eq!(&message.ratchet_key().to_typed()[..], &expected.ratchet_key.unwrap()[..]);
            }
            // Groups are the one part of protobuf that is refused here: nobody writes them.
            Err(_) => prop_assert!(expected.is_none() || body.iter().any(|byte| byte & 7 == 3)),
        }
    }
}

#[test]
fn writes_what_the_generated_types_write() {
    let mut rng = StdRng::seed_from_u64(1);
    let (mut a, mut b) = (Party::new("a", &mut rng), Party::new("b", &mut rng));
    for (round, prekey) in [(0usize, Some(1)), (1, None), (2, Some(20))] {
        a.meet(&b, prekey, &mut rng);
        for _ in 0..200 {
            a.send(&b, &vec![0; 100 * round]);
        }
        let first = a.send(&b, &vec![0; 100 * round]);
        assert_eq!(first.kind, CiphertextKind::PreKey);
        let generated = signal::PreKeySignalMessage::decode(&first.bytes[1..]).unwrap();
        assert_eq!(generated.encode_to_vec(), first.bytes[1..]);
        let ours = PreKeySignalMessage::parse(&first.bytes).unwrap();
        assert_eq!(ours.prekey_id, generated.pre_key_id);
        assert_eq!(ours.prekey_id, prekey);
        assert_eq!(Some(ours.signed_prekey_id), generated.signed_pre_key_id);
        assert_eq!(Some(ours.registration_id), generated.registration_id);
        assert_eq!(Some(ours.message_bytes), generated.message.as_deref());
        assert_eq!(ours.identity.to_typed(), generated.identity_key.unwrap()[..]);
        assert_eq!(ours.base_key.to_typed(), generated.base_key.unwrap()[..]);
        b.read(&a.address(), &first, &mut rng).unwrap();
        let answer = b.send(&a, b"");
        let body = &answer.bytes[1..answer.bytes.len() - 8];
        let generated = signal::SignalMessage::decode(body).unwrap();
        assert_eq!(generated.previous_counter, Some(0), "written even when it is 0");
        assert_eq!(generated.encode_to_vec(), body);
        assert_eq!(answer.bytes.capacity(), answer.bytes.len(), "the length was known beforehand");
        assert_eq!(first.bytes.capacity(), first.bytes.len(), "the length was known beforehand");
    }
}

#[test]
fn group_messages_are_what_the_generated_types_write() {
    let mut rng = StdRng::seed_from_u64(2);
    let mut a = Party::new("a", &mut rng);
    let own = a.address();
    let told = distribution(&mut a.store, "g", &own, &mut rng).unwrap();
    let generated = signal::SenderKeyDistributionMessage::decode(&told[1..]).unwrap();
    assert_eq!(generated.encode_to_vec(), told[1..]);
    assert_eq!(generated.chain_key.unwrap().len(), 32);
    let message = landbridge_signal::group::encrypt(&mut a.store, "g", &own, b"text", &mut rng).unwrap();
    let generated = signal::SenderKeyMessage::decode(&message[1..message.len() - 64]).unwrap();
    assert_eq!(generated.encode_to_vec(), message[1..message.len() - 64]);
    let ours = SenderKeyMessage::parse(&message).unwrap();
    assert_eq!(Some(ours.chain_id), generated.id);
    assert_eq!(Some(ours.iteration), generated.iteration);
    assert_eq!(Some(ours.ciphertext), generated.ciphertext.as_deref());
}
