//! Starting and stopping.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use landbridge_enlist::jwt::{self, Claims, IssueError};
use landbridge_enlist::{BadIdentifier, IDENTIFIER_MAX_CHARS, UserIdentifier};
use landbridge_transport::http_server::{HttpLimits, ServerHandle, serve};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::auth::{StaticUsers, UserAuthenticator};
use crate::base_url::{BadBaseUrl, BaseUrl};
use crate::config::PartnerConfig;
use crate::health::{self, Health};
use crate::key_files::{self, KeyFileError};
use crate::keys::{BadSigningKeys, SigningKeys};
use crate::rate::RateLimit;
use crate::routes::{self, App};

/// A running partner server. Dropping it stops it without waiting; [`shutdown`](Self::shutdown) waits.
#[derive(Debug)]
pub struct Partner {
    base_url: String,
    public: ServerHandle,
    admin: ServerHandle,
    health: Arc<Health>,
    stop_public: watch::Sender<()>,
    stop_admin: watch::Sender<()>,
}

/// A partner server with parts of its operator's own.
pub struct PartnerBuilder {
    config: PartnerConfig,
    authenticator: Option<Arc<dyn UserAuthenticator>>,
    keys: Option<SigningKeys>,
    limits: HttpLimits,
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
    #[error("no user authenticator: give one, or set insecure_dev_auth and dev_users for development")]
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
    /// The token of a user with the longest identifier could not be issued.
    #[error("tokens for the longest identifiers could not be issued")]
    Token(#[source] IssueError),
    /// A thread of the runtime ended early.
    #[error("the thread that loads the signing keys ended early")]
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

    /// Limits of both listeners.
    #[must_use]
    pub fn http_limits(mut self, limits: HttpLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Starts the server. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`]; nothing listens then.
    pub async fn start(self) -> Result<Partner, StartError> {
        let Self { config, authenticator, keys, limits } = self;
        let authenticator = choose_authenticator(&config, authenticator)?;
        let given = config.base_url.as_deref().map(parse_base_url).transpose()?;
        let keys = match keys {
            Some(keys) => keys,
            None => {
                let data_dir = config.data_dir.clone();
                let load = move || key_files::load_or_generate(data_dir.as_deref());
                let signers = tokio::task::spawn_blocking(load).await.map_err(|_| StartError::Panicked)?;
                SigningKeys::of(signers.map_err(StartError::KeyFiles)?).map_err(StartError::Keys)?
            }
        };
        let (public, addr) = listen(config.addr).await?;
        let (admin, _) = listen(config.admin_addr).await?;
        let base_url = match given {
            Some(base_url) => base_url,
            None if addr.ip().is_unspecified() => return Err(StartError::NoBaseUrl { addr }),
            None => parse_base_url(&format!("http://{addr}"))?,
        };
        check_longest_token(&keys, &base_url)?;

        let health = Arc::new(Health { data_dir: config.data_dir, shutting_down: AtomicBool::new(false) });
        let issuer = base_url.as_str().to_owned();
        let app = Arc::new(App {
            base_url,
            integrator: config.integrator_id,
            keys,
            authenticator,
            rate: RateLimit::per_hour(config.tokens_per_hour),
            tokens_per_hour: config.tokens_per_hour,
        });
        let ((stop_public, public_stops), (stop_admin, admin_stops)) =
            (watch::channel(()), watch::channel(()));
        let failed = |addr| move |cause| StartError::Listen { addr, cause };
        let public = serve(public, routes::router(app), limits.clone(), stopped(public_stops))
            .map_err(failed(config.addr))?;
        let admin = serve(admin, health::router(Arc::clone(&health)), limits, stopped(admin_stops))
            .map_err(failed(config.admin_addr))?;
        tracing::info!(addr = %public.local_addr(), admin = %admin.local_addr(), issuer, "partner server started");
        Ok(Partner { base_url: issuer, public, admin, health, stop_public, stop_admin })
    }
}

/// Done once its sender is told to stop or is dropped.
async fn stopped(mut signal: watch::Receiver<()>) {
    // Both outcomes mean the same: there is nobody left to serve for.
    let _ = signal.changed().await;
}

fn choose_authenticator(
    config: &PartnerConfig,
    given: Option<Arc<dyn UserAuthenticator>>,
) -> Result<Arc<dyn UserAuthenticator>, StartError> {
    match given {
        _ if !config.dev_users.is_empty() && !config.insecure_dev_auth => Err(StartError::InsecureDevAuth),
        Some(given) => Ok(given),
        None if config.insecure_dev_auth => {
            tracing::warn!("users are authenticated by a fixed table: for development only");
            let users = StaticUsers::new(config.dev_users.clone()).map_err(StartError::DevUser)?;
            Ok(Arc::new(users))
        }
        None => Err(StartError::NoAuthenticator),
    }
}

fn parse_base_url(url: &str) -> Result<BaseUrl, StartError> {
    BaseUrl::parse(url).map_err(|cause| StartError::BaseUrl { url: url.to_owned(), cause })
}

async fn listen(addr: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |cause| StartError::Listen { addr, cause };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
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
        PartnerBuilder { config, authenticator: None, keys: None, limits: HttpLimits::default() }
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

    /// Stops: not ready from now on, running requests get up to [`HttpLimits::drain`], then the operator's listener
    /// closes too.
    ///
    /// # Cancel safety
    /// Dropping the future cuts the draining short.
    pub async fn shutdown(self) {
        let Self { public, admin, health, stop_public, stop_admin, .. } = self;
        health.shutting_down.store(true, Ordering::Relaxed);
        drop(stop_public);
        let drained = public.wait().await;
        if drained.cut > 0 {
            tracing::warn!(cut = drained.cut, "connections were cut after the time to drain");
        }
        drop(stop_admin);
        admin.wait().await;
        tracing::info!("partner server stopped");
    }
}
