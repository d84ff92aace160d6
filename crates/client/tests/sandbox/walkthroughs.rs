//! The ten walk-throughs of the stanza catalogue (section 12), one test each, to be read beside them.
//!
//! Each is told by what the application and the phone see, and by the stanzas in the order in which they pass.

use std::sync::{Arc, Mutex};

use landbridge::stanza::MessageId;
use landbridge::stanza::blocklist::BlockAction;
use landbridge::store::{MemoryStore, OutState, SqliteStore};
use landbridge::wire::{Jid, xml};
use landbridge::{Client, ClientBuilder, Direction, Event, Events, Reaction, TracedStanza};
use landbridge_sandbox::events::EventKind;
use landbridge_sandbox::{Direction as PhoneSide, Sandbox};

use super::{BOB, Partner, builder, event, reached, text, world};

/// The stanzas that passed, one line each: `> iq set encrypt`, `< message pkmsg`, `> receipt retry`.
#[derive(Clone, Default)]
struct Wire(Arc<Mutex<Vec<String>>>);

impl Wire {
    fn sink(&self) -> impl Fn(TracedStanza) + Send + Sync + 'static {
        let lines = Arc::clone(&self.0);
        move |stanza| lines.lock().unwrap().push(line(&stanza))
    }

    /// Forgets what passed until now.
    fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// Whether these stanzas passed in this order; others may lie between them.
    #[track_caller]
    fn passed(&self, wanted: &[&str]) {
        let lines = self.lines();
        let mut rest = lines.iter();
        for wanted in wanted {
            assert!(rest.any(|line| line == wanted), "no `{wanted}` in its place: {lines:#?}");
        }
    }

    fn count(&self, wanted: &str) -> usize {
        self.lines().iter().filter(|line| *line == wanted).count()
    }
}

fn line(stanza: &TracedStanza) -> String {
    let node = xml::parse(&stanza.xml).unwrap();
    let node = node.view();
    let attr = |key| node.attr_str(key).map(|text| text.into_owned());
    let child = || node.children().next().map(|child| child.tag().into_owned());
    let way = if stanza.direction == Direction::Out { '>' } else { '<' };
    let details = match stanza.tag.as_str() {
        "iq" => vec![attr("type"), attr("xmlns")],
        "message" => vec![node.child("enc").and_then(|enc| enc.attr_str("type").map(Into::into))],
        "receipt" => vec![attr("type").or_else(|| Some("delivery".to_owned()))],
        "ack" => vec![attr("class")],
        "notification" => vec![attr("type"), child()],
        "ib" | "stream:error" => vec![child()],
        "presence" => vec![attr("type")],
        _ => Vec::new(),
    };
    let details: String = details.into_iter().flatten().map(|detail| format!(" {detail}")).collect();
    format!("{way} {}{details}", stanza.tag)
}

/// Alice at her partner, Bob with a phone of WhatsApp, and everything between them.
struct Story {
    sandbox: Sandbox,
    partner: Partner,
    alice: Client,
    events: Events,
    wire: Wire,
    bob: Jid,
    own: Jid,
}

impl Story {
    /// Alice is enlisted.
    async fn begin() -> Self {
        Self::with(|builder| builder.store(MemoryStore::new())).await
    }

    async fn with(settings: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Self {
        let (sandbox, partner) = world().await;
        let wire = Wire::default();
        let alice = settings(builder(&sandbox, &partner)).trace(wire.sink()).build().unwrap();
        let events = alice.events();
        let own = alice.enlist("alice", 1).await.unwrap();
        Self { sandbox, partner, alice, events, wire, bob: Jid::user(BOB), own }
    }

    /// Alice is enlisted and online.
    async fn online() -> Self {
        let mut story = Self::begin().await;
        story.connect().await;
        story
    }

    /// Connects and waits until the mailbox is empty.
    async fn connect(&mut self) {
        self.alice.connect().await.unwrap();
        event(&mut self.events, |event| matches!(event, Event::MailboxEmpty { .. }).then_some(())).await;
    }

    /// Leaves, and waits until the server knows.
    async fn leave(&mut self) {
        let since = self.sandbox.handle().last_event();
        self.alice.disconnect().await;
        let gone =
            |event: &landbridge_sandbox::events::Event| matches!(event.kind, EventKind::Disconnected { .. });
        self.sandbox.handle().wait_for(since, gone).await;
    }

    fn bob_writes(&self, text: &str) -> MessageId {
        self.sandbox.handle().phone_send_text(BOB, &self.own.to_string(), text).unwrap()
    }

    /// The texts on Bob's screen that Alice wrote.
    fn on_bobs_screen(&self) -> Vec<String> {
        let lines = self.sandbox.handle().phone_messages(BOB).unwrap();
        let received = lines.into_iter().filter(|line| line.direction == PhoneSide::Received);
        received.filter_map(|line| line.text).collect()
    }

    /// Waits until everything that was sent before has been answered.
    async fn settle(&self) {
        self.alice.ping().await.unwrap();
    }

    async fn end(self) {
        self.sandbox.shutdown().await;
    }
}

#[tokio::test]
async fn a_first_connection_after_enlistment() {
    let story = Story::online().await;
    story.settle().await;
    story.wire.passed(&[
        "< success",
        "> iq set passive",
        "< iq result",
        "< ib offline",
        "> presence available",
    ]);
    story.wire.passed(&["< success", "> iq set encrypt", "< iq result"]);
    story.wire.passed(&["< success", "> iq get blocklist", "< iq result"]);
    let own = story.own.to_string();
    let keys = story.sandbox.handle().events(0).into_iter().find_map(|event| match event.kind {
        EventKind::KeysStored { held, .. } if event.user.as_ref() == Some(&own) && held > 0 => Some(held),
        _ => None,
    });
    assert_eq!(keys, Some(812));
    story.end().await;
}

#[tokio::test]
async fn b_reconnect_with_offline_messages() {
    let mut story = Story::online().await;
    let sent = story.alice.send_text(&story.bob, "are you there?").await.unwrap();
    reached(&mut story.events, OutState::Delivered).await;
    story.leave().await;

    for number in 1..=3 {
        story.bob_writes(&format!("message {number}"));
    }
    story.sandbox.handle().phone_read(BOB, &story.own.to_string(), &sent).unwrap();
    story.wire.clear();
    story.alice.connect().await.unwrap();
    let announced = event(&mut story.events, |event| match event {
        Event::MailboxPreview { count, messages } => Some((*count, *messages)),
        _ => None,
    });
    assert_eq!(announced.await, (4, 3));
    for number in 1..=3 {
        assert_eq!(text(&mut story.events).await, format!("message {number}"));
    }
    reached(&mut story.events, OutState::Read).await;
    let taken = event(&mut story.events, |event| match event {
        Event::MailboxEmpty { delivered } => Some(*delivered),
        _ => None,
    });
    assert_eq!(taken.await, 4);
    story.settle().await;
    story.wire.passed(&["< success", "> iq set passive", "< ib offline_preview", "> ib offline_batch"]);
    story.wire.passed(&["< message msg", "< message msg", "< message msg", "< receipt read", "< ib offline"]);
    // Nothing is left of it.
    story.leave().await;
    story.connect().await;
    story.end().await;
}

#[tokio::test]
async fn c_first_message_to_a_whatsapp_user() {
    let mut story = Story::online().await;
    story.wire.clear();
    let id = story.alice.send_text(&story.bob, "Hello").await.unwrap();
    reached(&mut story.events, OutState::Sent).await;
    reached(&mut story.events, OutState::Delivered).await;
    // Until Bob answers, every message begins the session.
    story.alice.send_text(&story.bob, "Hello?").await.unwrap();
    reached(&mut story.events, OutState::Delivered).await;
    story.sandbox.handle().phone_read(BOB, &story.own.to_string(), &id).unwrap();
    reached(&mut story.events, OutState::Read).await;
    story.bob_writes("Hello yourself");
    assert_eq!(text(&mut story.events).await, "Hello yourself");
    story.alice.send_text(&story.bob, "How are you?").await.unwrap();
    reached(&mut story.events, OutState::Delivered).await;
    story.settle().await;
    story.wire.passed(&[
        "> iq get encrypt",
        "< iq result",
        "> message pkmsg",
        "< ack message",
        "< receipt delivery",
        "> ack receipt",
        "> message pkmsg",
        "< receipt read",
        "> ack receipt",
        "< message msg",
        "> receipt delivery",
        "> message msg",
    ]);
    assert_eq!(story.on_bobs_screen(), ["Hello", "Hello?", "How are you?"]);
    story.end().await;
}

#[tokio::test]
async fn d_undecryptable_message_and_the_roles_reversed() {
    let mut story = Story::online().await;
    let handle = story.sandbox.handle().clone();
    story.alice.send_text(&story.bob, "Hello").await.unwrap();
    reached(&mut story.events, OutState::Delivered).await;
    story.bob_writes("Hello yourself");
    assert_eq!(text(&mut story.events).await, "Hello yourself");

    // Alice cannot read one of Bob.
    story.wire.clear();
    let garbage = landbridge_sandbox::Garbage::Ciphertext;
    let id = handle.phone_send_garbage(BOB, &story.own.to_string(), garbage).unwrap();
    let asked = event(&mut story.events, |event| match event {
        Event::Undecryptable { id: which, asked, .. } if *which == id => Some(*asked),
        _ => None,
    });
    assert_eq!(asked.await, 1);
    let filled = event(&mut story.events, |event| match event {
        Event::Message(message) => Some(message.id.clone()),
        _ => None,
    });
    assert_eq!(filled.await, id);
    story.settle().await;
    story.wire.passed(&["> receipt retry", "> ack message", "> receipt delivery"]);

    // Bob cannot read one of Alice: his phone has lost the session.
    story.wire.clear();
    handle.phone_lose_session(BOB, &story.own.to_string()).unwrap();
    story.alice.send_text(&story.bob, "Can you read this?").await.unwrap();
    reached(&mut story.events, OutState::Delivered).await;
    story.wire.passed(&[
        "> message msg",
        "< ack message",
        "< receipt retry",
        "> message pkmsg",
        "> ack receipt",
        "< receipt delivery",
    ]);
    assert_eq!(story.on_bobs_screen(), ["Hello", "Can you read this?"]);
    story.end().await;
}

#[tokio::test]
async fn e_peer_reinstalls() {
    let mut story = Story::online().await;
    let handle = story.sandbox.handle().clone();
    story.alice.send_text(&story.bob, "Hello").await.unwrap();
    reached(&mut story.events, OutState::Delivered).await;
    let before = handle.phone_info(BOB).unwrap().identity;
    story.wire.clear();
    handle.phone_reinstall(BOB).unwrap();
    assert_ne!(handle.phone_info(BOB).unwrap().identity, before);
    let (peer, old) = event(&mut story.events, |event| match event {
        Event::IdentityChanged { peer, old, .. } => Some((peer.clone(), *old)),
        _ => None,
    })
    .await;
    assert_eq!(peer, story.bob);
    assert_eq!(old.map(|key| hex::encode(key.as_bytes())), Some(before));

    story.alice.send_text(&story.bob, "Is that still you?").await.unwrap();
    reached(&mut story.events, OutState::Delivered).await;
    story.bob_writes("It is, with a new phone");
    assert_eq!(text(&mut story.events).await, "It is, with a new phone");
    story.settle().await;
    story.wire.passed(&[
        "< notification encrypt identity",
        "> ack notification",
        "> iq get encrypt",
        "> message pkmsg",
        "< receipt delivery",
        "< message msg",
    ]);
    // Once per identity.
    story.leave().await;
    story.connect().await;
    assert_eq!(story.wire.count("< notification encrypt identity"), 1);
    story.end().await;
}

#[tokio::test]
async fn f_low_prekeys() {
    let mut profile = landbridge::stanza::Profile::default();
    // Few keys, so that a few phones use them up.
    profile.keys.first_batch = 12;
    let mut story = Story::with(|builder| builder.profile(profile).store(MemoryStore::new())).await;
    story.connect().await;
    story.settle().await;
    story.wire.clear();
    let handle = story.sandbox.handle().clone();
    for number in 0..4 {
        let number = format!("1415555200{number}");
        handle.create_phone(&number, "somebody").unwrap();
        handle.phone_send_text(&number, &story.own.to_string(), "Hello").unwrap();
        assert_eq!(text(&mut story.events).await, "Hello");
    }
    let since = handle.last_event();
    let refilled = |event: &landbridge_sandbox::events::Event| matches!(event.kind, EventKind::KeysStored { held, .. } if held >= 50);
    if !handle.events(0).iter().any(refilled) {
        handle.wait_for(since, refilled).await;
    }
    story.settle().await;
    story.wire.passed(&["< notification encrypt count", "> iq set encrypt", "< iq result"]);
    assert_eq!(story.wire.count("< notification encrypt count"), 1);
    story.end().await;
}

#[tokio::test]
async fn g_replaced_connection() {
    // The account exists twice: its file was copied.
    let directory = tempfile::tempdir().unwrap();
    let (here, there) = (directory.path().join("here.db"), directory.path().join("there.db"));
    let mut story = Story::with(|builder| builder.store(SqliteStore::open(&here).unwrap())).await;
    for part in ["", "-wal"] {
        let name = |path: &std::path::Path| format!("{}{part}", path.display());
        std::fs::copy(name(&here), name(&there)).unwrap();
    }
    let other = builder(&story.sandbox, &story.partner).store(SqliteStore::open(&there).unwrap());
    let other = other.build().unwrap();
    let first = story.alice.clone();
    let run = tokio::spawn(async move { first.run().await });
    event(&mut story.events, |event| matches!(event, Event::MailboxEmpty { .. }).then_some(())).await;
    story.wire.clear();
    other.connect().await.unwrap();
    // The one that was there stops, and does not come back by itself.
    let why = run.await.unwrap();
    assert_eq!(why.reaction(), Reaction::AskUser, "{}", why.chain());
    story.wire.passed(&["< stream:error conflict"]);
    assert!(!story.wire.lines().iter().any(|line| line == "< success"));
    // What was for it comes to the other.
    let mut events = other.events();
    story.bob_writes("Where are you?");
    assert_eq!(text(&mut events).await, "Where are you?");
    story.end().await;
}

#[tokio::test]
async fn h_thirty_day_expiry() {
    struct Shared(landbridge_sandbox::Clock);
    impl landbridge::Clock for Shared {
        fn now(&self) -> u64 {
            self.0.now()
        }
    }
    let (sandbox, partner) = world().await;
    let wire = Wire::default();
    let alice = builder(&sandbox, &partner)
        .store(MemoryStore::new())
        .clock(Shared(partner.clock.clone()))
        .trace(wire.sink())
        .build()
        .unwrap();
    let mut events = alice.events();
    let before = alice.enlist("alice", 1).await.unwrap();
    let bob = Jid::user(BOB);
    let mut story = Story {
        own: before.clone(),
        alice: alice.clone(),
        events: alice.events(),
        sandbox,
        partner,
        wire,
        bob: bob.clone(),
    };
    story.connect().await;
    story.alice.send_text(&bob, "Hello").await.unwrap();
    reached(&mut story.events, OutState::Delivered).await;
    story.leave().await;
    assert!(events.next().await.is_none(), "one stream of events at a time");

    story.sandbox.handle().advance_clock(31 * 86_400).unwrap();
    let refused = story.alice.connect().await.unwrap_err();
    assert_eq!(refused.reaction(), Reaction::Reenlist, "{}", refused.chain());
    let gone = event(&mut story.events, |event| match event {
        Event::MustReenlist { address } => Some(address.clone()),
        _ => None,
    });
    assert_eq!(gone.await, before);
    // The same keys, and a new account.
    let after = story.alice.reenlist().await.unwrap();
    assert_ne!(after, before);
    story.own = after;
    story.connect().await;
    story.bob_writes("Welcome back");
    assert_eq!(text(&mut story.events).await, "Welcome back");
    story.end().await;
}

#[tokio::test]
async fn i_blocking() {
    let mut story = Story::online().await;
    story.bob_writes("Hello");
    assert_eq!(text(&mut story.events).await, "Hello");
    story.wire.clear();
    story.alice.block(&story.bob).await.unwrap();
    assert_eq!(story.alice.blocklist().await.unwrap(), std::slice::from_ref(&story.bob));
    story.bob_writes("Are you angry?");
    story.alice.unblock(&story.bob).await.unwrap();
    story.bob_writes("There you are");
    // What was written meanwhile never comes.
    assert_eq!(text(&mut story.events).await, "There you are");
    story.wire.passed(&["> iq set blocklist", "< iq result", "> iq set blocklist", "< iq result"]);
    // The other way round: Bob blocks Alice, who sees one tick.
    story.sandbox.handle().phone_block(BOB, &story.own.to_string(), BlockAction::Block).unwrap();
    let id = story.alice.send_text(&story.bob, "And you?").await.unwrap();
    reached(&mut story.events, OutState::Sent).await;
    story.settle().await;
    assert_eq!(story.alice.message_state(&story.bob, &id).await.unwrap(), Some(OutState::Sent));
    story.end().await;
}

#[tokio::test]
async fn j_deletion() {
    let mut story = Story::online().await;
    story.alice.send_text(&story.bob, "Goodbye").await.unwrap();
    reached(&mut story.events, OutState::Delivered).await;
    story.wire.clear();
    story.alice.delete_account().await.unwrap();
    story.wire.passed(&["> iq get urn:xmpp:whatsapp:account", "< iq result"]);
    assert_eq!(story.alice.address().await.unwrap(), None);
    assert_eq!(story.alice.connect().await.unwrap_err().code(), "not_enlisted");
    // Her peers find nobody.
    assert!(story.sandbox.handle().phone_send_text(BOB, &story.own.to_string(), "Wait!").is_err());
    story.end().await;
}
