//! Requests that wait for their answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use landbridge_wire::Node;
use tokio::sync::oneshot;

/// Sorted, so that those who wait for nothing any more are woken in the same order each time.
type Waiting = Arc<Mutex<BTreeMap<String, oneshot::Sender<Node>>>>;

#[derive(Default)]
pub(super) struct Pending {
    waiting: Waiting,
}

/// One request's place; given up when dropped.
pub(super) struct Expected {
    id: String,
    waiting: Waiting,
    answer: Option<oneshot::Receiver<Node>>,
}

impl Pending {
    pub(super) fn expect(&self, id: String) -> Expected {
        let (sender, answer) = oneshot::channel();
        lock(&self.waiting).insert(id.clone(), sender);
        Expected { id, waiting: Arc::clone(&self.waiting), answer: Some(answer) }
    }

    /// Hands an answer to whoever asked. Late ones, and ones that nobody asked for, are dropped.
    pub(super) fn answer(&self, id: &str, node: Node) {
        let sender = lock(&self.waiting).remove(id);
        if sender.is_none_or(|sender| sender.send(node).is_err()) {
            tracing::debug!(id, "an answer came that nobody waits for");
        }
    }

    /// No more answers will come.
    pub(super) fn clear(&self) {
        lock(&self.waiting).clear();
    }
}

impl Expected {
    /// `None`: no answer will come.
    pub(super) async fn wait(mut self) -> Option<Node> {
        self.answer.take()?.await.ok()
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        lock(&self.waiting).remove(&self.id);
    }
}

fn lock(waiting: &Waiting) -> std::sync::MutexGuard<'_, BTreeMap<String, oneshot::Sender<Node>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}
