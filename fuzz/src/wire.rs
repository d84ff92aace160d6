//! Stanzas and payloads.

use std::io::Read as _;

use landbridge_wire::{
    ContentRef, DecodeErrorKind, EncodeError, EncodeOptions, Frame, InteropJid, Limits, Node, NodeRef, Pack,
    decode, decode_payload, decode_payload_ref, encode, encode_payload, encode_ref, json, xml,
};

use crate::vectors;

/// Payloads: borrowed and owned reading agree, and what is accepted comes back equal through both ways of packing,
/// through XML and through JSON.
pub(crate) fn payload(bytes: &[u8]) {
    let limits = Limits::default().with_max_inflated(1 << 20);
    match (decode_payload_ref(bytes, &limits), decode_payload(bytes, &limits)) {
        (Err(borrowed), Err(owned)) => {
            assert_eq!(borrowed, owned);
            let compressed = bytes.first().is_some_and(|flags| flags & 2 != 0);
            assert!(compressed || borrowed.offset <= bytes.len(), "{borrowed} lies behind the input");
        }
        (Ok(frame), Ok(node)) => survives(&frame, &node, &limits),
        (borrowed, owned) => panic!("{borrowed:?} but {owned:?}"),
    }
}

fn survives(frame: &Frame<'_>, node: &Node, limits: &Limits) {
    let marked = json::to_string(node.view());
    assert_eq!(json::to_string(frame.view()), marked, "borrowed and owned differ");
    assert_eq!(json::to_string(frame.clone().into_owned().view()), marked);

    for pack in [Pack::All, Pack::Jid] {
        for interop_jid in [InteropJid::Append, InteropJid::Omit] {
            let options = EncodeOptions { pack, interop_jid, compress_above: None };
            let stanza = encode(node, &options).expect("what was read can be written");
            assert_eq!(encode_ref(frame.view(), &options).as_ref(), Ok(&stanza));
            let again = decode(&stanza, limits).expect("what was written can be read");
            assert_eq!(&again, node);
            assert_eq!(encode(&again, &options).as_ref(), Ok(&stanza), "writing is not stable");
            if pack == Pack::All && !has_long_text(frame.view()) {
                assert_eq!(json::to_string(again.view()), marked, "a kind or an order has changed");
            }
        }
    }
    pair_form(node, limits);

    let text = xml::to_string(frame.view());
    let from_xml = xml::parse(&text).expect("XML that was written can be read");
    assert_eq!(json::to_string(from_xml.view()), marked, "through {text}");
    let from_json = json::parse(&marked).expect("JSON that was written can be read");
    assert_eq!(json::to_string(from_json.view()), marked);
    let options = EncodeOptions { compress_above: Some(0), ..EncodeOptions::default() };
    let payload = encode_payload(&from_xml, &options).expect("what was read can be written");
    assert_eq!(decode_payload(&payload, limits).as_ref(), Ok(node), "through a compressed payload");
}

/// Whether a content is a packed string that is read but not written: above 127 characters it becomes bytes.
fn has_long_text(node: NodeRef<'_>) -> bool {
    match node.content() {
        ContentRef::Text(text) => text.len() > 127,
        ContentRef::Children(mut children) => children.any(has_long_text),
        _ => false,
    }
}

/// The pair form has no place for a device; whatever else has one comes back.
fn pair_form(node: &Node, limits: &Limits) {
    let options = EncodeOptions { interop_jid: InteropJid::Pair, ..EncodeOptions::default() };
    match encode(node, &options) {
        Ok(stanza) => {
            let again = decode(&stanza, limits).expect("what was written can be read");
            assert_eq!(&again, node);
        }
        Err(EncodeError::Jid { jid }) => assert!(jid.contains(':') && jid.ends_with("@interop"), "{jid}"),
        Err(error) => panic!("{error}"),
    }
}

pub(crate) fn payload_seeds() -> Vec<Vec<u8>> {
    vectors::payloads()
}

/// Compressed payloads: the limit holds, and another inflater reads the same.
pub(crate) fn inflate(bytes: &[u8]) {
    let Some((&choice, stream)) = bytes.split_first() else { return };
    let max = [0, 1, 100, 4096, 65_536, 1 << 20][usize::from(choice) % 6];
    let limits = Limits::default().with_max_inflated(max);
    let payload = [&[2], stream].concat();

    let mut theirs = Vec::new();
    let mut reader = flate2::bufread::ZlibDecoder::new(stream);
    let outcome = reader.by_ref().take(max as u64 + 1).read_to_end(&mut theirs);
    let whole = outcome.is_ok() && reader.total_in() == stream.len() as u64 && theirs.len() <= max;
    match decode_payload_ref(&payload, &limits) {
        Ok(frame) => {
            assert!(frame.as_bytes().len() <= max);
            assert_eq!(frame.as_bytes(), theirs, "another inflater reads something else");
        }
        Err(error) if error.kind == DecodeErrorKind::BadZlib => assert!(!whole, "a whole stream was refused"),
        Err(error) if error.kind == DecodeErrorKind::InflatedTooFar => {
            assert!(theirs.len() > max || outcome.is_err(), "{} of {max} bytes", theirs.len());
        }
        // The stream was fine, the stanza in it was not.
        Err(_) => assert!(whole),
    }

    let node = Node::new("x").bytes(stream);
    let options = EncodeOptions { compress_above: Some(0), ..EncodeOptions::default() };
    let payload = encode_payload(&node, &options).expect("short nodes have a payload");
    assert_eq!(decode_payload(&payload, &Limits::default()), Ok(node));
}

pub(crate) fn inflate_seeds() -> Vec<Vec<u8>> {
    let compressed = vectors::payloads().into_iter().filter(|payload| payload.first() == Some(&2));
    compressed.flat_map(|payload| (2..6).map(move |choice| [&[choice], &payload[1..]].concat())).collect()
}
