//! Starting and stopping.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use landbridge_enlist::jwt::{self, Claims, IssueError};
use landbridge_enlist::{BadIdentifier, IDENTIFIER_MAX_CHARS, UserIdentifier};
use landbridge_transport::HttpClient;
use landbridge_transport::http_server::{
    self, Certificates, HttpLimits, ServerHandle, TlsError, TlsVersions, serve, serve_tls,
};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::admin;
use crate::auth::{Chosen, StaticUsers, UserAuthenticator, UsersError};
use crate::base_url::{BadBaseUrl, BaseUrl};
use crate::clock::Clock;
use crate::config::{MinTls, PartnerConfig};
use crate::health::{self, Health};
use crate::key_files::{FileShelf, KeyFileError};
use crate::key_ring::{KeyRing, RotateError, web_push_key};
use crate::key_shelf::{KeyShelf, KeyShelfError, MemoryShelf};
use crate::key_source::KeySource;
use crate::keys::{BadSigningKeys, SigningKeys};
use crate::media::{Blobs, Hosting, LocalBlobs};
use crate::metrics::Metrics;
use crate::observe::Busy;
use crate::problem;
use crate::push::{Bearers, Bucket, Presence, Results};
use crate::rate::RateLimit;
use crate::remembered::Remembered;
use crate::routes::{self, App, Calls};
use crate::scan_guard::ScanGuard;
use crate::senders::{SenderError, Senders};
use crate::store::{OpenError, SqliteStore, Store};
use crate::wake::{Dispatcher, Es256Key, LocalSwitchboard, Switchboard, WakeHub, WakeSender, Wanted};

/// What the fetch of a key set may take (ASSUMED).
const KEYS_TIME: Duration = Duration::from_secs(5);
/// How often the certificate's files are looked at (ASSUMED: new connections use a new one within 10 s).
const CERTIFICATE_LOOK: Duration = Duration::from_secs(5);

/// A running partner server. Dropping it stops it without waiting; [`shutdown`](Self::shutdown) waits.
pub struct Partner {
    base_url: String,
    public: ServerHandle,
    admin: ServerHandle,
    health: Arc<Health>,
    hub: Arc<WakeHub>,
    /// What runs beside the listeners, and ends with this.
    background: JoinSet<()>,
    stop_public: watch::Sender<()>,
    stop_admin: watch::Sender<()>,
}

/// A partner server with parts of its operator's own.
pub struct PartnerBuilder {
    config: PartnerConfig,
    authenticator: Option<Arc<dyn UserAuthenticator>>,
    keys: Option<SigningKeys>,
    shelf: Option<Arc<dyn KeyShelf>>,
    limits: HttpLimits,
    clock: Clock,
    store: Option<Arc<dyn Store>>,
    blobs: Option<Arc<dyn Blobs>>,
    senders: Vec<Arc<dyn WakeSender>>,
    presence: Vec<Arc<dyn Presence>>,
    switchboard: Option<Arc<dyn Switchboard>>,
}

impl std::fmt::Debug for Partner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Partner").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for PartnerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartnerBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Why a partner server does not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// Development users without the flag that admits what they are.
    #[error("dev_users is no way to authenticate anybody: set insecure_dev_auth to use it for development")]
    InsecureDevAuth,
    /// Neither an authenticator nor development users.
    #[error(
        "nothing says how users are told: set users, give an authenticator, or set insecure_dev_auth and dev_users for development"
    )]
    NoAuthenticator,
    /// An identifier in the table of development users.
    #[error("an identifier in dev_users is not valid")]
    DevUser(#[source] BadIdentifier),
    /// The base URL.
    #[error("the base URL {url:?} cannot be used")]
    BaseUrl {
        /// As it was given.
        url: String,
        /// Why not.
        #[source]
        cause: BadBaseUrl,
    },
    /// An address that nobody can connect to is no base URL.
    #[error("listening on {addr} needs a base_url, since that address is no one's")]
    NoBaseUrl {
        /// The address listened on.
        addr: SocketAddr,
    },
    /// Without TLS, everybody on the way reads sessions and tokens.
    #[error(
        "listening on {addr} without TLS needs allow_plain_http, for a proxy in front that terminates it"
    )]
    PlainHttp {
        /// The address listened on.
        addr: SocketAddr,
    },
    /// Certificate and key.
    #[error("the certificate cannot be used")]
    Tls(#[source] TlsError),
    /// An address cannot be listened on.
    #[error("cannot listen on {addr}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system says.
        #[source]
        cause: std::io::Error,
    },
    /// The key files.
    #[error("the signing keys cannot be loaded")]
    KeyFiles(#[source] KeyFileError),
    /// The keys do not fit together.
    #[error("the signing keys cannot be used")]
    Keys(#[source] BadSigningKeys),
    /// The state of the keys.
    #[error("the signing keys cannot be taken up")]
    Rotate(#[source] RotateError),
    /// The token of a user with the longest identifier could not be issued.
    #[error("tokens for the longest identifiers could not be issued")]
    Token(#[source] IssueError),
    /// The settings of users.
    #[error("users cannot be told by these settings")]
    Users(#[source] UsersError),
    /// The database.
    #[error("the database cannot be used")]
    Store(#[source] OpenError),
    /// The place for media.
    #[error("the directory for media cannot be used")]
    Blobs(#[source] std::io::Error),
    /// A way to wake devices.
    #[error("a push provider cannot be set up")]
    Sender(#[source] SenderError),
    /// The HTTP client that fetches key sets.
    #[error("no HTTP client could be made")]
    Http(#[source] landbridge_transport::HttpError),
    /// A thread of the runtime ended early.
    #[error("the thread that opens the data directory ended early")]
    Panicked,
}

impl PartnerBuilder {
    /// Authenticates users this way instead of by [`PartnerConfig::dev_users`].
    #[must_use]
    pub fn authenticator(mut self, authenticator: Arc<dyn UserAuthenticator>) -> Self {
        self.authenticator = Some(authenticator);
        self
    }

    /// Signs with these keys instead of those in the data directory.
    #[must_use]
    pub fn signing_keys(mut self, keys: SigningKeys) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Keeps private keys there instead of in the data directory: those that sign, unless they are given, and Web Push's.
    #[must_use]
    pub fn key_shelf(mut self, shelf: Arc<dyn KeyShelf>) -> Self {
        self.shelf = Some(shelf);
        self
    }

    /// Limits of both listeners.
    #[must_use]
    pub fn http_limits(mut self, limits: HttpLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Takes the time from this clock.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Keeps everything with a row in this store instead of in SQLite.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Keeps the bytes of media there instead of in the data directory.
    #[must_use]
    pub fn blobs(mut self, blobs: Arc<dyn Blobs>) -> Self {
        self.blobs = Some(blobs);
        self
    }

    /// Wakes devices of one kind through this sender, besides those that are configured.
    #[must_use]
    pub fn wake_sender(mut self, sender: Arc<dyn WakeSender>) -> Self {
        self.senders.push(sender);
        self
    }

    /// Asks this one, too, whether a user is connected to WhatsApp.
    #[must_use]
    pub fn presence(mut self, presence: Arc<dyn Presence>) -> Self {
        self.presence.push(presence);
        self
    }

    /// Ties this server to others of the partner, so that a push at one wakes a device whose stream is at another.
    /// Without it, this server knows of its own streams only. Not shared: every server has its own.
    #[must_use]
    pub fn switchboard(mut self, switchboard: Arc<dyn Switchboard>) -> Self {
        self.switchboard = Some(switchboard);
        self
    }

    /// Starts the server. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`]; nothing listens then.
    pub async fn start(self) -> Result<Partner, StartError> {
        let Self {
            config,
            authenticator,
            keys,
            shelf,
            limits,
            clock,
            store,
            blobs,
            senders,
            presence,
            switchboard,
        } = self;
        let authenticator = choose_authenticator(&config, authenticator)?;
        let metrics = Arc::new(Metrics::default());
        let given = config.base_url.as_deref().map(parse_base_url).transpose()?;
        let media_url = config.media.base_url.as_deref().map(parse_base_url).transpose()?;
        let switchboard = switchboard.unwrap_or_else(|| Arc::new(LocalSwitchboard::new()));
        let wanted = Arc::new(Wanted::default());
        let hub = WakeHub::new(Arc::clone(&switchboard), Arc::clone(&wanted));
        if config.tls.is_none() && !config.addr.ip().is_loopback() && !config.allow_plain_http {
            return Err(StartError::PlainHttp { addr: config.addr });
        }
        let data = Data::load(&config, (keys, shelf), (store, blobs), &hub, (&clock, &metrics)).await?;
        let (public, addr) = listen(config.addr)?;
        let (admin, _) = listen(config.admin_addr)?;
        let base_url = match given {
            Some(base_url) => base_url,
            None if addr.ip().is_unspecified() => return Err(StartError::NoBaseUrl { addr }),
            None if data.certificates.is_some() => parse_base_url(&format!("https://{addr}"))?,
            None => parse_base_url(&format!("http://{addr}"))?,
        };
        check_longest_token(&data.keys.current(), &base_url)?;
        let media_url = media_url.unwrap_or_else(|| base_url.clone());
        check_media_path(&media_url)?;

        let issuer = base_url.as_str().to_owned();
        let keys_url = config.push.keys_url.clone();
        let whatsapp = KeySource::new("whatsapp", keys_url, &clock, &metrics);
        let keys_client = HttpClient::builder().total_timeout(KEYS_TIME).build().map_err(StartError::Http)?;
        let mut background = JoinSet::new();
        background.spawn(Arc::clone(&whatsapp).poll(keys_client.clone()));
        let (mut authenticator, mut user_keys) = (authenticator, None);
        if let Some(chosen) = data.users {
            (authenticator, user_keys) = (Some(chosen.authenticator), chosen.keys);
            if let Some(keys) = &user_keys {
                background.spawn(Arc::clone(keys).poll(keys_client));
            }
        }
        let authenticator = authenticator.ok_or(StartError::NoAuthenticator)?;
        let period = config.rotate_keys_days.map(|days| u64::from(days) * 24 * 60 * 60);
        background.spawn(Arc::clone(&data.keys).run(period));
        let hosting = Hosting::new(Arc::clone(&data.store), data.blobs, config.media.clone(), clock.clone());
        background.spawn(Arc::clone(&hosting).sweep());
        let senders: Vec<_> = data.senders.all.into_iter().chain(senders).collect();
        let kinds = routes::kinds(&senders);
        let dispatcher =
            Arc::new(Dispatcher::start(&data.store, senders, (wanted, &switchboard), &clock, &metrics));
        let health = Arc::new(Health {
            data_dir: config.data_dir,
            shutting_down: AtomicBool::new(false),
            whatsapp: Arc::clone(&whatsapp),
            users: user_keys,
            metrics: Arc::clone(&metrics),
            store: Arc::clone(&data.store),
            clock: clock.clone(),
            certificates: data.certificates.clone(),
            keys: Arc::clone(&data.keys),
            admin_token: data.admin_token,
            connections: std::sync::OnceLock::new(),
            hub: Arc::clone(&hub),
        });
        let audience = config.push.audience.unwrap_or_else(|| issuer.clone());
        let hub_presence = Arc::clone(&hub) as Arc<dyn Presence>;
        let app = Arc::new(App {
            push_results: Results::new(&metrics),
            pushes: Busy::post(&metrics, format!("{}/push", base_url.path())),
            base_url,
            integrator: config.integrator_id,
            keys: data.keys,
            authenticator,
            rate: RateLimit::per_hour(config.tokens_per_hour),
            tokens_per_hour: config.tokens_per_hour,
            clock,
            remembered: Remembered::of(&*data.store),
            store: data.store,
            bearers: Bearers::new(whatsapp, audience, &metrics),
            metrics,
            push_bucket: Bucket::new(config.push.per_second, Instant::now()),
            queue_bound: config.push.queue_bound,
            unknown_user: config.push.unknown_user,
            presence: std::iter::once(hub_presence).chain(presence).collect(),
            dispatcher,
            hub: Arc::clone(&hub),
            kinds,
            hosting,
            media_path: media_url.path().to_owned(),
            media_base_url: media_url.as_str().to_owned(),
            scan_guard: ScanGuard::new(config.media.misses_per_minute, config.media.unguarded),
            proxies: config.proxies,
            web_push: config.web_push,
            web_push_key: data.senders.web_push_key,
        });
        let ((stop_public, public_stops), (stop_admin, admin_stops)) =
            (watch::channel(()), watch::channel(()));
        let failed = |addr| move |cause| StartError::Listen { addr, cause };
        let calls = Calls::new(app);
        let mut limits = limits;
        limits.refuse = problem::refused;
        let stops = stopped(public_stops);
        let public = match data.certificates {
            Some(certificates) => {
                background.spawn(Arc::clone(&certificates).watch(CERTIFICATE_LOOK));
                serve_tls(public, certificates, calls, limits.clone(), stops)
            }
            None => serve(public, calls, limits.clone(), stops),
        };
        let public = public.map_err(failed(config.addr))?;
        let admin = serve(admin, health::router(Arc::clone(&health)), limits, stopped(admin_stops))
            .map_err(failed(config.admin_addr))?;
        health
            .watch_connections([("public", public.open_connections()), ("admin", admin.open_connections())]);
        tracing::info!(addr = %public.local_addr(), admin = %admin.local_addr(), issuer, "partner server started");
        Ok(Partner { base_url: issuer, public, admin, health, hub, background, stop_public, stop_admin })
    }
}

/// Rows and bytes, where the operator brings other places for them than the data directory.
type Places = (Option<Arc<dyn Store>>, Option<Arc<dyn Blobs>>);

/// What is read from the data directory.
struct Data {
    keys: Arc<KeyRing>,
    users: Option<Chosen>,
    admin_token: Option<zeroize::Zeroizing<String>>,
    store: Arc<dyn Store>,
    blobs: Arc<dyn Blobs>,
    senders: Senders,
    certificates: Option<Arc<Certificates>>,
}

impl Data {
    async fn load(
        config: &PartnerConfig,
        keys: (Option<SigningKeys>, Option<Arc<dyn KeyShelf>>),
        (store, blobs): Places,
        hub: &Arc<WakeHub>,
        (clock, metrics): (&Clock, &Arc<Metrics>),
    ) -> Result<Self, StartError> {
        let (config, hub) = (config.clone(), Arc::clone(hub));
        let (clock, metrics) = (clock.clone(), Arc::clone(metrics));
        let (keys, web_push_key) =
            load_keys(&config, keys, &clock).await.map_err(|refused| match refused {
                RotateError::Keys(cause) => StartError::Keys(cause),
                RotateError::Shelf(KeyShelfError::Files(cause)) => StartError::KeyFiles(cause),
                other => StartError::Rotate(other),
            })?;
        let load = move || {
            let data_dir = config.data_dir.as_deref();
            let users = config.users.as_ref().map(|users| Chosen::load(users, &clock, &metrics));
            let users = users.transpose().map_err(StartError::Users)?;
            let admin_token = data_dir.map(admin::token).transpose().map_err(StartError::KeyFiles)?;
            let store = match (store, data_dir) {
                (Some(store), _) => store,
                (None, None) => Arc::new(SqliteStore::in_memory().map_err(StartError::Store)?),
                (None, Some(dir)) => {
                    Arc::new(SqliteStore::open(dir.join("partner.db")).map_err(StartError::Store)?)
                }
            };
            let blobs = match (blobs, data_dir) {
                (Some(blobs), _) => blobs,
                (None, None) => Arc::new(LocalBlobs::temporary().map_err(StartError::Blobs)?),
                (None, Some(dir)) => {
                    Arc::new(LocalBlobs::open(dir.join("media")).map_err(StartError::Blobs)?)
                }
            };
            let senders = Senders::load(&config, web_push_key, &hub, &clock).map_err(StartError::Sender)?;
            let certificates = config.tls.as_ref().map(|tls| {
                let versions = match tls.min_version {
                    MinTls::V1_3 => TlsVersions::Tls13,
                    MinTls::V1_2 => TlsVersions::Tls12,
                };
                Certificates::load(&tls.certificate, &tls.key, versions).map_err(StartError::Tls)
            });
            Ok(Self {
                keys: Arc::new(keys),
                users,
                admin_token,
                store,
                blobs,
                senders,
                certificates: certificates.transpose()?,
            })
        };
        tokio::task::spawn_blocking(load).await.map_err(|_| StartError::Panicked)?
    }
}

/// What signs, and the key of Web Push if that is configured.
async fn load_keys(
    config: &PartnerConfig,
    (given, shelf): (Option<SigningKeys>, Option<Arc<dyn KeyShelf>>),
    clock: &Clock,
) -> Result<(KeyRing, Option<Es256Key>), RotateError> {
    let shelf = match (shelf, &config.data_dir) {
        (Some(shelf), _) => shelf,
        (None, Some(data_dir)) => Arc::new(FileShelf::new(data_dir)),
        (None, None) => Arc::new(MemoryShelf::default()),
    };
    let web_push = match config.web_push {
        Some(_) => Some(web_push_key(&*shelf).await?),
        None => None,
    };
    let ring = match given {
        Some(keys) => KeyRing::of(keys, clock.clone()),
        None => KeyRing::load(shelf, clock.clone()).await?,
    };
    Ok((ring, web_push))
}

/// Done once its sender is told to stop or is dropped.
async fn stopped(mut signal: watch::Receiver<()>) {
    // Both outcomes mean the same: there is nobody left to serve for.
    let _ = signal.changed().await;
}

/// The authenticator that is given or made of a table; `None` if the settings name another one.
fn choose_authenticator(
    config: &PartnerConfig,
    given: Option<Arc<dyn UserAuthenticator>>,
) -> Result<Option<Arc<dyn UserAuthenticator>>, StartError> {
    match given {
        _ if !config.dev_users.is_empty() && !config.insecure_dev_auth => Err(StartError::InsecureDevAuth),
        Some(given) => Ok(Some(given)),
        None if config.users.is_some() => Ok(None),
        None if config.insecure_dev_auth => {
            tracing::warn!("users are authenticated by a fixed table: for development only");
            let users = StaticUsers::new(config.dev_users.clone()).map_err(StartError::DevUser)?;
            Ok(Some(Arc::new(users)))
        }
        None => Err(StartError::NoAuthenticator),
    }
}

fn parse_base_url(url: &str) -> Result<BaseUrl, StartError> {
    BaseUrl::parse(url).map_err(|cause| StartError::BaseUrl { url: url.to_owned(), cause })
}

/// A reference there would be taken for something else.
fn check_media_path(media_url: &BaseUrl) -> Result<(), StartError> {
    if !routes::NAMED_BELOW.contains(&media_url.path()) {
        return Ok(());
    }
    let cause = BadBaseUrl::Taken { path: media_url.path().to_owned() };
    Err(StartError::BaseUrl { url: media_url.as_str().to_owned(), cause })
}

fn listen(addr: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |cause| StartError::Listen { addr, cause };
    let listener = http_server::listen(addr).map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    Ok((listener, local))
}

/// No user may find out that the issuer's URL leaves no room for the name.
fn check_longest_token(keys: &SigningKeys, base_url: &BaseUrl) -> Result<(), StartError> {
    let longest = char::MAX.to_string().repeat(IDENTIFIER_MAX_CHARS);
    let identifier = UserIdentifier::new(longest).map_err(StartError::DevUser)?;
    let claims = Claims::user(base_url.as_str(), &identifier, u64::MAX >> 1, &mut rand::rng());
    jwt::issue(&**keys.active(), &claims).map(drop).map_err(StartError::Token)
}

impl Partner {
    /// Starts a server with what the configuration says.
    ///
    /// # Errors
    /// [`StartError`]; nothing listens then.
    pub async fn start(config: PartnerConfig) -> Result<Self, StartError> {
        Self::builder(config).start().await
    }

    /// A server with parts of its operator's own.
    pub fn builder(config: PartnerConfig) -> PartnerBuilder {
        PartnerBuilder {
            config,
            authenticator: None,
            keys: None,
            shelf: None,
            limits: HttpLimits::default(),
            clock: Clock::system(),
            store: None,
            blobs: None,
            senders: Vec::new(),
            presence: Vec::new(),
            switchboard: None,
        }
    }

    /// Where WhatsApp and the clients come in.
    pub fn addr(&self) -> SocketAddr {
        self.public.local_addr()
    }

    /// Where the operator comes in.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin.local_addr()
    }

    /// The base URL: to the letter, the issuer of the tokens.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Reads the certificate's files again now, and not within seconds. Everything else that is set takes a restart.
    pub async fn reload(&self) {
        if let Some(certificates) = &self.health.certificates {
            certificates.refresh().await;
        }
    }

    /// Stops: not ready from now on, running requests get up to [`HttpLimits::drain`], then the operator's listener
    /// closes too.
    ///
    /// # Cancel safety
    /// Dropping the future cuts the draining short.
    pub async fn shutdown(self) {
        let Self { public, admin, health, hub, mut background, stop_public, stop_admin, .. } = self;
        health.shutting_down.store(true, Ordering::Relaxed);
        // Streams would not end by themselves.
        hub.close();
        drop(stop_public);
        let drained = public.wait().await;
        hub.leave().await;
        if drained.cut > 0 {
            tracing::warn!(cut = drained.cut, "connections were cut after the time to drain");
        }
        drop(stop_admin);
        admin.wait().await;
        background.shutdown().await;
        tracing::info!("partner server stopped");
    }
}
