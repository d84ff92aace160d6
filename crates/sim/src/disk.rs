//! What outlives a killed process: its store as of the last commit.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use landbridge::store::{Blocking, ClientStore, MemoryStore, StoreError, StoreTx};
use tokio::sync::Notify;

/// No transaction is the last one.
const NEVER: u64 = u64::MAX;

/// Whether a process lives, and what it leaves behind.
pub(crate) struct Fate {
    dead: AtomicBool,
    /// Transactions until the process is killed before one.
    left: AtomicU64,
    left_behind: Mutex<Option<MemoryStore>>,
    let_go: Notify,
    on_death: Box<dyn Fn() + Send + Sync>,
}

impl Fate {
    /// A process begins. `on_death` is called at the instant of its end.
    pub(crate) fn new(on_death: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            dead: AtomicBool::new(false),
            left: AtomicU64::new(NEVER),
            left_behind: Mutex::default(),
            let_go: Notify::new(),
            on_death: Box::new(on_death),
        })
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    /// Kills the process now.
    pub(crate) fn kill(&self) {
        if !self.dead.swap(true, Ordering::Relaxed) {
            (self.on_death)();
        }
    }

    /// Kills the process before a transaction: the one after `more` others.
    pub(crate) fn kill_after(&self, more: u64) {
        self.left.store(more, Ordering::Relaxed);
    }

    /// Waits until nothing of the process is left, and gives its store.
    pub(crate) async fn store(&self) -> MemoryStore {
        loop {
            let left = self.left_behind.lock().unwrap_or_else(PoisonError::into_inner).take();
            match left {
                Some(store) => return store,
                None => self.let_go.notified().await,
            }
        }
    }

    fn may_go_on(&self) -> bool {
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 {
            self.kill();
        } else if left != NEVER {
            self.left.store(left - 1, Ordering::Relaxed);
        }
        !self.is_dead()
    }
}

/// The store of a process that can be killed at any time: after that it takes nothing in and gives nothing out.
pub(crate) struct Mortal {
    store: MemoryStore,
    fate: Arc<Fate>,
}

impl Mortal {
    pub(crate) fn new(store: MemoryStore, fate: &Arc<Fate>) -> Self {
        Self { store, fate: Arc::clone(fate) }
    }
}

impl ClientStore for Mortal {
    fn begin(&mut self) -> Result<Box<dyn StoreTx + '_>, StoreError> {
        if !self.fate.may_go_on() {
            return Err(StoreError::Backend { doing: "outlive its process", source: "killed".into() });
        }
        self.store.begin()
    }

    fn blocking(&self) -> Blocking {
        Blocking::Never
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        let store = std::mem::take(&mut self.store);
        *self.fate.left_behind.lock().unwrap_or_else(PoisonError::into_inner) = Some(store);
        self.fate.let_go.notify_one();
    }
}
