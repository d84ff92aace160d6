//! An HTTP/1.1 and HTTP/2 accept loop that defends itself, without TLS ([`serve`]) or with it (`serve_tls`, feature
//! `tls-server`). With TLS the two versions are told apart by ALPN, without by the first bytes.
//!
//! Frameworks serve happily to clients that never finish a sentence. This loop closes a connection that
//!
//! - sends nothing, or only a beginning that fits both protocols, for [`HttpLimits::first_byte`];
//! - has begun a header block and does not end it within [`HttpLimits::header`];
//! - moves no byte in either direction for [`HttpLimits::idle`];
//! - does not read what it asked for within [`HttpLimits::stall`], on the socket or on an HTTP/2 stream;
//! - floods it with HTTP/2 frames that cost nothing to send: it is told to calm down first;
//!
//! answers 431 to header blocks that are too large, 414 to request lines that are too long, 505 to other versions, 417 to
//! expectations that it does not know, and 400 to what is no request and to requests that two readers may take for
//! different ones (two lengths, bare line feeds, folded lines, other codings than `chunked`, not one `Host`, a target that
//! contradicts it), all in the form that [`HttpLimits::refuse`] gives; ends a connection after a request with
//! `Transfer-Encoding`, so that nothing can hide behind its body; and takes no more than [`HttpLimits::connections`] at
//! once. Limits on bodies are the router's: it knows which routes take uploads.
//!
//! An answer that is given before its request has come to the end waits for nothing and gets lost with nothing: of the
//! body up to 64 KiB are read behind it, so that the connection can go on; with more to come the connection ends, after
//! what is under way has been read for a while.
//!
//! The service is any [`tower_service::Service`], such as an axum `Router`. Who called is in the request's extensions
//! as [`PeerAddr`] (in axum: `Extension<PeerAddr>`).
//!
//! ```no_run
//! use landbridge_transport::http_server::{HttpLimits, serve};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let router = axum::Router::new().route("/health", axum::routing::get(|| async { "ok" }));
//! let listener = landbridge_transport::http_server::listen("127.0.0.1:0".parse()?)?;
//! let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
//! let server = serve(listener, router, HttpLimits::default(), stop)?;
//! println!("http://{}", server.local_addr());
//! server.wait().await;
//! # Ok(()) }
//! ```

mod body;
mod connection;
mod frames;
mod guard;
mod head;
mod newcomers;
mod service;
mod stalls;
#[cfg(feature = "tls-server")]
mod tls;

pub use body::RequestBody;
pub use frames::{Flood, FrameScanner, Seen};
pub use head::{HeadLimits, HeadScanner, Refusal};
#[cfg(feature = "tls-server")]
pub use tls::{Certificates, Reloaded, TlsError, TlsVersions};

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::Body;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tower_service::Service;

use newcomers::Newcomers;

/// The limits of one server.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HttpLimits {
    /// From the connection to the first bytes that tell the protocol. 5 s.
    pub first_byte: Duration,
    /// From the first to the last byte of a header block; for the first one of a connection, from the connection's
    /// beginning. 10 s.
    pub header: Duration,
    /// Without a byte in either direction; pings and settings of HTTP/2 do not count. 75 s. Handlers that take longer
    /// must send something meanwhile.
    pub idle: Duration,
    /// With bytes to send and a peer that takes none. 30 s.
    pub stall: Duration,
    /// From the connection to the end of the TLS handshake. 10 s.
    pub tls: Duration,
    /// From the stop signal to the end of the last request; what is not done by then is cut. 30 s.
    pub drain: Duration,
    /// Connections at once. With none left, the next one gets the place of the one that has asked for nothing for the
    /// longest time; if all have, it waits, and those behind it in the operating system's queue. 10,000.
    pub connections: usize,
    /// Largest header block in bytes, at least 8,192. 16,384.
    pub header_block: usize,
    /// Most header fields of a request. 100.
    pub header_fields: usize,
    /// Longest request target in bytes. 8,192.
    pub request_line: usize,
    /// HTTP/2: requests at once on a connection. 128.
    pub streams: u32,
    /// The answer to a request that does not reach the service: 400, 414, 417, 431 or 505. Without a body. In HTTP/2, a
    /// header list that is more than twice too large is answered without asking.
    pub refuse: fn(StatusCode) -> Response<Bytes>,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(5),
            header: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            stall: Duration::from_secs(30),
            tls: Duration::from_secs(10),
            drain: Duration::from_secs(30),
            connections: 10_000,
            header_block: 16 * 1024,
            header_fields: 100,
            request_line: 8 * 1024,
            streams: 128,
            refuse: |status| {
                let mut answer = Response::default();
                *answer.status_mut() = status;
                answer
            },
        }
    }
}

/// The socket address of the caller, in the extensions of each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PeerAddr(pub SocketAddr);

/// A running server. Dropping the handle leaves it running until its stop signal.
#[derive(Debug)]
pub struct ServerHandle {
    local_addr: SocketAddr,
    open: OpenConnections,
    stop: Arc<Notify>,
    task: JoinHandle<Drained>,
}

/// How many connections a server has.
#[derive(Debug, Clone)]
pub struct OpenConnections {
    limit: usize,
    slots: Arc<Semaphore>,
}

impl OpenConnections {
    /// Now.
    pub fn count(&self) -> usize {
        self.limit.saturating_sub(self.slots.available_permits())
    }
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Connections that were cut because they did not end in time.
    pub cut: usize,
}

impl ServerHandle {
    /// The address the server listens on, with the port that the system chose if 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// How many connections it has, for as long as it is asked.
    pub fn open_connections(&self) -> OpenConnections {
        self.open.clone()
    }

    /// Asks the server to stop, as its stop signal does. Returns at once.
    pub fn shutdown(&self) {
        self.stop.notify_one();
    }

    /// Waits until the server has stopped and drained.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the server as it is.
    pub async fn wait(self) -> Drained {
        // The task is never aborted and a panic of a handler stays in its connection's task.
        self.task.await.unwrap_or(Drained { cut: 0 })
    }
}

/// Connections that the system keeps until they are accepted; no more than its own limit.
const BACKLOG: u32 = 4096;

/// Listens on an address, for [`serve`] and `serve_tls`. Must be called inside a tokio runtime.
///
/// Otherwise than [`TcpListener::bind`], with a queue that a burst of connections does not fill: what finds it full
/// believes to be connected, and waits for seconds at best.
///
/// # Errors
///
/// What the system says about the address.
pub fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A port that was listened on a moment ago can be listened on again.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// Serves `service` on `listener` until `stop` is done, then drains. Must be called inside a tokio runtime.
///
/// # Errors
///
/// If the listener does not know its own address.
pub fn serve<S, B>(
    listener: TcpListener,
    service: S,
    limits: HttpLimits,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<ServerHandle>
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    start(listener, Security::Plain, service, limits, stop)
}

/// Like [`serve`], with TLS.
///
/// # Errors
///
/// If the listener does not know its own address.
#[cfg(feature = "tls-server")]
pub fn serve_tls<S, B>(
    listener: TcpListener,
    certificates: Arc<Certificates>,
    service: S,
    limits: HttpLimits,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<ServerHandle>
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    start(listener, Security::Tls(certificates), service, limits, stop)
}

/// What is between TCP and HTTP.
#[derive(Debug, Clone)]
enum Security {
    Plain,
    #[cfg(feature = "tls-server")]
    Tls(Arc<Certificates>),
}

fn start<S, B>(
    listener: TcpListener,
    security: Security,
    service: S,
    limits: HttpLimits,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<ServerHandle>
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let local_addr = listener.local_addr()?;
    let notify = Arc::new(Notify::new());
    let asked = Arc::clone(&notify);
    let stop = async move {
        tokio::select! {
            () = stop => {}
            () = asked.notified() => {}
        }
    };
    let limit = limits.connections.min(Semaphore::MAX_PERMITS);
    let open = OpenConnections { limit, slots: Arc::new(Semaphore::new(limit)) };
    let slots = Arc::clone(&open.slots);
    let task = tokio::spawn(run(listener, security, service, (Arc::new(limits), slots), stop));
    Ok(ServerHandle { local_addr, open, stop: notify, task })
}

async fn run<S, B>(
    listener: TcpListener,
    security: Security,
    service: S,
    (limits, slots): (Arc<HttpLimits>, Arc<Semaphore>),
    stop: impl Future<Output = ()> + Send,
) -> Drained
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (closing, closed) = watch::channel(());
    let mut connections = JoinSet::new();
    let newcomers = Arc::<Newcomers>::default();
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(_) = connections.join_next() => {}
            next = listener.accept() => match next {
                Ok((stream, peer)) => {
                    if slots.available_permits() == 0 {
                        newcomers.make_room();
                    }
                    let slot = tokio::select! {
                        biased;
                        () = &mut stop => break,
                        slot = Arc::clone(&slots).acquire_owned() => slot,
                    };
                    let (limits, closed) = (Arc::clone(&limits), closed.clone());
                    let (security, service) = (security.clone(), service.clone());
                    newcomers.start(|newcomer| {
                        let caller = (peer, newcomer);
                        let work = connection::accept(stream, caller, security, service, limits, closed);
                        connections.spawn(async move {
                            work.await;
                            drop(slot);
                        })
                    });
                }
                Err(error) => accept_failed(&error).await,
            },
        }
    }
    drop(listener);
    drop(closing);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain, all).await.is_ok() {
        return Drained { cut: 0 };
    }
    let cut = connections.len();
    connections.shutdown().await;
    Drained { cut }
}

/// Some failures are the peer's (it left before it was accepted); the others are the process's (no descriptors) and
/// would repeat at once.
async fn accept_failed(error: &io::Error) {
    let of_peer = matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    );
    if !of_peer {
        tracing::error!(error = %error, "no connection can be accepted");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
