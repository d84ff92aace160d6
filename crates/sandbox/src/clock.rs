//! The time, which can be moved.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// The wall clock of a sandbox: the system's, one that stands still until it is moved, or one that goes with tokio's timer.
///
/// It gives the times that the protocol speaks of. Time-outs of connections run on tokio's timer, which tests can pause.
#[derive(Debug, Clone)]
pub struct Clock {
    kind: Kind,
    /// How far it was moved, in seconds; negative: back.
    moved: Arc<AtomicI64>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// The system's clock.
    Real,
    /// Stands at this time.
    Manual(u64),
    /// Where tokio's timer began, and at which time.
    Timer { begin: Instant, at: u64 },
}

impl Clock {
    /// The system's clock.
    pub fn real() -> Self {
        Self::of(Kind::Real)
    }

    /// A clock that stands at `now`, in unix seconds.
    pub fn manual(now: u64) -> Self {
        Self::of(Kind::Manual(now))
    }

    /// A clock that stands at `now`, in unix seconds, and goes as tokio's timer does: where that is paused, the time of the
    /// protocol and that of time-outs pass together.
    pub fn timer(now: u64) -> Self {
        Self::of(Kind::Timer { begin: Instant::now(), at: now })
    }

    fn of(kind: Kind) -> Self {
        Self { kind, moved: Arc::default() }
    }

    /// Unix seconds.
    pub fn now(&self) -> u64 {
        let unmoved = match self.kind {
            Kind::Real => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            Kind::Manual(now) => now,
            Kind::Timer { begin, at } => at.saturating_add(begin.elapsed().as_secs()),
        };
        unmoved.saturating_add_signed(self.moved.load(Ordering::Relaxed))
    }

    /// Unix milliseconds. A clock that stands has none but those of its seconds.
    pub(crate) fn millis(&self) -> u64 {
        let whole = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let unmoved = match self.kind {
            Kind::Real => whole(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
            Kind::Manual(now) => now.saturating_mul(1_000),
            Kind::Timer { begin, at } => at.saturating_mul(1_000).saturating_add(whole(begin.elapsed())),
        };
        unmoved.saturating_add_signed(self.moved.load(Ordering::Relaxed).saturating_mul(1_000))
    }

    /// Moves the clock, and all of its clones, ahead. Each kind can be moved.
    pub fn advance(&self, seconds: u64) {
        self.shift(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    /// Moves the clock, and all of its clones, back.
    pub fn set_back(&self, seconds: u64) {
        self.shift(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_neg());
    }

    fn shift(&self, seconds: i64) {
        let shifted = |moved: i64| Some(moved.saturating_add(seconds));
        // It never gives up: the closure always has a value.
        let _ = self.moved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, shifted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_moves_both_ways_with_its_clones_and_stops_at_the_ends() {
        let clock = Clock::manual(100);
        let clone = clock.clone();
        clock.advance(3_600);
        clone.set_back(5);
        assert_eq!((clock.now(), clone.now()), (3_695, 3_695));
        assert_eq!(clock.millis(), 3_695_000);
        clock.set_back(u64::MAX);
        assert_eq!(clock.now(), 0);
        for _ in 0..3 {
            clock.advance(u64::MAX);
        }
        assert!(clock.now() > u64::MAX / 4);
    }
}
