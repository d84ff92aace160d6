//! Which providers are down, so that no device waits in the queue of one.

use std::collections::HashMap;
use std::time::Duration;

/// Failures in a row that make an outage.
const THRESHOLD: u32 = 3;
/// Lanes that are remembered; beyond, those without trouble are forgotten.
const SWEEP_AT: usize = 1024;

/// 1, 2, 4 … 60 s.
pub(super) fn delay(failures: u32) -> Duration {
    let seconds = 1_u64.checked_shl(failures).unwrap_or(u64::MAX);
    Duration::from_secs(seconds.min(60))
}

/// Up to a fifth on top, so that what failed together does not come back together.
pub(super) fn with_jitter(delay: Duration) -> Duration {
    delay.mul_f64(1.0 + 0.2 * f64::from(rand::random::<u16>()) / f64::from(u16::MAX))
}

#[derive(Debug, Default)]
struct Lane {
    failures: u32,
    /// Unix milliseconds.
    closed_until: u64,
}

/// The providers of one kind.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: HashMap<String, Lane>,
}

impl Lanes {
    /// Whether `lane` may be used now, or from when. While a lane is closed, one attempt at a time goes through when its
    /// time has come; that one closes it again or opens it.
    pub(super) fn enter(&mut self, lane: &str, now: u64) -> Result<(), u64> {
        let Some(state) = self.lanes.get_mut(lane) else { return Ok(()) };
        if state.failures < THRESHOLD {
            return Ok(());
        }
        if now < state.closed_until {
            return Err(state.closed_until);
        }
        // This one is the probe. The next one is let through when it has failed or its time is over.
        state.closed_until = now + u64::try_from(super::SEND_TIME.as_millis()).unwrap_or(u64::MAX);
        Ok(())
    }

    /// What came of an attempt.
    pub(super) fn ended(&mut self, lane: &str, failed: Option<Duration>, now: u64) {
        let Some(wait) = failed else {
            self.lanes.remove(lane);
            return;
        };
        if self.lanes.len() >= SWEEP_AT {
            self.lanes.retain(|_, state| state.closed_until > now);
        }
        let state = self.lanes.entry(lane.to_owned()).or_default();
        state.failures = state.failures.saturating_add(1);
        let outage = delay(state.failures.saturating_sub(THRESHOLD));
        state.closed_until = now + u64::try_from(outage.max(wait).as_millis()).unwrap_or(u64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_lets_one_probe_through_at_a_time() {
        let mut lanes = Lanes::default();
        let zero = Duration::ZERO;
        for _ in 0..THRESHOLD {
            assert_eq!(lanes.enter("a", 0), Ok(()));
            lanes.ended("a", Some(zero), 0);
        }
        assert_eq!(lanes.enter("a", 999), Err(1000));
        assert_eq!(lanes.enter("b", 999), Ok(()), "another provider is not held up");
        assert_eq!(lanes.enter("a", 1000), Ok(()), "the probe");
        assert!(lanes.enter("a", 1001).is_err(), "one at a time");
        lanes.ended("a", Some(zero), 1001);
        assert_eq!(lanes.enter("a", 1002), Err(3001), "twice as long");
        assert_eq!(lanes.enter("a", 3001), Ok(()));
        lanes.ended("a", None, 3001);
        assert_eq!([lanes.enter("a", 3001), lanes.enter("a", 3001)], [Ok(()); 2], "open again");
    }

    #[test]
    fn delays_double_up_to_a_minute() {
        assert_eq!([0, 1, 5, 6, 200].map(|n| delay(n).as_secs()), [1, 2, 32, 60, 60]);
        let jittered = with_jitter(Duration::from_secs(10));
        assert!((10..=12).contains(&jittered.as_secs()));
    }
}
