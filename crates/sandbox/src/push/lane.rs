//! What goes to one partner: who is due, how many at a time, and whether the partner is left alone for a while.

use std::collections::{BTreeSet, VecDeque};

use super::board::Extra;
use super::rules::Rules;
use crate::db::UserId;

/// Pushes that belong to no plan wait for room; more than these are not worth it.
const EXTRAS: usize = 64;

/// How an exchange counts for the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// The partner has answered, whatever it said.
    Life,
    /// It has not, or it said that it cannot.
    Trouble,
    /// Nothing was sent.
    None,
}

/// A change of the breaker, for the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Breaker {
    /// From now on the partner gets probes alone.
    Opened,
    /// It gets everything again.
    Closed,
}

/// One partner.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// Users by the time at which they are due.
    queue: BTreeSet<(u64, UserId)>,
    extras: VecDeque<Extra>,
    /// Exchanges under way.
    sending: usize,
    /// In a row.
    pub(super) failures: u32,
    /// When the next probe may go, while the breaker is open.
    pub(super) probe_at: Option<u64>,
    probing: bool,
}

impl Lane {
    pub(super) fn enqueue(&mut self, at: u64, user: UserId) {
        self.queue.insert((at, user));
    }

    pub(super) fn dequeue(&mut self, at: u64, user: UserId) {
        self.queue.remove(&(at, user));
    }

    pub(super) fn add(&mut self, extra: Extra) {
        if self.extras.len() < EXTRAS {
            self.extras.push_back(extra);
        }
    }

    /// Whether one more may go now, and if so, whether it is a probe.
    fn room(&self, now: u64, rules: &Rules) -> Option<bool> {
        match self.probe_at {
            None => (self.sending < rules.per_partner).then_some(false),
            Some(at) => (now >= at && !self.probing).then_some(true),
        }
    }

    /// The user who is due first, if there is room. `true` beside it: it is a probe.
    pub(super) fn take(&mut self, now: u64, rules: &Rules) -> Option<(UserId, bool)> {
        let probe = self.room(now, rules)?;
        let due = *self.queue.first().filter(|(at, _)| *at <= now)?;
        self.queue.remove(&due);
        self.sending = self.sending.saturating_add(1);
        self.probing |= probe;
        Some((due.1, probe))
    }

    /// The next one that belongs to no plan, if there is room. Such are no probes.
    pub(super) fn take_extra(&mut self, now: u64, rules: &Rules) -> Option<Extra> {
        if self.room(now, rules)? {
            return None;
        }
        let extra = self.extras.pop_front()?;
        self.sending = self.sending.saturating_add(1);
        Some(extra)
    }

    /// When there may be something to take; `None`: not before an exchange has ended or somebody else is due.
    pub(super) fn next_at(&self, rules: &Rules) -> Option<u64> {
        let first = self.queue.first().map(|(at, _)| *at);
        match self.probe_at {
            Some(_) if self.probing => None,
            Some(probe_at) => first.map(|at| at.max(probe_at)),
            None if self.sending >= rules.per_partner => None,
            None if !self.extras.is_empty() => Some(0),
            None => first,
        }
    }

    /// An exchange has ended.
    pub(super) fn ended(&mut self, sign: Sign, probe: bool, now: u64, rules: &Rules) -> Option<Breaker> {
        self.sending = self.sending.saturating_sub(1);
        if probe {
            self.probing = false;
        }
        match sign {
            Sign::None => None,
            Sign::Life => {
                self.failures = 0;
                self.probe_at.take().map(|_| Breaker::Closed)
            }
            Sign::Trouble => {
                self.failures = self.failures.saturating_add(1);
                let again = now.saturating_add(rules.probe);
                match self.probe_at {
                    Some(_) => {
                        if probe {
                            self.probe_at = Some(again);
                        }
                        None
                    }
                    None if self.failures >= rules.breaker_failures => {
                        self.probe_at = Some(again);
                        Some(Breaker::Opened)
                    }
                    None => None,
                }
            }
        }
    }

    /// The clock was set back by so much.
    pub(super) fn shift(&mut self, by: u64) {
        self.queue = self.queue.iter().map(|(at, user)| (at.saturating_sub(by), *user)).collect();
        self.probe_at = self.probe_at.map(|at| at.saturating_sub(by));
    }
}
