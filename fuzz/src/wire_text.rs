//! The text forms of nodes and JIDs.

use landbridge_wire::{EncodeOptions, InteropJid, Jid, Limits, Node, decode, encode, json, xml};

use crate::vectors;

/// Longest text that is taken back and forth; `fill` and `repeat` can make long ones from short ones.
const LONGEST: usize = 1 << 16;

/// XML text that is accepted prints back, and reads again as the same.
pub(crate) fn xml(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match xml::parse(text) {
        Err(error) => assert!(error.offset <= text.len(), "{error} lies behind the text"),
        Ok(node) => {
            let printed = xml::to_string(node.view());
            let again = xml::parse(&printed).unwrap_or_else(|error| panic!("{printed}: {error}"));
            assert_eq!(json::to_string(again.view()), json::to_string(node.view()));
            assert_eq!(xml::to_string(again.view()), printed);
            if let Ok(stanza) = encode(&node, &EncodeOptions::default()) {
                let limits = Limits::default().with_max_depth(2000);
                assert_eq!(decode(&stanza, &limits), Ok(node));
            }
        }
    }
}

pub(crate) fn xml_seeds() -> Vec<Vec<u8>> {
    let file = vectors::xml();
    let all = ["vectors", "read", "refuse"].into_iter().flat_map(|key| vectors::list(&file, key));
    all.filter_map(|entry| entry["xml"].as_str().map(|text| text.as_bytes().to_vec()))
        .filter(|text| text.len() <= 2048)
        .collect()
}

/// JSON text that is accepted prints back, and reads again as the same.
pub(crate) fn json(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(node) = json::parse(text) else { return };
    let printed = json::to_string(node.view());
    if printed.len() > LONGEST {
        return;
    }
    let again = json::parse(&printed).unwrap_or_else(|error| panic!("{printed}: {error}"));
    assert_eq!(again, node);
    assert_eq!(json::to_string(again.view()), printed);
    let from_xml = xml::parse(&xml::to_string(node.view()));
    match encode(&node, &EncodeOptions::default()) {
        Ok(stanza) => {
            let limits = Limits::default().with_max_depth(2000);
            assert_eq!(decode(&stanza, &limits), Ok(node));
            let from_xml = from_xml.expect("a node with an encoding has an XML text");
            assert_eq!(json::to_string(from_xml.view()), printed);
        }
        // What has no encoding has a text all the same, if not always one that can be read.
        Err(_) => drop(from_xml),
    }
}

pub(crate) fn json_seeds() -> Vec<Vec<u8>> {
    vectors::nodes().into_iter().map(String::into_bytes).collect()
}

/// The text of a JID that is accepted prints back the same, and the JID survives in stanzas.
pub(crate) fn jid(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(jid) = text.parse::<Jid>() else { return };
    let printed = jid.to_string();
    // The bare name of a server is the one other spelling.
    assert!(printed == text || printed == format!("@{text}"), "{text} prints as {printed}");
    assert_eq!(printed.parse::<Jid>().as_ref(), Ok(&jid));
    assert_eq!(jid.clone().without_device().with_device(jid.device()), jid);
    assert!(jid.same_user(&jid.clone().without_device()));

    let node = Node::new("x").attr("a", &jid).attr("b", text).jid_content(&jid);
    assert_eq!(node.view().attr_jid("a").as_ref(), Some(&jid));
    assert_eq!(node.view().attr_jid("b").as_ref(), Some(&jid));
    for interop_jid in [InteropJid::Append, InteropJid::Omit, InteropJid::Pair] {
        let options = EncodeOptions { interop_jid, ..EncodeOptions::default() };
        let Ok(stanza) = encode(&node, &options) else { continue };
        let again = decode(&stanza, &Limits::default()).expect("what was written can be read");
        assert_eq!(again.view().attr_jid("a").as_ref(), Some(&jid));
        assert_eq!(again.view().attr_jid("b").as_ref(), Some(&jid));
        assert_eq!(again, node);
    }
}

pub(crate) fn jid_seeds() -> Vec<Vec<u8>> {
    [
        "31612345678@s.whatsapp.net",
        "31612345678:2@s.whatsapp.net",
        "1-108@interop",
        "1-108:65535@interop",
        "65536-1@interop",
        "0-1@interop",
        "-1@interop",
        "123456789-987654321@g.us",
        "@lid",
        "7:99@lid",
        "s.whatsapp.net",
        "a:b@x",
        "a@b@c",
        "5:1@hosted.lid",
        "9:300@msgr",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
