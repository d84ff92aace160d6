//! A client that stays connected, against a sandbox that does things wrong on purpose: every message is shown once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::routing::get;
use landbridge::enlist::jwt::{Claims, RsaSigner, Token, issue};
use landbridge::enlist::{generate_rsa_pem, jwks};
use landbridge::stanza::Profile;
use landbridge::store::MemoryStore;
use landbridge::transport::http_server::{HttpLimits, ServerHandle, serve};
use landbridge::wire::Jid;
use landbridge::{Client, Event, Freshness, TokenError, TokenSource};
use landbridge_sandbox::events::EventKind;
use landbridge_sandbox::{Calm, Direction, FaultTimes, Sandbox, SandboxConfig};
use tokio::net::TcpListener;

const BOB: &str = "14155551001";
const EACH_WAY: usize = 50;

/// A published key, and tokens signed with it.
#[derive(Clone)]
struct Partner {
    signer: Arc<RsaSigner>,
    url: String,
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
        let url = format!("http://{}", server.local_addr());
        Self { signer: Arc::new(signer), url, _server: Arc::new(server) }
    }
}

#[async_trait]
impl TokenSource for Partner {
    async fn token(&self, _freshness: Freshness) -> Result<Token, TokenError> {
        let now = landbridge_sandbox::Clock::real().now();
        let claims = Claims::user(self.url.as_str(), &"alice".parse().unwrap(), now, &mut rand::rng());
        issue(&*self.signer, &claims).map_err(|source| TokenError::Other { source: Box::new(source) })
    }
}

/// What makes the wait for what is late, and for dead connections, a short one.
fn profile() -> Profile {
    let mut profile = Profile::default();
    (profile.liveness.keepalive_min_s, profile.liveness.keepalive_max_s, profile.liveness.answer_s) =
        (1, 2, 3);
    profile
}

fn times() -> FaultTimes {
    FaultTimes {
        http: Duration::from_millis(100),
        ack: Duration::from_millis(300),
        iq: Duration::from_millis(500),
        reorder: Duration::from_millis(200),
        stream_end: Duration::from_secs(1),
        ..FaultTimes::default()
    }
}

async fn exchange(calm: Calm, seed: u64) {
    let partner = Partner::start().await;
    let mut config = SandboxConfig::default().partner(1, partner.url.as_str());
    (config.calm, config.seed, config.fault_times) = (calm, Some(seed), times());
    let sandbox = Sandbox::start(config).await.unwrap();
    let handle = sandbox.handle().clone();
    handle.create_phone(BOB, "Bob").unwrap();
    let client = Client::builder()
        .endpoint(sandbox.chat_addr().to_string())
        .enlistment_url(sandbox.enlist_url())
        .root_key(sandbox.root_key().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        .token_source(partner.clone())
        .profile(profile())
        .store(MemoryStore::new())
        .build()
        .unwrap();
    let mut events = client.events();
    // An enlistment may be refused for now, and its answer may be lost: it is the same one the next time.
    while client.enlist("alice", 1).await.is_err() {}
    let runner = client.clone();
    let run = tokio::spawn(async move { runner.run().await });

    let bob = Jid::user(BOB);
    for n in 0..EACH_WAY {
        // The first one needs a connection; the others are stored whatever the connection is.
        loop {
            let seen = handle.last_event();
            if client.send_text(&bob, &format!("to {n}")).await.is_ok() {
                break;
            }
            handle.wait_for(seen, |_| true).await;
        }
        handle.phone_send_text(BOB, "alice", &format!("from {n}")).unwrap();
    }

    let mut shown: BTreeMap<String, usize> = BTreeMap::new();
    while shown.len() < EACH_WAY {
        if let Event::Message(message) = events.next().await.unwrap() {
            *shown.entry(message.text().unwrap_or_default().to_owned()).or_default() += 1;
        }
    }
    let mut changes = handle.watch_phone(BOB).unwrap();
    let received = || {
        let lines = handle.phone_messages(BOB).unwrap().into_iter();
        let mut texts: Vec<_> =
            lines.filter(|line| line.direction == Direction::Received).filter_map(|line| line.text).collect();
        texts.sort_unstable();
        texts
    };
    let wanted = |way| {
        let mut texts: Vec<_> = (0..EACH_WAY).map(|n| format!("{way} {n}")).collect();
        texts.sort_unstable();
        texts
    };
    while received().len() < EACH_WAY {
        changes.changed().await.unwrap();
    }
    assert_eq!(received(), wanted("to"));

    // What is still on its way comes without more faults, and nothing of it is shown again.
    handle.set_faults(Some(Calm::Calm), None);
    let alice = client.address().await.unwrap().unwrap().to_string();
    let left = || handle.users().unwrap().iter().find(|user| user.jid == alice).unwrap().mailbox;
    loop {
        let seen = handle.last_event();
        if left() == 0 {
            break;
        }
        handle.wait_for(seen, |_| true).await;
    }
    client.disconnect().await;
    assert_eq!(run.await.unwrap().code(), "disconnected");
    drop(client);
    while let Some(event) = events.next().await {
        if let Event::Message(message) = event {
            *shown.entry(message.text().unwrap_or_default().to_owned()).or_default() += 1;
        }
    }
    assert!(shown.values().all(|times| *times == 1), "{shown:?}");
    assert_eq!(shown.into_keys().collect::<Vec<_>>(), wanted("from"));
    let faults =
        handle.events(0).into_iter().filter(|event| matches!(event.kind, EventKind::FaultInjected { .. }));
    assert!(faults.count() > 10);
    sandbox.shutdown().await;
}

#[tokio::test]
async fn every_message_is_shown_once_whatever_goes_wrong() {
    for (calm, seed) in [(Calm::Faults, 1), (Calm::Storm, 2), (Calm::Storm, 3)] {
        let exchanged = tokio::time::timeout(Duration::from_secs(120), exchange(calm, seed)).await;
        assert!(exchanged.is_ok(), "{calm:?} with seed {seed} does not come to its end");
    }
}
