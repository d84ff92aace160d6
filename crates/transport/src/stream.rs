//! The byte stream, and the trait that opens one.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A byte stream in both directions. Implemented for everything that fits; never implement it by hand.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + ?Sized> Stream for T {}

/// Opens byte streams to one server.
///
/// The client calls [`open`](Transport::open) once for each connection, also after a broken one. Bring your own to
/// tunnel the connection, to route it through a device's network stack or to inject faults.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Opens one new stream.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the attempt; no stream stays open.
    ///
    /// # Errors
    ///
    /// [`TransportError`] if the server could not be reached in time. A later call may succeed.
    async fn open(&self) -> Result<Box<dyn Stream>, TransportError>;
}

/// Why no stream could be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The text is not `host:port`.
    #[error("\"{endpoint}\" is not of the form host:port")]
    Endpoint {
        /// What was given.
        endpoint: String,
    },
    /// The host name has no address.
    #[error("the address of {host} could not be found")]
    Resolve {
        /// The host name asked for.
        host: String,
        /// What the resolver said; absent if it answered with an empty list.
        #[source]
        source: Option<io::Error>,
    },
    /// No address of the host took the connection.
    #[error("no connection to {endpoint}")]
    Connect {
        /// `host:port`.
        endpoint: String,
        /// What the operating system said about the last address tried.
        #[source]
        source: io::Error,
    },
    /// Nothing was reached in time.
    #[error("no connection to {endpoint} within {} ms", after.as_millis())]
    TimedOut {
        /// `host:port`.
        endpoint: String,
        /// The limit that passed.
        after: Duration,
    },
    /// The listener of an in-memory transport is gone.
    #[error("nobody listens on this in-memory transport")]
    NoListener,
    /// A transport from outside this crate failed.
    #[error("the transport failed")]
    Other {
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A stream with bytes put back in front: they are read first, writes go straight through.
///
/// For whoever had to look at the first bytes to decide who handles the rest.
#[derive(Debug)]
pub struct Prefixed<S> {
    prefix: Vec<u8>,
    taken: usize,
    inner: S,
}

impl<S> Prefixed<S> {
    /// Puts `prefix` in front of what `inner` still has to give.
    pub fn new(prefix: Vec<u8>, inner: S) -> Self {
        Self { prefix, taken: 0, inner }
    }

    /// The stream below.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let left = this.prefix.get(this.taken..).unwrap_or_default();
        if left.is_empty() {
            return Pin::new(&mut this.inner).poll_read(cx, buf);
        }
        let n = left.len().min(buf.remaining());
        buf.put_slice(left.get(..n).unwrap_or_default());
        this.taken += n;
        if this.taken == this.prefix.len() {
            this.prefix = Vec::new();
            this.taken = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
