//! Numbers that behave in a way of their own, each seen from a client on a socket.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::time::Duration;

use landbridge_sandbox::events::EventKind;
use landbridge_sandbox::faults::Magic;
use landbridge_stanza::codes::{IqErrorCode, MessageErrorCode};
use landbridge_stanza::receipt::ReceiptType;
use landbridge_wire::Jid;
use support::chat::Peer;
use support::*;

fn jid(magic: Magic) -> Jid {
    Jid::user(magic.number())
}

async fn alice() -> (World, Peer) {
    let mut config = config();
    config.fault_times.slow_phone = Duration::from_millis(20);
    let world = World::with(config).await;
    let peer = Peer::new(&world, "alice").await;
    assert!(world.sandbox.handle().phones().unwrap().is_empty(), "phones are made when they are asked for");
    (world, peer)
}

/// Sends a text that is acked and delivered.
async fn deliver(peer: &mut Peer, to: &Jid, text: &str) {
    let id = peer.send(to, text).await;
    assert_eq!(peer.ack().await.error, None);
    let receipt = peer.receipt().await;
    assert_eq!((receipt.id, receipt.kind), (id, ReceiptType::Delivered));
}

fn did(world: &World, magic: Magic, what: &str) -> bool {
    world.events().iter().any(|event| {
        matches!(&event.kind, EventKind::MagicNumber { number, detail, .. }
            if *number == magic.number() && detail.contains(what))
    })
}

#[tokio::test]
async fn echo_and_slow_answer() {
    let (world, mut peer) = alice().await;
    for magic in [Magic::Echo, Magic::Slow] {
        let to = jid(magic);
        for text in ["one", "two"] {
            deliver(&mut peer, &to, text).await;
            assert_eq!(peer.read().await, text);
        }
        assert!(did(&world, magic, "made"));
    }
    assert_eq!(world.broken(), [] as [String; 0]);
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn never_online_takes_nothing() {
    let (world, mut peer) = alice().await;
    let to = jid(Magic::NeverOnline);
    peer.send(&to, "are you there?").await;
    assert_eq!(peer.ack().await.error, None);
    let users = world.sandbox.handle().users().unwrap();
    let there = users.iter().find(|user| user.jid == to.to_string()).unwrap();
    assert_eq!((there.mailbox, there.connected), (1, false));
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn keys_that_are_not_there() {
    let (world, mut peer) = alice().await;
    for (magic, code) in
        [(Magic::NoKeys, IqErrorCode::NotAcceptable), (Magic::Unknown, IqErrorCode::ItemNotFound)]
    {
        assert_eq!(peer.fetch(&jid(magic)).await.bundle.unwrap_err().code, code);
    }
    let to = jid(Magic::PrekeysOut);
    for _ in 0..2 {
        assert_eq!(peer.fetch(&to).await.bundle.unwrap().prekey, None);
    }
    deliver(&mut peer, &to, "all the same").await;
    assert_eq!(peer.read().await, "all the same");
    assert!(did(&world, Magic::PrekeysOut, "no one-time prekey"));
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn changes_its_identity_once() {
    let (world, mut peer) = alice().await;
    let to = jid(Magic::Reinstalls);
    let identity = peer.fetch(&to).await.bundle.unwrap().identity;
    deliver(&mut peer, &to, "one").await;
    assert_eq!(peer.read().await, "one");
    let told = peer.client.next("notification").await;
    assert_eq!(
        (told.view().attr_jid("from"), told.view().child("identity").is_some()),
        (Some(to.clone()), true)
    );
    peer.ack_for(&told).await;
    let other = peer.fetch(&to).await.bundle.unwrap().identity;
    assert_ne!(identity, other);
    peer.forget_session(&to);
    for text in ["two", "three"] {
        deliver(&mut peer, &to, text).await;
        assert_eq!(peer.read().await, text);
    }
    assert!(did(&world, Magic::Reinstalls, "set up anew"));
    assert_eq!(peer.fetch(&to).await.bundle.unwrap().identity, other, "once");
    assert_eq!(world.broken(), [] as [String; 0]);
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn asks_again_once_per_message() {
    let (world, mut peer) = alice().await;
    let to = jid(Magic::AsksAgain);
    for text in ["once", "and once more"] {
        let id = peer.send(&to, text).await;
        assert_eq!(peer.ack().await.error, None);
        let asked = peer.receipt().await;
        assert_eq!((&asked.id, &asked.kind), (&id, &ReceiptType::Retry));
        peer.send_again(&asked, text).await;
        assert_eq!(peer.ack().await.error, None);
        assert_eq!(peer.receipt().await.kind, ReceiptType::Delivered);
        assert_eq!(peer.read().await, text);
    }
    assert_eq!(world.broken(), [] as [String; 0], "the client has done nothing wrong");
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn blocks_after_the_first_message() {
    let (world, mut peer) = alice().await;
    let to = jid(Magic::Blocks);
    deliver(&mut peer, &to, "hello").await;
    world.wait(|event| matches!(event.kind, EventKind::Blocklist { action: "block", .. })).await;
    let id = peer.send(&to, "hello?").await;
    assert_eq!(peer.ack().await.error, None);
    world.wait(|event| {
        matches!(&event.kind, EventKind::MessageDiscarded { id: gone, .. } if *gone == id.to_string())
    })
    .await;
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn answers_twice_and_out_of_order() {
    let (world, mut peer) = alice().await;
    deliver(&mut peer, &jid(Magic::Twice), "echo").await;
    let (first, second) = (peer.message().await, peer.message().await);
    assert_eq!((first.id.clone(), &first.content), (second.id.clone(), &second.content));
    assert_eq!(peer.open(&first).unwrap(), "echo");
    peer.took(&first).await;

    deliver(&mut peer, &jid(Magic::OutOfOrder), "x").await;
    let mut texts = Vec::new();
    for _ in 0..3 {
        texts.push(peer.read().await);
    }
    assert!(!texts.is_sorted(), "{texts:?}");
    texts.sort_unstable();
    assert_eq!(texts, ["1/3 x", "2/3 x", "3/3 x"]);
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn refused_messages() {
    let (world, mut peer) = alice().await;
    for (magic, code) in [
        (Magic::RateLimited, MessageErrorCode::RateOverlimit),
        (Magic::NotYet, MessageErrorCode::ReachOutLocked),
    ] {
        let id = peer.send(&jid(magic), "please").await;
        let ack = peer.ack().await;
        assert_eq!((ack.id, ack.error), (id.to_string(), Some(code)));
        assert!(did(&world, magic, "refused"));
    }
    world.sandbox.shutdown().await;
}
