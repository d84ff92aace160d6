//! The whole way against the sandbox: its own enlistment, chat server and phones, over real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod walkthroughs;

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::routing::get;
use landbridge::enlist::jwt::{Claims, RsaSigner, Token, issue};
use landbridge::enlist::{UserIdentifier, generate_rsa_pem, jwks};
use landbridge::proto::content;
use landbridge::proto::message::MessageKey as ProtoKey;
use landbridge::stanza::blocklist::BlockAction;
use landbridge::stanza::chatstate::ChatState;
use landbridge::stanza::profile::Resume;
use landbridge::stanza::{MessageId, Profile};
use landbridge::store::{MemoryStore, OutState, SqliteStore};
use landbridge::transport::http_server::{HttpLimits, ServerHandle, serve};
use landbridge::wire::Jid;
use landbridge::{
    Author, Body, Client, ClientBuilder, Event, Events, Freshness, QuotedMessage, Reaction, TokenError,
    TokenSource,
};
use landbridge_sandbox::events::EventKind;
use landbridge_sandbox::{MessageState, PhoneMessage, Sandbox, SandboxConfig};
use tokio::net::TcpListener;

const BOB: &str = "14155551001";

/// A partner: a published key, and tokens signed with it for one user.
#[derive(Clone)]
struct Partner {
    signer: Arc<RsaSigner>,
    url: String,
    clock: landbridge_sandbox::Clock,
    identifier: &'static str,
    _server: Arc<ServerHandle>,
}

impl Partner {
    async fn start() -> Self {
        let pem = generate_rsa_pem(&mut rand::rng()).unwrap();
        let signer = RsaSigner::from_pkcs8_pem(&pem).unwrap();
        let document = jwks::to_json([signer.public_key()]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let key_set = get(move || async move { ([("content-type", "application/json")], document) });
        let router = Router::new().route("/.well-known/oauth/openid/jwks", key_set);
        let server = serve(listener, router, HttpLimits::default(), std::future::pending()).unwrap();
        Self {
            signer: Arc::new(signer),
            url: format!("http://{}", server.local_addr()),
            clock: landbridge_sandbox::Clock::real(),
            identifier: "alice",
            _server: Arc::new(server),
        }
    }
}

#[async_trait]
impl TokenSource for Partner {
    async fn token(&self, _freshness: Freshness) -> Result<Token, TokenError> {
        let identifier: UserIdentifier = self.identifier.parse().unwrap();
        let claims = Claims::user(self.url.as_str(), &identifier, self.clock.now(), &mut rand::rng());
        issue(&*self.signer, &claims).map_err(|source| TokenError::Other { source: Box::new(source) })
    }
}

async fn world() -> (Sandbox, Partner) {
    let mut partner = Partner::start().await;
    let sandbox = Sandbox::start(SandboxConfig::default().partner(1, partner.url.as_str())).await.unwrap();
    partner.clock = sandbox.handle().clock().clone();
    sandbox.handle().create_phone(BOB, "Bob").unwrap();
    (sandbox, partner)
}

fn builder(sandbox: &Sandbox, partner: &Partner) -> ClientBuilder {
    Client::builder()
        .endpoint(sandbox.chat_addr().to_string())
        .enlistment_url(sandbox.enlist_url())
        .root_key(hex::encode(sandbox.root_key().as_bytes()))
        .token_source(partner.clone())
        .push_name("Alice")
}

async fn event<T>(events: &mut Events, mut pick: impl FnMut(&Event) -> Option<T>) -> T {
    loop {
        if let Some(found) = pick(&events.next().await.expect("the client is there")) {
            return found;
        }
    }
}

async fn text(events: &mut Events) -> String {
    event(events, |event| match event {
        Event::Message(message) => Some(message.text().unwrap_or_default().to_owned()),
        _ => None,
    })
    .await
}

async fn reached(events: &mut Events, wanted: OutState) {
    event(events, |event| {
        matches!(event, Event::MessageState { state, .. } if *state == wanted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_five_milestones() {
    let (sandbox, partner) = world().await;
    let handle = sandbox.handle();
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path().join("alice.db")).unwrap();
    let client = builder(&sandbox, &partner).store(store).build().unwrap();
    let mut events = client.events();

    let own = client.enlist("alice", 1).await.unwrap();
    assert_eq!(own.integrator(), 1);
    client.connect().await.unwrap();
    assert!(client.ping().await.unwrap().server_time.is_some());

    let bob = Jid::user(BOB);
    let id = client.send_text(&bob, "Hello from the other side").await.unwrap();
    reached(&mut events, OutState::Delivered).await;
    let got = handle.phone_messages(BOB).unwrap();
    assert_eq!(got[0].text.as_deref(), Some("Hello from the other side"));
    handle.phone_read(BOB, &own.to_string(), &id).unwrap();
    reached(&mut events, OutState::Read).await;

    handle.phone_send_text(BOB, "alice", "Hello yourself").unwrap();
    assert_eq!(text(&mut events).await, "Hello yourself");

    client.block(&bob).await.unwrap();
    assert_eq!(client.blocklist().await.unwrap(), std::slice::from_ref(&bob));
    client.unblock(&bob).await.unwrap();
    assert!(client.blocklist().await.unwrap().is_empty());

    // Away, and back with a mailbox.
    client.disconnect().await;
    for n in 0..10 {
        handle.phone_send_text(BOB, "alice", &format!("while you were away {n}")).unwrap();
    }
    client.connect().await.unwrap();
    for n in 0..10 {
        assert_eq!(text(&mut events).await, format!("while you were away {n}"));
    }

    client.delete_account().await.unwrap();
    assert_eq!(client.address().await.unwrap(), None);
    sandbox.shutdown().await;
}

#[tokio::test]
async fn a_blocked_sender_sees_one_tick_and_no_more() {
    let (sandbox, partner) = world().await;
    let client = builder(&sandbox, &partner).store(MemoryStore::new()).build().unwrap();
    let mut events = client.events();
    let own = client.enlist("alice", 1).await.unwrap();
    client.connect().await.unwrap();
    let bob = Jid::user(BOB);
    sandbox.handle().phone_block(BOB, &own.to_string(), BlockAction::Block).unwrap();
    let id = client.send_text(&bob, "anybody there?").await.unwrap();
    reached(&mut events, OutState::Sent).await;
    client.ping().await.unwrap();
    assert_eq!(client.message_state(&bob, &id).await.unwrap(), Some(OutState::Sent));
    sandbox.shutdown().await;
}

#[tokio::test]
async fn thirty_days_away_ends_the_enlistment_and_the_same_keys_begin_a_new_one() {
    let (sandbox, partner) = world().await;
    let clock = partner.clock.clone();
    struct Shared(landbridge_sandbox::Clock);
    impl landbridge::Clock for Shared {
        fn now(&self) -> u64 {
            self.0.now()
        }
    }
    let client = builder(&sandbox, &partner).store(MemoryStore::new()).clock(Shared(clock)).build().unwrap();
    let mut events = client.events();
    let before = client.enlist("alice", 1).await.unwrap();
    client.connect().await.unwrap();
    client.disconnect().await;
    let gone =
        |event: &landbridge_sandbox::events::Event| matches!(event.kind, EventKind::Disconnected { .. });
    sandbox.handle().wait_for(0, gone).await;
    sandbox.handle().advance_clock(31 * 86_400).unwrap();
    let runner = client.clone();
    let first = client.connect().await.unwrap_err();
    assert_eq!(first.reaction(), Reaction::Reenlist, "{}", first.chain());
    let run = tokio::spawn(async move { runner.run().await });
    event(&mut events, |event| matches!(event, Event::Connected { .. }).then_some(())).await;
    event(&mut events, |event| matches!(event, Event::Connected { .. }).then_some(())).await;
    let after = client.address().await.unwrap().unwrap();
    assert_ne!(after, before);
    sandbox.handle().phone_send_text(BOB, "alice", "welcome back").unwrap();
    assert_eq!(text(&mut events).await, "welcome back");
    client.disconnect().await;
    assert_eq!(run.await.unwrap().code(), "disconnected");
    sandbox.shutdown().await;
}

#[tokio::test]
async fn the_second_login_is_shorter_when_the_profile_says_so() {
    let (sandbox, partner) = world().await;
    let mut profile = Profile::default();
    profile.connection.resume = Resume::On;
    let client = builder(&sandbox, &partner).profile(profile).store(MemoryStore::new()).build().unwrap();
    let mut events = client.events();
    client.enlist("alice", 1).await.unwrap();
    client.connect().await.unwrap();
    client.disconnect().await;
    client.connect().await.unwrap();
    sandbox.handle().phone_send_text(BOB, "alice", "that was quick").unwrap();
    assert_eq!(text(&mut events).await, "that was quick");
    let patterns: Vec<_> = sandbox
        .handle()
        .events(0)
        .into_iter()
        .filter_map(|event| match event.kind {
            EventKind::LoggedIn { pattern, .. } => Some(pattern),
            _ => None,
        })
        .collect();
    assert_eq!(patterns, ["XX", "IK"]);
    sandbox.shutdown().await;
}

#[tokio::test]
async fn a_message_is_answered_reacted_to_edited_and_taken_back() {
    let (sandbox, partner) = world().await;
    let handle = sandbox.handle();
    let client = builder(&sandbox, &partner).store(MemoryStore::new()).build().unwrap();
    let mut events = client.events();
    let own = client.enlist("alice", 1).await.unwrap();
    client.connect().await.unwrap();
    let bob = Jid::user(BOB);
    let theirs = handle.phone_send_text(BOB, "alice", "Lunch tomorrow?").unwrap();
    assert_eq!(text(&mut events).await, "Lunch tomorrow?");
    client.set_typing(&bob, ChatState::Composing).await.unwrap();
    let ours = client.reply(&bob, &theirs, "Yes, at noom").await.unwrap();
    client.wait_for(&bob, &ours, OutState::Delivered).await.unwrap();
    let on_screen = |id: &MessageId| {
        let shown = handle.phone_messages(BOB).unwrap();
        shown.into_iter().find(|message| message.id == id.as_str()).unwrap_or_else(|| panic!("no {id}"))
    };
    assert_eq!(on_screen(&ours).text.as_deref(), Some("Yes, at noom"));
    assert_eq!(on_screen(&ours).about.as_deref(), Some(theirs.as_str()));
    let sent = [
        (client.react(&bob, &theirs, "👍").await.unwrap(), "reaction", &theirs),
        (client.unreact(&bob, &theirs).await.unwrap(), "reaction_revoke", &theirs),
        (client.edit(&bob, &ours, "Yes, at noon").await.unwrap(), "edit", &ours),
        (client.revoke(&bob, &ours).await.unwrap(), "revoke", &ours),
    ];
    for (id, kind, about) in sent {
        assert_eq!(client.wait_for(&bob, &id, OutState::Delivered).await.unwrap(), OutState::Delivered);
        let shown = on_screen(&id);
        assert_eq!((shown.kind.as_str(), shown.about.as_deref()), (kind, Some(about.as_str())));
        assert_eq!(shown.failure, None);
    }
    assert!(on_screen(&ours).revoked);

    // What the other side would refuse is not sent.
    let unknown = "3EB0FFFFFFFF".parse().unwrap();
    assert_eq!(client.react(&bob, &unknown, "👍").await.unwrap_err().code(), "no_such_message");
    for refused in [
        client.revoke(&bob, &theirs).await,
        client.edit(&bob, &theirs, "No").await,
        client.react(&bob, &theirs, "").await,
        client.react(&bob, &theirs, "not an emoji at all").await,
        client.reply(&bob, &theirs, "").await,
    ] {
        assert_eq!(refused.unwrap_err().code(), "content");
    }

    // And nobody takes back or edits a message of ours.
    let plain = client.send_text(&bob, "mine").await.unwrap();
    client.wait_for(&bob, &plain, OutState::Delivered).await.unwrap();
    let key = || ProtoKey::own(own.to_string(), plain.as_str());
    handle.phone_send(BOB, "alice", &content::revoke(key())).unwrap();
    handle.phone_send(BOB, "alice", &content::edit(key(), content::text("yours"), 0)).unwrap();
    handle.phone_send_text(BOB, "alice", "and now?").unwrap();
    assert_eq!(text(&mut events).await, "and now?");
    sandbox.shutdown().await;
}

#[tokio::test]
async fn a_verified_peer_with_a_new_phone_is_held_until_the_user_accepts() {
    let (sandbox, partner) = world().await;
    let handle = sandbox.handle();
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path().join("alice.db")).unwrap();
    let client = builder(&sandbox, &partner).store(store).build().unwrap();
    let mut events = client.events();
    client.enlist("alice", 1).await.unwrap();
    client.connect().await.unwrap();
    let bob = Jid::user(BOB);
    let first = client.send_text(&bob, "hello").await.unwrap();
    client.wait_for(&bob, &first, OutState::Delivered).await.unwrap();
    let number = client.safety_number(&bob).await.unwrap();
    client.mark_verified(&number).await.unwrap();

    handle.phone_reinstall(BOB).unwrap();
    let held = event(&mut events, |event| match event {
        Event::IdentityChanged { old, verification, sending, .. } => {
            Some((*old, *verification, matches!(sending, landbridge::Sending::Held { .. })))
        }
        _ => None,
    });
    assert_eq!(held.await, (Some(*number.identity()), landbridge::Verification::WasVerified, true));
    let second = client.send_text(&bob, "is it you?").await.unwrap();
    handle.phone_send_text(BOB, "alice", "new phone").unwrap();
    assert_eq!(text(&mut events).await, "new phone");
    client.ping().await.unwrap();
    assert_eq!(client.message_state(&bob, &second).await.unwrap(), Some(OutState::Pending));
    client.accept_identity(&bob).await.unwrap();
    assert_eq!(client.wait_for(&bob, &second, OutState::Delivered).await.unwrap(), OutState::Delivered);
    let shown = handle.phone_messages(BOB).unwrap();
    assert!(shown.iter().any(|line| line.text.as_deref() == Some("is it you?") && line.failure.is_none()));
    sandbox.shutdown().await;
}

#[tokio::test]
async fn uploads_whose_answers_are_lost_leave_the_sandbox_and_the_store_with_the_same_keys() {
    use landbridge_sandbox::faults::{Fault, Probability};
    let mut attempts = 0;
    for seed in 1..=6 {
        let (sandbox, partner) = world().await;
        let handle = sandbox.handle();
        let client = builder(&sandbox, &partner).store(MemoryStore::new()).build().unwrap();
        client.enlist("alice", 1).await.unwrap();
        handle.set_faults(None, Some(seed));
        handle.set_fault(Fault::TcpReset, Probability::new(0.9).unwrap(), None);
        for _ in 0..20 {
            attempts += 1;
            if client.connect().await.is_ok() {
                client.disconnect().await;
            }
        }
        handle.set_fault(Fault::TcpReset, Probability::new(0.0).unwrap(), None);
        client.connect().await.unwrap();
        let kept = client.own_keys().await.unwrap();
        assert_eq!((kept.one_time, kept.to_upload), (812, 0), "seed {seed}");
        assert_eq!(client.one_time_keys_left().await.unwrap(), 812, "seed {seed}");
        let own = client.address().await.unwrap().map(|own| own.to_string());
        let added: u32 = (handle.events(0).into_iter())
            .filter(|event| event.user == own)
            .filter_map(|event| match event.kind {
                EventKind::KeysStored { added, .. } => Some(u32::try_from(added).unwrap()),
                _ => None,
            })
            .sum();
        assert_eq!(added, 812, "seed {seed}: keys were made for answers that were lost");
        sandbox.shutdown().await;
    }
    assert_eq!(attempts, 120);
}

/// Waits until a message on the phone's screen is as wanted.
async fn on_screen(sandbox: &Sandbox, id: &MessageId, wanted: impl Fn(&PhoneMessage) -> bool) {
    let mut changes = sandbox.handle().watch_phone(BOB).unwrap();
    let is_there =
        || sandbox.handle().phone_messages(BOB).unwrap().iter().any(|it| it.id == id.as_str() && wanted(it));
    while !is_there() {
        changes.changed().await.unwrap();
    }
}

#[tokio::test]
async fn read_and_played_reach_both_sides_in_lists() {
    let (sandbox, partner) = world().await;
    let handle = sandbox.handle();
    let client = builder(&sandbox, &partner).store(MemoryStore::new()).build().unwrap();
    let mut events = client.events();
    let own = client.enlist("alice", 1).await.unwrap();
    client.connect().await.unwrap();
    let bob = Jid::user(BOB);
    let theirs: Vec<_> =
        ["one", "two", "three"].map(|text| handle.phone_send_text(BOB, "alice", text).unwrap()).into();
    for expected in ["one", "two", "three"] {
        assert_eq!(text(&mut events).await, expected);
    }
    client.mark_read(&bob, &theirs).await.unwrap();
    client.mark_played(&bob, &theirs[..1]).await.unwrap();
    for (n, state) in [MessageState::Played, MessageState::Read, MessageState::Read].into_iter().enumerate() {
        on_screen(&sandbox, &theirs[n], |message| message.state == state).await;
    }

    let mut ours = Vec::new();
    for words in ["four", "five", "six"] {
        ours.push(client.send_text(&bob, words).await.unwrap());
    }
    client.wait_for(&bob, &ours[2], OutState::Delivered).await.unwrap();
    assert_eq!(handle.phone_read_all(BOB, &own.to_string()).unwrap().len(), 3);
    handle.phone_played(BOB, &own.to_string(), &ours[0]).unwrap();
    for (id, goal) in ours.iter().zip([OutState::Played, OutState::Read, OutState::Read]) {
        assert_eq!(client.wait_for(&bob, id, goal).await.unwrap(), goal);
    }
    sandbox.shutdown().await;
}

#[tokio::test]
async fn what_a_phone_does_to_messages_is_told_as_such() {
    let (sandbox, partner) = world().await;
    let handle = sandbox.handle();
    let client = builder(&sandbox, &partner).store(MemoryStore::new()).build().unwrap();
    let mut events = client.events();
    client.enlist("alice", 1).await.unwrap();
    client.connect().await.unwrap();
    let bob = Jid::user(BOB);
    // The server must have heard that the client is there.
    client.ping().await.unwrap();
    handle.phone_type(BOB, "alice", ChatState::Composing).unwrap();
    let state = |event: &Event| match event {
        Event::Typing { state, .. } => Some(*state),
        _ => None,
    };
    assert_eq!(event(&mut events, state).await, ChatState::Composing);
    let theirs = handle.phone_send_text(BOB, "alice", "Lunch tomorow?").unwrap();
    assert_eq!(event(&mut events, state).await, ChatState::Paused);
    assert_eq!(text(&mut events).await, "Lunch tomorow?");
    let ours = client.send_text(&bob, "Yes!").await.unwrap();
    client.wait_for(&bob, &ours, OutState::Delivered).await.unwrap();

    handle.phone_edit(BOB, "alice", &theirs, "Lunch tomorrow?").unwrap();
    let edited = event(&mut events, |event| match event {
        Event::Edited(edit) => Some((edit.target.id.clone(), edit.content.text().unwrap().to_owned())),
        _ => None,
    });
    assert_eq!(edited.await, (theirs.clone(), "Lunch tomorrow?".to_owned()));
    for emoji in ["🎉", ""] {
        handle.phone_react(BOB, "alice", &ours, emoji).unwrap();
        let reaction = event(&mut events, |event| match event {
            Event::Reaction(reaction) => Some((reaction.target.clone(), reaction.emoji.clone())),
            _ => None,
        });
        let (target, told) = reaction.await;
        assert_eq!((target.author, target.id), (Author::Own, ours.clone()));
        assert_eq!(told.as_deref(), (!emoji.is_empty()).then_some(emoji));
    }
    let reply = handle.phone_reply(BOB, "alice", &ours, "See you").unwrap();
    assert_eq!(text(&mut events).await, "See you");
    let quoted = client.message(&bob, &reply).await.unwrap().unwrap().quoted.unwrap();
    let QuotedMessage::Known { message, body } = *quoted else { panic!("{quoted:?}") };
    assert_eq!((message.id, body.text()), (ours, Some("Yes!")));
    handle.phone_revoke(BOB, "alice", &theirs).unwrap();
    let revoked = event(&mut events, |event| match event {
        Event::Revoked(revoke) => Some(revoke.target.id.clone()),
        _ => None,
    });
    assert_eq!(revoked.await, theirs);
    assert!(matches!(client.message(&bob, &theirs).await.unwrap().unwrap().body, Body::Revoked { .. }));
    sandbox.shutdown().await;
}
