//! Typed stanzas, from whatever node arrives.

use landbridge_stanza::{
    ClientRequest, ClientStanza, Inbound, Profile, Request, ack::AckOut, codes::NackCode, stream,
};
use landbridge_wire::{
    EncodeError, EncodeOptions, Limits, Node, NodeRef, Value, decode, decode_payload, encode, json,
};

use crate::{input::Input, vectors};

/// A node from the wire: what it is read as survives being written and read again, from either side.
pub(crate) fn payload(bytes: &[u8]) {
    let limits = Limits::default().with_max_inflated(1 << 16);
    if let Ok(node) = decode_payload(bytes, &limits) {
        both_sides(node.view());
    }
}

pub(crate) fn payload_seeds() -> Vec<Vec<u8>> {
    let stanzas = vectors::hex_under(&vectors::stanzas(), &["all"]);
    stanzas.into_iter().map(|stanza| [&[0], &*stanza].concat()).collect()
}

/// As [`payload`], for nodes that a script builds of the words of the protocol.
pub(crate) fn built(bytes: &[u8]) {
    let mut script = Input::new(bytes);
    let node = node(&mut script, 0);
    both_sides(node.view());
}

const TAGS: [&str; 34] = [
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
    "xmlstreamend",
    "enc",
    "key",
    "skey",
    "list",
    "user",
    "item",
    "retry",
    "registration",
    "identity",
    "id",
    "value",
    "signature",
    "ping",
    "active",
    "passive",
    "participants",
    "offline",
    "composing",
    "keys",
    "count",
    "error",
    "remove",
];
const KEYS: [&str; 24] = [
    "type",
    "id",
    "to",
    "from",
    "xmlns",
    "t",
    "code",
    "class",
    "participant",
    "recipient",
    "offline",
    "notify",
    "v",
    "count",
    "jid",
    "key",
    "reason",
    "text",
    "backoff",
    "error",
    "decrypt-fail",
    "edit",
    "mediatype",
    "value",
];
const VALUES: [&str; 40] = [
    "get",
    "set",
    "result",
    "error",
    "encrypt",
    "w:p",
    "passive",
    "blocklist",
    "urn:xmpp:whatsapp:dirty",
    "urn:xmpp:ping",
    "text",
    "media",
    "pkmsg",
    "msg",
    "skmsg",
    "2",
    "0",
    "1",
    "401",
    "487",
    "503",
    "1763870400",
    "4294967296",
    "3EB0C52E77F09B14D6E8",
    "x-1",
    "read",
    "retry",
    "delivery",
    "block",
    "unblock",
    "available",
    "unavailable",
    "composing",
    "paused",
    "message",
    "receipt",
    "hide",
    "account_sync",
    "devices",
    "deny",
];
const JIDS: [&str; 6] = [
    "@s.whatsapp.net",
    "31612345678@s.whatsapp.net",
    "31612345678:2@s.whatsapp.net",
    "1-108@interop",
    "120363001234567890@g.us",
    "77:1@lid",
];
/// Sizes of contents: ids, counts, keys, signatures, texts.
const SIZES: [usize; 10] = [0, 1, 2, 3, 4, 5, 20, 32, 33, 64];

fn node(script: &mut Input<'_>, depth: usize) -> Node {
    let mut node = Node::new(script.pick(&TAGS));
    for _ in 0..script.below(7) {
        let key = script.pick(&KEYS);
        node = match script.u8() % 4 {
            0 => node
                .attr(key, Value::from(script.pick(&JIDS).parse::<landbridge_wire::Jid>().expect("a JID"))),
            1 => node.attr(key, u64::from(script.u16())),
            2 if script.one_in(4) => node.attr(key, script.text()),
            _ => node.attr(key, script.pick(&VALUES)),
        };
    }
    match script.u8() % 4 {
        0 => {
            let size = script.pick(&SIZES);
            let fill = script.u8();
            node.bytes(vec![fill; size])
        }
        1 | 2 if depth < 4 => {
            let children = 1 + script.below(3);
            node.children((0..children).map(|_| self::node(script, depth + 1)).collect::<Vec<_>>())
        }
        _ => node,
    }
}

pub(crate) fn built_seeds() -> Vec<Vec<u8>> {
    (0..40u8)
        .map(|seed| {
            (0..80u8).map(|at| at.wrapping_mul(seed.wrapping_mul(2) + 5).wrapping_add(seed)).collect()
        })
        .collect()
}

fn both_sides(node: NodeRef<'_>) {
    let profile = Profile::default();
    match Inbound::from_node(node, &profile) {
        Ok(stanza) => inbound(node, &stanza, &profile),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match ClientStanza::from_node(node, &profile) {
        Ok(stanza) => outbound(node, &stanza, &profile),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    for error in [None, Some(NackCode::from(487))] {
        if let Some(ack) = AckOut::answering(node, error) {
            let written = ack.to_node(&profile);
            assert_eq!(AckOut::from_node(written.view()).as_ref(), Ok(&ack), "{written}");
        }
    }
}

fn inbound(node: NodeRef<'_>, stanza: &Inbound, profile: &Profile) {
    let written = match stanza {
        Inbound::Success(part) => part.to_node(profile),
        Inbound::Failure(part) => {
            let _ = part.reaction(profile);
            part.to_node(profile)
        }
        Inbound::StreamError(part) => {
            let _ = part.reaction(profile);
            part.to_node(profile)
        }
        Inbound::End => stream::end_node(),
        Inbound::Ping(part) => part.to_node(profile),
        Inbound::Message(part) => part.to_node(profile),
        Inbound::Receipt(part) => part.to_node(profile),
        Inbound::Ack(part) => part.to_node(profile),
        Inbound::Notification(part) => part.to_node(profile),
        Inbound::ChatState(part) => part.to_node(profile),
        Inbound::Presence(part) => part.to_node(profile),
        Inbound::Ib(part) => part.to_node(profile),
        Inbound::Unknown(whole) => {
            assert_eq!(whole, &node);
            whole.clone()
        }
        Inbound::Request(request) => {
            let _ = request.refusal(profile);
            return;
        }
        // Answers are read further by the request that they answer.
        _ => return,
    };
    let again =
        Inbound::from_node(written.view(), profile).unwrap_or_else(|error| panic!("{written}: {error}"));
    assert_eq!(&again, stanza, "through {written}");
    travels(&written);
}

fn outbound(node: NodeRef<'_>, stanza: &ClientStanza, profile: &Profile) {
    let written = match stanza {
        ClientStanza::Request { id, request, .. } => match asked(request, id, profile) {
            Some(written) => written,
            None => return,
        },
        ClientStanza::Message(part) => part.to_node(profile),
        ClientStanza::Receipt(part) => part.to_node(profile),
        ClientStanza::Ack(part) => part.to_node(profile),
        ClientStanza::ChatState(part) => part.to_node(profile),
        ClientStanza::Presence(part) => part.to_node(profile),
        ClientStanza::Ib(part) => part.to_node(profile),
        ClientStanza::End => stream::end_node(),
        ClientStanza::Unknown(whole) => {
            assert_eq!(whole, &node);
            whole.clone()
        }
        _ => return,
    };
    let again =
        ClientStanza::from_node(written.view(), profile).unwrap_or_else(|error| panic!("{written}: {error}"));
    match (&again, stanza) {
        // A request that is built goes to the server.
        (
            ClientStanza::Request { id, request, .. },
            ClientStanza::Request { id: old_id, request: old, .. },
        ) => {
            assert_eq!((id, request), (old_id, old), "through {written}");
        }
        _ => assert_eq!(&again, stanza, "through {written}"),
    }
    travels(&written);
}

fn asked(request: &ClientRequest, id: &str, profile: &Profile) -> Option<Node> {
    Some(match request {
        ClientRequest::Ping(part) => part.to_node(id, profile),
        ClientRequest::SetActive(part) => part.to_node(id, profile),
        ClientRequest::UploadKeys(part) => part.to_node(id, profile),
        ClientRequest::CountKeys(part) => part.to_node(id, profile),
        ClientRequest::FetchKeys(part) => part.to_node(id, profile),
        ClientRequest::RotateSignedPreKey(part) => part.to_node(id, profile),
        ClientRequest::DigestKeys(part) => part.to_node(id, profile),
        ClientRequest::GetBlocklist(part) => part.to_node(id, profile),
        ClientRequest::UpdateBlocklist(part) => part.to_node(id, profile),
        ClientRequest::DeleteAccount(part) => part.to_node(id, profile),
        ClientRequest::Clean(part) => part.to_node(id, profile),
        ClientRequest::Reach(part) => part.to_node(id, profile),
        _ => return None,
    })
}

/// The bytes of a stanza say the same; only addresses that no server has can lack a form.
fn travels(node: &Node) {
    match encode(node, &EncodeOptions::default()) {
        Ok(stanza) => {
            let again = decode(&stanza, &Limits::default()).expect("what was written can be read");
            assert_eq!(&again, node);
        }
        Err(EncodeError::Jid { .. }) => {}
        Err(error) => panic!("{}: {error}", json::to_string(node.view())),
    }
}
