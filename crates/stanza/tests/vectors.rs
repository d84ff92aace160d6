//! The realistic stanzas of the wire vectors, read by the types that they belong to.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use landbridge_stanza::account::DeleteAccount;
use landbridge_stanza::blocklist::GetBlocklist;
use landbridge_stanza::keys::{CountKeys, FetchKeys};
use landbridge_stanza::liveness::Ping;
use landbridge_stanza::stream::{BanCode, FailureReason, Reaction, StreamError};
use landbridge_stanza::{ClientRequest, ClientStanza, Inbound, Profile, ReplyError, Request, StanzaError};
use landbridge_wire::{Limits, Node};

fn stanza(name: &str) -> Node {
    let file: serde_json::Value = serde_json::from_str(include_str!("vectors/stanzas.json")).unwrap();
    let vector = file["vectors"].as_array().unwrap().iter().find(|v| v["name"] == name).unwrap();
    let bytes = hex::decode(vector["stanza"]["all"].as_str().unwrap_or_default()).unwrap_or_default();
    if bytes.is_empty() {
        // Large stanzas are given by a rule.
        let fill = &vector["node"]["content"]["nodes"][0]["content"]["fill"];
        let len = fill["len"].as_u64().unwrap() as usize;
        let content: Vec<u8> = (0..len).map(|i| (i as u64 % fill["mod"].as_u64().unwrap()) as u8).collect();
        return Node::new("message")
            .attr("to", landbridge_wire::Jid::user("31612345678"))
            .attr("id", "3EB0A1C52E77F09B14D6E8")
            .attr("type", "text")
            .child(Node::new("enc").attr("v", "2").attr("type", "msg").bytes(content));
    }
    landbridge_wire::decode(&bytes, &Limits::default()).unwrap()
}

fn names() -> Vec<String> {
    let file: serde_json::Value = serde_json::from_str(include_str!("vectors/stanzas.json")).unwrap();
    file["vectors"].as_array().unwrap().iter().map(|v| v["name"].as_str().unwrap().to_owned()).collect()
}

fn inbound(name: &str) -> Inbound {
    Inbound::from_node(stanza(name).view(), &Profile::default()).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn client(name: &str) -> ClientStanza {
    ClientStanza::from_node(stanza(name).view(), &Profile::default())
        .unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn request(name: &str) -> ClientRequest {
    match client(name) {
        ClientStanza::Request { request, .. } => request,
        other => panic!("{name}: {other:?}"),
    }
}

/// Every stanza that a client sends, as a server reads it.
#[test]
fn what_clients_send() {
    for name in ["message_out", "message_out_interop", "message_group", "message_large_enc"] {
        assert!(matches!(client(name), ClientStanza::Message(_)), "{name}");
    }
    for name in ["receipt_delivered", "receipt_read_list", "receipt_retry"] {
        assert!(matches!(client(name), ClientStanza::Receipt(_)), "{name}");
    }
    for name in ["ack_receipt", "ack_notification"] {
        assert!(matches!(client(name), ClientStanza::Ack(_)), "{name}");
    }
    assert!(matches!(client("chatstate_composing"), ClientStanza::ChatState(_)));
    assert!(matches!(client("presence_available"), ClientStanza::Presence(_)));
    assert!(matches!(client("ib_offline_batch"), ClientStanza::Ib(_)));
    for name in ["ping", "ping_with_child"] {
        assert!(matches!(request(name), ClientRequest::Ping(_)), "{name}");
    }
    assert!(matches!(request("active"), ClientRequest::SetActive(_)));
    assert!(matches!(request("key_fetch"), ClientRequest::FetchKeys(fetch) if fetch.users.len() == 2));
    assert!(matches!(request("prekey_upload"), ClientRequest::UploadKeys(_)));
    assert!(matches!(request("blocklist_get"), ClientRequest::GetBlocklist(_)));
    assert!(matches!(request("blocklist_block"), ClientRequest::UpdateBlocklist(_)));
    assert!(matches!(request("account_remove"), ClientRequest::DeleteAccount(DeleteAccount)));
}

/// Every stanza that a server sends, as a client reads it.
#[test]
fn what_servers_send() {
    assert!(matches!(inbound("success"), Inbound::Success(s) if s.t == Some(1_763_870_400)));
    assert!(
        matches!(inbound("failure_401"), Inbound::Failure(f) if f.reason == Some(FailureReason::LoggedOut)
        && f.reaction(&Profile::default()) == Reaction::Enlist)
    );
    assert!(matches!(inbound("failure_402"), Inbound::Failure(f) if f.ban == Some(BanCode::SameMessage)
        && f.reaction(&Profile::default()) == Reaction::Wait { seconds: 3600 }));
    assert_eq!(inbound("stream_error_515"), Inbound::StreamError(StreamError::Restart));
    assert_eq!(inbound("stream_error_replaced"), Inbound::StreamError(StreamError::Replaced));
    assert!(matches!(
        inbound("stream_error_ack"),
        Inbound::StreamError(StreamError::Unacked { id: Some(_), .. })
    ));
    assert!(matches!(inbound("server_ping"), Inbound::Ping(ping) if ping.id == "17"));
    assert!(
        matches!(inbound("message_in_offline"), Inbound::Message(m) if m.notify.as_deref() == Some("Zoë"))
    );
    for name in ["ack_message", "ack_message_error"] {
        assert!(matches!(inbound(name), Inbound::Ack(_)), "{name}");
    }
    for name in ["ib_offline_preview", "ib_offline_end", "ib_edge_routing", "ib_dirty"] {
        assert!(matches!(inbound(name), Inbound::Ib(_)), "{name}");
    }
    for name in ["notification_prekeys_low", "notification_identity"] {
        assert!(matches!(inbound(name), Inbound::Notification(_)), "{name}");
    }
    assert!(matches!(inbound("chatstate_paused"), Inbound::ChatState(_)));
    assert!(matches!(inbound("presence_from"), Inbound::Presence(_)));
}

#[test]
fn answers() {
    let profile = Profile::default();
    for name in ["pong", "key_fetch_result", "key_fetch_error", "prekey_count_result", "blocklist_result"] {
        assert!(matches!(inbound(name), Inbound::Reply(_)), "{name}");
    }
    assert_eq!(Ping::parse_reply(stanza("pong").view(), &profile).unwrap().t, Some(1_763_870_400));
    let users = FetchKeys::parse_reply(stanza("key_fetch_result").view(), &profile).unwrap();
    assert!(users.iter().any(|user| user.bundle.is_ok()));
    let refused = FetchKeys::parse_reply(stanza("key_fetch_error").view(), &profile).unwrap_err();
    assert!(matches!(refused, ReplyError::Refused(error) if error.backoff == Some(60)));
    assert_eq!(CountKeys::parse_reply(stanza("prekey_count_result").view(), &profile).unwrap(), 812);
    let list = GetBlocklist::parse_reply(stanza("blocklist_result").view(), &profile).unwrap();
    assert_eq!((list.items.len(), list.dhash.as_deref()), (2, Some("2:v1kQ0dAp")));
}

/// The sample of the public document shows a body in clear; what goes over the wire is encrypted.
#[test]
fn the_public_sample_is_refused_for_its_clear_body() {
    let error = ClientStanza::from_node(stanza("public_sample").view(), &Profile::default()).unwrap_err();
    assert!(matches!(error, StanzaError::MissingChild { child: "enc", .. }));
    assert_eq!(error.to_string(), "<message> lacks the child <enc>: expected an encrypted copy");
}

/// What is read and written again is read as the same.
#[test]
fn reading_is_stable() {
    let profile = Profile::default();
    for name in names() {
        let node = stanza(&name);
        let again = match Inbound::from_node(node.view(), &profile) {
            Ok(Inbound::Message(m)) => m.to_node(&profile),
            Ok(Inbound::Receipt(r)) => r.to_node(&profile),
            Ok(Inbound::Ack(a)) => a.to_node(&profile),
            Ok(Inbound::Notification(n)) => n.to_node(&profile),
            Ok(Inbound::Ib(i)) => i.to_node(&profile),
            Ok(Inbound::Presence(p)) => p.to_node(&profile),
            Ok(Inbound::ChatState(c)) => c.to_node(&profile),
            Ok(Inbound::StreamError(e)) => e.to_node(&profile),
            Ok(Inbound::Failure(f)) => f.to_node(&profile),
            _ => continue,
        };
        let (first, second) = (
            Inbound::from_node(node.view(), &profile).unwrap(),
            Inbound::from_node(again.view(), &profile).unwrap(),
        );
        assert_eq!(first, second, "{name}");
    }
}
