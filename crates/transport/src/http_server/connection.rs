//! One accepted connection: find out the protocol, then hand over to hyper.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Body;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tower_service::Service;

use super::body::RequestBody;
use super::guard::{Guarded, Watch};
use super::newcomers::Newcomer;
use super::service::Guard;
use super::stalls::Stalls;
use super::{HttpLimits, Security};
use crate::stream::Prefixed;

/// HTTP/2: streams that the peer has reset before they were looked at; beyond, the connection ends.
const PENDING_RESETS: usize = 20;
/// HTTP/2: streams that were reset here for the peer's mistakes; beyond, the connection ends.
const ERROR_RESETS: usize = 200;
/// HTTP/2: bytes of a stream that wait to be sent.
const SEND_BUFFER: usize = 64 * 1024;

/// Fields for which hyper needs no memory of its own.
const HYPER_FIELDS: usize = 100;

const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

pub(super) async fn accept<S, B>(
    stream: TcpStream,
    (peer, newcomer): (SocketAddr, Newcomer),
    security: Security,
    service: S,
    limits: Arc<HttpLimits>,
    closed: watch::Receiver<()>,
) where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    if stream.set_nodelay(true).is_err() {
        return;
    }
    match security {
        Security::Plain => serve_one(stream, (peer, newcomer), None, service, limits, closed).await,
        #[cfg(feature = "tls-server")]
        Security::Tls(certificates) => {
            let mut closed = closed;
            let end = Instant::now() + limits.tls;
            // Silence is no handshake that takes long.
            let handshake = async {
                tokio::time::timeout(limits.first_byte, stream.peek(&mut [0])).await??;
                certificates.acceptor().accept(stream).await
            };
            let shaken = tokio::select! {
                shaken = tokio::time::timeout_at(end, handshake) => shaken,
                _ = closed.changed() => return,
            };
            match shaken {
                Ok(Ok(stream)) => {
                    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    let agreed = if is_http2 { Protocol::Http2 } else { Protocol::Http1 };
                    serve_one(stream, (peer, newcomer), Some(agreed), service, limits, closed).await;
                }
                Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS"),
                Err(_) => tracing::debug!(%peer, "closed: no TLS in time"),
            }
        }
    }
}

/// `agreed` is what TLS has settled; without it, the first bytes do.
async fn serve_one<T, S, B>(
    stream: T,
    (peer, newcomer): (SocketAddr, Newcomer),
    agreed: Option<Protocol>,
    service: S,
    limits: Arc<HttpLimits>,
    mut closed: watch::Receiver<()>,
) where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let begun = Instant::now();
    let sniffed = tokio::select! {
        sniffed = tokio::time::timeout(limits.first_byte, sniff(stream)) => sniffed,
        _ = closed.changed() => return,
    };
    let (protocol, stream) = match sniffed {
        Ok(Ok(Some((protocol, _)))) if agreed.is_some_and(|agreed| agreed != protocol) => {
            tracing::debug!(%peer, "closed: another protocol than was agreed on");
            return;
        }
        Ok(Ok(Some(sniffed))) => sniffed,
        Ok(Ok(None) | Err(_)) => return,
        Err(_) => {
            tracing::debug!(%peer, "closed: no request in time");
            return;
        }
    };
    let watch = Arc::new(Watch::default());
    let io =
        TokioIo::new(Guarded::new(stream, Arc::clone(&watch), protocol == Protocol::Http1, &limits, begun));
    let stalls = Arc::<Stalls>::default();
    let watched = (protocol == Protocol::Http2).then(|| Arc::clone(&stalls));
    let service = Guard::new(service, (peer, newcomer), watch, watched, Arc::clone(&limits));
    let outcome = match protocol {
        Protocol::Http1 => {
            let mut builder = http1::Builder::new();
            if limits.header_fields > HYPER_FIELDS {
                builder.max_headers(limits.header_fields);
            }
            builder
                // The guard below hyper has a timer for each connection, and tells a half header from an idle one;
                // hyper's would be armed for each request.
                .header_read_timeout(None)
                // hyper sees heads that are within the limits already; it asks for 8,192 at least.
                .max_buf_size(limits.header_block.saturating_mul(2).max(8 * 1024));
            let connection = builder.serve_connection(io, service).with_upgrades();
            let mut connection = std::pin::pin!(connection);
            tokio::select! {
                outcome = connection.as_mut() => outcome,
                _ = closed.changed() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        }
        Protocol::Http2 => {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .max_concurrent_streams(limits.streams)
                .max_pending_accept_reset_streams(PENDING_RESETS)
                .max_local_error_reset_streams(ERROR_RESETS)
                .max_send_buf_size(SEND_BUFFER)
                // Twice the limit: what is only somewhat too large is answered by whoever knows how.
                .max_header_list_size(
                    u32::try_from(limits.header_block.saturating_mul(2)).unwrap_or(u32::MAX),
                );
            let mut connection = std::pin::pin!(builder.serve_connection(io, service));
            let serving = async {
                tokio::select! {
                    outcome = connection.as_mut() => outcome,
                    _ = closed.changed() => {
                        connection.as_mut().graceful_shutdown();
                        connection.await
                    }
                }
            };
            tokio::select! {
                outcome = serving => outcome,
                () = stalls.longer_than(limits.stall) => {
                    tracing::debug!(%peer, "closed: the peer does not read an answer");
                    return;
                }
            }
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%peer, error = &error as &dyn Error, "connection ended");
    }
}

/// Reads until the bytes can only be one of the two protocols. `None`: the peer left.
///
/// A lone "P" may still become "POST" or the preface of HTTP/2; whoever calls this sets the time limit.
async fn sniff<T: AsyncRead + Unpin>(mut stream: T) -> io::Result<Option<(Protocol, Prefixed<T>)>> {
    let mut seen = Vec::with_capacity(1024);
    loop {
        if stream.read_buf(&mut seen).await? == 0 {
            return Ok(None);
        }
        let protocol = if seen.starts_with(H2_PREFACE) {
            Protocol::Http2
        } else if H2_PREFACE.starts_with(&seen) {
            continue;
        } else {
            Protocol::Http1
        };
        return Ok(Some((protocol, Prefixed::new(seen, stream))));
    }
}
