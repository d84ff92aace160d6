//! The socket as hyper sees it: the same bytes, with time limits.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::HttpLimits;
use super::head::HeadScanner;

/// What the socket's guard and the service tell each other.
#[derive(Debug)]
pub(super) struct Watch {
    /// Number of the request that gives its length twice; `u64::MAX` for none.
    pub(super) ambiguous: AtomicU64,
    /// The connection carries another protocol from here on.
    pub(super) upgraded: AtomicBool,
}

impl Default for Watch {
    fn default() -> Self {
        Self { ambiguous: AtomicU64::new(u64::MAX), upgraded: AtomicBool::new(false) }
    }
}

pub(super) struct Guarded<S> {
    inner: S,
    watch: Arc<Watch>,
    scanner: Option<HeadScanner>,
    header: Duration,
    idle: Duration,
    in_head: bool,
    timer: Pin<Box<Sleep>>,
    stall: Duration,
    /// Runs while the peer takes nothing of what waits for it.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Guarded<S> {
    pub(super) fn new(inner: S, watch: Arc<Watch>, http1: bool, limits: &HttpLimits) -> Self {
        Self {
            inner,
            watch,
            scanner: http1.then(HeadScanner::default),
            header: limits.header,
            idle: limits.idle,
            in_head: false,
            timer: Box::pin(tokio::time::sleep(limits.idle)),
            stall: limits.stall,
            stalled: None,
        }
    }

    fn saw(&mut self, bytes: &[u8]) {
        if self.watch.upgraded.load(Ordering::Relaxed) {
            self.scanner = None;
            self.in_head = false;
        }
        if let Some(scanner) = &mut self.scanner {
            scanner.feed(bytes);
            if let Some(number) = scanner.ambiguous() {
                self.watch.ambiguous.store(number, Ordering::Relaxed);
            }
            let in_head = scanner.in_head();
            // The limit of a header block runs from its first byte; further bytes of it buy no time.
            if in_head && !self.in_head {
                self.timer.as_mut().reset(Instant::now() + self.header);
            }
            self.in_head = in_head;
        }
        self.moved();
    }

    fn moved(&mut self) {
        if !self.in_head {
            self.timer.as_mut().reset(Instant::now() + self.idle);
        }
    }

    /// To be asked whenever the socket takes no bytes.
    fn blocked(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let stall = self.stall;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        if stalled.as_mut().poll(cx).is_ready() {
            let error = io::Error::new(io::ErrorKind::TimedOut, "the peer does not read its answer");
            return Poll::Ready(error);
        }
        self.expired(cx)
    }

    /// To be asked whenever the socket makes the connection wait, so that the task wakes up for the limit.
    fn expired(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        ready!(self.timer.as_mut().poll(cx));
        let what =
            if self.in_head { "header block not finished in time" } else { "connection idle for too long" };
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, what))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        match Pin::new(&mut this.inner).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                let fresh = buf.filled().get(before..).unwrap_or_default();
                if !fresh.is_empty() {
                    this.saw(fresh);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => this.expired(cx).map(Err),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        match Pin::new(&mut this.inner).poll_write(cx, buf) {
            Poll::Ready(Ok(n)) => {
                this.stalled = None;
                this.moved();
                Poll::Ready(Ok(n))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => this.blocked(cx).map(Err),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        match Pin::new(&mut this.inner).poll_write_vectored(cx, bufs) {
            Poll::Ready(Ok(n)) => {
                this.stalled = None;
                this.moved();
                Poll::Ready(Ok(n))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => this.blocked(cx).map(Err),
        }
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
