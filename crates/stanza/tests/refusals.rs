//! What is missing or has the wrong size is refused with words that say where and what.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use landbridge_stanza::keys::{FetchKeys, PreKey, SignedPreKey, UploadKeys};
use landbridge_stanza::message::{Enc, EncType, MessageIn, MessageOut, MessageType};
use landbridge_stanza::receipt::ReceiptOut;
use landbridge_stanza::retry::{Retry, RetryKeys};
use landbridge_stanza::{ClientStanza, Inbound, MessageId, Profile, Request};
use landbridge_wire::{Jid, Node, NodeRef, ValueRef};

fn profile() -> Profile {
    let mut profile = Profile::default();
    profile.reach.enabled = true;
    profile
}

/// The same tree with one element, named by its path, changed.
fn with(node: NodeRef<'_>, path: &[&str], change: &dyn Fn(NodeRef<'_>) -> Option<Node>) -> Node {
    fn walk(node: NodeRef<'_>, path: &[&str], change: &dyn Fn(NodeRef<'_>) -> Option<Node>) -> Option<Node> {
        let Some((next, rest)) = path.split_first() else { return change(node) };
        let mut copy = bare(node, None);
        let mut done = false;
        for child in node.children() {
            if !done && child.is(next) {
                done = true;
                if let Some(child) = walk(child, rest, change) {
                    copy = copy.child(child);
                }
            } else {
                copy = copy.child(child.to_node());
            }
        }
        assert!(done, "no <{next}>");
        Some(copy)
    }
    walk(node, path, change).unwrap()
}

/// The element with its attributes but for one, and without content.
fn bare(node: NodeRef<'_>, but: Option<&str>) -> Node {
    let mut copy = Node::new(node.tag().as_ref());
    for (key, value) in node.attrs() {
        if but != Some(key.as_ref()) {
            copy = match value {
                ValueRef::Text(text) => copy.attr(key.as_ref(), text),
                ValueRef::Jid(jid) => copy.attr(key.as_ref(), jid),
            };
        }
    }
    copy
}

fn without(node: &Node, path: &[&str]) -> Node {
    with(node.view(), path, &|_| None)
}

fn without_attr(node: &Node, path: &[&str], key: &str) -> Node {
    with(node.view(), path, &|element| {
        let mut copy = bare(element, Some(key));
        for child in element.children() {
            copy = copy.child(child.to_node());
        }
        Some(match element.content_bytes() {
            Some(bytes) => copy.bytes(bytes.into_owned()),
            None => copy,
        })
    })
}

fn with_attr(node: &Node, path: &[&str], key: &str, value: &str) -> Node {
    with(without_attr(node, path, key).view(), path, &|element| Some(element.to_node().attr(key, value)))
}

fn sized(node: &Node, path: &[&str], len: usize) -> Node {
    with(node.view(), path, &|element| Some(bare(element, None).bytes(vec![5; len])))
}

fn upload() -> Node {
    UploadKeys {
        registration: 1,
        identity: [1; 32],
        prekeys: vec![PreKey { id: 1, value: [2; 32] }],
        signed_prekey: SignedPreKey { id: 2, value: [3; 32], signature: [4; 64] },
    }
    .to_node("1", &profile())
}

fn message() -> Node {
    let id: MessageId = "A".parse().unwrap();
    MessageOut::new(Jid::user("1"), id, MessageType::Text, Enc::new(EncType::Message, vec![1]))
        .to_node(&profile())
}

fn retry_receipt() -> Node {
    let keys = RetryKeys {
        identity: [1; 32],
        prekey: Some(PreKey { id: 1, value: [2; 32] }),
        signed_prekey: SignedPreKey { id: 2, value: [3; 32], signature: [4; 64] },
        device_identity: None,
    };
    let retry =
        Retry { id: "A".parse().unwrap(), t: 1, count: 1, error: None, registration: 1, keys: Some(keys) };
    ReceiptOut::retry(Jid::user("1"), retry).to_node(&profile())
}

fn server_says(node: &Node) -> String {
    ClientStanza::from_node(node.view(), &profile()).unwrap_err().to_string()
}

fn client_says(node: &Node) -> String {
    Inbound::from_node(node.view(), &profile()).unwrap_err().to_string()
}

#[test]
fn key_uploads() {
    let node = upload();
    for (changed, message) in [
        (without(&node, &["registration"]), "<iq> lacks the child <registration>: expected 4 bytes"),
        (sized(&node, &["registration"], 3), "<iq/registration> holds 3 bytes: expected 4 bytes"),
        (sized(&node, &["registration"], 0), "<iq/registration> holds 0 bytes: expected 4 bytes"),
        (without(&node, &["type"]), "<iq> lacks the child <type>: expected the byte 05"),
        (
            with(node.view(), &["type"], &|t| Some(bare(t, None).bytes(&[6]))),
            "<iq/type> holds 1 bytes: expected the byte 05",
        ),
        (without(&node, &["identity"]), "<iq> lacks the child <identity>: expected 32 bytes"),
        (sized(&node, &["identity"], 33), "<iq/identity> holds 33 bytes: expected 32 bytes"),
        (without(&node, &["list"]), "<iq> lacks the child <list>: expected one-time prekeys"),
        (without(&node, &["list", "key", "id"]), "<iq/list/key> lacks the child <id>: expected 3 bytes"),
        (sized(&node, &["list", "key", "id"], 4), "<iq/list/key/id> holds 4 bytes: expected 3 bytes"),
        (
            sized(&node, &["list", "key", "value"], 31),
            "<iq/list/key/value> holds 31 bytes: expected 32 bytes",
        ),
        (without(&node, &["skey"]), "<iq> lacks the child <skey>: expected a signed prekey"),
        (sized(&node, &["skey", "id"], 2), "<iq/skey/id> holds 2 bytes: expected 3 bytes"),
        (sized(&node, &["skey", "value"], 64), "<iq/skey/value> holds 64 bytes: expected 32 bytes"),
        (sized(&node, &["skey", "signature"], 65), "<iq/skey/signature> holds 65 bytes: expected 64 bytes"),
        (
            with(node.view(), &["skey", "value"], &|v| Some(bare(v, None))),
            "<iq/skey/value> holds nothing: expected 32 bytes",
        ),
        (
            with(node.view(), &["skey", "value"], &|v| Some(bare(v, None).child(Node::new("x")))),
            "<iq/skey/value> holds child elements: expected 32 bytes",
        ),
        (without_attr(&node, &[], "id"), "<iq> lacks the attribute `id`: expected an id to answer with"),
        (without_attr(&node, &[], "xmlns"), "<iq> lacks the attribute `xmlns`: expected a namespace"),
        (
            without_attr(&node, &[], "type"),
            "<iq> lacks the attribute `type`: expected get, set, result or error",
        ),
        (
            with_attr(&node, &[], "type", "put"),
            "the attribute `type` of <iq> is not get, set, result or error",
        ),
    ] {
        assert_eq!(server_says(&changed), message);
    }
}

#[test]
fn messages_to_the_server() {
    let node = message();
    for (changed, message) in [
        (without_attr(&node, &[], "to"), "<message> lacks the attribute `to`: expected an address"),
        (with_attr(&node, &[], "to", "nobody at all"), "the attribute `to` of <message> is not an address"),
        (
            without_attr(&node, &[], "id"),
            "<message> lacks the attribute `id`: expected an id of 1 to 128 bytes",
        ),
        (with_attr(&node, &[], "id", ""), "the attribute `id` of <message> is not an id of 1 to 128 bytes"),
        (
            with_attr(&node, &[], "id", &"x".repeat(129)),
            "the attribute `id` of <message> is not an id of 1 to 128 bytes",
        ),
        (
            without_attr(&node, &[], "type"),
            "<message> lacks the attribute `type`: expected text, media, reaction or poll",
        ),
        (with_attr(&node, &[], "edit", "x"), "the attribute `edit` of <message> is not a decimal number"),
        (without(&node, &["enc"]), "<message> lacks the child <enc>: expected an encrypted copy"),
        (
            without_attr(&node, &["enc"], "v"),
            "<message/enc> lacks the attribute `v`: expected a decimal version",
        ),
        (
            with_attr(&node, &["enc"], "v", "+2"),
            "the attribute `v` of <message/enc> is not a decimal version",
        ),
        (
            without_attr(&node, &["enc"], "type"),
            "<message/enc> lacks the attribute `type`: expected pkmsg, msg or skmsg",
        ),
        (sized(&node, &["enc"], 0), "<message/enc> holds 0 bytes: expected a Signal message"),
        (
            with_attr(&node, &["enc"], "count", "256"),
            "the attribute `count` of <message/enc> is not a decimal number below 256",
        ),
    ] {
        assert_eq!(server_says(&changed), message);
    }
}

#[test]
fn messages_to_the_client() {
    let out = MessageOut::from_node(message().view()).unwrap();
    let node = MessageIn::delivering(out, Jid::interop(1, "108"), 7, None).to_node(&profile());
    for (changed, message) in [
        (without_attr(&node, &[], "from"), "<message> lacks the attribute `from`: expected an address"),
        (
            without_attr(&node, &[], "t"),
            "<message> lacks the attribute `t`: expected unix seconds in decimal",
        ),
        (with_attr(&node, &[], "t", "-1"), "the attribute `t` of <message> is not unix seconds in decimal"),
        (
            with_attr(&node, &[], "t", "18446744073709551616"),
            "the attribute `t` of <message> is not unix seconds in decimal",
        ),
        (
            with_attr(&node, &[], "offline", "first"),
            "the attribute `offline` of <message> is not a decimal number",
        ),
        (without(&node, &["enc"]), "<message> lacks the child <enc>: expected an encrypted copy"),
    ] {
        assert_eq!(client_says(&changed), message);
    }
}

#[test]
fn retry_receipts() {
    let node = retry_receipt();
    for (changed, message) in [
        (
            without(&node, &["retry"]),
            "<receipt> lacks the child <retry>: expected which message and how often",
        ),
        (
            without_attr(&node, &["retry"], "count"),
            "<receipt/retry> lacks the attribute `count`: expected a decimal number below 256",
        ),
        (
            without_attr(&node, &["retry"], "t"),
            "<receipt/retry> lacks the attribute `t`: expected unix seconds in decimal",
        ),
        (sized(&node, &["registration"], 5), "<receipt/registration> holds 5 bytes: expected 4 bytes"),
        (without(&node, &["keys", "type"]), "<receipt/keys> lacks the child <type>: expected the byte 05"),
        (
            sized(&node, &["keys", "identity"], 31),
            "<receipt/keys/identity> holds 31 bytes: expected 32 bytes",
        ),
        (
            sized(&node, &["keys", "key", "value"], 33),
            "<receipt/keys/key/value> holds 33 bytes: expected 32 bytes",
        ),
        (
            without(&node, &["keys", "skey"]),
            "<receipt/keys> lacks the child <skey>: expected a signed prekey",
        ),
    ] {
        assert_eq!(server_says(&changed), message);
    }
}

#[test]
fn other_stanzas() {
    let iq =
        |xmlns: &str, kind: &str| Node::new("iq").attr("id", "1").attr("xmlns", xmlns).attr("type", kind);
    for (node, message) in [
        (iq("encrypt", "get"), "<iq> lacks the child <key>: expected the users"),
        (
            iq("encrypt", "get").child(Node::new("key")),
            "<iq/key> holds 0 elements: expected one <user> or more",
        ),
        (
            iq("encrypt", "get").child(Node::new("key").child(Node::new("user"))),
            "<iq/key/user> lacks the attribute `jid`: expected an address",
        ),
        (
            iq("encrypt", "set").child(Node::new("rotate")),
            "<iq/rotate> lacks the child <skey>: expected a signed prekey",
        ),
        (iq("passive", "set"), "<iq> lacks the child <active>: expected either <active/> or <passive/>"),
        (
            iq("passive", "set").child(Node::new("active")).child(Node::new("passive")),
            "<iq> lacks the child <active>: expected either <active/> or <passive/>",
        ),
        (iq("blocklist", "set"), "<iq> lacks the child <item>: expected the user and the action"),
        (
            iq("blocklist", "set")
                .child(Node::new("item").attr("jid", Jid::user("1")).attr("action", "mute")),
            "the attribute `action` of <iq/item> is not `block` or `unblock`",
        ),
        (
            iq("urn:xmpp:whatsapp:account", "get"),
            "<iq> lacks the child <remove>: expected the wish to delete the account",
        ),
        (iq("interop", "set"), "<iq> lacks the child <reach>: expected the user to reach"),
        (
            Node::new("receipt").attr("to", Jid::user("1")),
            "<receipt> lacks the attribute `id`: expected an id of 1 to 128 bytes",
        ),
        (
            Node::new("ack").attr("id", "1"),
            "<ack> lacks the attribute `class`: expected the tag of the stanza",
        ),
        (
            Node::new("ack")
                .attr("id", "1")
                .attr("class", "message")
                .attr("to", Jid::user("1"))
                .attr("error", "x"),
            "the attribute `error` of <ack> is not a decimal code",
        ),
        (
            Node::new("chatstate").attr("to", Jid::user("1")),
            "<chatstate> lacks the child <composing>: expected either <composing/> or <paused/>",
        ),
        (
            Node::new("presence").attr("type", "away"),
            "the attribute `type` of <presence> is not available, unavailable, subscribe or unsubscribe",
        ),
        (
            Node::new("ib").child(Node::new("offline_batch")),
            "<ib/offline_batch> lacks the attribute `count`: expected a decimal number",
        ),
    ] {
        assert_eq!(server_says(&node), message);
    }
    for (node, message) in [
        (
            Node::new("notification").attr("from", Jid::user("1")),
            "<notification> lacks the attribute `type`: expected what changed",
        ),
        (
            Node::new("iq").attr("id", "1").attr("type", "error"),
            "<iq> lacks the child <error>: expected an element with a code",
        ),
        (
            Node::new("iq")
                .attr("id", "1")
                .attr("type", "error")
                .child(Node::new("error").attr("code", "70000")),
            "the attribute `code` of <iq/error> is not a decimal number below 65,536",
        ),
        (
            Node::new("success").attr("t", "now"),
            "the attribute `t` of <success> is not unix seconds in decimal",
        ),
        (
            Node::new("ib").child(Node::new("edge_routing")),
            "<ib/edge_routing> lacks the child <routing_info>: expected bytes",
        ),
    ] {
        assert_eq!(client_says(&node), message);
    }
}

#[test]
fn bundles() {
    let user = |content: Vec<Node>| {
        Node::new("iq")
            .attr("id", "1")
            .attr("type", "result")
            .child(Node::new("list").child(Node::new("user").attr("jid", Jid::user("1")).children(content)))
    };
    let answer = |content| FetchKeys::parse_result(user(content).view(), &profile()).unwrap_err().to_string();
    assert_eq!(answer(vec![]), "<iq/list/user> lacks the child <type>: expected the byte 05");
    let kind = Node::new("type").bytes(&[5]);
    assert_eq!(
        answer(vec![kind, Node::new("registration").bytes(&[0; 4]), Node::new("identity").bytes(&[0; 32])]),
        "<iq/list/user> lacks the child <skey>: expected a signed prekey"
    );
}
