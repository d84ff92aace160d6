//! Messages in both directions, through everything that goes wrong on the way.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod support;

use landbridge::stanza::ack::{AckClass, AckIn, AckOut};
use landbridge::stanza::codes::{MessageErrorCode, NackCode};
use landbridge::stanza::keys::FetchReason;
use landbridge::stanza::message::{Enc, EncType, MessageContent, MessageOut};
use landbridge::stanza::notification::Notification;
use landbridge::stanza::receipt::{ReceiptIn, ReceiptOut, ReceiptType};
use landbridge::stanza::retry::Retry;
use landbridge::stanza::{ClientStanza, MessageId, Profile};
use landbridge::store::{ClientStore, OutState, StoreError, StoreTx};
use landbridge::wire::Jid;
use landbridge::{Client, Ending, Error, Event, NotAllowed, ReadReceipts, SendFailure};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use support::{Conn, Phone, Server, enlisted_store, event, now, text};

const BOB: &str = "14155551001";

async fn message(conn: &mut Conn) -> MessageOut {
    match conn.next().await {
        ClientStanza::Message(message) => *message,
        other => panic!("no message: {other:?}"),
    }
}

async fn receipt(conn: &mut Conn) -> ReceiptOut {
    loop {
        match conn.next().await {
            ClientStanza::Receipt(receipt) => return *receipt,
            other => assert!(conn.knows_no_keys(&other).await, "no receipt: {other:?}"),
        }
    }
}

async fn ack(conn: &mut Conn) -> AckOut {
    match conn.next().await {
        ClientStanza::Ack(ack) => ack,
        other => panic!("no ack: {other:?}"),
    }
}

async fn state(events: &mut landbridge::Events) -> (MessageId, OutState) {
    event(events, |event| match event {
        Event::MessageState { id, state, .. } => Some((id.clone(), *state)),
        _ => None,
    })
    .await
}

/// A client that is connected, and a phone that has a session with it.
async fn met(server: &mut Server) -> (Client, Conn, Phone) {
    let client = server.client();
    let conn = server.connect(&client).await;
    let mut phone = Phone::new(BOB);
    phone.meet(&conn.uploads[0]);
    (client, conn, phone)
}

/// The same, and each has written once.
async fn acquainted(server: &mut Server, events: &mut Option<landbridge::Events>) -> (Client, Conn, Phone) {
    let (client, mut conn, mut phone) = met(server).await;
    let mut stream = client.events();
    conn.send(&phone.message("B0", "hello").to_node(&conn.profile)).await;
    assert_eq!(text(&mut stream).await, "hello");
    receipt(&mut conn).await;
    let id = client.send_text(&phone.jid, "hello to you").await.unwrap();
    let sent = message(&mut conn).await;
    assert_eq!(phone.open(&sent.encs[0]).unwrap(), "hello to you");
    conn.send(&AckIn::message(id.as_str(), phone.jid.clone(), now()).to_node(&conn.profile)).await;
    assert_eq!(state(&mut stream).await, (id, OutState::Sent));
    *events = Some(stream);
    (client, conn, phone)
}

#[tokio::test]
async fn a_first_message_fetches_keys_and_its_state_grows() {
    let mut server = Server::new();
    let client = server.client();
    let mut events = client.events();
    let mut conn = server.connect(&client).await;
    let mut phone = Phone::new(BOB);
    let to = phone.jid.clone();
    let (id, reason) = tokio::join!(client.send_text(&to, "Hallo"), conn.serve_keys(&mut phone));
    let id = id.unwrap();
    assert_eq!(reason, FetchReason::NoSession);
    let sent = message(&mut conn).await;
    assert_eq!((&sent.id, &sent.to, sent.kind.as_str()), (&id, &phone.jid, "text"));
    assert_eq!(sent.encs[0].kind, EncType::PreKey);
    assert_eq!(phone.open(&sent.encs[0]).unwrap(), "Hallo");
    assert_eq!(client.message_state(&phone.jid, &id).await.unwrap(), Some(OutState::Pending));

    conn.send(&AckIn::message(id.as_str(), phone.jid.clone(), now()).to_node(&conn.profile)).await;
    assert_eq!(state(&mut events).await, (id.clone(), OutState::Sent));
    for (kind, reached) in
        [(ReceiptType::Delivered, OutState::Delivered), (ReceiptType::Read, OutState::Read)]
    {
        let receipt = ReceiptIn::new(kind.clone(), phone.jid.clone(), id.clone(), now());
        conn.send(&receipt.to_node(&conn.profile)).await;
        assert_eq!(state(&mut events).await, (id.clone(), reached));
        let ack = ack(&mut conn).await;
        assert_eq!((ack.class, ack.id.as_str()), (AckClass::Receipt, id.as_str()));
        assert_eq!(ack.kind.as_deref(), (kind == ReceiptType::Read).then_some("read"));
    }
    // A state never goes back, and the receipt is acked all the same.
    conn.send(
        &ReceiptIn::new(ReceiptType::Delivered, phone.jid.clone(), id.clone(), now()).to_node(&conn.profile),
    )
    .await;
    ack(&mut conn).await;
    assert_eq!(client.message_state(&phone.jid, &id).await.unwrap(), Some(OutState::Read));

    // The second message needs no keys, and is still a pkmsg until the peer has answered.
    client.send_text(&phone.jid, "noch da?").await.unwrap();
    let again = message(&mut conn).await;
    assert_eq!(again.encs[0].kind, EncType::PreKey);
    assert_eq!(phone.open(&again.encs[0]).unwrap(), "noch da?");
    conn.send(&phone.message("B1", "ja").to_node(&conn.profile)).await;
    assert_eq!(text(&mut events).await, "ja");
    receipt(&mut conn).await;
    client.send_text(&phone.jid, "gut").await.unwrap();
    let third = message(&mut conn).await;
    assert_eq!(third.encs[0].kind, EncType::Message);
    assert_eq!(phone.open(&third.encs[0]).unwrap(), "gut");
}

#[tokio::test]
async fn a_message_is_shown_once_and_receipted_each_time() {
    let mut server = Server::new();
    let (client, mut conn, mut phone) = met(&mut server).await;
    let mut events = client.events();
    let first = phone.message("B1", "one").to_node(&conn.profile);
    let second = phone.message("B2", "two").to_node(&conn.profile);
    for node in [&first, &first, &second, &first] {
        conn.send(node).await;
        let receipt = receipt(&mut conn).await;
        assert_eq!((receipt.kind, receipt.to), (ReceiptType::Delivered, phone.jid.clone()));
    }
    let shown = event(&mut events, |event| match event {
        Event::Message(message) => Some((**message).clone()),
        _ => None,
    })
    .await;
    assert_eq!((shown.text(), shown.id.as_str(), shown.notify.as_deref()), (Some("one"), "B1", Some("Bob")));
    assert_eq!((shown.chat.clone(), shown.sender.clone()), (phone.jid.clone(), phone.jid.clone()));
    assert_eq!(text(&mut events).await, "two");
    conn.send(&phone.message("B3", "three").to_node(&conn.profile)).await;
    assert_eq!(text(&mut events).await, "three");
}

#[tokio::test]
async fn receipts_of_a_burst_become_a_list() {
    let mut server = Server::new();
    let (client, mut conn, mut phone) = met(&mut server).await;
    let mut events = client.events();
    for n in 0..40 {
        conn.send(&phone.message(&format!("B{n}"), "x").to_node(&conn.profile)).await;
    }
    for _ in 0..40 {
        text(&mut events).await;
    }
    let mut ids = Vec::new();
    while ids.len() < 40 {
        ids.extend(receipt(&mut conn).await.ids().map(ToString::to_string));
    }
    let expected: Vec<_> = (0..40).map(|n| format!("B{n}")).collect();
    assert_eq!(ids, expected);
}

#[tokio::test]
async fn unacked_messages_go_again_byte_for_byte_in_order() {
    let mut server = Server::new();
    let mut events = None;
    let (client, mut conn, mut phone) = acquainted(&mut server, &mut events).await;
    for text in ["one", "two", "three"] {
        client.send_text(&phone.jid, text).await.unwrap();
    }
    let mut first = Vec::new();
    while first.len() < 3 {
        let payload = conn.payload().await.unwrap();
        let node = landbridge::wire::decode_payload(&payload, &landbridge::wire::Limits::default()).unwrap();
        if node.view().is("message") {
            first.push(payload);
        }
    }
    // The second one is acked, the others are not.
    let id = MessageOut::from_node(
        landbridge::wire::decode_payload(&first[1], &landbridge::wire::Limits::default()).unwrap().view(),
    )
    .unwrap()
    .id;
    conn.send(&AckIn::message(id.as_str(), phone.jid.clone(), now()).to_node(&conn.profile)).await;
    assert_eq!(state(events.as_mut().unwrap()).await.1, OutState::Sent);
    drop(conn);
    client.closed().await;

    // Written while there is no connection: it queues behind them.
    client.send_text(&phone.jid, "four").await.unwrap();
    let mut conn = server.connect(&client).await;
    let mut again = Vec::new();
    while again.len() < 3 {
        let payload = conn.payload().await.unwrap();
        let node = landbridge::wire::decode_payload(&payload, &landbridge::wire::Limits::default()).unwrap();
        let stanza = ClientStanza::from_node(node.view(), &conn.profile).unwrap();
        if matches!(stanza, ClientStanza::Message(_)) {
            again.push(payload);
        } else {
            conn.serve(&stanza).await;
        }
    }
    assert_eq!(again[..2], [first[0].clone(), first[2].clone()]);
    let read = |payload: &Vec<u8>| {
        let node = landbridge::wire::decode_payload(payload, &landbridge::wire::Limits::default()).unwrap();
        MessageOut::from_node(node.view()).unwrap()
    };
    let texts: Vec<_> = again.iter().map(|payload| phone.open(&read(payload).encs[0]).unwrap()).collect();
    assert_eq!(texts, ["one", "three", "four"]);
}

#[tokio::test]
async fn what_the_server_refuses_fails_and_what_it_cannot_take_now_goes_again() {
    tokio::time::pause();
    let mut server = Server::new();
    let mut events = None;
    let (client, mut conn, phone) = acquainted(&mut server, &mut events).await;
    let mut events = events.unwrap();
    let id = client.send_text(&phone.jid, "to nobody").await.unwrap();
    message(&mut conn).await;
    let refusal =
        AckIn::message(id.as_str(), phone.jid.clone(), now()).refused(MessageErrorCode::ReachOutLocked);
    conn.send(&refusal.to_node(&conn.profile)).await;
    let failure = event(&mut events, |event| match event {
        Event::MessageState { state: OutState::Failed, failure, .. } => failure.clone(),
        _ => None,
    });
    assert_eq!(failure.await, SendFailure::NotAllowedYet { why: NotAllowed::ReachFirst });

    let id = client.send_text(&phone.jid, "later").await.unwrap();
    let first = message(&mut conn).await;
    let busy =
        AckIn::message(id.as_str(), phone.jid.clone(), now()).refused(MessageErrorCode::ServiceUnavailable);
    conn.send(&busy.to_node(&conn.profile)).await;
    assert_eq!(message(&mut conn).await, first);
    conn.send(&AckIn::message(id.as_str(), phone.jid.clone(), now()).to_node(&conn.profile)).await;
    assert_eq!(state(&mut events).await, (id, OutState::Sent));
}

#[tokio::test]
async fn an_undecryptable_message_is_asked_for_with_keys_and_comes_again() {
    let mut server = Server::new();
    let (client, mut conn, mut phone) = met(&mut server).await;
    let mut events = client.events();
    // A message of a session that the client never had.
    let stray = Enc::new(EncType::Message, phone.enc("lost").ciphertext);
    let broken = phone.stanza("B1", Enc { ciphertext: vec![0x33; 60], ..stray });
    let node = broken.to_node(&conn.profile);
    conn.send(&node).await;
    let asked = receipt(&mut conn).await;
    assert_eq!((asked.kind.clone(), asked.to.clone()), (ReceiptType::Retry, phone.jid.clone()));
    let retry = asked.retry.unwrap();
    assert_eq!((retry.count, retry.t, retry.registration), (1, broken.t, 4711));
    let acked = ack(&mut conn).await;
    assert_eq!((acked.class, acked.error), (AckClass::Message, None));
    let (id, asked) = event(&mut events, |event| match event {
        Event::Undecryptable { id, asked, .. } => Some((id.clone(), *asked)),
        _ => None,
    })
    .await;
    assert_eq!((id.as_str(), asked), ("B1", 1));

    // The same copy again counts no second time.
    conn.send(&node).await;
    assert_eq!(receipt(&mut conn).await.retry.unwrap().count, 1);
    ack(&mut conn).await;

    // A second failed copy: now the keys are there in any case.
    let mut second = broken.clone();
    let MessageContent::Encrypted(encs) = &mut second.content else { panic!() };
    encs[0].count = Some(1);
    conn.send(&second.to_node(&conn.profile)).await;
    let retry = receipt(&mut conn).await.retry.unwrap();
    assert_eq!(retry.count, 2);
    let keys = retry.keys.unwrap();
    assert!(keys.prekey.is_some());
    ack(&mut conn).await;

    phone.meet_again(retry.registration, &keys);
    let mut enc = phone.enc("found");
    enc.count = Some(2);
    conn.send(&phone.stanza("B1", enc).to_node(&conn.profile)).await;
    let shown = event(&mut events, |event| match event {
        Event::Message(message) => Some((message.id.clone(), message.text().unwrap().to_owned())),
        _ => None,
    })
    .await;
    assert_eq!((shown.0.as_str(), shown.1.as_str()), ("B1", "found"));
    assert_eq!(receipt(&mut conn).await.kind, ReceiptType::Delivered);
}

#[tokio::test]
async fn the_asking_has_an_end() {
    let mut server = Server::new();
    let (_client, mut conn, phone) = met(&mut server).await;
    for count in 0..6_u8 {
        let mut enc = Enc::new(EncType::Message, vec![0x33; 60]);
        enc.count = (count > 0).then_some(count);
        conn.send(&phone.stanza("B1", enc).to_node(&conn.profile)).await;
        if count < 4 {
            assert_eq!(receipt(&mut conn).await.retry.unwrap().count, count + 1);
        }
        assert_eq!(ack(&mut conn).await.class, AckClass::Message);
    }
}

fn retry(id: &MessageId, count: u8, phone: &Phone) -> ReceiptIn {
    let retry = Retry { id: id.clone(), t: now(), count, error: None, registration: 99, keys: None };
    let mut receipt = ReceiptIn::new(ReceiptType::Retry, phone.jid.clone(), id.clone(), now());
    receipt.retry = Some(retry);
    receipt
}

#[tokio::test]
async fn a_peer_that_asks_again_gets_a_new_encryption_once_per_count() {
    let mut server = Server::new();
    let mut events = None;
    let (client, mut conn, mut phone) = acquainted(&mut server, &mut events).await;
    let id = client.send_text(&phone.jid, "again, please").await.unwrap();
    let first = message(&mut conn).await;
    conn.send(&AckIn::message(id.as_str(), phone.jid.clone(), now()).to_node(&conn.profile)).await;

    conn.send(&retry(&id, 1, &phone).to_node(&conn.profile)).await;
    let second = message(&mut conn).await;
    assert_eq!((&second.id, second.encs[0].count), (&id, Some(1)));
    assert!(second.t.is_some());
    assert_ne!(second.encs[0].ciphertext, first.encs[0].ciphertext);
    assert_eq!(phone.open(&second.encs[0]).unwrap(), "again, please");
    let acked = ack(&mut conn).await;
    assert_eq!((acked.class, acked.kind.as_deref()), (AckClass::Receipt, Some("retry")));

    // The same request again: the same bytes.
    conn.send(&retry(&id, 1, &phone).to_node(&conn.profile)).await;
    assert_eq!(message(&mut conn).await, second);
    ack(&mut conn).await;

    // The second request without keys: the session is begun anew with fetched ones.
    conn.send(&retry(&id, 2, &phone).to_node(&conn.profile)).await;
    conn.serve_keys(&mut phone).await;
    let third = message(&mut conn).await;
    assert_eq!((third.encs[0].kind.clone(), third.encs[0].count), (EncType::PreKey, Some(2)));
    assert_eq!(phone.open(&third.encs[0]).unwrap(), "again, please");
    ack(&mut conn).await;

    // Beyond the limit, for an older count, and for a message that never was: an ack and nothing else.
    let unknown: MessageId = "3EB0UNKNOWN".parse().unwrap();
    for receipt in [retry(&id, 6, &phone), retry(&id, 1, &phone), retry(&unknown, 1, &phone)] {
        conn.send(&receipt.to_node(&conn.profile)).await;
        ack(&mut conn).await;
    }
}

#[tokio::test]
async fn an_announced_new_identity_is_told_once_and_keys_are_fetched_for_it() {
    let mut server = Server::new();
    let mut events = None;
    let (client, mut conn, phone) = acquainted(&mut server, &mut events).await;
    let mut events = events.unwrap();
    let mut reinstalled = phone.reinstalled();
    for _ in 0..2 {
        let notification = Notification::identity_changed("n-1", now(), phone.jid.clone());
        conn.send(&notification.to_node(&conn.profile)).await;
        assert_eq!(ack(&mut conn).await.class, AckClass::Notification);
    }
    let (peer, old) = event(&mut events, |event| match event {
        Event::IdentityChanged { peer, old, .. } => Some((peer.clone(), *old)),
        _ => None,
    })
    .await;
    assert_eq!((peer, old), (phone.jid.clone(), Some(phone.identity())));

    let to = phone.jid.clone();
    let (id, reason) = tokio::join!(client.send_text(&to, "new phone?"), conn.serve_keys(&mut reinstalled));
    let id = id.unwrap();
    assert_eq!(reason, FetchReason::IdentityChanged);
    let sent = message(&mut conn).await;
    assert_eq!(reinstalled.open(&sent.encs[0]).unwrap(), "new phone?");
    conn.send(&AckIn::message(id.as_str(), to, now()).to_node(&conn.profile)).await;
    // No second notice for the same change.
    let next = event(&mut events, |event| match event {
        Event::IdentityChanged { .. } => Some(None),
        Event::MessageState { state, .. } => Some(Some(*state)),
        _ => None,
    });
    assert_eq!(next.await, Some(OutState::Sent));
}

#[tokio::test]
async fn a_notice_that_was_not_handled_comes_again() {
    let mut server = Server::new();
    let mut events = None;
    let (client, mut conn, phone) = acquainted(&mut server, &mut events).await;
    let notification = Notification::identity_changed("n-1", now(), phone.jid.clone());
    conn.send(&notification.to_node(&conn.profile)).await;
    ack(&mut conn).await;
    let is_notice = |event: &Event| matches!(event, Event::IdentityChanged { .. }).then_some(());
    let mut cut_short = client.events();
    event(&mut cut_short, is_notice).await;
    let mut events = client.events();
    event(&mut events, is_notice).await;
    // Asking for what follows confirms it.
    conn.send(&notification.to_node(&conn.profile)).await;
    let ((), _rest) = tokio::join!(client.disconnect(), conn.until_closed());
    event(&mut events, |event| matches!(event, Event::Disconnected { .. }).then_some(())).await;
    let mut events = client.events();
    drop(client);
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn a_new_identity_in_a_message_is_told_too() {
    let mut server = Server::new();
    let mut events = None;
    let (client, mut conn, phone) = acquainted(&mut server, &mut events).await;
    let mut events = events.unwrap();
    let mut reinstalled = phone.reinstalled();
    // The server gives the client's keys to the new phone, as it did to the old one.
    let upload = conn.uploads[0].clone();
    reinstalled.begin(
        upload.registration,
        upload.identity,
        upload.signed_prekey,
        upload.prekeys.last().copied(),
    );
    conn.send(&reinstalled.message("N1", "it is me").to_node(&conn.profile)).await;
    let changed = event(&mut events, |event| match event {
        Event::IdentityChanged { peer, old, new, .. } => Some((peer.clone(), *old, *new)),
        _ => None,
    })
    .await;
    assert_eq!(changed, (phone.jid.clone(), Some(phone.identity()), Some(reinstalled.identity())));
    assert_eq!(text(&mut events).await, "it is me");
    receipt(&mut conn).await;
    // The answer goes to the new phone, without another fetch.
    client.send_text(&phone.jid, "so I see").await.unwrap();
    let sent = message(&mut conn).await;
    assert_eq!(reinstalled.open(&sent.encs[0]).unwrap(), "so I see");
}

#[tokio::test]
async fn messages_to_an_old_identity_that_were_not_acked_are_encrypted_anew() {
    let mut server = Server::new();
    let mut events = None;
    let (client, mut conn, phone) = acquainted(&mut server, &mut events).await;
    let mut reinstalled = phone.reinstalled();
    let id = client.send_text(&phone.jid, "for the old phone").await.unwrap();
    message(&mut conn).await;
    let notification = Notification::identity_changed("n-1", now(), phone.jid.clone());
    conn.send(&notification.to_node(&conn.profile)).await;
    ack(&mut conn).await;
    drop(conn);
    client.closed().await;
    let mut conn = server.connect(&client).await;
    conn.serve_keys(&mut reinstalled).await;
    let sent = message(&mut conn).await;
    assert_eq!(sent.id, id);
    assert_eq!(reinstalled.open(&sent.encs[0]).unwrap(), "for the old phone");
}

#[tokio::test]
async fn unusable_messages_are_refused_by_name() {
    let mut server = Server::new();
    let (client, mut conn, mut phone) = met(&mut server).await;
    let mut events = client.events();
    let mut third = phone.message("B3", "x");
    if let MessageContent::Encrypted(encs) = &mut third.content {
        encs[0].version = 3;
    }
    let garbage = phone.seal(b"\xff\xff\xff");
    let forged = phone.seal(b"\xfa\x01\x00");
    let group_key = Enc::new(EncType::SenderKey, vec![1]);
    let unavailable = landbridge::stanza::message::MessageIn {
        content: MessageContent::Unavailable { kind: None },
        ..phone.stanza("B6", group_key.clone())
    };
    let mut group = phone.message("B7", "to all");
    group.from = Jid::group("1203630");
    group.participant = Some(phone.jid.clone());
    let cases = [
        (third, Some(NackCode::InvalidProtobuf)),
        (phone.stanza("B4", garbage), Some(NackCode::InvalidProtobuf)),
        (phone.stanza("B5", forged), Some(NackCode::InvalidProtobuf)),
        (phone.stanza("B5b", group_key), Some(NackCode::UnknownType)),
        (unavailable, None),
        (group, Some(NackCode::Unhandled)),
    ];
    for (stanza, error) in cases {
        let node = stanza.to_node(&conn.profile);
        conn.send(&node).await;
        let ack = ack(&mut conn).await;
        assert_eq!((ack.id.as_str(), ack.error), (stanza.id.as_str(), error));
    }
    // None of them has hurt the session.
    conn.send(&phone.message("B8", "still here").to_node(&conn.profile)).await;
    assert_eq!(text(&mut events).await, "still here");
}

#[tokio::test]
async fn read_receipts_go_out_unless_they_are_withheld() {
    let mut server = Server::new();
    let (client, mut conn, mut phone) = met(&mut server).await;
    let mut events = client.events();
    conn.send(&phone.message("B1", "read me").to_node(&conn.profile)).await;
    assert_eq!(text(&mut events).await, "read me");
    receipt(&mut conn).await;
    let ids = ["B1".parse().unwrap(), "B0".parse().unwrap()];
    client.mark_read(&phone.jid, &ids).await.unwrap();
    let read = receipt(&mut conn).await;
    assert_eq!(read.kind, ReceiptType::Read);
    assert_eq!(read.ids().map(MessageId::as_str).collect::<Vec<_>>(), ["B1", "B0"]);
    assert!(read.t.is_some());

    let silent = server.builder(enlisted_store()).read_receipts(ReadReceipts::Withhold).build().unwrap();
    let mut conn = server.connect(&silent).await;
    assert_eq!(conn.login.enable_read_receipts, Some(false));
    silent.mark_read(&phone.jid, &ids).await.unwrap();
    let ((), rest) = tokio::join!(silent.disconnect(), conn.until_closed());
    assert_eq!(rest, [ClientStanza::End]);
}

#[tokio::test]
async fn what_was_not_confirmed_comes_again_and_what_was_does_not() {
    let mut server = Server::new();
    let (client, mut conn, mut phone) = met(&mut server).await;
    let mut events = client.events();
    for (id, words) in [("B1", "one"), ("B2", "two"), ("B3", "three")] {
        conn.send(&phone.message(id, words).to_node(&conn.profile)).await;
    }
    assert_eq!(text(&mut events).await, "one");
    assert_eq!(text(&mut events).await, "two");
    // The application dies while it handles the second one.
    let mut events = client.events();
    assert_eq!(text(&mut events).await, "two");
    assert_eq!(text(&mut events).await, "three");
    conn.send(&phone.message("B4", "four").to_node(&conn.profile)).await;
    assert_eq!(text(&mut events).await, "four");
}

#[tokio::test]
async fn an_application_that_does_not_read_holds_nothing_up() {
    let mut server = Server::new();
    let (client, mut conn, mut phone) = met(&mut server).await;
    let mut events = client.events();
    let count = 1_500;
    for n in 0..count {
        conn.send(&phone.message(&format!("B{n}"), &n.to_string()).to_node(&conn.profile)).await;
    }
    let mut receipted = 0;
    while receipted < count {
        receipted += receipt(&mut conn).await.ids().count();
    }
    for n in 0..count {
        assert_eq!(text(&mut events).await, n.to_string());
    }
}

/// A store that can be told to fail.
struct Fragile<S> {
    inner: S,
    broken: Arc<AtomicBool>,
}

impl<S: ClientStore> ClientStore for Fragile<S> {
    fn begin(&mut self) -> Result<Box<dyn StoreTx + '_>, StoreError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(StoreError::Full);
        }
        self.inner.begin()
    }
}

#[tokio::test]
async fn what_cannot_be_stored_is_not_acknowledged_and_comes_again() {
    let mut server = Server::new();
    let broken = Arc::new(AtomicBool::new(false));
    let store = Fragile { inner: enlisted_store(), broken: Arc::clone(&broken) };
    let client = server.builder(store).build().unwrap();
    let mut events = client.events();
    let mut conn = server.connect(&client).await;
    let mut phone = Phone::new(BOB);
    phone.meet(&conn.uploads[0]);
    let node = phone.message("B1", "keep me").to_node(&conn.profile);
    // Everyday business first, so that nothing else needs the store.
    conn.send(&Notification::prekeys_low("n-0", now(), 3).to_node(&conn.profile)).await;
    ack(&mut conn).await;
    while client.own_keys().await.unwrap().one_time < 862 {
        conn.serve_while(client.ping()).await.unwrap();
    }
    conn.serve_while(client.ping()).await.unwrap();
    broken.store(true, Ordering::SeqCst);
    conn.send(&node).await;
    let (ending, rest) = tokio::join!(client.closed(), conn.until_closed());
    assert!(matches!(&*ending.unwrap(), Ending::Store { .. }));
    assert!(!rest.iter().any(|stanza| matches!(stanza, ClientStanza::Receipt(_))), "{rest:?}");
    assert!(matches!(client.connect().await, Err(Error::Store { .. })));

    broken.store(false, Ordering::SeqCst);
    let mut conn = server.connect(&client).await;
    conn.send(&node).await;
    assert_eq!(receipt(&mut conn).await.id.as_str(), "B1");
    assert_eq!(text(&mut events).await, "keep me");
}

#[tokio::test]
async fn concurrent_sends_fetch_keys_once_and_keep_their_order() {
    let mut server = Server::new();
    let client = server.client();
    let mut conn = server.connect(&client).await;
    let mut phone = Phone::new(BOB);
    let to = phone.jid.clone();
    let sends: Vec<_> = (0..20)
        .map(|n| {
            let (client, to) = (client.clone(), to.clone());
            tokio::spawn(async move { client.send_text(&to, &n.to_string()).await.unwrap() })
        })
        .collect();
    conn.serve_keys(&mut phone).await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        let sent = message(&mut conn).await;
        phone.open(&sent.encs[0]).unwrap();
        ids.push(sent.id);
    }
    for send in sends {
        let id = send.await.unwrap();
        assert!(ids.contains(&id));
    }
}

#[tokio::test]
async fn a_peer_without_keys_or_with_bad_ones_is_an_error_and_nothing_is_stored() {
    use landbridge::stanza::codes::IqErrorCode;
    use landbridge::stanza::keys::FetchedUser;
    use landbridge::stanza::{ClientRequest, IqError, Request};
    let mut server = Server::new();
    let client = server.client();
    let mut conn = server.connect(&client).await;
    let mut phone = Phone::new(BOB);
    let to = phone.jid.clone();
    for good in [false, true] {
        let (result, ()) = tokio::join!(client.send_text(&to, "x"), async {
            let ClientStanza::Request { id, request: ClientRequest::FetchKeys(request), .. } =
                conn.next().await
            else {
                panic!()
            };
            let user = if good {
                let mut user = phone.fetched();
                user.bundle.as_mut().unwrap().signed_prekey.signature[0] ^= 1;
                user
            } else {
                FetchedUser { jid: to.clone(), bundle: Err(IqError::new(IqErrorCode::ItemNotFound)) }
            };
            let node = request.reply_node(&vec![user], &id, &Profile::default());
            conn.send(&node).await;
        });
        match result {
            Err(Error::NoKeys { .. }) => assert!(!good),
            Err(Error::BadKeys { .. }) => assert!(good),
            other => panic!("{other:?}"),
        }
    }
}
