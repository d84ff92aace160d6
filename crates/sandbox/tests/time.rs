//! Time-outs, on a clock that runs ahead whenever nothing happens.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::time::Duration;

use landbridge_sandbox::events::EventKind;
use landbridge_sandbox::faults::{Fault, Probability};
use landbridge_stanza::liveness::Ping;
use landbridge_stanza::message::{Enc, EncType, MessageOut, MessageType};
use landbridge_stanza::stream::StreamError;
use landbridge_stanza::{Inbound, Profile};
use support::*;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

async fn elapsed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let start = Instant::now();
    let value = work.await;
    (value, start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn the_first_byte() {
    let world = World::new().await;
    let mut socket = raw(world.sandbox.chat_addr()).await;
    let (answer, took) = elapsed(read_all(&mut socket)).await;
    assert_eq!(answer, b"");
    assert!((9..=12).contains(&took.as_secs()), "{took:?}");
    assert!(world.broken().pop().unwrap().contains("no byte came within 10 s"));
}

#[tokio::test(start_paused = true)]
async fn the_handshake() {
    let world = World::new().await;
    for beginning in [&b"W"[..], b"WA\x06\x03", b"WA\x06\x03\0\0\x24\x12"] {
        let mut socket = raw(world.sandbox.chat_addr()).await;
        socket.write_all(beginning).await.unwrap();
        let (answer, took) = elapsed(read_all(&mut socket)).await;
        assert_eq!(answer, b"");
        assert!((19..=23).contains(&took.as_secs()), "{took:?}");
        assert!(world.broken().pop().unwrap().contains("the handshake was not over within 20 s"));
    }
}

#[tokio::test(start_paused = true)]
async fn silence() {
    let world = World::new().await;
    let account = world.enlist("alice");
    let mut client = world.log_in_passive(&account).await;
    // Pinged after a minute; an answer buys another one.
    for _ in 0..3 {
        let (inbound, took) = elapsed(client.inbound()).await;
        let Inbound::Ping(ping) = inbound else { panic!("{inbound:?}") };
        assert!((59..=61).contains(&took.as_secs()), "{took:?}");
        client.send(&ping.reply_node()).await;
        client.ask(&Ping).await.unwrap();
    }
    // No answer: closed a minute later.
    let Inbound::Ping(_) = client.inbound().await else { panic!() };
    let (inbound, took) = elapsed(client.inbound()).await;
    assert_eq!(inbound, Inbound::End);
    assert!((58..=61).contains(&took.as_secs()), "{took:?}");
    assert!(client.rest().await.is_empty());
    assert!(world.broken().pop().unwrap().starts_with("[stanzas 6] silent for 120 s"));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_acked() {
    let mut config = config();
    config.profile.liveness.server_ping_after_s = 600;
    config.profile.liveness.server_close_after_s = 1_200;
    let world = World::with(config).await;
    let (mut alice, mut bob) = (world.enlist("alice"), world.enlist("bob"));
    let mut a = world.log_in(&mut alice).await;
    let mut b = world.log_in(&mut bob).await;
    let enc = Enc::new(EncType::Message, vec![1; 40]);
    let message = MessageOut::new(alice.jid.clone(), "A".parse().unwrap(), MessageType::Text, enc);
    b.send(&message.to_node(&Profile::default())).await;
    let Inbound::Message(_) = a.inbound().await else { panic!() };
    let (inbound, took) = elapsed(a.inbound()).await;
    let class = Some("message".to_owned());
    let (kind, id) = (Some("text".to_owned()), Some("A".to_owned()));
    assert_eq!(inbound, Inbound::StreamError(StreamError::Unacked { class, kind, id }));
    assert!((59..=61).contains(&took.as_secs()), "{took:?}");
    assert!(a.rest().await.is_empty());
    let named = world.broken().pop().unwrap();
    assert!(named.starts_with("[stanzas 2.2]") && named.contains("\"A\""), "{named}");
    // It comes again.
    let mut a = world.log_in_passive(&alice).await;
    a.ask(&landbridge_stanza::liveness::SetActive::Active).await.unwrap();
    assert!(a.next("message").await.view().attr_str("offline").is_some());
}

#[tokio::test(start_paused = true)]
async fn the_clock_jumps_if_a_fault_wants_it() {
    let world = World::new().await;
    let handle = world.sandbox.handle().clone();
    handle.set_fault(Fault::ClockJump, Probability::ALWAYS, Some(3));
    let jumps = |world: &World| {
        let events = world.events().into_iter();
        let jumps = events.filter_map(|event| match event.kind {
            EventKind::FaultInjected { fault: "clock-jump", detail, .. } => Some(detail),
            _ => None,
        });
        jumps.collect::<Vec<_>>()
    };
    let (_, took) = elapsed(async {
        while jumps(&world).len() < 3 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    })
    .await;
    assert!((178..=183).contains(&took.as_secs()), "once per minute: {took:?}");
    let moved: i64 = jumps(&world)
        .iter()
        .map(|jump| match jump.as_str() {
            "5 seconds back" => -5,
            "an hour back" => -3_600,
            "an hour ahead" => 3_600,
            "31 days ahead" => 31 * 86_400,
            other => panic!("{other}"),
        })
        .sum();
    assert_eq!(handle.clock().now(), NOW.saturating_add_signed(moved));
    world.sandbox.shutdown().await;
}

/// Silent connections take no place from those who speak, and end.
#[tokio::test(start_paused = true)]
async fn many_silent_connections() {
    let world = World::new().await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(raw(world.sandbox.chat_addr()).await);
    }
    let account = world.enlist("alice");
    world.log_in_passive(&account).await;
    for mut socket in silent {
        assert_eq!(read_all(&mut socket).await, b"");
    }
    let ended = world.events().into_iter().filter(
        |event| matches!(&event.kind, EventKind::Broken { detail, .. } if detail.contains("no byte came")),
    );
    assert_eq!(ended.count(), 200);
}

/// Who finds no place waits for one.
#[tokio::test]
async fn the_number_of_connections_is_bounded() {
    let mut config = config();
    config.chat.connections = 1;
    let world = World::with(config).await;
    let (alice, bob) = (world.enlist("alice"), world.enlist("bob"));
    let first = world.log_in_passive(&alice).await;
    let second = tokio::spawn({
        let (addr, root, profile) =
            (world.sandbox.chat_addr(), world.sandbox.root_key(), world.profile.clone());
        let payload = world.payload(&bob).encode();
        async move { connect_to(addr, root, profile, &bob.noise, &payload, NOW).await.receive().await }
    });
    let connected = |world: &World| {
        world.events().iter().filter(|event| matches!(event.kind, EventKind::Connected { .. })).count()
    };
    assert_eq!(connected(&world), 1);
    drop(first);
    assert!(second.await.unwrap().unwrap().view().is("success"));
    assert_eq!(connected(&world), 2);
    world.sandbox.shutdown().await;
}
