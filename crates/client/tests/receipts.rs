//! Receipts in both directions: single, in lists, and in any order.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod support;

use landbridge::stanza::ack::AckIn;
use landbridge::stanza::receipt::{ReceiptIn, ReceiptOut, ReceiptType};
use landbridge::stanza::{ClientStanza, MessageId};
use landbridge::store::OutState;
use landbridge::wire::Jid;
use landbridge::{Client, Event, Events, ReadReceipts};
use support::{Conn, Phone, Server, enlisted_store, event, now};

const BOB: &str = "14155551001";

async fn receipt(conn: &mut Conn) -> ReceiptOut {
    match conn.next().await {
        ClientStanza::Receipt(receipt) => *receipt,
        other => panic!("no receipt: {other:?}"),
    }
}

/// A client that has sent some messages.
async fn sent(server: &mut Server, count: usize) -> (Client, Conn, Events, Vec<MessageId>) {
    let client = server.client();
    let mut conn = server.connect(&client).await;
    let mut phone = Phone::new(BOB);
    phone.meet(&conn.uploads[0]);
    let mut events = client.events();
    conn.send(&phone.message("B0", "hello").to_node(&conn.profile)).await;
    assert_eq!(support::text(&mut events).await, "hello");
    receipt(&mut conn).await;
    let mut ids = Vec::new();
    for _ in 0..count {
        let id = client.send_text(&Jid::user(BOB), "a message").await.unwrap();
        assert!(matches!(conn.next().await, ClientStanza::Message(_)));
        conn.send(&AckIn::message(id.as_str(), Jid::user(BOB), now()).to_node(&conn.profile)).await;
        assert_eq!(moved(&mut events).await, (id.clone(), OutState::Sent));
        ids.push(id);
    }
    (client, conn, events, ids)
}

async fn moved(events: &mut Events) -> (MessageId, OutState) {
    event(events, |event| match event {
        Event::MessageState { id, state, .. } => Some((id.clone(), *state)),
        _ => None,
    })
    .await
}

/// The peer's receipt, and the client's ack of it.
async fn says(conn: &mut Conn, kind: ReceiptType, ids: &[MessageId]) {
    let (first, more) = ids.split_first().unwrap();
    let mut receipt = ReceiptIn::new(kind, Jid::user(BOB), first.clone(), now());
    receipt.more_ids = more.to_vec();
    conn.send(&receipt.to_node(&conn.profile)).await;
    match conn.next().await {
        ClientStanza::Ack(ack) => assert_eq!(ack.id, first.as_str()),
        other => panic!("no ack: {other:?}"),
    }
}

#[tokio::test]
async fn a_list_moves_every_message_and_nothing_goes_back() {
    let mut server = Server::new();
    let (client, mut conn, mut events, ids) = sent(&mut server, 4).await;
    says(&mut conn, ReceiptType::Played, &ids[3..]).await;
    assert_eq!(moved(&mut events).await, (ids[3].clone(), OutState::Played));
    says(&mut conn, ReceiptType::Delivered, &ids[..1]).await;
    assert_eq!(moved(&mut events).await, (ids[0].clone(), OutState::Delivered));
    // One list for messages in all states, and for one that never was.
    let mut list = ids.clone();
    list.insert(2, "3EB0UNKNOWN".parse().unwrap());
    says(&mut conn, ReceiptType::Read, &list).await;
    for id in &ids[..3] {
        assert_eq!(moved(&mut events).await, (id.clone(), OutState::Read));
    }
    // Late, again, and of a kind that says nothing.
    for kind in [ReceiptType::Delivered, ReceiptType::Read, ReceiptType::ReadSelf, ReceiptType::Inactive] {
        says(&mut conn, kind, &ids).await;
    }
    says(&mut conn, ReceiptType::Played, &ids[..1]).await;
    assert_eq!(moved(&mut events).await, (ids[0].clone(), OutState::Played), "and no other move before it");
    let mut states = Vec::new();
    for id in &ids {
        states.push(client.message_state(&Jid::user(BOB), id).await.unwrap().unwrap());
    }
    assert_eq!(states, [OutState::Played, OutState::Read, OutState::Read, OutState::Played]);
}

fn names(range: std::ops::Range<usize>) -> Vec<MessageId> {
    range.map(|n| format!("B{n}").parse().unwrap()).collect()
}

#[tokio::test]
async fn many_messages_are_marked_with_few_receipts() {
    let mut server = Server::new();
    let client = server.client();
    let mut conn = server.connect(&client).await;
    let bob = Jid::user(BOB);
    let ids = names(0..600);
    client.mark_read(&bob, &ids).await.unwrap();
    client.mark_played(&bob, &ids[..2]).await.unwrap();
    client.mark_read(&bob, &[]).await.unwrap();
    let lists = [
        (ReceiptType::Read, 0..256),
        (ReceiptType::Read, 256..512),
        (ReceiptType::Read, 512..600),
        (ReceiptType::Played, 0..2),
    ];
    for (kind, range) in lists {
        let receipt = receipt(&mut conn).await;
        assert_eq!((&receipt.kind, &receipt.to, receipt.t.is_some()), (&kind, &bob, true));
        assert_eq!(receipt.ids().cloned().collect::<Vec<_>>(), names(range));
    }
    let ((), rest) = tokio::join!(client.disconnect(), conn.until_closed());
    assert_eq!(rest, [ClientStanza::End]);
}

#[tokio::test]
async fn what_is_marked_while_away_is_told_after_the_next_login() {
    let mut server = Server::new();
    let client = server.client();
    let bob = Jid::user(BOB);
    client.mark_read(&bob, &names(0..2)).await.unwrap();
    client.mark_played(&bob, &names(0..1)).await.unwrap();
    assert_eq!(client.receipts_written().await.unwrap_err().code(), "not_connected");
    let mut conn = server.connect(&client).await;
    client.receipts_written().await.unwrap();
    let read = receipt(&mut conn).await;
    assert_eq!((read.kind.clone(), read.ids().count()), (ReceiptType::Read, 2));
    assert_eq!(receipt(&mut conn).await.kind, ReceiptType::Played);
}

#[tokio::test]
async fn a_user_who_does_not_want_it_tells_nothing() {
    let mut server = Server::new();
    let silent = server.builder(enlisted_store()).read_receipts(ReadReceipts::Withhold).build().unwrap();
    let mut conn = server.connect(&silent).await;
    assert_eq!(conn.login.enable_read_receipts, Some(false));
    let mut phone = Phone::new(BOB);
    phone.meet(&conn.uploads[0]);
    let mut events = silent.events();
    conn.send(&phone.message("B0", "hello").to_node(&conn.profile)).await;
    assert_eq!(support::text(&mut events).await, "hello");
    assert_eq!(receipt(&mut conn).await.kind, ReceiptType::Delivered, "that it arrived is always told");
    silent.mark_read(&phone.jid, &names(0..1)).await.unwrap();
    silent.mark_played(&phone.jid, &names(0..1)).await.unwrap();
    silent.receipts_written().await.unwrap();
    let ((), rest) = tokio::join!(silent.disconnect(), conn.until_closed());
    assert_eq!(rest, [ClientStanza::End]);
}
