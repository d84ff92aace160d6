//! The socket as hyper sees it: requests that may be seen, with time limits, and an end that takes nothing back.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::HttpLimits;
use super::frames::{FrameScanner, Seen};
use super::head::{HeadLimits, HeadScanner, Refusal};

/// What is still read of a peer that has its last answer, in bytes (ASSUMED). Who closes with bytes unread resets the
/// connection, and what the peer has not read yet is gone.
const LINGER_BYTES: usize = 1024 * 1024;
/// For how long (ASSUMED).
const LINGER: Duration = Duration::from_secs(2);

/// What hyper gets to see in the place of a request that is refused, so that the answer has its place among the others.
const REFUSED: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\n\r\n";
const REFUSED_HEAD: &[u8] = b"HEAD / HTTP/1.1\r\nhost: refused\r\n\r\n";

/// What the socket's guard and the service tell each other.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// HTTP/1: the request that is refused, which is the last one.
    pub(super) refusal: OnceLock<Refusal>,
    /// HTTP/1: a body was left that is not worth reading to its end.
    pub(super) abandoned: AtomicBool,
    /// The connection carries another protocol from here on.
    pub(super) upgraded: AtomicBool,
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

/// How far the end of a connection has come.
enum Ending {
    Not,
    /// The peer knows that nothing more comes; what it is still sending is read and forgotten.
    Lingers {
        until: Pin<Box<Sleep>>,
        left: usize,
    },
    Over,
}

pub(super) struct Guarded<S> {
    inner: S,
    watch: Arc<Watch>,
    follower: Follower,
    /// The beginning of a head. hyper sees it when it is whole.
    held: BytesMut,
    /// What hyper has not taken yet of what it may see.
    ready: BytesMut,
    header: Duration,
    idle: Duration,
    in_head: bool,
    timer: Pin<Box<Sleep>>,
    stall: Duration,
    /// Runs while the peer takes nothing of what waits for it.
    stalled: Option<Pin<Box<Sleep>>>,
    /// What the peer went too far with.
    flood: Option<&'static str>,
    ending: Ending,
}

impl<S> Guarded<S> {
    /// `begun`: since when the peer could have sent its first request.
    pub(super) fn new(inner: S, watch: Arc<Watch>, http1: bool, limits: &HttpLimits, begun: Instant) -> Self {
        let heads = HeadLimits {
            block: limits.header_block,
            fields: limits.header_fields,
            target: limits.request_line,
        };
        // The first head is not waited for twice.
        let first = if http1 { begun + limits.header } else { Instant::now() + limits.idle };
        Self {
            inner,
            watch,
            follower: if http1 {
                Follower::Http1(HeadScanner::new(heads))
            } else {
                Follower::Http2 { incoming: FrameScanner::of_client(), outgoing: FrameScanner::of_server() }
            },
            held: BytesMut::new(),
            ready: BytesMut::new(),
            header: limits.header,
            idle: limits.idle,
            in_head: http1,
            timer: Box::pin(tokio::time::sleep_until(first)),
            stall: limits.stall,
            stalled: None,
            flood: None,
            ending: Ending::Not,
        }
    }

    /// Bytes came in. Gives how many of them hyper may see now.
    ///
    /// # Errors
    /// The peer goes too far.
    fn came(&mut self, bytes: &[u8]) -> Result<usize, &'static str> {
        if self.watch.upgraded.load(Ordering::Relaxed) {
            self.follower = Follower::None;
            self.in_head = false;
        }
        let mut passed = bytes.len();
        match &mut self.follower {
            Follower::Http1(scanner) => {
                passed = scanner.feed(bytes);
                let in_head = passed < bytes.len() && scanner.refusal().is_none();
                // The limit of a header block runs from its first byte; further bytes of it buy no time.
                if in_head && !self.in_head {
                    self.timer.as_mut().reset(Instant::now() + self.header);
                }
                self.in_head = in_head;
            }
            Follower::Http2 { incoming, .. } => match incoming.feed(bytes, Instant::now()) {
                Seen::Work => {}
                // Pings alone keep nothing open.
                Seen::Upkeep => return Ok(passed),
                Seen::Flood(flood) => return Err(flood.as_str()),
            },
            Follower::None => {}
        }
        self.moved();
        Ok(passed)
    }

    /// The request that was refused in the bytes that came last, in the words that hyper gets to see.
    fn refused(&mut self) -> Option<&'static [u8]> {
        let Follower::Http1(scanner) = &self.follower else { return None };
        let refusal = scanner.refusal()?;
        self.watch.refusal.set(refusal).ok()?;
        tracing::debug!(status = refusal.status.as_u16(), number = refusal.number, "a request is refused");
        Some(if refusal.is_head { REFUSED_HEAD } else { REFUSED })
    }

    fn is_refused(&self) -> bool {
        self.watch.refusal.get().is_some()
    }

    /// Whether the peer may be sending something that nobody will read.
    fn has_more_coming(&self) -> bool {
        match &self.follower {
            Follower::Http1(scanner) => !scanner.is_between_requests(),
            Follower::Http2 { outgoing, .. } => self.flood.is_some() || outgoing.has_said_goodbye(),
            Follower::None => false,
        }
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

    /// Gives hyper what it may see already.
    fn give(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let n = self.ready.len().min(buf.remaining());
        buf.put_slice(self.ready.get(..n).unwrap_or_default());
        self.ready.advance(n);
        n > 0
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guarded<S> {
    /// Reads into hyper's buffer, and leaves there what hyper may see. `true`: there is something, or the end.
    fn poll_more(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.inner).poll_read(cx, buf) {
            Poll::Ready(result) => result?,
            Poll::Pending => return self.expired(cx).map(Err),
        }
        let fresh = buf.filled().get(before..).unwrap_or_default();
        if fresh.is_empty() {
            return Poll::Ready(Ok(true));
        }
        let came = if self.held.is_empty() {
            let came = self.came(fresh);
            let passed = *came.as_ref().unwrap_or(&0);
            self.held.extend_from_slice(fresh.get(passed..).unwrap_or_default());
            buf.set_filled(before + passed);
            came
        } else {
            let mut held = std::mem::take(&mut self.held);
            held.extend_from_slice(fresh);
            buf.set_filled(before);
            let came = self.came(&held);
            self.ready = held.split_to(*came.as_ref().unwrap_or(&0));
            self.held = held;
            came
        };
        match came {
            Err(why) => {
                self.flood = Some(why);
                self.part(cx);
                return Poll::Ready(Ok(false));
            }
            Ok(_) => {
                if let Some(request) = self.refused() {
                    self.held = BytesMut::new();
                    self.ready.extend_from_slice(request);
                }
            }
        }
        Poll::Ready(Ok(buf.filled().len() > before))
    }

    /// Says why this is the end, if that can be said between two frames and without waiting.
    fn part(&mut self, cx: &mut Context<'_>) {
        if let Follower::Http2 { incoming, outgoing } = &self.follower
            && outgoing.at_boundary()
            && Pin::new(&mut self.inner).poll_write(cx, &incoming.calm()).is_ready()
        {
            let _ = Pin::new(&mut self.inner).poll_flush(cx);
        }
    }

    /// Ends the sending side, and reads what is still coming before the connection is dropped.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match &mut self.ending {
                Ending::Not => {
                    ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
                    let until = Box::pin(tokio::time::sleep(LINGER));
                    self.ending = if self.has_more_coming() {
                        Ending::Lingers { until, left: LINGER_BYTES }
                    } else {
                        Ending::Over
                    };
                }
                Ending::Lingers { until, left } => {
                    let mut scratch = [0; 8 * 1024];
                    let mut scratch = ReadBuf::new(&mut scratch);
                    let over = match Pin::new(&mut self.inner).poll_read(cx, &mut scratch) {
                        Poll::Ready(Ok(())) => {
                            *left = left.saturating_sub(scratch.filled().len());
                            scratch.filled().is_empty() || *left == 0
                        }
                        // The peer is gone, which is what was waited for.
                        Poll::Ready(Err(_)) => true,
                        Poll::Pending => {
                            ready!(until.as_mut().poll(cx));
                            true
                        }
                    };
                    if over {
                        self.ending = Ending::Over;
                    }
                }
                Ending::Over => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.give(buf) {
                return Poll::Ready(Ok(()));
            }
            if let Some(why) = this.flood {
                let _ = ready!(this.poll_end(cx));
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
            }
            if this.is_refused() {
                // Nothing behind it is read; the answer is on its way.
                return this.expired(cx).map(Err);
            }
            if ready!(this.poll_more(cx, buf))? {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
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
        self.poll_end(cx)
    }
}
