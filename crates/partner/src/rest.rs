//! What is left of a request's body when it is answered.
//!
//! Who answers HTTP/1.1 early and closes with bytes unread takes the answer back: the system resets the connection, and
//! what the client has not read yet is gone. So a small rest is read first. A large one is not worth it.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;

/// The largest rest that is read, in bytes (ASSUMED).
const MOST: u64 = 64 * 1024;
/// How long that may take (ASSUMED).
const TIME: Duration = Duration::from_secs(5);

/// Passes a request on, and reads what nobody wanted before the answer goes out.
pub(crate) async fn read(request: Request, next: Next) -> Response {
    // HTTP/2 resets the stream and nothing else.
    if request.version() >= Version::HTTP_2 || request.body().is_end_stream() {
        return next.run(request).await;
    }
    // Who asks whether to send it sends it only when the first read says so.
    let asks = request.headers().contains_key(header::EXPECT);
    let (head, body) = request.into_parts();
    let shared = Shared { body: Arc::new(Mutex::new(body)), touched: Arc::default() };
    let mut rest = shared.clone();
    let response = next.run(Request::from_parts(head, Body::new(shared))).await;
    // Who was too slow is waited for no longer.
    let late = response.status() == StatusCode::REQUEST_TIMEOUT;
    if !late && (!asks || rest.touched.load(Ordering::Relaxed)) && rest.size_hint().lower() <= MOST {
        let _ = tokio::time::timeout(TIME, rest.read_out()).await;
    }
    response
}

/// A body that is still at hand when its reader has gone.
#[derive(Clone)]
struct Shared {
    body: Arc<Mutex<Body>>,
    touched: Arc<AtomicBool>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Body> {
        // A panic of a reader leaves the body where it was.
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read_out(&mut self) {
        let mut left = MOST;
        while !self.is_end_stream()
            && let Some(Ok(frame)) = self.frame().await
        {
            let Some(less) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len) as u64) else { return };
            left = less;
        }
    }
}

impl HttpBody for Shared {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.touched.store(true, Ordering::Relaxed);
        Pin::new(&mut *self.lock()).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.lock().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.lock().size_hint()
    }
}
