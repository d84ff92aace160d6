//! Putting a client together.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use landbridge_noise::{PinnedRoot, PublicKey, ServerTrust};
use landbridge_proto::login::Device;
use landbridge_stanza::Profile;
use landbridge_stanza::presence::Availability;
use landbridge_store::ClientStore;
use landbridge_transport::{HttpClient, TcpTransport, Transport};
use rand::CryptoRng;
use tokio::sync::Notify;

use crate::client::{Client, Inner, Link, ReadReceipts};
use crate::error::Error;
use crate::event::EventQueue;
use crate::media::uploads::Uploads;
use crate::messages::flood::Floods;
use crate::seams::{Clock, SharedRng, SystemClock};
use crate::token::TokenSource;
use crate::trace::{TraceSink, TracedStanza, Tracer};
use crate::trust::IdentityPolicy;
use crate::vault::Vault;

/// Settings of a [`Client`]. A store, a token source and a way to the chat server are needed; the rest has defaults.
#[derive(Default)]
pub struct ClientBuilder {
    store: Option<Box<dyn ClientStore>>,
    profile: Profile,
    endpoint: Option<String>,
    transport: Option<Arc<dyn Transport>>,
    enlistment_url: Option<String>,
    trust: Option<Arc<dyn ServerTrust>>,
    root_key: Option<String>,
    tokens: Option<Arc<dyn TokenSource>>,
    http: Option<HttpClient>,
    push_name: Option<String>,
    device: Option<Device>,
    read_receipts: ReadReceipts,
    identity_policy: IdentityPolicy,
    clock: Option<Arc<dyn Clock>>,
    rng: Option<SharedRng>,
    trace: Option<TraceSink>,
}

impl ClientBuilder {
    /// Where the client keeps its state. One store per account.
    #[must_use]
    pub fn store(mut self, store: impl ClientStore + 'static) -> Self {
        self.store = Some(Box::new(store));
        self
    }

    /// The values that no public document settles. [`Profile::default`].
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// The chat server as `host:port`, over TCP.
    #[must_use]
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// Another way to the chat server than TCP. Takes precedence over [`endpoint`](Self::endpoint).
    #[must_use]
    pub fn transport(mut self, transport: impl Transport + 'static) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Where enlistment requests go. The profile's address, which is WhatsApp's.
    #[must_use]
    pub fn enlistment_url(mut self, url: impl Into<String>) -> Self {
        self.enlistment_url = Some(url.into());
        self
    }

    /// Which chat servers are believed. The root of the profile, which is WhatsApp's.
    #[must_use]
    pub fn trust(mut self, trust: impl ServerTrust + 'static) -> Self {
        self.trust = Some(Arc::new(trust));
        self
    }

    /// Believes chat servers whose certificates end in this root, 64 hex digits as a sandbox prints it.
    /// [`trust`](Self::trust) takes precedence.
    #[must_use]
    pub fn root_key(mut self, hex: impl Into<String>) -> Self {
        self.root_key = Some(hex.into());
        self
    }

    /// Where identity tokens come from.
    #[must_use]
    pub fn token_source(mut self, tokens: impl TokenSource + 'static) -> Self {
        self.tokens = Some(Arc::new(tokens));
        self
    }

    /// The HTTP client for enlistment. One with the time-outs of the profile.
    #[must_use]
    pub fn http(mut self, http: HttpClient) -> Self {
        self.http = Some(http);
        self
    }

    /// The name that peers see. None.
    #[must_use]
    pub fn push_name(mut self, name: impl Into<String>) -> Self {
        self.push_name = Some(name.into());
        self
    }

    /// What the client runs on, as the login tells it. Nothing.
    #[must_use]
    pub fn device(mut self, device: Device) -> Self {
        self.device = Some(device);
        self
    }

    /// Whether peers are told that their messages were read: the user's setting. They are.
    #[must_use]
    pub fn read_receipts(mut self, read_receipts: ReadReceipts) -> Self {
        self.read_receipts = read_receipts;
        self
    }

    /// What happens when a peer's identity changes. It is told, and sending is held if the user had verified the peer.
    #[must_use]
    pub fn identity_policy(mut self, policy: IdentityPolicy) -> Self {
        self.identity_policy = policy;
        self
    }

    /// The clock. The computer's.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// The random source of keys and ids. One seeded by the operating system. Bring your own to replay a run.
    #[must_use]
    pub fn rng(mut self, rng: impl CryptoRng + Send + 'static) -> Self {
        self.rng = Some(SharedRng::new(Box::new(rng)));
        self
    }

    /// Called with every stanza that passes. It must be quick and must not block. Off.
    #[must_use]
    pub fn trace(mut self, sink: impl Fn(TracedStanza) + Send + Sync + 'static) -> Self {
        self.trace = Some(Arc::new(sink));
        self
    }

    /// Builds the client. Nothing is connected and nothing is written yet.
    ///
    /// # Errors
    ///
    /// [`Error::Setup`] if store, token source or endpoint is missing, the root key is none, or a part cannot be set up.
    pub fn build(self) -> Result<Client, Error> {
        let missing = |what| Error::Setup { what, source: None };
        let profile = self.profile;
        let transport: Arc<dyn Transport> = match (self.transport, self.endpoint) {
            (Some(transport), _) => transport,
            (None, Some(endpoint)) => {
                let limit = Duration::from_secs(profile.connection.connect_timeout_s);
                let tcp = TcpTransport::new(endpoint).map_err(|e| Error::Setup {
                    what: "the endpoint is not host:port",
                    source: Some(e.into()),
                })?;
                Arc::new(tcp.connect_timeout(limit))
            }
            (None, None) => return Err(missing("no endpoint and no transport was given")),
        };
        let http = match self.http {
            Some(http) => http,
            None => HttpClient::builder()
                .connect_timeout(Duration::from_secs(profile.enlistment.connect_timeout_s))
                .total_timeout(Duration::from_secs(profile.enlistment.timeout_s))
                .max_body(profile.enlistment.max_answer_bytes)
                .build()
                .map_err(|e| Error::Setup { what: "the HTTP client", source: Some(e.into()) })?,
        };
        let rng = match self.rng {
            Some(rng) => rng,
            None => SharedRng::from_system()
                .map_err(|e| Error::Setup { what: "no random numbers", source: Some(Box::new(e)) })?,
        };
        let store = self.store.ok_or_else(|| missing("no store was given"))?;
        let folder = store.folder().map(std::path::Path::to_owned);
        let root = match &self.root_key {
            Some(text) => key_from_hex(text).ok_or_else(|| missing("the root key is not 64 hex digits"))?,
            None => profile.connection.root_key,
        };
        let root = PublicKey::from_bytes(root);
        Ok(Client::new(Inner {
            encode_options: profile.wire.encode_options(),
            wire_limits: profile.wire.limits(),
            content_limits: Arc::new(profile.content.limits()),
            push_name: self.push_name,
            device: self.device,
            read_receipts: self.read_receipts,
            identity_policy: self.identity_policy,
            transport,
            trust: self.trust.unwrap_or_else(|| Arc::new(PinnedRoot::new(root))),
            tokens: self.tokens.ok_or_else(|| missing("no token source was given"))?,
            http,
            enlistment_url: self.enlistment_url.unwrap_or_else(|| profile.enlistment.url.clone()),
            vault: Vault::new(store),
            clock: self.clock.unwrap_or_else(|| Arc::new(SystemClock)),
            rng,
            tracer: Tracer::new(self.trace),
            events: EventQueue::default(),
            uploads: Uploads::new(folder),
            link: Mutex::new(Link::Down(None)),
            own_keys: tokio::sync::Mutex::new(()),
            peer_keys: tokio::sync::Mutex::new(()),
            blocklist: crate::blocking::Order::default(),
            failed_logins: AtomicU32::new(0),
            token_refused: AtomicBool::new(false),
            resumption_failed: AtomicBool::new(false),
            woken: Notify::new(),
            last_wake: Mutex::new(None),
            running: AtomicUsize::new(0),
            unanswered_login: Mutex::new(None),
            presence: Mutex::new(Availability::Available),
            deleting: AtomicBool::new(false),
            floods: Floods::default(),
            profile: Arc::new(profile),
        }))
    }
}

fn key_from_hex(text: &str) -> Option<[u8; 32]> {
    let digits = text.trim().as_bytes();
    let mut key = [0; 32];
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(key)
}

impl std::fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("endpoint", &self.endpoint)
            .field("enlistment_url", &self.enlistment_url)
            .field("read_receipts", &self.read_receipts)
            .finish_non_exhaustive()
    }
}
