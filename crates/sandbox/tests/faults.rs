//! Every fault over real sockets: it happens, it is in the journal, and what the sandbox knows stays right.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::time::Duration;

use landbridge_sandbox::events::{Event, EventKind};
use landbridge_sandbox::faults::{Fault, Probability};
use landbridge_sandbox::{Calm, FaultTimes, MessageState};
use landbridge_stanza::Request;
use landbridge_stanza::codes::NackCode;
use landbridge_stanza::ib::Ib;
use landbridge_stanza::liveness::{Ping, SetActive};
use landbridge_stanza::receipt::ReceiptType;
use landbridge_stanza::stream::StreamError;
use landbridge_stanza::{Inbound, ack::AckOut};
use landbridge_transport::HttpClient;
use landbridge_wire::Jid;
use support::chat::Peer;
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const NUMBER: &str = "14155551001";

fn joe() -> Jid {
    Jid::user(NUMBER)
}

/// A world with a phone, and times that tests can wait for.
async fn world(seed: u64) -> World {
    let mut config = config();
    config.seed = Some(seed);
    config.fault_times = FaultTimes {
        http: Duration::from_millis(20),
        ack: Duration::from_millis(100),
        iq: Duration::from_millis(100),
        reorder: Duration::from_millis(200),
        stream_end: Duration::from_millis(20),
        ..FaultTimes::default()
    };
    let world = World::with(config).await;
    world.sandbox.handle().create_phone(NUMBER, "Joe").unwrap();
    world
}

async fn with_alice(seed: u64) -> (World, Peer) {
    let world = world(seed).await;
    let peer = Peer::new(&world, "alice").await;
    (world, peer)
}

fn always(world: &World, fault: Fault) {
    world.sandbox.handle().set_fault(fault, Probability::ALWAYS, None);
}

fn once(world: &World, fault: Fault) {
    world.sandbox.handle().set_fault(fault, Probability::ALWAYS, Some(1));
}

/// How often a fault was injected: the journal and the report agree.
fn injected(world: &World, fault: Fault) -> u64 {
    let noted = world
        .events()
        .iter()
        .filter(|event| matches!(&event.kind, EventKind::FaultInjected { fault: name, .. } if *name == fault.name()))
        .count() as u64;
    let report = world.sandbox.handle().faults();
    let state = report.faults.iter().find(|state| state.name == fault.name()).unwrap();
    assert_eq!(state.injected, noted);
    noted
}

async fn until_injected(world: &World, fault: Fault) {
    world
        .wait(|event| {
            matches!(&event.kind, EventKind::FaultInjected { fault: name, .. } if *name == fault.name())
        })
        .await;
}

fn phone_says(world: &World, text: &str) {
    world.sandbox.handle().phone_send_text(NUMBER, "alice", text).unwrap();
}

/// A text each way, with everything that belongs to it.
async fn talk(world: &World, peer: &mut Peer, text: &str) {
    let id = peer.send(&joe(), text).await;
    let ack = peer.ack().await;
    assert_eq!((ack.id, ack.error), (id.to_string(), None));
    assert_eq!(peer.receipt().await.id, id);
    phone_says(world, text);
    assert_eq!(peer.read().await, text);
}

fn mailbox(world: &World, jid: &Jid) -> u64 {
    let users = world.sandbox.handle().users().unwrap();
    u64::from(users.iter().find(|user| user.jid == jid.to_string()).unwrap().mailbox)
}

#[tokio::test]
async fn bytes_come_in_pieces_and_together() {
    let (world, mut peer) = with_alice(1).await;
    always(&world, Fault::TcpSplit);
    // The handshake is split, too.
    peer.connect_again(&world).await;
    for fault in [Fault::TcpSplit, Fault::TcpCoalesced] {
        always(&world, fault);
        for n in 0..3 {
            talk(&world, &mut peer, &n.to_string()).await;
        }
        assert!(injected(&world, fault) >= 3);
    }
    assert_eq!(world.broken(), [] as [String; 0]);
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn a_connection_that_is_reset_or_half_open_loses_nothing() {
    for (fault, seed) in [(Fault::TcpReset, 2), (Fault::TcpHalfOpen, 3)] {
        let (world, mut peer) = with_alice(seed).await;
        // The fault is for the next connection.
        peer.client.send(&landbridge_stanza::stream::end_node()).await;
        peer.client.rest().await;
        once(&world, fault);
        for n in 0..40 {
            phone_says(&world, &n.to_string());
        }
        let login = world.payload(&peer.account).encode();
        peer.client = world.handshake(&peer.account.noise, &login).await;
        peer.client.send(&SetActive::Active.to_node("a-1", &peer.profile)).await;
        // Each has an answer, so that there are frames enough.
        for n in 0..30 {
            peer.client.send(&Ping.to_node(&format!("p-{n}"), &peer.profile)).await;
        }
        let mut got = Vec::new();
        until_injected(&world, fault).await;
        if fault == Fault::TcpReset {
            while let Some(stanza) = peer.client.receive().await {
                if stanza.view().is("message") {
                    let message = landbridge_stanza::message::MessageIn::from_node(stanza.view()).unwrap();
                    got.push(peer.open(&message).unwrap());
                }
            }
        } else {
            // What is written there is read by nobody: the stream does not end.
            peer.client.send(&landbridge_stanza::stream::end_node()).await;
        }
        peer.client = world.log_in_passive(&peer.account).await;
        peer.client.ask(&SetActive::Active).await.unwrap();
        let mut again = Vec::new();
        while again.len() < 40 {
            let message = peer.message().await;
            // What was opened before is known.
            again.push(peer.open(&message).ok());
            peer.took(&message).await;
        }
        got.extend(again.into_iter().flatten());
        assert_eq!(got, (0..40).map(|n| n.to_string()).collect::<Vec<_>>());
        peer.client.ask(&Ping).await.unwrap();
        assert_eq!(mailbox(&world, &peer.account.jid), 0);
        assert_eq!(injected(&world, fault), 1);
        world.sandbox.shutdown().await;
    }
}

#[tokio::test]
async fn a_refused_connection_is_let_in_the_next_time() {
    let world = world(4).await;
    always(&world, Fault::HandshakeRefused);
    for _ in 0..2 {
        let mut refused = raw(world.sandbox.chat_addr()).await;
        assert!(matches!(refused.read(&mut [0; 1]).await, Ok(0) | Err(_)));
        Peer::new(&world, "alice").await;
    }
    assert_eq!(injected(&world, Fault::HandshakeRefused), 2);
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn stanzas_with_more_than_anybody_knows() {
    let (world, mut peer) = with_alice(5).await;
    always(&world, Fault::StanzaExtras);
    talk(&world, &mut peer, "still understood").await;
    phone_says(&world, "look");
    let stanza = peer.client.next("message").await;
    assert!(stanza.view().has_attr("x-landbridge") && stanza.view().child("x-landbridge").is_some());
    assert!(injected(&world, Fault::StanzaExtras) >= 4);

    once(&world, Fault::StanzaUnknown);
    peer.client.ask(&Ping).await.unwrap();
    let unknown = peer.client.next("x-landbridge").await;
    let ack = AckOut::answering(unknown.view(), Some(NackCode::UnknownTag)).unwrap();
    peer.client.send(&ack.to_node(&peer.profile)).await;
    peer.client.ask(&Ping).await.unwrap();
    assert_eq!(injected(&world, Fault::StanzaUnknown), 1);
    assert_eq!(world.broken(), [] as [String; 0]);
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn acks_come_late_and_in_another_order_and_answers_late() {
    let (world, mut peer) = with_alice(6).await;
    always(&world, Fault::AckLate);
    let mut sent = Vec::new();
    for n in 0..12 {
        sent.push(peer.send(&joe(), &n.to_string()).await.to_string());
    }
    let mut acked = Vec::new();
    for _ in 0..12 {
        acked.push(peer.ack().await.id);
    }
    assert_ne!(acked, sent);
    acked.sort_unstable();
    sent.sort_unstable();
    assert_eq!(acked, sent);
    assert!(injected(&world, Fault::AckLate) >= 12);
    always(&world, Fault::IqLate);
    peer.client.ask(&Ping).await.unwrap();
    assert_eq!(injected(&world, Fault::IqLate), 1);
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn a_stream_ends_and_a_new_one_goes_on() {
    let (world, mut peer) = with_alice(7).await;
    once(&world, Fault::StreamEnd);
    // The decision is looked at whenever something is sent.
    phone_says(&world, "before the end");
    let rest = peer.client.rest().await;
    let end = Inbound::from_node(rest.last().unwrap().view(), &peer.profile).unwrap();
    assert!(
        matches!(end, Inbound::StreamError(StreamError::Restart | StreamError::Server { code: 503 })),
        "{end:?}"
    );
    peer.connect_again(&world).await;
    assert_eq!(peer.read().await, "before the end");
    assert_eq!(injected(&world, Fault::StreamEnd), 1);
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn a_message_comes_twice_and_leaves_the_mailbox_once() {
    let (world, mut peer) = with_alice(8).await;
    always(&world, Fault::MessageTwice);
    phone_says(&world, "echo");
    let (first, second) = (peer.message().await, peer.message().await);
    assert_eq!(first, second);
    assert_eq!(peer.open(&first).unwrap(), "echo");
    peer.took(&first).await;
    peer.took(&second).await;
    peer.client.ask(&Ping).await.unwrap();
    assert_eq!(mailbox(&world, &peer.account.jid), 0);
    assert_eq!(injected(&world, Fault::MessageTwice), 1);
    let taken = |event: &&Event| matches!(&event.kind, EventKind::Taken { class, .. } if class == "message");
    assert_eq!(world.events().iter().filter(taken).count(), 1);
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn messages_overtake_each_other_but_not_the_end_of_the_mailbox() {
    let (world, mut peer) = with_alice(9).await;
    always(&world, Fault::MessageReordered);
    for n in 0..8 {
        phone_says(&world, &n.to_string());
    }
    let mut texts = Vec::new();
    for _ in 0..8 {
        texts.push(peer.read().await);
    }
    assert!(!texts.is_sorted(), "{texts:?}");
    texts.sort_unstable();
    assert_eq!(texts, (0..8).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(injected(&world, Fault::MessageReordered), 8);

    drop(peer.client);
    phone_says(&world, "while away");
    peer.client = world.log_in(&mut peer.account).await;
    // The end of the mailbox was seen, so its message must be here already.
    assert!(peer.client.waiting.iter().any(|stanza| stanza.view().is("message")));
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn a_phone_asks_once_though_it_could_read() {
    let (world, mut peer) = with_alice(10).await;
    talk(&world, &mut peer, "a session").await;
    always(&world, Fault::RetryAsked);
    let id = peer.send(&joe(), "say that again").await;
    assert_eq!(peer.ack().await.error, None);
    let asked = peer.receipt().await;
    assert_eq!((&asked.id, &asked.kind), (&id, &ReceiptType::Retry));
    peer.send_again(&asked, "say that again").await;
    assert_eq!(peer.ack().await.error, None);
    assert_eq!(peer.receipt().await.kind, ReceiptType::Delivered);
    let shown = world.sandbox.handle().phone_messages(NUMBER).unwrap();
    let last = shown.last().unwrap();
    assert_eq!((last.text.as_deref(), last.state), (Some("say that again"), MessageState::Shown));
    assert_eq!(injected(&world, Fault::RetryAsked), 1);
    assert_eq!(world.broken(), [] as [String; 0], "the client has done nothing wrong");
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn a_damaged_copy_is_replaced_when_it_is_asked_for() {
    for known in [false, true] {
        let (world, mut peer) = with_alice(11).await;
        if known {
            talk(&world, &mut peer, "a session").await;
        }
        always(&world, Fault::Undecryptable);
        phone_says(&world, "hard to read");
        let damaged = peer.message().await;
        peer.open(&damaged).unwrap_err();
        peer.ask_again(&damaged).await;
        let good = peer.message().await;
        assert_eq!((&good.id, peer.open(&good).unwrap().as_str()), (&damaged.id, "hard to read"));
        peer.took(&good).await;
        peer.client.ask(&Ping).await.unwrap();
        assert_eq!(mailbox(&world, &peer.account.jid), 0);
        assert_eq!(injected(&world, Fault::Undecryptable), 1);
        world.sandbox.shutdown().await;
    }
}

#[tokio::test]
async fn a_damaged_copy_is_good_in_the_next_connection() {
    let (world, mut peer) = with_alice(12).await;
    once(&world, Fault::Undecryptable);
    phone_says(&world, "hard to read");
    let damaged = peer.message().await;
    peer.open(&damaged).unwrap_err();
    peer.connect_again(&world).await;
    assert_eq!(peer.read().await, "hard to read");
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn bundles_without_one_time_prekeys() {
    let (world, mut peer) = with_alice(13).await;
    let held = |world: &World| world.sandbox.handle().users().unwrap()[0].prekeys;
    let before = held(&world);
    once(&world, Fault::PrekeysOut);
    assert_eq!(peer.fetch(&joe()).await.bundle.unwrap().prekey, None);
    assert_eq!(held(&world), before, "none is lost");
    assert!(peer.fetch(&joe()).await.bundle.unwrap().prekey.is_some());
    assert_eq!(injected(&world, Fault::PrekeysOut), 1);
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn a_phone_changes_its_identity_in_the_middle_of_a_chat() {
    let (world, mut peer) = with_alice(15).await;
    talk(&world, &mut peer, "before").await;
    let before = peer.fetch(&joe()).await.bundle.unwrap().identity;
    once(&world, Fault::IdentityChanged);
    let id = peer.send(&joe(), "the last one under the old identity").await;
    peer.ack().await;
    assert_eq!(peer.receipt().await.id, id);
    let told = peer.client.next("notification").await;
    assert!(told.view().child("identity").is_some(), "{told}");
    peer.ack_for(&told).await;
    assert_ne!(peer.fetch(&joe()).await.bundle.unwrap().identity, before);
    peer.forget_session(&joe());
    talk(&world, &mut peer, "after").await;
    assert_eq!(injected(&world, Fault::IdentityChanged), 1);
    assert_eq!(world.broken(), [] as [String; 0]);
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn a_message_that_begins_a_session_comes_again() {
    let (world, mut peer) = with_alice(16).await;
    once(&world, Fault::PrekeyRepeated);
    phone_says(&world, "hello");
    let first = peer.message().await;
    assert_eq!(peer.open(&first).unwrap(), "hello");
    peer.took(&first).await;
    let second = peer.message().await;
    assert_eq!((&second.id, &second.content), (&first.id, &first.content));
    // Its key has been used: only who remembers the id knows what to say.
    peer.took(&second).await;
    talk(&world, &mut peer, "and on").await;
    assert_eq!(injected(&world, Fault::PrekeyRepeated), 1);
    assert_eq!(world.broken(), [] as [String; 0]);
    world.sandbox.shutdown().await;
}

/// Alice is away while the phone writes; gives the ids, and her next connection before `<active/>`.
async fn backlog(world: &World, peer: &mut Peer, count: usize) -> Vec<landbridge_stanza::MessageId> {
    peer.client.socket.shutdown().await.unwrap();
    peer.client.rest().await;
    world.wait(|event| matches!(event.kind, EventKind::Disconnected { .. })).await;
    let handle = world.sandbox.handle();
    let ids = (0..count).map(|n| handle.phone_send_text(NUMBER, "alice", &n.to_string()).unwrap()).collect();
    peer.client = world.log_in_passive(&peer.account).await;
    ids
}

#[tokio::test]
async fn the_count_of_the_mailbox_comes_first() {
    let (world, mut peer) = with_alice(17).await;
    let ids = backlog(&world, &mut peer, 9).await;
    once(&world, Fault::CountFirst);
    peer.client.ask(&SetActive::Active).await.unwrap();
    let Inbound::Ib(Ib::OfflinePreview(_)) = peer.client.inbound().await else { panic!() };
    assert_eq!(peer.client.inbound().await, Inbound::Ib(Ib::Offline { count: 9 }));
    peer.client.send(&Ib::OfflineBatch { count: 100 }.to_node(&world.profile)).await;
    for id in &ids {
        let message = peer.message().await;
        assert_eq!(message.id, *id);
        peer.took(&message).await;
    }
    peer.client.ask(&Ping).await.unwrap();
    assert!(!peer.client.waiting.iter().any(|stanza| stanza.view().is("ib")), "it is said once");
    assert_eq!(mailbox(&world, &peer.account.jid.clone()), 0);
    assert_eq!(injected(&world, Fault::CountFirst), 1);
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn batches_of_the_mailbox_are_small_and_it_is_emptied_all_the_same() {
    let (world, mut peer) = with_alice(18).await;
    let ids = backlog(&world, &mut peer, 20).await;
    always(&world, Fault::BatchSmall);
    peer.client.ask(&SetActive::Active).await.unwrap();
    peer.client.send(&Ib::OfflineBatch { count: 100 }.to_node(&world.profile)).await;
    peer.client.ask(&Ping).await.unwrap();
    let came = peer.client.waiting.iter().filter(|stanza| stanza.view().is("message")).count();
    assert!((6..=10).contains(&came), "5 unasked and 1 to 5 that were asked for: {came}");
    for id in &ids {
        let message = peer.message().await;
        assert_eq!(message.id, *id);
        peer.took(&message).await;
    }
    while peer.client.next("ib").await.view().child("offline").is_none() {}
    assert!(injected(&world, Fault::BatchSmall) >= 1);
    assert_eq!(world.broken(), [] as [String; 0]);
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn push_keys_move_on_behind_an_answer() {
    let world = world(19).await;
    let client = HttpClient::builder().build().unwrap();
    let kids = || async {
        let answer = client.get(&world.sandbox.jwks_url(), &[]).await.unwrap();
        let set: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        let keys = set["keys"].as_array().unwrap().iter();
        keys.map(|key| key["kid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    once(&world, Fault::JwksRotated);
    let before = kids().await;
    until_injected(&world, Fault::JwksRotated).await;
    let after = kids().await;
    // What stood by signs, what signed can still be checked, and one is new.
    assert_eq!((before.len(), after.len()), (2, 3));
    assert_eq!((&after[0], &after[2]), (&before[1], &before[0]));
    assert!(!before.contains(&after[1]));
    world.sandbox.handle().rotate_push_keys().await.unwrap();
    let last = kids().await;
    assert_eq!((&last[0], &last[2], last.len()), (&after[1], &after[0], 3));
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn http_is_refused_broken_and_slow() {
    let world = world(14).await;
    let client = HttpClient::builder().build().unwrap();
    let url = world.sandbox.enlist_url();
    let form = "application/x-www-form-urlencoded";
    let post = || async { client.post(&url, form, "nothing=1".to_owned(), &[]).await };
    let judged = |world: &World| {
        world.events().iter().filter(|event| matches!(event.kind, EventKind::EnlistRefused { .. })).count()
    };
    once(&world, Fault::HttpRefused);
    let refused = post().await.unwrap();
    assert!([429, 503].contains(&refused.status.as_u16()));
    let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=3).contains(&after));
    once(&world, Fault::HttpBrokenBefore);
    post().await.unwrap_err();
    assert_eq!(judged(&world), 0, "nothing was done");
    once(&world, Fault::HttpBrokenAfter);
    post().await.unwrap_err();
    assert_eq!(judged(&world), 1, "it was acted upon");
    once(&world, Fault::HttpSlow);
    assert_eq!(post().await.unwrap().status.as_u16(), 200);
    for fault in [Fault::HttpRefused, Fault::HttpBrokenBefore, Fault::HttpBrokenAfter, Fault::HttpSlow] {
        assert_eq!(injected(&world, fault), 1, "{fault}");
    }
    // The control API stays out of it.
    always(&world, Fault::HttpRefused);
    let faults = client.get(&format!("{}/faults", world.sandbox.control_url()), &[]).await.unwrap();
    assert_eq!(faults.status.as_u16(), 200);
    world.sandbox.shutdown().await;
}

/// Which of 30 messages come twice.
async fn twice(seed: u64, switched: bool) -> Vec<usize> {
    let (world, mut peer) = with_alice(seed).await;
    let third = Probability::new(0.3).unwrap();
    if switched {
        world.sandbox.handle().set_faults(Some(Calm::Storm), None);
        world.sandbox.handle().set_faults(Some(Calm::Calm), Some(seed));
    }
    world.sandbox.handle().set_fault(Fault::MessageTwice, third, None);
    let mut doubled = Vec::new();
    for n in 0..30 {
        phone_says(&world, &n.to_string());
        peer.read().await;
        let again = peer.client.ask(&Ping).await;
        again.unwrap();
        if peer.client.waiting.iter().any(|stanza| stanza.view().is("message")) {
            peer.message().await;
            doubled.push(n);
        }
    }
    world.sandbox.shutdown().await;
    doubled
}

#[tokio::test]
async fn a_seed_decides_again_as_before() {
    let first = Box::pin(twice(77, false)).await;
    assert!((3..20).contains(&first.len()), "{first:?}");
    assert_eq!(Box::pin(twice(77, true)).await, first);
    assert_ne!(Box::pin(twice(78, false)).await, first);
}
