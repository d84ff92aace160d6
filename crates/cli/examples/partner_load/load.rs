//! Requests over a few connections that stay open.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response, Uri, body::Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Failed;

/// Requests at once: connections of HTTP/1.1, streams of HTTP/2.
const AT_ONCE: usize = 64;
/// Connections that HTTP/2 uses for them.
const CONNECTIONS: usize = 4;

/// Which version is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Http {
    One,
    Two,
}

impl fmt::Display for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::One => "1.1",
            Self::Two => "2",
        })
    }
}

/// How much is asked, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Load {
    /// So many, each when the one before on its connection is answered.
    Count(u64),
    /// The same for so long.
    Time(Duration),
    /// At fixed times, whether the one before is answered or not.
    Rate { per_second: f64, lasts: Duration },
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) count: u64,
    /// Bytes of bodies.
    pub(crate) bytes: u64,
    pub(crate) took: Duration,
    /// In order of length.
    delays: Vec<Duration>,
}

impl Outcome {
    pub(crate) fn quantile(&self, q: f64) -> Duration {
        let last = self.delays.len().saturating_sub(1);
        self.delays.get((last as f64 * q) as usize).copied().unwrap_or_default()
    }
}

/// One connection.
pub(crate) enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

impl Sender {
    pub(crate) async fn connect(addr: SocketAddr, http: Http) -> Result<Self, Failed> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let io = TokioIo::new(stream);
        Ok(match http {
            Http::One => {
                let (sender, connection) = http1::handshake(io).await?;
                tokio::spawn(connection);
                Self::One(sender)
            }
            Http::Two => {
                let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                    .initial_stream_window_size(1 << 20)
                    .initial_connection_window_size(16 << 20)
                    .handshake(io)
                    .await?;
                tokio::spawn(connection);
                Self::Two(sender)
            }
        })
    }

    async fn send(&mut self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failed> {
        Ok(match self {
            Self::One(sender) => sender.send_request(request).await?,
            Self::Two(sender) => {
                let path = request.uri().path().to_owned();
                *request.uri_mut() =
                    Uri::builder().scheme("http").authority("partner").path_and_query(path).build()?;
                request.headers_mut().remove("host");
                sender.send_request(request).await?
            }
        })
    }

    /// Sends a request, reads its answer whole, and gives the body's length.
    pub(crate) async fn ask(&mut self, request: Request<Full<Bytes>>) -> Result<u64, Failed> {
        let response = self.send(request).await?;
        let status = response.status();
        let mut body = response.into_body();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            length += frame?.data_ref().map_or(0, Bytes::len) as u64;
        }
        if status.is_success() { Ok(length) } else { Err(format!("the answer was {status}").into()) }
    }

    /// The same connection once more, if it carries several requests at once.
    fn another(&self) -> Option<Self> {
        match self {
            Self::One(_) => None,
            Self::Two(sender) => Some(Self::Two(sender.clone())),
        }
    }
}

/// Asks, and counts.
pub(crate) async fn run(
    addr: SocketAddr,
    load: Load,
    http: Http,
    request: impl Fn(u64) -> Result<Request<Full<Bytes>>, Failed> + Copy + Send + Sync + 'static,
) -> Result<Outcome, Failed> {
    run_with(addr, load, http, AT_ONCE, request).await
}

/// The same with so many requests at once.
pub(crate) async fn run_with(
    addr: SocketAddr,
    load: Load,
    http: Http,
    at_once: usize,
    request: impl Fn(u64) -> Result<Request<Full<Bytes>>, Failed> + Copy + Send + Sync + 'static,
) -> Result<Outcome, Failed> {
    let mut senders: Vec<Sender> = Vec::with_capacity(at_once);
    for n in 0..at_once {
        let shared = n.checked_sub(CONNECTIONS).and_then(|earlier| senders.get(earlier)?.another());
        senders.push(match shared {
            Some(shared) => shared,
            None => Sender::connect(addr, http).await?,
        });
    }
    let (next, start) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let mut workers = JoinSet::new();
    for mut sender in senders {
        let next = Arc::clone(&next);
        workers.spawn(async move {
            let (mut delays, mut bytes) = (Vec::new(), 0);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(due) = due(load, number, start) else { return Ok::<_, Failed>((delays, bytes)) };
                tokio::time::sleep_until(due.into()).await;
                bytes += sender.ask(request(number)?).await?;
                delays.push(due.elapsed());
            }
        });
    }
    let (mut delays, mut bytes) = (Vec::new(), 0);
    while let Some(worker) = workers.join_next().await {
        let (more, length) = worker??;
        delays.extend(more);
        bytes += length;
    }
    let took = start.elapsed();
    delays.sort_unstable();
    Ok(Outcome { count: delays.len() as u64, bytes, took, delays })
}

/// When a request is to be sent; `None` after the last one.
fn due(load: Load, number: u64, start: Instant) -> Option<Instant> {
    let now = Instant::now();
    match load {
        Load::Count(count) => (number < count).then_some(now),
        Load::Time(time) => (now < start + time).then_some(now),
        Load::Rate { per_second, lasts } => {
            let at = Duration::from_secs_f64(number as f64 / per_second);
            (at < lasts).then_some(start + at)
        }
    }
}
