//! A server that floods, or that stops reading, and an application that does not read: the client's memory stays within a bound,
//! and the client answers.
//!
//! The bytes of the whole process are counted, so the bounds include the test's own server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod support;

use std::time::Duration;

use landbridge::stanza::ClientStanza;
use landbridge::stanza::ack::AckIn;
use landbridge::store::SqliteStore;
use landbridge::wire::{Jid, Node};
use landbridge_heapcount::{Counting, begin, in_use, peak};
use support::{Conn, Phone, Server, enlist_in, now, text};
use tokio::sync::Mutex;

#[global_allocator]
static HEAP: Counting = Counting;

/// One test counts at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

const MIB: usize = 1024 * 1024;

fn assert_within(before: usize, bound: usize, what: &str) {
    let grown = peak().saturating_sub(before);
    println!("{what}: {} KiB at the most, {} KiB kept", grown / 1024, in_use().saturating_sub(before) / 1024);
    assert!(grown < bound, "{what}: {grown} bytes");
}

/// Reads and answers what is there already.
async fn drain(conn: &mut Conn) -> usize {
    let mut count = 0;
    while let Some(stanza) = conn.stanza_now().await {
        assert_ne!(stanza, ClientStanza::End);
        conn.serve(&stanza).await;
        count += 1;
    }
    count
}

/// Reads answers until so many have come.
async fn answers(conn: &mut Conn, mut missing: usize) {
    while missing > 0 {
        let stanza = conn.stanza().await.expect("the client is there");
        if !conn.serve(&stanza).await {
            missing = missing.saturating_sub(1);
        }
    }
}

fn odd(n: usize) -> Node {
    Node::new("odd").attr("id", format!("X{n}")).attr("from", Jid::server("s.whatsapp.net"))
}

#[tokio::test]
async fn a_mailbox_without_end_and_an_application_that_does_not_read() {
    const MESSAGES: usize = 400;
    let _alone = ALONE.lock().await;
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path().join("client.db")).unwrap();
    enlist_in(&mut store);
    let mut server = Server::new();
    let client = server.builder(store).build().unwrap();
    let mut conn = server.connect(&client).await;
    let mut phone = Phone::new("14155552002");
    phone.meet(&conn.uploads[0]);
    let mut events = client.events();

    let before = begin();
    let long = "x".repeat(60_000);
    for n in 0..MESSAGES {
        conn.send(&phone.message(&format!("L{n}"), &format!("{n} {long}")).to_node(&conn.profile)).await;
        drain(&mut conn).await;
    }
    conn.serve_all_while(client.ping()).await.unwrap();
    assert_within(before, 8 * MIB, "messages that wait for the application");

    // All of them come, in order, from memory and from the store.
    let reading = async {
        for n in 0..MESSAGES {
            assert!(text(&mut events).await.starts_with(&format!("{n} ")), "message {n}");
        }
    };
    conn.serve_all_while(reading).await;
    assert_within(before, 16 * MIB, "and are read");
}

#[tokio::test]
async fn stanzas_without_end() {
    let _alone = ALONE.lock().await;
    let mut server = Server::new();
    let client = server.client();
    let mut conn = server.connect(&client).await;
    let mut events = client.events();

    let before = begin();
    for n in 0..5_000 {
        let peer = Jid::user(format!("1415555{n:04}"));
        let ack = AckIn::message(format!("NONE{n}"), peer.clone(), now()).to_node(&conn.profile);
        conn.send(&odd(n)).await;
        conn.send(&ack).await;
        conn.send(&Node::new("chatstate").attr("from", peer.clone()).child(Node::new("composing"))).await;
        conn.send(&Node::new("presence").attr("from", peer)).await;
        drain(&mut conn).await;
    }
    conn.serve_all_while(client.ping()).await.unwrap();
    assert_within(before, 8 * MIB, "stanzas without end");
    assert!(events.next().await.is_some());
}

#[tokio::test]
async fn frames_as_large_as_they_may_be() {
    let _alone = ALONE.lock().await;
    let mut server = Server::new();
    let client = server.client();
    let mut conn = server.connect(&client).await;
    let before = begin();
    for n in 0..6 {
        conn.send(&odd(n).bytes(vec![0x5a; 15 * MIB])).await;
        answers(&mut conn, 1).await;
    }
    conn.serve_all_while(client.ping()).await.unwrap();
    // The server's tree, payload and frame are three of them.
    assert_within(before, 8 * 16 * MIB, "frames of 15 MiB");
    assert!(in_use() < before + 48 * MIB, "{} bytes were kept", in_use() - before);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_reading() {
    let _alone = ALONE.lock().await;
    let mut server = Server::new();
    let client = server.client();
    let mut conn = server.connect(&client).await;
    let before = begin();
    let mut sent = 0;
    // Each wants an answer, and none is read. Time stands still while anything moves: a second passes only when nothing does.
    let flood = async {
        for n in 0..200_000 {
            conn.send(&odd(n)).await;
            sent = n;
        }
    };
    let stalled = tokio::time::timeout(Duration::from_secs(1), flood).await;
    assert!(stalled.is_err(), "the client took {sent} stanzas that it could not answer");
    assert_within(before, 4 * MIB, "answers that nobody reads");
    // What needs no server is answered.
    let peer = Jid::user("14155552002");
    assert_eq!(client.message_state(&peer, &"NONE".parse().unwrap()).await.unwrap(), None);
    assert!(client.address().await.unwrap().is_some());
    drop(conn);
    client.closed().await;
    let mut conn = server.connect(&client).await;
    conn.serve_all_while(client.ping()).await.unwrap();
    assert!(in_use() < before + 4 * MIB);
}

/// Messages that the queue has no room for are read from the store, and those that come meanwhile do not overtake them.
#[tokio::test]
async fn an_application_that_falls_behind_misses_nothing() {
    const FIRST: usize = 60;
    let _alone = ALONE.lock().await;
    let mut server = Server::new();
    let client = server.client();
    let mut conn = server.connect(&client).await;
    let mut phone = Phone::new("14155552002");
    phone.meet(&conn.uploads[0]);
    let mut events = client.events();
    // The stream has caught up, so that what comes now comes through the queue.
    conn.send(&phone.message("START", "start").to_node(&conn.profile)).await;
    assert_eq!(conn.serve_all_while(text(&mut events)).await, "start");
    let long = "x".repeat(60_000);
    for n in 0..FIRST {
        conn.send(&phone.message(&format!("L{n}"), &format!("{n} {long}")).to_node(&conn.profile)).await;
    }
    conn.serve_all_while(client.ping()).await.unwrap();
    // One is taken, which makes room; then a short one comes.
    assert!(conn.serve_all_while(text(&mut events)).await.starts_with("0 "));
    conn.send(&phone.message("SHORT", &format!("{FIRST} short")).to_node(&conn.profile)).await;
    conn.serve_all_while(client.ping()).await.unwrap();
    for n in 1..=FIRST {
        let shown = conn.serve_all_while(text(&mut events)).await;
        assert!(shown.starts_with(&format!("{n} ")), "{} instead of {n}", &shown[..shown.len().min(8)]);
    }
}
