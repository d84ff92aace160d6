//! The body of a request, and what is left of it when nobody wants it any more.
//!
//! Who answers HTTP/1.1 early and closes with bytes unread takes the answer back: the system resets the connection. So a
//! small rest is read beside the answer, and the connection goes on. A large one is not worth it, nor is one that comes too
//! slowly: the connection ends, see [`Guarded`](super::guard::Guarded) for how.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Instant;

use super::guard::Watch;

/// The largest rest that is read, in bytes (ASSUMED).
const REST: u64 = 64 * 1024;
/// How long a body may take in all for its rest to be read (ASSUMED).
const TIME: Duration = Duration::from_secs(5);

/// The body of a request. Dropping it is enough: what is left of it is dealt with.
#[derive(Debug)]
pub struct RequestBody {
    /// Taken only when this is dropped.
    inner: Option<Incoming>,
    /// Absent where there is nothing to be done about the rest.
    rest: Option<Rest>,
}

#[derive(Debug)]
struct Rest {
    watch: Arc<Watch>,
    until: Instant,
    /// Nobody sends the body before somebody asks for it.
    unasked: bool,
}

impl RequestBody {
    pub(super) fn new(inner: Incoming, watch: Option<&Arc<Watch>>, asks: bool) -> Self {
        let watch = watch.filter(|_| !inner.is_end_stream());
        let rest =
            watch.map(|watch| Rest { watch: Arc::clone(watch), until: Instant::now() + TIME, unasked: asks });
        Self { inner: Some(inner), rest }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        if let Some(rest) = &mut this.rest {
            rest.unasked = false;
        }
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        let polled = Pin::new(inner).poll_frame(cx);
        if matches!(&polled, Poll::Ready(None | Some(Err(_)))) {
            this.rest = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let Some(Rest { watch, until, unasked }) = self.rest.take() else { return };
        let Some(body) = self.inner.take().filter(|body| !body.is_end_stream()) else { return };
        let is_worth_it = !unasked && body.size_hint().lower() <= REST && Instant::now() < until;
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if is_worth_it => {
                runtime.spawn(tokio::time::timeout_at(until, read_out(body)));
            }
            _ => watch.abandoned.store(true, Ordering::Relaxed),
        }
    }
}

async fn read_out(mut body: Incoming) {
    let mut left = REST;
    while !body.is_end_stream()
        && let Some(Ok(frame)) = body.frame().await
    {
        let Some(less) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len) as u64) else { return };
        left = less;
    }
}
