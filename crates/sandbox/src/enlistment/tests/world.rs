//! A sandbox's HTTP side over real sockets, and a partner whose key set answers as it is told.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State as Shared;
use axum::http::header::{ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use landbridge_curve::PrivateKey;
use landbridge_enlist::jwks::{etag, to_json};
use landbridge_enlist::jwt::{self, Claims, RsaSigner, Token};
use landbridge_enlist::{
    DeviceKeys, EnlistmentReply, EnlistmentRequest, FormKind, IntegratorId, Login, Refusal,
    SignedPreKeyPublic, generate_rsa_pem,
};
use landbridge_transport::{HttpClient, HttpLimits, ServerHandle, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::super::{PATH, routes, spawn};
use crate::events::{Event, EventKind};
use crate::state::{State, lock};
use crate::{Clock, RateLimits, SandboxConfig, SandboxHandle};

/// Two keys of one partner; making them takes a while.
pub(super) static SIGNERS: LazyLock<[RsaSigner; 2]> = LazyLock::new(|| {
    [(); 2].map(|()| RsaSigner::from_pkcs8_pem(&generate_rsa_pem(&mut rand::rng()).unwrap()).unwrap())
});

/// What the partner answers when its keys are fetched.
#[derive(Debug, Clone)]
pub(super) enum Keys {
    /// A good set of the signers with these places.
    Of(&'static [usize]),
    /// Any status and body.
    Raw(u16, String),
    /// A redirect to another address.
    Redirect(String),
    /// Nothing, ever.
    Silent,
}

pub(super) struct Partner {
    pub(super) url: String,
    answer: Mutex<Keys>,
    pub(super) fetches: AtomicUsize,
    conditional: AtomicUsize,
    /// In which versions of HTTP it was asked.
    pub(super) versions: Mutex<Vec<Version>>,
    /// Holds answers back while it is closed.
    pub(super) gate: watch::Sender<bool>,
}

impl Partner {
    pub(super) async fn start(keys: Keys) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let partner = Arc::new(Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            answer: Mutex::new(keys),
            fetches: AtomicUsize::new(0),
            conditional: AtomicUsize::new(0),
            versions: Mutex::default(),
            gate: watch::Sender::new(true),
        });
        let router = Router::new()
            .route("/.well-known/oauth/openid/jwks", get(answer))
            .with_state(Arc::clone(&partner));
        serve(listener, router, HttpLimits::default(), std::future::pending()).unwrap();
        partner
    }

    pub(super) fn publish(&self, keys: Keys) {
        *lock(&self.answer) = keys;
    }

    pub(super) fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    pub(super) fn conditional(&self) -> usize {
        self.conditional.load(Ordering::SeqCst)
    }

    /// A token for `identifier`, signed by one of the keys.
    pub(super) fn token(&self, signer: usize, identifier: &str) -> Token {
        let now = Clock::real().now();
        let claims = Claims::user(&*self.url, &identifier.parse().unwrap(), now, &mut rand::rng());
        jwt::issue(&SIGNERS[signer], &claims).unwrap()
    }
}

async fn answer(Shared(partner): Shared<Arc<Partner>>, version: Version, headers: HeaderMap) -> Response {
    lock(&partner.versions).push(version);
    partner.fetches.fetch_add(1, Ordering::SeqCst);
    partner.gate.subscribe().wait_for(|open| *open).await.unwrap();
    let keys = lock(&partner.answer).clone();
    match keys {
        Keys::Of(places) => {
            let document = to_json(places.iter().map(|place| SIGNERS[*place].public_key()));
            let tag = etag(&document);
            if headers.get(IF_NONE_MATCH).is_some_and(|value| *value == *tag) {
                partner.conditional.fetch_add(1, Ordering::SeqCst);
                return (StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response();
            }
            ([(ETAG, tag)], document).into_response()
        }
        Keys::Raw(status, body) => (StatusCode::from_u16(status).unwrap(), body).into_response(),
        Keys::Redirect(to) => (StatusCode::FOUND, [("location", to)]).into_response(),
        Keys::Silent => std::future::pending().await,
    }
}

pub(super) struct World {
    pub(super) state: Arc<State>,
    pub(super) handle: SandboxHandle,
    pub(super) partner: Arc<Partner>,
    pub(super) addr: SocketAddr,
    _http: ServerHandle,
    _stop: watch::Sender<bool>,
}

impl World {
    /// Partner 1 with its first key, no rate limits.
    pub(super) async fn start() -> Self {
        Self::with(Keys::Of(&[0]), |_| {}).await
    }

    pub(super) async fn with(keys: Keys, change: impl FnOnce(&mut SandboxConfig)) -> Self {
        let partner = Partner::start(keys).await;
        let mut config = SandboxConfig::default().partner(1, partner.url.clone());
        config.rate_limits = RateLimits::Off;
        change(&mut config);
        let state = State::new(config).unwrap();
        let (stop, stopped) = watch::channel(false);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let handle = SandboxHandle::new(Arc::clone(&state));
        let router = routes(handle.clone());
        let mut limits = HttpLimits::default();
        limits.header = Duration::from_millis(500);
        let http = serve(listener, router, limits, std::future::pending()).unwrap();
        spawn(&state, &stopped).unwrap();
        Self { state, handle, partner, addr: http.local_addr(), _http: http, _stop: stop }
    }

    /// Sends a form, and checks that the answer has the form of all answers.
    pub(super) async fn post(&self, body: impl Into<String>) -> Result<Login, Refusal> {
        let url = format!("http://{}{PATH}", self.addr);
        let client = HttpClient::builder().build().unwrap();
        let answer = client.post(&url, EnlistmentRequest::CONTENT_TYPE, body.into(), &[]).await.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        match EnlistmentReply::parse(&answer.body).unwrap() {
            EnlistmentReply::Enlisted(login) => Ok(login),
            EnlistmentReply::Refused(refusal) => Err(refusal),
        }
    }

    /// Sends a form that has to be refused, and finds the refusal in the journal.
    pub(super) async fn refused(&self, body: impl Into<String>) -> Refusal {
        let refusal = self.post(body).await.expect_err("has to be refused");
        let (reason, detail) = self.last_refusal();
        assert_eq!(reason, refusal.reason.as_str());
        assert!(detail.contains(refusal.detail.as_deref().unwrap()), "{detail}");
        refusal
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.state.journal.since(0)
    }

    /// Reason and detail of the last refusal in the journal.
    pub(super) fn last_refusal(&self) -> (String, String) {
        let mut refusals = self.events().into_iter().filter_map(|event| match event.kind {
            EventKind::EnlistRefused { reason, detail } => Some((reason, detail)),
            _ => None,
        });
        refusals.next_back().expect("the journal has a refusal")
    }

    /// Waits for the journal's next entry about a key set that `wanted` agrees with.
    pub(super) async fn key_set_event(&self, wanted: impl Fn(&str) -> bool) -> String {
        let (kept, mut live) = self.state.journal.follow(0);
        let mut kept = kept.into_iter();
        let waiting = async {
            loop {
                let event = match kept.next() {
                    Some(event) => event,
                    None => live.recv().await.unwrap(),
                };
                match event.kind {
                    EventKind::KeySet { integrator: 1, outcome } if wanted(&outcome) => return outcome,
                    _ => {}
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(15), waiting).await.expect("the key set is fetched")
    }

    /// Has the partner's keys fetched and waits for the end of it.
    pub(super) async fn refetch(&self) {
        let before = self.events().len();
        let (_, mut live) = self.state.journal.follow(u64::MAX);
        self.state.partners.get(IntegratorId::ONE).unwrap().refresh_soon();
        let waiting = async { while !matches!(live.recv().await.unwrap().kind, EventKind::KeySet { .. }) {} };
        tokio::time::timeout(Duration::from_secs(15), waiting).await.expect("the key set is fetched");
        assert!(self.events().len() > before);
    }
}

/// Sends bytes on a connection of its own and reads until the server closes.
pub(super) async fn raw(addr: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let reading = async {
        let mut buffer = [0; 4096];
        // A reset after the answer is an end like any other.
        while let Ok(n @ 1..) = stream.read(&mut buffer).await {
            answer.extend_from_slice(&buffer[..n]);
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reading).await.unwrap();
    String::from_utf8(answer).unwrap()
}

/// A device with fresh keys.
pub(super) fn keys() -> DeviceKeys {
    let mut rng = rand::rng();
    let [noise, identity, prekey] = [(); 3].map(|()| PrivateKey::generate(&mut rng));
    DeviceKeys {
        auth_key: noise.public(),
        registration_id: 0xc7a8_3ab4,
        identity_key: identity.public(),
        signed_prekey: SignedPreKeyPublic {
            id: 0,
            key: prekey.public(),
            signature: identity.sign(&[&prekey.public().to_typed()], &mut rng),
        },
    }
}

pub(super) fn request(partner: &Partner, keys: &DeviceKeys) -> EnlistmentRequest {
    EnlistmentRequest {
        keys: keys.clone(),
        integrator: IntegratorId::ONE,
        identifier: "alice".parse().unwrap(),
        token: partner.token(0, "alice"),
    }
}

/// A good form of `alice`, with one field set to another (escaped) text, or left out.
pub(super) fn form_with(partner: &Partner, field: &str, value: Option<&str>) -> String {
    let body = request(partner, &keys()).to_form(FormKind::Full);
    let prefix = format!("{field}=");
    let mut pairs: Vec<String> =
        body.split('&').filter(|pair| !pair.starts_with(&prefix)).map(str::to_owned).collect();
    pairs.extend(value.map(|value| format!("{prefix}{value}")));
    pairs.join("&")
}
