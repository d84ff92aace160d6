//! So many per user and hour.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(60 * 60);
/// Users beyond which those without a token in the past hour are forgotten.
const SWEEP_AT: usize = 4096;

/// A sliding window: never more than the limit in any hour.
#[derive(Debug)]
pub(crate) struct RateLimit {
    limit: usize,
    users: Mutex<Users>,
}

#[derive(Debug)]
struct Users {
    taken: HashMap<String, VecDeque<Instant>>,
    sweep_at: usize,
}

impl RateLimit {
    pub(crate) fn per_hour(limit: u32) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { limit, users: Mutex::new(Users { taken: HashMap::new(), sweep_at: SWEEP_AT }) }
    }

    /// Takes one for `user`, or says after how many seconds there will be one.
    pub(crate) fn take(&self, user: &str, now: Instant) -> Result<(), u64> {
        // A panic elsewhere leaves nothing half done in the table.
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < WINDOW;
        if users.taken.len() >= users.sweep_at {
            users.taken.retain(|_, taken| taken.back().is_some_and(is_recent));
            users.sweep_at = (users.taken.len() * 2).max(SWEEP_AT);
        }
        let taken = users.taken.entry(user.to_owned()).or_default();
        while taken.front().is_some_and(|at| !is_recent(at)) {
            taken.pop_front();
        }
        if taken.len() < self.limit {
            taken.push_back(now);
            return Ok(());
        }
        let wait = taken
            .front()
            .map_or(WINDOW, |oldest| WINDOW.saturating_sub(now.saturating_duration_since(*oldest)));
        Err(wait.as_secs().max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_the_limit_in_an_hour() {
        let (limit, start) = (RateLimit::per_hour(3), Instant::now());
        let take = |user, seconds| limit.take(user, start + Duration::from_secs(seconds));
        assert_eq!([take("a", 0), take("a", 10), take("a", 20)], [Ok(()); 3]);
        assert_eq!(take("a", 30), Err(3570));
        assert_eq!(take("b", 30), Ok(()), "users do not share");
        assert_eq!(take("a", 3600), Ok(()));
        assert_eq!(take("a", 3601), Err(9));
    }

    #[test]
    fn idle_users_are_forgotten() {
        let (limit, start) = (RateLimit::per_hour(1), Instant::now());
        for n in 0..SWEEP_AT {
            limit.take(&n.to_string(), start).unwrap();
        }
        limit.take("late", start + WINDOW).unwrap();
        assert_eq!(limit.users.lock().unwrap().taken.len(), 1);
    }
}
