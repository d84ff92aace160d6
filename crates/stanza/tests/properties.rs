//! Invariants over arbitrary input.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use landbridge_stanza::message::{Enc, EncType, MessageIn, MessageOut, MessageType};
use landbridge_stanza::receipt::{ReceiptOut, ReceiptType};
use landbridge_stanza::{ClientStanza, Inbound, MessageId, Profile, StanzaError};
use landbridge_wire::{EncodeOptions, Jid, Limits, Node};
use proptest::prelude::*;

/// Words that appear in stanzas, so that random trees come near to real ones.
const WORDS: [&str; 40] = [
    "iq",
    "message",
    "receipt",
    "ack",
    "notification",
    "ib",
    "presence",
    "chatstate",
    "success",
    "failure",
    "stream:error",
    "enc",
    "key",
    "skey",
    "list",
    "user",
    "item",
    "retry",
    "registration",
    "identity",
    "type",
    "id",
    "value",
    "signature",
    "count",
    "to",
    "from",
    "xmlns",
    "encrypt",
    "get",
    "set",
    "result",
    "error",
    "code",
    "t",
    "w:p",
    "passive",
    "active",
    "participants",
    "offline",
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::sample::select(&WORDS[..]).prop_map(str::to_owned),
        1 => "[0-9]{1,12}",
        1 => "[a-z]{1,9}",
    ]
}

fn attrs() -> impl Strategy<Value = Vec<(String, Option<String>)>> {
    prop::collection::btree_map(word(), prop::option::of(word()), 0..5)
        .prop_map(|map| map.into_iter().collect())
}

fn element(tag: String, attrs: Vec<(String, Option<String>)>) -> Node {
    attrs.into_iter().fold(Node::new(&tag), |node, (key, value)| match value {
        Some(value) => node.attr(&key, value),
        None => node.attr(&key, Jid::user("14155551001")),
    })
}

fn node() -> impl Strategy<Value = Node> {
    let leaf = (word(), attrs(), prop::option::of(prop::collection::vec(any::<u8>(), 0..70))).prop_map(
        |(tag, attrs, bytes)| match bytes {
            Some(bytes) => element(tag, attrs).bytes(bytes),
            None => element(tag, attrs),
        },
    );
    leaf.prop_recursive(4, 24, 4, |inner| {
        (word(), attrs(), prop::collection::vec(inner, 0..4))
            .prop_map(|(tag, attrs, children)| element(tag, attrs).children(children))
    })
}

fn message_id() -> impl Strategy<Value = MessageId> {
    "[ -~]{1,128}".prop_map(|text| text.parse().unwrap())
}

fn enc() -> impl Strategy<Value = Enc> {
    (word(), prop::collection::vec(any::<u8>(), 1..300), prop::option::of(any::<u8>())).prop_map(
        |(kind, ciphertext, count)| {
            let mut enc = Enc::new(EncType::from(kind.as_str()), ciphertext);
            enc.count = count;
            enc
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Nothing that arrives makes a reader panic, and no refusal names a value that arrived.
    #[test]
    fn readers_are_total(node in node()) {
        let profile = Profile::default();
        for error in [
            ClientStanza::from_node(node.view(), &profile).err(),
            Inbound::from_node(node.view(), &profile).err(),
        ].into_iter().flatten() {
            let well_formed = !matches!(error, StanzaError::Tag { .. });
            prop_assert!(well_formed, "a tag was read by the wrong type: {error}");
            prop_assert!(!error.to_string().contains("14155551001"));
        }
    }

    #[test]
    fn messages_survive(id in message_id(), kind in word(), enc in enc(), t in any::<u64>(), notify in ".{0,40}") {
        let profile = Profile::default();
        let message = MessageOut::new(Jid::interop(1, "10853634039893"), id, MessageType::from(kind.as_str()), enc);
        let bytes = landbridge_wire::encode(&message.to_node(&profile), &EncodeOptions::default()).unwrap();
        let node = landbridge_wire::decode(&bytes, &Limits::default()).unwrap();
        prop_assert_eq!(&MessageOut::from_node(node.view()).unwrap(), &message);

        let delivered = MessageIn::delivering(message, Jid::user("14155551001"), t, Some(notify));
        let bytes = landbridge_wire::encode(&delivered.to_node(&profile), &EncodeOptions::default()).unwrap();
        let node = landbridge_wire::decode(&bytes, &Limits::default()).unwrap();
        prop_assert_eq!(MessageIn::from_node(node.view()).unwrap(), delivered);
    }

    #[test]
    fn receipts_survive(ids in prop::collection::vec(message_id(), 1..20), read in any::<bool>(), t in any::<u64>()) {
        let profile = Profile::default();
        let mut ids = ids.into_iter();
        let first = ids.next().unwrap();
        let mut receipt = ReceiptOut::delivered(Jid::user("14155551001"), first);
        receipt.more_ids = ids.collect();
        if read {
            receipt.kind = ReceiptType::Read;
            receipt.t = Some(t);
        }
        let bytes = landbridge_wire::encode(&receipt.to_node(&profile), &EncodeOptions::default()).unwrap();
        let node = landbridge_wire::decode(&bytes, &Limits::default()).unwrap();
        prop_assert_eq!(ReceiptOut::from_node(node.view()).unwrap(), receipt);
    }
}
