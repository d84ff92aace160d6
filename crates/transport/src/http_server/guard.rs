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
use super::frames::{FrameScanner, Seen};
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

/// What follows the bytes of a connection.
enum Follower {
    Http1(HeadScanner),
    Http2 {
        incoming: FrameScanner,
        outgoing: FrameScanner,
    },
    /// Another protocol.
    None,
}

pub(super) struct Guarded<S> {
    inner: S,
    watch: Arc<Watch>,
    follower: Follower,
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
            follower: if http1 {
                Follower::Http1(HeadScanner::default())
            } else {
                Follower::Http2 { incoming: FrameScanner::of_client(), outgoing: FrameScanner::of_server() }
            },
            header: limits.header,
            idle: limits.idle,
            in_head: false,
            timer: Box::pin(tokio::time::sleep(limits.idle)),
            stall: limits.stall,
            stalled: None,
        }
    }

    /// Bytes came in.
    ///
    /// # Errors
    /// The peer goes too far.
    fn came(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        if self.watch.upgraded.load(Ordering::Relaxed) {
            self.follower = Follower::None;
            self.in_head = false;
        }
        match &mut self.follower {
            Follower::Http1(scanner) => {
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
            Follower::Http2 { incoming, .. } => match incoming.feed(bytes, Instant::now()) {
                Seen::Work => {}
                // Pings alone keep nothing open.
                Seen::Upkeep => return Ok(()),
                Seen::Flood(flood) => return Err(flood.as_str()),
            },
            Follower::None => {}
        }
        self.moved();
        Ok(())
    }

    /// Bytes went out.
    fn went(&mut self, bytes: &[u8]) {
        self.stalled = None;
        if let Follower::Http2 { outgoing, .. } = &mut self.follower
            && outgoing.feed(bytes, Instant::now()) == Seen::Upkeep
        {
            // An answer to a ping is none to a request.
            return;
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

impl<S: AsyncWrite + Unpin> Guarded<S> {
    /// Tells the peer why this is the end, if that can be said between two frames and without waiting.
    fn part(&mut self, cx: &mut Context<'_>, why: &'static str) -> io::Error {
        if let Follower::Http2 { incoming, outgoing } = &self.follower
            && outgoing.at_boundary()
            && Pin::new(&mut self.inner).poll_write(cx, &incoming.calm()).is_ready()
        {
            let _ = Pin::new(&mut self.inner).poll_flush(cx);
        }
        io::Error::new(io::ErrorKind::InvalidData, why)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guarded<S> {
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
                if !fresh.is_empty()
                    && let Err(why) = this.came(fresh)
                {
                    return Poll::Ready(Err(this.part(cx, why)));
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
                this.went(buf.get(..n).unwrap_or(buf));
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
                let mut left = n;
                for buf in bufs {
                    let taken = left.min(buf.len());
                    this.went(buf.get(..taken).unwrap_or_default());
                    left -= taken;
                    if left == 0 {
                        break;
                    }
                }
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
