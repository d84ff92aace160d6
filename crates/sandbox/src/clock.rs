//! The time, which can be moved.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The wall clock of a sandbox: the system's, or one that stands still until it is moved.
///
/// It gives the times that the protocol speaks of. Time-outs of connections run on tokio's timer, which tests can pause.
#[derive(Debug, Clone)]
pub struct Clock(Kind);

#[derive(Debug, Clone)]
enum Kind {
    /// The system's clock and how far it was moved ahead, in seconds.
    Real {
        ahead: Arc<AtomicU64>,
    },
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The system's clock.
    pub fn real() -> Self {
        Self(Kind::Real { ahead: Arc::default() })
    }

    /// A clock that stands at `now`, in unix seconds.
    pub fn manual(now: u64) -> Self {
        Self(Kind::Manual(Arc::new(AtomicU64::new(now))))
    }

    /// Unix seconds.
    pub fn now(&self) -> u64 {
        match &self.0 {
            Kind::Real { ahead } => {
                let system = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
                system.saturating_add(ahead.load(Ordering::Relaxed))
            }
            Kind::Manual(now) => now.load(Ordering::Relaxed),
        }
    }

    /// Moves the clock, and all of its clones, ahead. Either kind can be moved.
    pub fn advance(&self, seconds: u64) {
        let (Kind::Real { ahead: moved } | Kind::Manual(moved)) = &self.0;
        moved.fetch_add(seconds, Ordering::Relaxed);
    }
}
