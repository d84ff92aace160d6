//! The time, which can be moved.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// The wall clock of a sandbox: the system's, one that stands still until it is moved, or one that goes with tokio's timer.
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
    /// Where tokio's timer began, at which time, and how far it was moved ahead.
    Timer {
        begin: Instant,
        at: u64,
        ahead: Arc<AtomicU64>,
    },
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

    /// A clock that stands at `now`, in unix seconds, and goes as tokio's timer does: where that is paused, the time of the
    /// protocol and that of time-outs pass together.
    pub fn timer(now: u64) -> Self {
        Self(Kind::Timer { begin: Instant::now(), at: now, ahead: Arc::default() })
    }

    /// Unix seconds.
    pub fn now(&self) -> u64 {
        match &self.0 {
            Kind::Real { ahead } => {
                let system = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
                system.saturating_add(ahead.load(Ordering::Relaxed))
            }
            Kind::Manual(now) => now.load(Ordering::Relaxed),
            Kind::Timer { begin, at, ahead } => {
                at.saturating_add(begin.elapsed().as_secs()).saturating_add(ahead.load(Ordering::Relaxed))
            }
        }
    }

    /// Moves the clock, and all of its clones, ahead. Each kind can be moved.
    pub fn advance(&self, seconds: u64) {
        let (Kind::Real { ahead: moved } | Kind::Manual(moved) | Kind::Timer { ahead: moved, .. }) = &self.0;
        moved.fetch_add(seconds, Ordering::Relaxed);
    }
}
