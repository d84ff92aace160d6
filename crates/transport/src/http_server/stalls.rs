//! Answers that wait for a peer that does not want them.
//!
//! With HTTP/2 the socket stays writable while a stream's window is shut, so the socket's guard sees no stall. What can
//! be seen is the body: hyper asks it for more only when there is room for it.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;

/// The bodies of one connection that have more to give and are not asked for it, since when.
#[derive(Debug, Default)]
pub(super) struct Stalls {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    since: HashMap<u64, Instant>,
}

impl Stalls {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // A panic elsewhere leaves nothing half done in the table.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches a body.
    pub(super) fn watch<B>(self: &Arc<Self>, body: B) -> Watched<B> {
        let mut waiting = self.lock();
        let id = waiting.next;
        waiting.next += 1;
        waiting.since.insert(id, Instant::now());
        Watched { body, id, stalls: Arc::clone(self) }
    }

    /// Done once some body has waited for `limit`.
    pub(super) async fn longer_than(&self, limit: Duration) {
        loop {
            let oldest = self.lock().since.values().min().copied();
            let end = oldest.unwrap_or_else(Instant::now) + limit;
            if end <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(end).await;
        }
    }
}

/// A body that tells since when it has been waiting.
#[derive(Debug)]
pub(super) struct Watched<B> {
    body: B,
    id: u64,
    stalls: Arc<Stalls>,
}

impl<B: Body + Unpin> Body for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        let mut waiting = this.stalls.lock();
        if polled.is_pending() {
            // Now it is the peer who waits.
            waiting.since.remove(&this.id);
        } else {
            waiting.since.insert(this.id, Instant::now());
        }
        drop(waiting);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Watched<B> {
    fn drop(&mut self) {
        self.stalls.lock().since.remove(&self.id);
    }
}
