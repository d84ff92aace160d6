//! Bytes of the vectors against the schema: JSON form, leaves, canonical encoding, hostile variants.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod common;

use common::{bytes, content, malformed, name, of, padding, text, transport};
use landbridge_proto::{
    Known, ParseFault, ParseLimits,
    content::{Context, Limits, decode},
    handshake, message,
    padding::{PadLen, PaddingError, pad, pad_with, unpad},
    parse,
};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use rand::SeedableRng as _;
use serde_json::Value;

const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The full name and this crate's reading of a vector's root: re-encoded bytes.
fn reencode(root: &str, bytes: &[u8]) -> (&'static str, Result<Vec<u8>, landbridge_proto::ParseError>) {
    fn again<T: Known>(bytes: &[u8]) -> Result<Vec<u8>, landbridge_proto::ParseError> {
        parse::<T>(bytes, &ParseLimits::default()).map(|value| value.encode_to_vec())
    }
    match root {
        "Message" => ("landbridge.message.Message", again::<message::Message>(bytes)),
        "ServerErrorReceipt" => {
            ("landbridge.message.ServerErrorReceipt", again::<message::ServerErrorReceipt>(bytes))
        }
        "MediaRetryNotification" => {
            ("landbridge.message.MediaRetryNotification", again::<message::MediaRetryNotification>(bytes))
        }
        "HandshakeMessage" => {
            ("landbridge.handshake.HandshakeMessage", again::<handshake::HandshakeMessage>(bytes))
        }
        "CertChain" => ("landbridge.handshake.CertChain", again::<handshake::CertChain>(bytes)),
        "CertChain.NoiseCertificate.Details" => (
            "landbridge.handshake.NoiseCertificate.Details",
            again::<handshake::noise_certificate::Details>(bytes),
        ),
        "ClientPayload" => ("landbridge.handshake.ClientPayload", again::<handshake::ClientPayload>(bytes)),
        "ClientPayload.InteropData" => (
            "landbridge.handshake.ClientPayload.InteropData",
            again::<handshake::client_payload::InteropData>(bytes),
        ),
        other => panic!("no such root: {other}"),
    }
}

fn dynamic(root: &str, bytes: &[u8]) -> DynamicMessage {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    DynamicMessage::decode(pool.get_message_by_name(root).unwrap(), bytes).unwrap()
}

fn json(root: &str, bytes: &[u8]) -> Value {
    let options = SerializeOptions::new().skip_default_fields(true);
    dynamic(root, bytes).serialize_with_options(serde_json::value::Serializer, &options).unwrap()
}

#[test]
fn good_vectors_in_json_and_back() {
    let mut canonical = 0;
    for entry in content().iter().chain(&transport()) {
        let Some(expected) = entry.get("json") else { continue };
        let bytes = bytes(entry);
        let (root, again) = reencode(text(entry, "message").unwrap(), &bytes);
        let again = again.unwrap();
        if entry["canonical"] == Value::Bool(true) {
            canonical += 1;
            assert_eq!(hex::encode(&again), hex::encode(&bytes), "{}", name(entry));
        }
        let mut found = json(root, &again);
        // The JSON form of the vectors leaves out numbers that no enum names.
        if name(entry) == "unknown-protocol-type" {
            assert_eq!(found["protocolMessage"]["type"], 99);
            found["protocolMessage"].as_object_mut().unwrap().remove("type");
        }
        assert_eq!(&found, expected, "{}", name(entry));
    }
    assert!(canonical >= 56, "{canonical}");
}

/// One leaf: path, wire type, value as the vectors write it.
fn leaf(path: &[u32], kind: &str, value: String) -> Value {
    let path: Vec<String> = path.iter().map(u32::to_string).collect();
    serde_json::json!([path.join("."), kind, value])
}

/// Walks bytes along the vectors' leaves: a `len` value is opened if a leaf lies below its path.
fn leaves(bytes: &[u8], path: &mut Vec<u32>, expected: &[Value], out: &mut Vec<Value>) {
    use prost::encoding::{WireType, decode_key, decode_varint};
    let mut rest = bytes;
    while !rest.is_empty() {
        let (number, wire) = decode_key(&mut rest).unwrap();
        path.push(number);
        match wire {
            WireType::Varint => out.push(leaf(path, "varint", decode_varint(&mut rest).unwrap().to_string())),
            WireType::LengthDelimited => {
                let length = usize::try_from(decode_varint(&mut rest).unwrap()).unwrap();
                let (value, tail) = rest.split_at(length);
                rest = tail;
                let below: Vec<String> = path.iter().map(u32::to_string).collect();
                let below = format!("{}.", below.join("."));
                if expected.iter().any(|leaf| leaf[0].as_str().unwrap().starts_with(&below)) {
                    leaves(value, path, expected, out);
                } else {
                    out.push(leaf(path, "len", hex::encode(value)));
                }
            }
            WireType::ThirtyTwoBit | WireType::SixtyFourBit => {
                let (kind, length) = if wire == WireType::ThirtyTwoBit { ("i32", 4) } else { ("i64", 8) };
                out.push(leaf(path, kind, hex::encode(&rest[..length])));
                rest = &rest[length..];
            }
            other => panic!("{other:?}"),
        }
        path.pop();
    }
}

#[test]
fn good_vectors_leaf_by_leaf() {
    for entry in content().iter().chain(&transport()) {
        let (Some(expected), Some(true)) = (entry["fields"].as_array(), entry["canonical"].as_bool()) else {
            continue;
        };
        let (_, again) = reencode(text(entry, "message").unwrap(), &bytes(entry));
        let mut found = Vec::new();
        leaves(&again.unwrap(), &mut Vec::new(), expected, &mut found);
        assert_eq!(&found, expected, "{}", name(entry));
    }
}

/// H1 to H3 need the stage, sizes and signatures of the handshake and are checked where it is done; here such bytes
/// read like any other.
#[test]
fn transport_vectors() {
    for entry in transport() {
        let (name, rule) = (name(&entry), text(&entry, "rule"));
        let (root, result) = reencode(text(&entry, "message").unwrap(), &bytes(&entry));
        let is_parse = text(&entry, "stage") == Some("parse");
        match &result {
            Err(error) => assert!(is_parse && rule == Some(error.rule().as_str()), "{name}: {error}"),
            Ok(_) => assert!(!is_parse, "{name}"),
        }
        if root.ends_with(".ClientPayload") {
            let checked = landbridge_proto::login::check_login(&bytes(&entry));
            let verdict = if checked.is_ok() { "accept" } else { "reject" };
            assert_eq!(text(&entry, "verdict"), Some(verdict), "{name}: {checked:?}");
        } else {
            assert!(is_parse || matches!(rule, None | Some("H1" | "H2" | "H3")), "{name}: {rule:?}");
        }
    }
}

#[test]
fn padding_vectors() {
    for entry in padding() {
        let padded = bytes(&entry);
        match text(&entry, "plain") {
            Some(plain) => assert_eq!(hex::encode(unpad(&padded).unwrap()), plain, "{}", name(&entry)),
            None => assert!(unpad(&padded).is_err(), "{}", name(&entry)),
        }
    }
    assert_eq!(unpad(b""), Err(PaddingError::Empty));
    assert_eq!(unpad(b"a\0"), Err(PaddingError::Zero));
    assert_eq!(unpad(b"\x03"), Err(PaddingError::TooLong { padding: 3, length: 1 }));
    assert_eq!(unpad(b"a\x01\x02"), Err(PaddingError::Uneven { padding: 2 }));
}

#[test]
fn padding_is_uniform() {
    let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(7);
    let mut counts = [0_u32; 17];
    for _ in 0..16_000 {
        let mut message = b"Hello".to_vec();
        pad(&mut message, &mut rng);
        assert_eq!(unpad(&message), Ok(b"Hello".as_slice()));
        counts[message.len() - 5] += 1;
    }
    assert_eq!(counts[0], 0);
    assert!(counts[1..].iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    assert_eq!([PadLen::new(0), PadLen::new(17)], [None, None]);
    let mut message = Vec::new();
    pad_with(&mut message, PadLen::new(3).unwrap());
    assert_eq!(message, [3, 3, 3]);
}

#[test]
fn every_prefix_reads_or_fails() {
    for entry in content().iter().chain(&transport()) {
        let bytes = bytes(entry);
        for end in 0..bytes.len() {
            let (_, result) = reencode(text(entry, "message").unwrap(), &bytes[..end]);
            if let Err(error) = result {
                assert!(error.offset <= end, "{}: {error}", name(entry));
            }
        }
    }
}

/// The strict reader accepts exactly what the decoder behind it accepts, apart from its own bounds.
#[test]
fn agrees_with_the_decoder() {
    let context = Context::direct("1@s.whatsapp.net", "2@s.whatsapp.net");
    for entry in of(&content(), "Message").chain(of(&malformed(), "Message")) {
        let bytes = bytes(entry);
        let mut variants = vec![bytes.clone()];
        for at in 0..bytes.len().min(400) {
            for value in [0, 0x7f, 0x80, 0xff, bytes[at] ^ 1, bytes[at].wrapping_add(8)] {
                let mut changed = bytes.clone();
                changed[at] = value;
                variants.push(changed);
            }
        }
        for variant in variants {
            let ours = parse::<message::Message>(&variant, &ParseLimits::default());
            assert_eq!(
                ours.is_ok(),
                message::Message::decode(&*variant).is_ok(),
                "{ours:?} {}",
                hex::encode(&variant)
            );
            if let Err(error) = &ours {
                assert_ne!(error.fault, ParseFault::Unreadable, "{}", hex::encode(&variant));
            }
            let _ = decode(&variant, &context, &Limits::default());
        }
    }
}

fn nested(levels: usize) -> Vec<u8> {
    // Alternating: wrapper (40), its message (1).
    let mut bytes = Vec::new();
    for level in (0..levels).rev() {
        let mut outer = Vec::new();
        prost::encoding::bytes::encode(if level % 2 == 0 { 40 } else { 1 }, &bytes, &mut outer);
        bytes = outer;
    }
    bytes
}

#[test]
fn bounds() {
    let limits = ParseLimits::default();
    let fault = |bytes: &[u8]| parse::<message::Message>(bytes, &limits).map_err(|error| error.fault);
    assert!(fault(&nested(100)).is_ok());
    assert_eq!(fault(&nested(101)), Err(ParseFault::TooDeep));
    assert_eq!(fault(&nested(100_000)), Err(ParseFault::TooDeep));

    // A text of the greatest length, and one byte more.
    let text =
        |length: usize| message::Message { conversation: Some("a".repeat(length)), ..Default::default() };
    assert_eq!(text((1 << 20) - 4).encode_to_vec().len(), 1 << 20);
    assert!(fault(&text((1 << 20) - 4).encode_to_vec()).is_ok());
    assert_eq!(fault(&text((1 << 20) - 3).encode_to_vec()), Err(ParseFault::TooLarge));

    // Empty contacts unfold to many times their bytes.
    let list =
        message::ContactsArrayMessage { contacts: vec![Default::default(); 1 << 16], ..Default::default() };
    let bytes = message::Message { contacts_array_message: Some(Box::new(list)), ..Default::default() };
    assert_eq!(fault(&bytes.encode_to_vec()), Err(ParseFault::TooManyParts));

    // Deeper than the decoder goes, whatever the limit.
    let mut deep = ParseLimits::default();
    deep.depth = 200;
    let error = parse::<message::Message>(&nested(150), &deep).unwrap_err();
    assert_eq!((error.fault, error.rule().as_str()), (ParseFault::Unreadable, "P7"));
}

#[test]
fn errors_name_the_place() {
    let error = parse::<message::Message>(
        &hex::decode("32040a0a6162636465666768696a").unwrap(),
        &ParseLimits::default(),
    )
    .unwrap_err();
    assert_eq!(error.to_string(), "length goes beyond the enclosing message at byte 3 in field 6.1");
    let error =
        parse::<message::Message>(&hex::decode("0a02c328").unwrap(), &ParseLimits::default()).unwrap_err();
    assert_eq!(error.to_string(), "string is not UTF-8 at byte 1 in field 1");
}

#[test]
fn debug_shows_no_contents() {
    for entry in content().iter().chain(&transport()) {
        let bytes = bytes(entry);
        let shown = match text(entry, "message").unwrap() {
            "Message" => format!("{:?}", parse::<message::Message>(&bytes, &ParseLimits::default())),
            "ClientPayload" => {
                format!("{:?}", parse::<handshake::ClientPayload>(&bytes, &ParseLimits::default()))
            }
            _ => continue,
        };
        for secret in ["Hello", "Lunch", "46.2", "@s.whatsapp.net", "eyJh", "ZXlK", "mmg", "Alice"] {
            assert!(!shown.contains(secret), "{}: {shown}", name(entry));
        }
    }
}
