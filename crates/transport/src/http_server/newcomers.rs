//! Connections that have not asked for anything yet.
//!
//! Whoever opens connections and says nothing, or says it slowly, takes places that others want. When there is no place
//! left, the next connection gets that of the one that has been silent for the longest time. A connection that has asked
//! for something once keeps its place.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

#[derive(Debug, Default)]
pub(super) struct Newcomers {
    list: Mutex<List>,
}

#[derive(Debug, Default)]
struct List {
    next: u64,
    tasks: BTreeMap<u64, AbortHandle>,
}

impl Newcomers {
    fn lock(&self) -> MutexGuard<'_, List> {
        // A panic elsewhere leaves nothing half done in the list.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the task of a connection, which is given its place in the list.
    pub(super) fn start(self: &Arc<Self>, start: impl FnOnce(Newcomer) -> AbortHandle) {
        let mut list = self.lock();
        let id = list.next;
        list.next += 1;
        // The list stays locked: the task may be over before this returns.
        let task = start(Newcomer { id, list: Arc::clone(self), settled: AtomicBool::new(false) });
        list.tasks.insert(id, task);
    }

    /// Ends the connection that has been silent for the longest time, if there is one.
    pub(super) fn make_room(&self) {
        if let Some((_, task)) = self.lock().tasks.pop_first() {
            tracing::debug!("closed: nothing was asked for, and another connection wants the place");
            task.abort();
        }
    }
}

/// A connection's place in the list.
#[derive(Debug)]
pub(super) struct Newcomer {
    id: u64,
    list: Arc<Newcomers>,
    settled: AtomicBool,
}

impl Newcomer {
    /// It has asked for something.
    pub(super) fn settle(&self) {
        if !self.settled.swap(true, Ordering::Relaxed) {
            self.list.lock().tasks.remove(&self.id);
        }
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        self.settle();
    }
}
