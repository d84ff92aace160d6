//! How often one may ask (section 4 of the protocol page), in seconds of the sandbox's clock.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;

use landbridge_enlist::{IntegratorId, TokenSubject};
use landbridge_stanza::profile::EnlistmentProfile;

use crate::RateLimits;
use crate::state::lock;

/// Entries beyond which those that no longer count are dropped.
const SWEEP_AT: usize = 4096;

/// A request as far as repeats are concerned: hash of its source and body.
pub(super) type Fingerprint = [u8; 32];

/// All limits, or none.
#[derive(Debug)]
pub(super) struct Limits {
    tables: Option<Mutex<Tables>>,
    repeat_window: u64,
}

#[derive(Debug)]
struct Tables {
    addresses: Window<IpAddr>,
    integrators: Window<IntegratorId>,
    users: Window<TokenSubject>,
    /// Requests that were counted of late, and when: an identical one within the window counts no second time.
    counted: HashMap<Fingerprint, u64>,
}

/// A request that was let through by the first limits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pass {
    repeat: bool,
}

/// Too many: seconds after which one more is allowed, and of what there were too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany {
    pub(super) retry_after: u64,
    pub(super) what: &'static str,
}

impl Limits {
    pub(super) fn new(switch: RateLimits, rules: &EnlistmentProfile) -> Self {
        let tables = (switch == RateLimits::On).then(|| {
            Mutex::new(Tables {
                addresses: Window::new(rules.per_address_minute, 60, "requests of one address in a minute"),
                integrators: Window::new(
                    rules.per_integrator_second,
                    1,
                    "requests of one integrator in a second",
                ),
                users: Window::new(rules.per_user_hour, 3600, "enlistments of one user in an hour"),
                counted: HashMap::new(),
            })
        });
        Self { tables, repeat_window: rules.repeat_window_s }
    }

    /// Check 4: by source address, and by the integrator that the body claims. Whoever claims another's number uses up
    /// that number's second, never a user's hour.
    pub(super) fn arrive(
        &self,
        address: IpAddr,
        claimed: Option<IntegratorId>,
        fingerprint: Fingerprint,
        now: u64,
    ) -> Result<Pass, TooMany> {
        let Some(tables) = &self.tables else { return Ok(Pass { repeat: true }) };
        let mut tables = lock(tables);
        let is_recent = |at: &u64| now.saturating_sub(*at) < self.repeat_window;
        if tables.counted.get(&fingerprint).is_some_and(is_recent) {
            return Ok(Pass { repeat: true });
        }
        tables.addresses.take(source(address), now)?;
        if let Some(integrator) = claimed {
            tables.integrators.take(integrator, now)?;
        }
        if tables.counted.len() >= SWEEP_AT {
            tables.counted.retain(|_, at| is_recent(at));
        }
        tables.counted.insert(fingerprint, now);
        Ok(Pass { repeat: false })
    }

    /// By user, once the token has said who it is: a stranger cannot use up somebody's hour.
    pub(super) fn identify(&self, pass: Pass, user: &TokenSubject, now: u64) -> Result<(), TooMany> {
        match &self.tables {
            Some(tables) if !pass.repeat => lock(tables).users.take(user.clone(), now),
            _ => Ok(()),
        }
    }
}

/// What counts as one source: an IPv4 address, or an IPv6 network of 64 bits, which one subscriber holds.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

/// A sliding window per key: never more than the limit in any `seconds`.
#[derive(Debug)]
struct Window<K> {
    limit: usize,
    seconds: u64,
    what: &'static str,
    taken: HashMap<K, VecDeque<u64>>,
    sweep_at: usize,
}

impl<K: Eq + Hash> Window<K> {
    fn new(limit: u32, seconds: u64, what: &'static str) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { limit, seconds, what, taken: HashMap::new(), sweep_at: SWEEP_AT }
    }

    fn take(&mut self, key: K, now: u64) -> Result<(), TooMany> {
        let seconds = self.seconds;
        let is_recent = |at: &u64| now.saturating_sub(*at) < seconds;
        if self.taken.len() >= self.sweep_at {
            self.taken.retain(|_, taken| taken.back().is_some_and(is_recent));
            self.sweep_at = (self.taken.len() * 2).max(SWEEP_AT);
        }
        let taken = self.taken.entry(key).or_default();
        while taken.front().is_some_and(|at| !is_recent(at)) {
            taken.pop_front();
        }
        if taken.len() < self.limit {
            taken.push_back(now);
            return Ok(());
        }
        let oldest = taken.front().copied().unwrap_or(now);
        let retry_after = (oldest + seconds).saturating_sub(now).max(1);
        Err(TooMany { retry_after, what: self.what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(switch: RateLimits) -> Limits {
        let rules = EnlistmentProfile {
            per_user_hour: 2,
            per_address_minute: 3,
            per_integrator_second: 4,
            repeat_window_s: 10,
            ..EnlistmentProfile::default()
        };
        Limits::new(switch, &rules)
    }

    fn address(last: u8) -> IpAddr {
        [127, 0, 0, last].into()
    }

    #[test]
    fn addresses_by_the_minute() {
        let limits = limits(RateLimits::On);
        for n in 0..3 {
            limits.arrive(address(1), None, [n; 32], 100 + u64::from(n)).unwrap();
        }
        let refused = limits.arrive(address(1), None, [9; 32], 110).unwrap_err();
        assert_eq!(refused.retry_after, 50);
        limits.arrive(address(2), None, [9; 32], 110).unwrap();
        limits.arrive(address(1), None, [10; 32], 160).unwrap();
        limits.arrive(address(1), None, [11; 32], 160).unwrap_err();
    }

    #[test]
    fn integrators_by_the_second() {
        let (limits, one) = (limits(RateLimits::On), IntegratorId::new(1));
        for n in 0..4 {
            limits.arrive(address(n), one, [n; 32], 100).unwrap();
        }
        assert_eq!(limits.arrive(address(9), one, [9; 32], 100).unwrap_err().retry_after, 1);
        limits.arrive(address(9), IntegratorId::new(2), [9; 32], 100).unwrap();
        limits.arrive(address(9), one, [10; 32], 101).unwrap();
    }

    #[test]
    fn repeats_count_once() {
        let limits = limits(RateLimits::On);
        let user = TokenSubject { integrator: IntegratorId::ONE, identifier: "alice".parse().unwrap() };
        for _ in 0..100 {
            let pass = limits.arrive(address(1), None, [1; 32], 100).unwrap();
            limits.identify(pass, &user, 100).unwrap();
        }
        let pass = limits.arrive(address(1), None, [1; 32], 110).unwrap();
        assert!(!pass.repeat, "the window of 10 s is over");
        limits.identify(pass, &user, 110).unwrap();
        let pass = limits.arrive(address(1), None, [2; 32], 111).unwrap();
        let refused = limits.identify(pass, &user, 111).unwrap_err();
        assert_eq!(refused.retry_after, 3589);
    }

    #[test]
    fn switched_off_nothing_is_limited() {
        let limits = limits(RateLimits::Off);
        for n in 0..100 {
            limits.arrive(address(1), IntegratorId::new(1), [n; 32], 100).unwrap();
        }
    }

    #[test]
    fn one_subscriber_is_one_source() {
        let source = |text: &str| source(text.parse().unwrap());
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:1"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:10.0.0.1"), source("10.0.0.1"));
    }
}
