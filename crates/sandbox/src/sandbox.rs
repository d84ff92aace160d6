//! Start and stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use landbridge_curve::PublicKey;
use landbridge_transport::ServerHandle;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::chat::Listener;
use crate::state::State;
use crate::{SandboxConfig, SandboxError, SandboxHandle, chat, enlistment, http, push};

/// How often accounts that were away for too long, and old mail, are looked for.
const SWEEP: Duration = Duration::from_secs(60);

/// What listens, for errors.
const CHAT: &str = "the chat server";
const HTTP: &str = "enlistment and control";

/// A running sandbox. Dropping it without [`shutdown`](Self::shutdown) stops it without a word to its clients.
#[derive(Debug)]
pub struct Sandbox {
    handle: SandboxHandle,
    chat_addr: SocketAddr,
    http: ServerHandle,
    http_addr: SocketAddr,
    media: ServerHandle,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Sandbox {
    /// Opens the database, listens, brings back the test phones. Must be called within a tokio runtime.
    ///
    /// With a [`data_dir`](SandboxConfig::data_dir) on a runtime of several threads, work that may wait for the disk lets
    /// the other tasks of its thread go elsewhere ([`tokio::task::block_in_place`]), which tokio does not allow inside of a
    /// `LocalSet`.
    ///
    /// # Errors
    /// [`SandboxError`] if an address cannot be listened on, the data cannot be used, or a partner is named wrongly.
    pub async fn start(config: SandboxConfig) -> Result<Self, SandboxError> {
        // The configuration is large, and each future around this one would hold it again.
        Box::pin(Self::bind(config)).await?.start()
    }

    /// Takes the addresses and serves nobody yet: for a partner's server that has to know where the sandbox's key set is
    /// before it starts itself. Who connects waits.
    ///
    /// # Errors
    /// [`SandboxError::Listen`] if an address cannot be listened on.
    pub async fn bind(config: SandboxConfig) -> Result<BoundSandbox, SandboxError> {
        let chat = listen(CHAT, config.chat_addr)?;
        let http = listen(HTTP, config.http_addr)?;
        let media = listen("files", config.media_addr)?;
        let http_addr = local(&http, HTTP, config.http_addr)?;
        Ok(BoundSandbox { config, chat, http, http_addr, media })
    }

    /// What the control API and tests do with it.
    pub fn handle(&self) -> &SandboxHandle {
        &self.handle
    }

    /// Where the chat server listens.
    pub fn chat_addr(&self) -> SocketAddr {
        self.chat_addr
    }

    /// Where enlistment, key set and control API listen.
    pub fn http_addr(&self) -> SocketAddr {
        self.http_addr
    }

    /// The root of the chat server's certificates, for clients to pin.
    pub fn root_key(&self) -> PublicKey {
        self.handle.root_key()
    }

    /// Where to enlist.
    pub fn enlist_url(&self) -> String {
        format!("http://{}{}", self.http_addr, enlistment::PATH)
    }

    /// Where the sandbox's own key set is, for partners that check pushes.
    pub fn jwks_url(&self) -> String {
        jwks_url(self.http_addr)
    }

    /// Where the media server is: the base of every download path.
    pub fn media_url(&self) -> String {
        format!("http://{}", self.media.local_addr())
    }

    /// Where the control API is.
    pub fn control_url(&self) -> String {
        format!("http://{}{}", self.http_addr, crate::control::PATH)
    }

    /// Stops: takes nobody in any more, ends every stream, waits for what is under way.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        self.http.shutdown();
        self.media.shutdown();
        for task in self.tasks {
            // A task that has panicked is over, too.
            let _ = task.await;
        }
        self.handle.stop_phones().await;
        let _ = self.http.wait().await;
        let _ = self.media.wait().await;
    }
}

/// A sandbox that has its addresses and serves nobody yet; made by [`Sandbox::bind`].
#[derive(Debug)]
pub struct BoundSandbox {
    config: SandboxConfig,
    chat: TcpListener,
    http: TcpListener,
    http_addr: SocketAddr,
    media: TcpListener,
}

impl BoundSandbox {
    /// Where the sandbox's own key set will be, for partners that check pushes.
    pub fn jwks_url(&self) -> String {
        jwks_url(self.http_addr)
    }

    /// Adds a partner. Its base URL is also the issuer of its tokens.
    #[must_use]
    pub fn partner(mut self, integrator: u16, base_url: impl Into<String>) -> Self {
        self.config = self.config.partner(integrator, base_url);
        self
    }

    /// Opens the database, brings back the test phones, serves. Must be called within a tokio runtime; otherwise as
    /// [`Sandbox::start`].
    ///
    /// # Errors
    /// [`SandboxError`] if the data cannot be used or a partner is named wrongly.
    pub fn start(self) -> Result<Sandbox, SandboxError> {
        let Self { config, chat, http, http_addr, media } = self;
        let chat_addr = local(&chat, CHAT, config.chat_addr)?;
        let state = State::new(config)?;
        let (stop, stopped) = watch::channel(false);
        let handle = SandboxHandle::new(Arc::clone(&state));
        crate::phones::resume(&state)?;
        // Before anybody can connect: the board has to hear of all who come.
        let mut tasks: Vec<_> = push::spawn(&state, &stopped)?.into_iter().collect();
        let http = http::serve(&handle, http, stopped.clone()).map_err(|source| SandboxError::Listen {
            what: HTTP,
            addr: http_addr,
            source,
        })?;
        let media = crate::media::serve(&state, media, stopped.clone())?;
        tasks.extend([
            tokio::spawn(chat::serve(Arc::clone(&state), Listener::Tcp(chat), stopped.clone())),
            tokio::spawn(sweep(Arc::clone(&state), stopped.clone())),
        ]);
        tasks.extend(enlistment::spawn(&state, &stopped)?);
        Ok(Sandbox { handle, chat_addr, http, http_addr, media, stop, tasks })
    }
}

fn jwks_url(http_addr: SocketAddr) -> String {
    format!("http://{http_addr}{}", enlistment::JWKS_PATH)
}

fn listen(what: &'static str, addr: SocketAddr) -> Result<TcpListener, SandboxError> {
    landbridge_transport::http_server::listen(addr).map_err(|source| SandboxError::Listen {
        what,
        addr,
        source,
    })
}

fn local(listener: &TcpListener, what: &'static str, addr: SocketAddr) -> Result<SocketAddr, SandboxError> {
    listener.local_addr().map_err(|source| SandboxError::Listen { what, addr, source })
}

pub(crate) async fn sweep(state: Arc<State>, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            biased;
            () = tokio::time::sleep(SWEEP) => {}
            _ = stop.changed() => return,
        }
        state.jump_by_chance();
        if let Err(error) = state.sweep() {
            state.internal("old accounts and mail could not be removed", &error);
        }
    }
}
