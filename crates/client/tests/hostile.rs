//! A server that sends whatever it likes: the client refuses it by name, answers what it must, and never panics.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use landbridge::stanza::ClientStanza;
use landbridge::wire::{Jid, Node};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use support::{Conn, Phone, Server, text};

const TAGS: [&str; 11] = [
    "message",
    "receipt",
    "ack",
    "notification",
    "iq",
    "ib",
    "chatstate",
    "presence",
    "call",
    "success",
    "odd",
];
const CHILDREN: [&str; 16] = [
    "enc",
    "unavailable",
    "retry",
    "registration",
    "keys",
    "key",
    "skey",
    "list",
    "item",
    "count",
    "digest",
    "identity",
    "offline",
    "offline_preview",
    "dirty",
    "composing",
];
const KEYS: [&str; 13] = [
    "id",
    "from",
    "type",
    "t",
    "count",
    "participant",
    "offline",
    "class",
    "error",
    "v",
    "xmlns",
    "jid",
    "value",
];
const WORDS: [&str; 16] = [
    "1",
    "0",
    "2",
    "99999999999999999999",
    "-1",
    "",
    "pkmsg",
    "msg",
    "retry",
    "read",
    "encrypt",
    "account_sync",
    "get",
    "result",
    "B1",
    "x",
];

fn pick<'a>(rng: &mut StdRng, from: &[&'a str]) -> &'a str {
    from[usize::try_from(rng.next_u32()).unwrap() % from.len()]
}

fn chance(rng: &mut StdRng, percent: u32) -> bool {
    rng.next_u32() % 100 < percent
}

fn node(rng: &mut StdRng, tag: &str, depth: u32) -> Node {
    let mut node = Node::new(tag);
    for key in KEYS {
        if !chance(rng, if depth == 0 { 60 } else { 30 }) {
            continue;
        }
        node = match key {
            "from" | "jid" | "participant" => node.attr(key, jid(rng)),
            _ => node.attr(key, pick(rng, &WORDS)),
        };
    }
    if depth < 3 && chance(rng, 70) {
        for _ in 0..rng.next_u32() % 4 {
            let tag = pick(rng, &CHILDREN);
            node = node.child(self::node(rng, tag, depth + 1));
        }
        return node;
    }
    let mut bytes = vec![0; [0, 1, 3, 4, 32, 64, 80][usize::try_from(rng.next_u32() % 7).unwrap()]];
    rng.fill_bytes(&mut bytes);
    node.bytes(bytes)
}

fn jid(rng: &mut StdRng) -> Jid {
    match rng.next_u32() % 7 {
        0 => Jid::server("s.whatsapp.net"),
        1 => Jid::group("1203630"),
        2 => Jid::interop(1, "10853634039893"),
        3 => Jid::lid("77"),
        4 => Jid::user("14155551001").with_device(3),
        5 => Jid::new("x", "nowhere"),
        _ => Jid::user("14155551001"),
    }
}

/// Sends nonsense and reads what comes back, until `conn` has had enough or the client has.
async fn pester(conn: &mut Conn, rng: &mut StdRng, count: u32) {
    for _ in 0..count {
        let tag = pick(rng, &TAGS);
        let nonsense = node(rng, tag, 0);
        conn.send(&nonsense).await;
        // What the client answers is well formed, whatever it was asked; it is read so that nothing piles up.
        while let Ok(stanza) = tokio::time::timeout(std::time::Duration::ZERO, conn.stanza()).await {
            match stanza {
                Some(stanza) => {
                    conn.serve(&stanza).await;
                }
                None => return,
            }
        }
    }
}

#[tokio::test]
async fn nonsense_never_panics_and_hurts_nobody() {
    let panics = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&panics);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        counter.fetch_add(1, Ordering::SeqCst);
        before(info);
    }));
    let mut server = Server::new();
    let client = server.client();
    let mut conn = server.connect(&client).await;
    let mut phone = Phone::new("14155552002");
    phone.meet(&conn.uploads[0]);
    for seed in 0..20 {
        let mut rng = StdRng::seed_from_u64(seed);
        pester(&mut conn, &mut rng, 200).await;
        assert!(!matches!(conn.stanza_now().await, Some(ClientStanza::End)), "seed {seed} ended the stream");
    }
    assert_eq!(panics.load(Ordering::SeqCst), 0);

    // An honest message still comes through, on this connection and in this store.
    let mut events = client.events();
    conn.send(&phone.message("H1", "honest").to_node(&conn.profile)).await;
    loop {
        let shown = tokio::select! {
            shown = text(&mut events) => Some(shown),
            stanza = conn.stanza() => {
                let stanza = stanza.expect("the client is there");
                conn.serve(&stanza).await;
                None
            }
        };
        match shown.as_deref() {
            Some("honest") => break,
            Some(other) => panic!("{other:?} was shown"),
            None => {}
        }
    }
}

#[tokio::test]
async fn random_payloads_end_the_connection_by_name() {
    let mut server = Server::new();
    let client = server.client();
    let mut rng = StdRng::seed_from_u64(7);
    for _ in 0..30 {
        let mut conn = server.connect(&client).await;
        let mut payload = vec![0; usize::try_from(rng.next_u32() % 200).unwrap() + 1];
        rng.fill_bytes(&mut payload);
        // A list header that announces more than there is: never a stanza.
        payload[0] = 0;
        payload.insert(1, 0xf9);
        payload.insert(2, 0xff);
        conn.send_payload(&payload).await;
        let (ending, _rest) = tokio::join!(client.closed(), conn.until_closed());
        assert!(matches!(&*ending.unwrap(), landbridge::Ending::Decode { .. }));
    }
}
