//! WhatsApp's side of pushes: a key set that can be changed, and bearers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use landbridge_enlist::jwks;
use landbridge_enlist::jwt::{self, Claims, RsaSigner};
use landbridge_partner::{Clock, Partner, PartnerConfig, PushConfig};
use landbridge_transport::http_server::{HttpLimits, serve};
use tokio::net::TcpListener;

use super::place::Place;
use super::{Answer, config, send};

/// Test keys that are published with the vectors.
const KEYS: &str = include_str!("../../../enlist/tests/vectors/private-keys.json");

/// A clock that is moved by hand, and else goes or stands.
#[derive(Clone)]
pub(crate) struct Hand {
    /// Milliseconds; added to the system's time if that goes on.
    offset: Arc<AtomicU64>,
    goes: bool,
}

impl Hand {
    /// It goes with the system's.
    pub(crate) fn going() -> Self {
        Self { offset: Arc::default(), goes: true }
    }

    /// It stands.
    pub(crate) fn at(seconds: u64) -> Self {
        Self { offset: Arc::new(AtomicU64::new(seconds * 1000)), goes: false }
    }

    fn since_epoch(&self) -> Duration {
        let offset = Duration::from_millis(self.offset.load(Ordering::SeqCst));
        let system = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        if self.goes { system + offset } else { offset }
    }

    pub(crate) fn clock(&self) -> Clock {
        let hand = self.clone();
        Clock::of(move || hand.since_epoch())
    }

    pub(crate) fn seconds(&self) -> u64 {
        self.since_epoch().as_secs()
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.offset.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    pub(crate) fn set(&self, seconds: u64) {
        self.offset.store(seconds * 1000, Ordering::SeqCst);
    }
}

/// What the key set's address answers, and how often it was asked.
#[derive(Clone)]
pub(crate) struct KeyServer {
    pub(crate) url: String,
    answer: Arc<Mutex<Box<dyn Fn() -> Response + Send>>>,
    pub(crate) fetches: Arc<AtomicU64>,
}

impl KeyServer {
    pub(crate) async fn start(document: String) -> Self {
        let answer: Arc<Mutex<Box<dyn Fn() -> Response + Send>>> =
            Arc::new(Mutex::new(Box::new(move || document.clone().into_response())));
        let fetches = Arc::new(AtomicU64::new(0));
        let (answers, counted) = (Arc::clone(&answer), Arc::clone(&fetches));
        let router = Router::new().route(
            "/jwks",
            get(move || {
                counted.fetch_add(1, Ordering::SeqCst);
                let answer = answers.lock().unwrap()();
                async move { answer }
            }),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = serve(listener, router, HttpLimits::default(), std::future::pending()).unwrap();
        Self { url: format!("http://{}/jwks", server.local_addr()), answer, fetches }
    }

    pub(crate) fn answer(&self, answer: impl Fn() -> Response + Send + 'static) {
        *self.answer.lock().unwrap() = Box::new(answer);
    }

    pub(crate) fn down(&self) {
        self.answer(|| StatusCode::SERVICE_UNAVAILABLE.into_response());
    }
}

/// WhatsApp, as far as a partner sees it.
pub(crate) struct WhatsApp {
    signer: RsaSigner,
    pub(crate) keys: KeyServer,
    pub(crate) hand: Hand,
}

impl WhatsApp {
    pub(crate) async fn start() -> Self {
        Self::with(Hand::going()).await
    }

    pub(crate) async fn with(hand: Hand) -> Self {
        let signer = signer("whatsapp/1aXf8").with_kid("1aXf8").unwrap();
        let keys = KeyServer::start(jwks::to_json([signer.public_key()])).await;
        Self { signer, keys, hand }
    }

    /// Settings of a partner server that believes this WhatsApp.
    pub(crate) fn config(&self) -> PartnerConfig {
        let push = PushConfig { keys_url: Some(self.keys.url.clone()), ..PushConfig::default() };
        PartnerConfig { push, ..config() }
    }

    pub(crate) async fn partner(&self, config: PartnerConfig) -> Partner {
        super::builder(config).await.clock(self.hand.clock()).start().await.unwrap()
    }

    pub(crate) async fn partner_at(&self, place: &Place, config: PartnerConfig) -> Partner {
        place.builder(config).await.clock(self.hand.clock()).start().await.unwrap()
    }

    pub(crate) fn bearer(&self, partner: &Partner) -> String {
        self.bearer_for(partner.base_url())
    }

    /// For the partner server with this base URL.
    pub(crate) fn bearer_for(&self, base_url: &str) -> String {
        let claims = Claims::push(base_url, self.hand.seconds());
        jwt::issue(&self.signer, &claims).unwrap().as_str().to_owned()
    }

    pub(crate) async fn push(&self, partner: &Partner, to: &str) -> Answer {
        let body = serde_json::json!({ "to": to }).to_string();
        push(partner, &self.bearer(partner), &body).await
    }
}

/// A key of the vectors.
pub(crate) fn signer(name: &str) -> RsaSigner {
    let keys: serde_json::Value = serde_json::from_str(KEYS).unwrap();
    RsaSigner::from_pkcs8_pem(keys["keys"][name].as_str().unwrap()).unwrap()
}

pub(crate) async fn push(partner: &Partner, bearer: &str, body: &str) -> Answer {
    let authorization = format!("Bearer {bearer}");
    let headers = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
    send(partner.addr(), "POST /push", &headers, body).await
}
