//! Every type: typed → node → bytes → node → typed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use landbridge_stanza::account::{Clean, DeleteAccount};
use landbridge_stanza::ack::{AckClass, AckIn, AckOut};
use landbridge_stanza::blocklist::{BlockAction, BlockedUser, Blocklist, GetBlocklist, UpdateBlocklist};
use landbridge_stanza::chatstate::{ChatState, ChatStateIn, ChatStateOut};
use landbridge_stanza::codes::{IqErrorCode, MessageErrorCode, NackCode, RetryReason};
use landbridge_stanza::ib::{Ib, OfflinePreview};
use landbridge_stanza::keys::*;
use landbridge_stanza::liveness::{Ping, Pong, ServerPing, SetActive};
use landbridge_stanza::message::{Edit, Enc, EncType, MessageContent, MessageIn, MessageOut, MessageType};
use landbridge_stanza::notification::{BlocklistChange, Notification, NotificationEvent, Reachability};
use landbridge_stanza::presence::{Availability, LastSeen, PresenceIn, PresenceOut};
use landbridge_stanza::reach::{Reach, ReachStatus};
use landbridge_stanza::receipt::{MessageReceipts, ReceiptIn, ReceiptOut, ReceiptType, UserReceipt};
use landbridge_stanza::retry::{Retry, RetryKeys};
use landbridge_stanza::stream::{self, BanCode, FailureReason, LoginFailure, Reaction, StreamError, Success};
use landbridge_stanza::{
    ClientRequest, ClientStanza, Inbound, IqError, IqIds, MessageId, Profile, ReplyError, Request, server_jid,
};
use landbridge_wire::{EncodeOptions, Jid, Limits, Node};

fn profile() -> Profile {
    let mut profile = Profile::default();
    profile.reach.enabled = true;
    profile
}

/// Through the bytes of the wire and back.
fn wired(node: Node) -> Node {
    let bytes = landbridge_wire::encode(&node, &EncodeOptions::default()).unwrap();
    landbridge_wire::decode(&bytes, &Limits::default()).unwrap()
}

fn to_client(node: Node) -> Inbound {
    Inbound::from_node(wired(node).view(), &profile()).unwrap()
}

fn to_server(node: Node) -> ClientStanza {
    ClientStanza::from_node(wired(node).view(), &profile()).unwrap()
}

fn asks<R: Request>(request: &R) -> ClientRequest {
    match to_server(request.to_node("9c3f01d2-1", &profile())) {
        ClientStanza::Request { id, to, request } => {
            assert_eq!((id.as_str(), to), ("9c3f01d2-1", Some(server_jid())));
            request
        }
        other => panic!("{other:?}"),
    }
}

fn answers<R: Request>(request: &R, reply: &R::Reply) -> R::Reply {
    let node = wired(request.reply_node(reply, "9c3f01d2-1", &profile()));
    assert!(
        matches!(Inbound::from_node(node.view(), &profile()), Ok(Inbound::Reply(r)) if r.id == "9c3f01d2-1")
    );
    R::parse_reply(node.view(), &profile()).unwrap()
}

fn phone() -> Jid {
    Jid::user("14155551001")
}

fn partner() -> Jid {
    Jid::interop(1, "10853634039893")
}

fn id(text: &str) -> MessageId {
    text.parse().unwrap()
}

fn prekey(id: u32) -> PreKey {
    PreKey { id, value: [id as u8; 32] }
}

fn skey() -> SignedPreKey {
    SignedPreKey { id: 0x00AB_CDEF, value: [7; 32], signature: [9; 64] }
}

fn retry() -> Retry {
    let keys = RetryKeys {
        identity: [3; 32],
        prekey: Some(prekey(5)),
        signed_prekey: skey(),
        device_identity: None,
    };
    Retry {
        id: id("3EB0AA"),
        t: 1_763_870_400,
        count: 2,
        error: Some(RetryReason::NoSession),
        registration: 0xC203_9B35,
        keys: Some(keys),
    }
}

#[test]
fn requests_and_their_answers() {
    assert_eq!(asks(&Ping), ClientRequest::Ping(Ping));
    assert_eq!(answers(&Ping, &Pong { t: Some(5) }), Pong { t: Some(5) });
    assert_eq!(answers(&Ping, &Pong { t: None }), Pong { t: None });
    for mode in [SetActive::Active, SetActive::Passive] {
        assert_eq!(asks(&mode), ClientRequest::SetActive(mode));
        answers(&mode, &());
    }
    assert_eq!(asks(&DeleteAccount), ClientRequest::DeleteAccount(DeleteAccount));
    answers(&DeleteAccount, &());
    let clean = Clean { kind: "groups".into(), timestamp: Some(7) };
    assert_eq!(asks(&clean), ClientRequest::Clean(clean.clone()));
    answers(&clean, &());
    let reach = Reach { jid: phone() };
    assert_eq!(asks(&reach), ClientRequest::Reach(reach.clone()));
    for status in [ReachStatus::Requested, ReachStatus::Enabled, ReachStatus::Other("later".into())] {
        assert_eq!(answers(&reach, &status), status);
    }
}

#[test]
fn key_requests() {
    let upload = UploadKeys {
        registration: 0xC203_9B35,
        identity: [1; 32],
        prekeys: (1..=3).map(prekey).collect(),
        signed_prekey: skey(),
    };
    assert_eq!(asks(&upload), ClientRequest::UploadKeys(Box::new(upload.clone())));
    answers(&upload, &());
    let none = UploadKeys { prekeys: Vec::new(), ..upload };
    assert_eq!(asks(&none), ClientRequest::UploadKeys(Box::new(none.clone())));

    assert_eq!(asks(&CountKeys), ClientRequest::CountKeys(CountKeys));
    assert_eq!(answers(&CountKeys, &812), 812);

    let fetch = FetchKeys {
        users: vec![
            FetchUser { jid: phone(), reason: FetchReason::NoSession },
            FetchUser { jid: partner(), reason: FetchReason::IdentityChanged },
        ],
    };
    assert_eq!(asks(&fetch), ClientRequest::FetchKeys(fetch.clone()));
    let bundle = KeyBundle {
        t: Some(1),
        registration: 1,
        identity: [2; 32],
        signed_prekey: skey(),
        prekey: Some(prekey(0x00FF_FFFF)),
        device_identity: None,
    };
    let exhausted = KeyBundle { prekey: None, t: None, device_identity: Some(vec![1, 2]), ..bundle };
    let users = vec![
        FetchedUser { jid: phone(), bundle: Ok(Box::new(bundle)) },
        FetchedUser { jid: partner(), bundle: Ok(Box::new(exhausted)) },
        FetchedUser { jid: Jid::user("1"), bundle: Err(IqError::new(IqErrorCode::ItemNotFound)) },
    ];
    assert_eq!(answers(&fetch, &users), users);

    let rotate = RotateSignedPreKey { signed_prekey: skey() };
    assert_eq!(asks(&rotate), ClientRequest::RotateSignedPreKey(Box::new(rotate)));
    answers(&rotate, &());

    assert_eq!(asks(&DigestKeys), ClientRequest::DigestKeys(DigestKeys));
    let digest = KeyDigest {
        registration: 9,
        identity: [4; 32],
        signed_prekey: skey(),
        prekey_ids: vec![1, 2, 0x00FF_FFFF],
        hash: [6; 20],
    };
    assert_eq!(answers(&DigestKeys, &digest), digest);
}

#[test]
fn block_lists() {
    assert_eq!(asks(&GetBlocklist), ClientRequest::GetBlocklist(GetBlocklist));
    let list = Blocklist {
        dhash: Some("2:v1kQ0dAp".into()),
        items: vec![BlockedUser { jid: phone(), t: Some(4) }, BlockedUser { jid: partner(), t: None }],
    };
    assert_eq!(answers(&GetBlocklist, &list), list);
    assert_eq!(answers(&GetBlocklist, &Blocklist::default()), Blocklist::default());
    let bare =
        Node::new("iq").attr("type", "result").attr("id", "1").child(Node::new("item").attr("jid", phone()));
    assert_eq!(GetBlocklist::parse_reply(wired(bare).view(), &profile()).unwrap().items.len(), 1);
    for action in [BlockAction::Block, BlockAction::Unblock] {
        let change =
            UpdateBlocklist { jid: phone(), action, dhash: Some("2:x".into()), pn_jid: Some(Jid::user("3")) };
        assert_eq!(asks(&change), ClientRequest::UpdateBlocklist(change.clone()));
        assert_eq!(answers(&change, &None), None);
        assert_eq!(answers(&change, &Some(list.clone())), Some(list.clone()));
    }
}

#[test]
fn errors_of_requests() {
    for code in [400, 429, 500, 599] {
        let error = IqError::new(IqErrorCode::from(code)).with_backoff(30);
        let node = wired(error.to_node("1"));
        assert_eq!(Ping::parse_reply(node.view(), &profile()), Err(ReplyError::Refused(error.clone())));
        assert_eq!(CountKeys::parse_reply(node.view(), &profile()), Err(ReplyError::Refused(error)));
    }
    assert_eq!(IqError::new(IqErrorCode::RateOverlimit).to_string(), "error 429 (rate-overlimit)");
    assert_eq!(IqError::new(IqErrorCode::Other(599)).to_string(), "error 599");
}

#[test]
fn pings_of_the_server() {
    let ping = ServerPing::new("17");
    assert_eq!(to_client(ping.to_node(&profile())), Inbound::Ping(ping.clone()));
    for node in [
        Node::new("iq").attr("from", server_jid()).attr("id", "17").child(Node::new("ping")),
        Node::new("iq")
            .attr("from", server_jid())
            .attr("id", "17")
            .attr("type", "get")
            .child(Node::new("ping")),
    ] {
        assert_eq!(to_client(node), Inbound::Ping(ping.clone()));
    }
    assert!(
        matches!(to_server(ping.reply_node()), ClientStanza::Reply(r) if r.id == "17" && r.error.is_none())
    );
    let result = Node::new("iq").attr("from", server_jid()).attr("id", "17").attr("type", "result");
    assert!(matches!(to_client(result.child(Node::new("ping"))), Inbound::Reply(_)));
}

#[test]
fn unknown_requests() {
    let node = Node::new("iq")
        .attr("from", server_jid())
        .attr("id", "8")
        .attr("type", "get")
        .attr("xmlns", "w:unknown");
    let Inbound::Request(request) = to_client(node) else { panic!() };
    let refusal = request.refusal(&profile()).unwrap();
    assert!(matches!(to_server(refusal), ClientStanza::Reply(r)
        if r.id == "8" && r.error.as_ref().unwrap().code == IqErrorCode::NotImplemented));
    let mut silent = profile();
    silent.iq.unknown_request_code = None;
    assert_eq!(request.refusal(&silent), None);
    let strange = Node::new("iq").attr("id", "1").attr("xmlns", "w:strange").attr("type", "set");
    assert!(
        matches!(to_server(strange.clone()), ClientStanza::Request { request: ClientRequest::Unknown(node), .. }
        if node == strange)
    );
}

#[test]
fn messages() {
    let mut enc = Enc::new(EncType::PreKey, vec![0x33; 200]);
    enc.mediatype = Some("image".into());
    enc.decrypt_fail = landbridge_stanza::message::DecryptFail::Hide;
    enc.count = Some(2);
    let mut message = MessageOut::new(phone(), id("3EB0AA"), MessageType::Media, enc);
    message.edit = Some(Edit::Revoke);
    assert_eq!(to_server(message.to_node(&profile())), ClientStanza::Message(Box::new(message.clone())));
    message.t = Some(77);
    assert_eq!(message.to_node(&profile()).view().attr_str("device_fanout").as_deref(), Some("false"));

    let delivered = MessageIn::delivering(message, partner(), 1_763_870_400, Some("Zoë 🦀".into()));
    assert_eq!(to_client(delivered.to_node(&profile())), Inbound::Message(Box::new(delivered.clone())));
    let gone = MessageIn {
        content: MessageContent::Unavailable { kind: Some("view_once".into()) },
        offline: Some(3),
        sender_lid: Some("123@lid".parse().unwrap()),
        ..delivered
    };
    assert_eq!(to_client(gone.to_node(&profile())), Inbound::Message(Box::new(gone)));
}

#[test]
fn receipts() {
    let plain = ReceiptOut::delivered(phone(), id("A"));
    assert_eq!(plain.to_node(&profile()).view().attr_str("type"), None);
    assert_eq!(to_server(plain.to_node(&profile())), ClientStanza::Receipt(Box::new(plain.clone())));
    let mut read = ReceiptOut::read(phone(), id("A"), 12);
    read.more_ids = vec![id("B"), id("C")];
    assert_eq!(to_server(read.to_node(&profile())), ClientStanza::Receipt(Box::new(read.clone())));
    assert_eq!(read.ids().count(), 3);
    let asked = ReceiptOut::retry(phone(), retry());
    assert_eq!(to_server(asked.to_node(&profile())), ClientStanza::Receipt(Box::new(asked.clone())));

    for receipt in [plain, read, asked] {
        let forwarded = ReceiptIn::forwarding(receipt, partner(), 99);
        assert_eq!(to_client(forwarded.to_node(&profile())), Inbound::Receipt(Box::new(forwarded)));
    }
    let aggregated = ReceiptIn {
        aggregated: vec![MessageReceipts {
            id: id("A"),
            users: vec![UserReceipt { jid: phone(), t: 5, kind: Some(ReceiptType::Read) }],
        }],
        ..ReceiptIn::new(ReceiptType::Other("new".into()), Jid::group("120363025246125486"), id("R"), 1)
    };
    assert_eq!(to_client(aggregated.to_node(&profile())), Inbound::Receipt(Box::new(aggregated)));
}

#[test]
fn acks() {
    let ack = AckIn::message("A", phone(), 5);
    assert_eq!(to_client(ack.to_node(&profile())), Inbound::Ack(ack.clone()));
    let refused = ack.refused(MessageErrorCode::from(463));
    assert_eq!(refused.error, Some(MessageErrorCode::ReachOutLocked));
    assert_eq!(to_client(refused.to_node(&profile())), Inbound::Ack(refused));

    let message = Node::new("message").attr("from", phone()).attr("id", "A").attr("type", "text");
    let nack = AckOut::answering(message.view(), Some(NackCode::InvalidProtobuf)).unwrap();
    assert_eq!(
        (&nack.class, nack.kind.as_deref(), nack.error),
        (&AckClass::Message, None, Some(NackCode::from(491)))
    );
    let nack = AckOut { failure_reason: Some(3), ..nack };
    assert_eq!(to_server(nack.to_node(&profile())), ClientStanza::Ack(nack));

    let strange = Node::new("novelty").attr("from", phone()).attr("id", "A").attr("type", "x");
    let Inbound::Unknown(kept) = to_client(strange.clone()) else { panic!() };
    assert_eq!(kept, strange);
    let nack = AckOut::answering(kept.view(), Some(NackCode::UnknownTag)).unwrap();
    assert_eq!((nack.class.as_str(), nack.kind.as_deref()), ("novelty", Some("x")));

    for tag in ["ack", "ib", "presence", "chatstate", "success", "iq"] {
        assert_eq!(
            AckOut::answering(Node::new(tag).attr("from", phone()).attr("id", "A").view(), None),
            None
        );
    }
    assert_eq!(AckOut::answering(Node::new("call").attr("id", "A").view(), None), None);
}

#[test]
fn notifications() {
    for notification in [
        Notification::prekeys_low("1", 2, 4),
        Notification::identity_changed("1", 2, phone()),
        Notification::new(server_jid(), "1", "encrypt", 2, NotificationEvent::CheckDigest),
        Notification::new(
            phone(),
            "1",
            "interop",
            2,
            NotificationEvent::Reachable(Reachability::Unreachable),
        ),
        Notification::new(
            server_jid(),
            "1",
            "account_sync",
            2,
            NotificationEvent::Blocklist(BlocklistChange {
                dhash: Some("b".into()),
                prev_dhash: Some("a".into()),
                items: vec![(phone(), BlockAction::Block), (partner(), BlockAction::Unblock)],
            }),
        ),
    ] {
        let node = notification.to_node(&profile());
        assert_eq!(notification.ack(), AckOut::answering(node.view(), None).unwrap());
        assert_eq!(to_client(node), Inbound::Notification(Box::new(notification)));
    }
    let psa = Node::new("notification")
        .attr("from", server_jid())
        .attr("id", "1")
        .attr("type", "psa")
        .attr("t", 3_u32);
    let Inbound::Notification(read) = to_client(psa.clone()) else { panic!() };
    assert_eq!(read.event, NotificationEvent::Other(psa.clone()));
    assert_eq!(read.to_node(&profile()), psa);
}

#[test]
fn presence_and_typing() {
    for presence in [
        PresenceOut::Available { name: Some("Zoë".into()) },
        PresenceOut::Unavailable { name: None },
        PresenceOut::Subscribe { to: phone() },
        PresenceOut::Unsubscribe { to: phone() },
    ] {
        assert_eq!(to_server(presence.to_node(&profile())), ClientStanza::Presence(presence));
    }
    for (availability, last) in [
        (Availability::Available, None),
        (Availability::Unavailable, Some(LastSeen::At(9))),
        (Availability::Unavailable, Some(LastSeen::Denied)),
    ] {
        let presence = PresenceIn { from: phone(), availability, last };
        assert_eq!(to_client(presence.to_node(&profile())), Inbound::Presence(presence));
    }
    for state in [ChatState::Composing, ChatState::Recording, ChatState::Paused] {
        let out = ChatStateOut { to: phone(), state };
        assert_eq!(to_server(out.to_node(&profile())), ClientStanza::ChatState(out));
        let back = ChatStateIn { from: phone(), participant: None, state };
        assert_eq!(to_client(back.to_node(&profile())), Inbound::ChatState(back));
    }
}

#[test]
fn information() {
    for ib in [
        Ib::OfflinePreview(OfflinePreview { count: 4, message: 3, receipt: 1, ..OfflinePreview::default() }),
        Ib::Offline { count: 4 },
        Ib::Dirty { kind: "groups".into(), timestamp: Some(1) },
        Ib::EdgeRouting { routing_info: vec![1, 2, 3] },
        Ib::ClientExpiration { t: 5 },
    ] {
        assert_eq!(to_client(ib.to_node(&profile())), Inbound::Ib(ib));
    }
    let batch = Ib::OfflineBatch { count: 100 };
    assert_eq!(to_server(batch.to_node(&profile())), ClientStanza::Ib(batch));
    let tos = Node::new("ib").attr("from", server_jid()).child(Node::new("tos"));
    assert_eq!(to_client(tos.clone()), Inbound::Ib(Ib::Other(tos)));
}

#[test]
fn ends_of_streams() {
    let success = Success { t: Some(1), lid: Some("1@lid".parse().unwrap()), ..Success::at(1) };
    assert_eq!(to_client(success.to_node(&profile())), Inbound::Success(success));
    let failure = LoginFailure {
        reason: Some(FailureReason::TemporaryBan),
        ban: Some(BanCode::SameMessage),
        expire: Some(60),
        message: Some("please wait".into()),
        ..LoginFailure::default()
    };
    assert_eq!(to_client(failure.to_node(&profile())), Inbound::Failure(failure));
    for error in [
        StreamError::Restart,
        StreamError::Replaced,
        StreamError::Removed { code: Some(401) },
        StreamError::Removed { code: None },
        StreamError::Token { code: 413 },
        StreamError::RateLimited,
        StreamError::Server { code: 503 },
        StreamError::NotWellFormed,
        StreamError::SchemaRefused,
        StreamError::Unacked { class: Some("message".into()), kind: None, id: Some("A".into()) },
        StreamError::Other { code: Some(600), text: Some("why".into()) },
    ] {
        assert_eq!(to_client(error.to_node(&profile())), Inbound::StreamError(error));
    }
    assert_eq!(to_client(stream::end_node()), Inbound::End);
    assert_eq!(to_server(stream::end_node()), ClientStanza::End);
    let bytes = landbridge_wire::encode(&stream::end_node(), &EncodeOptions::default()).unwrap();
    assert_eq!(bytes, [0xf8, 0x01, 0x02]);
}

#[test]
fn reactions() {
    let retry = Reaction::Retry { extra_steps: 0 };
    for (reason, expected) in [
        (400, Reaction::Stop),
        (401, Reaction::Enlist),
        (402, Reaction::Stop),
        (403, Reaction::Stop),
        (405, Reaction::Stop),
        (406, Reaction::Stop),
        (409, Reaction::Stop),
        (413, Reaction::FreshToken),
        (414, Reaction::FreshToken),
        (415, Reaction::Enlist),
        (418, Reaction::Stop),
        (500, retry),
        (501, retry),
        (503, retry),
        (555, Reaction::Stop),
    ] {
        assert_eq!(LoginFailure::new(FailureReason::from(reason)).reaction(&profile()), expected, "{reason}");
    }
    for reason in ["200", "600", "x", ""] {
        let node = Node::new("failure").attr("reason", reason);
        let Inbound::Failure(failure) = to_client(node) else { panic!() };
        assert_eq!((failure.reason, failure.reaction(&profile())), (None, Reaction::Stop), "{reason}");
    }
    for (code, expected) in [
        (515, Reaction::Now),
        (409, Reaction::Yield),
        (401, Reaction::Enlist),
        (516, Reaction::Enlist),
        (413, Reaction::FreshToken),
        (429, Reaction::Retry { extra_steps: 5 }),
        (500, retry),
        (503, retry),
        (479, retry),
        (777, retry),
    ] {
        let node = Node::new("stream:error").attr("code", code as u32);
        let Inbound::StreamError(error) = to_client(node) else { panic!() };
        assert_eq!(error.reaction(&profile()), expected, "{code}");
    }
}

#[test]
fn ids() {
    let mut rng = rand::rng();
    let made = MessageId::generate(&mut rng);
    assert_eq!(made.as_str().len(), 22);
    assert!(made.as_str().starts_with("3EB0"));
    assert!(made.as_str().bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b)));
    assert_ne!(made, MessageId::generate(&mut rng));
    let mut ids = IqIds::new(&mut rng);
    let (first, second) = (ids.next_id(), ids.next_id());
    assert_eq!((&first[..8], &first[8..]), (&second[..8], "-1"));
    assert!(second.ends_with("-2"));
    assert!("".parse::<MessageId>().is_err());
    assert!("x".repeat(128).parse::<MessageId>().is_ok());
    assert_eq!(
        "x".repeat(129).parse::<MessageId>().unwrap_err().to_string(),
        "a message id has 1 to 128 bytes, this has 129"
    );
}
