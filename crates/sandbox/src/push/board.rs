//! Who is pushed for, when, and how often: decisions alone, no I/O, no clock. Times are unix milliseconds.
//!
//! The driver tells what has happened ([`news`](Board::news), [`came`](Board::came), [`went`](Board::went),
//! [`ask`](Board::ask), [`forget`](Board::forget)), takes what is to be sent ([`take`](Board::take)), reports each end
//! ([`ended`](Board::ended)), and asks when to look again ([`next_at`](Board::next_at)). After each of these, what
//! [has changed](Board::changes) can be kept, for a later run to [go on](Board::restore) with.

mod kept;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use landbridge_wire::Jid;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;

use super::lane::{Breaker, Lane, Sign};
use super::rules::Rules;
use crate::db::UserId;

/// Whom a push is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recipient {
    pub(crate) user: UserId,
    pub(crate) jid: Jid,
    pub(crate) integrator: u16,
    /// What the push says.
    pub(crate) identifier: String,
}

/// Why a push is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PushReason {
    /// Something new is in the mailbox.
    Activity,
    /// Mail still waits.
    Reminder,
    /// The control API asked for it.
    ByHand,
    /// A fault: nobody waits for it.
    Fault,
}

impl PushReason {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Activity => "activity",
            Self::Reminder => "reminder",
            Self::ByHand => "by_hand",
            Self::Fault => "fault",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Activity, Self::Reminder, Self::ByHand, Self::Fault]
            .into_iter()
            .find(|why| why.as_str() == text)
    }
}

/// A push that belongs to no plan: a fault's. It is sent once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Extra {
    /// To whom it is said to belong, if that is a user.
    pub(crate) jid: Option<Jid>,
    pub(crate) integrator: u16,
    pub(crate) identifier: String,
}

/// What is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Job {
    /// A push for a user; its end goes to [`Board::ended`].
    Planned {
        to: Arc<Recipient>,
        why: PushReason,
        /// Which try it is, from 1.
        attempt: u32,
        /// Whether it finds out if the partner is back.
        probe: bool,
    },
    /// A fault's; its end goes to [`Board::extra_ended`].
    Extra(Extra),
}

/// How a planned push has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The partner took it, or will never take it.
    Answered(LastPush),
    /// It may be tried again, after so many seconds if the partner said so.
    Failed { last: LastPush, retry_after_s: Option<u64> },
    /// Nothing was sent: no mail waits.
    Needless,
}

/// The end of a user's last exchange, as the control API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LastPush {
    /// Unix seconds of the sandbox's clock.
    pub t: u64,
    /// The status, if there was an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What it means.
    pub outcome: String,
}

/// What an end has led to, beside a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct After {
    /// So many tries were made, and there will be no more.
    pub(crate) gave_up: Option<u32>,
    /// What comes next for the user, and when.
    pub(crate) planned: Option<(PushReason, u64)>,
    pub(crate) breaker: Option<Breaker>,
}

/// A push that is to be sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) why: PushReason,
    pub(super) at: u64,
    /// Tries that were made.
    pub(super) tries: u32,
    /// When the first of them began.
    first: Option<u64>,
}

#[derive(Debug)]
struct Entry {
    to: Arc<Recipient>,
    plan: Option<Plan>,
    /// The plan whose exchange is under way, and when the try before it began.
    sending: Option<(Plan, Option<u64>)>,
    /// What came while an exchange was under way or the user was connected.
    next: Option<PushReason>,
    /// When the last push for new activity began: reminders count from there.
    since: Option<u64>,
    /// When the last try began.
    tried: Option<u64>,
    last: Option<LastPush>,
    /// Position in the mailbox up to which everything was told.
    seen: i64,
}

impl Entry {
    fn new(to: Recipient) -> Self {
        let to = Arc::new(to);
        Self { to, plan: None, sending: None, next: None, since: None, tried: None, last: None, seen: 0 }
    }
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Board {
    rules: Rules,
    /// Draws the jitter.
    rng: StdRng,
    lanes: BTreeMap<u16, Lane>,
    users: HashMap<UserId, Entry>,
    connected: HashSet<UserId>,
    /// Whose entries are others than those that were kept.
    changed: BTreeSet<UserId>,
    /// The latest time that was told.
    now: u64,
}

impl Board {
    pub(super) fn new(rules: Rules, seed: u64) -> Self {
        Self {
            rules,
            rng: StdRng::seed_from_u64(seed),
            lanes: BTreeMap::new(),
            users: HashMap::new(),
            connected: HashSet::new(),
            changed: BTreeSet::new(),
            now: 0,
        }
    }

    /// Something new is in a user's mailbox.
    pub(crate) fn news(&mut self, to: Recipient, now: u64) {
        self.tick(now);
        let user = to.user;
        let connected = self.connected.contains(&user);
        self.changed.insert(user);
        let entry = self.users.entry(user).or_insert_with(|| Entry::new(to));
        if connected || entry.sending.is_some() {
            entry.next = entry.next.or(Some(PushReason::Activity));
            return;
        }
        match &mut entry.plan {
            // It is on its way, be it late: what it says holds for the new mail, too, which has its full time for tries.
            Some(plan) if plan.tries > 0 => (plan.why, plan.first) = (PushReason::Activity, None),
            Some(Plan { why: PushReason::Activity | PushReason::ByHand, .. }) => {}
            _ => self.plan_activity(user),
        }
    }

    /// A user has connected: nothing has to be said any more.
    pub(crate) fn came(&mut self, user: UserId, now: u64) {
        self.tick(now);
        self.connected.insert(user);
        let Some(entry) = self.users.get_mut(&user) else { return };
        self.changed.insert(user);
        entry.since = None;
        entry.next = entry.next.filter(|why| *why == PushReason::ByHand);
        if entry.plan.is_some_and(|plan| plan.why != PushReason::ByHand) {
            self.set_plan(user, None);
        }
    }

    /// A user is no longer connected. What came meanwhile and was not taken is new activity.
    pub(crate) fn went(&mut self, user: UserId, now: u64) {
        self.tick(now);
        self.connected.remove(&user);
        let Some(entry) = self.users.get_mut(&user) else { return };
        self.changed.insert(user);
        if entry.sending.is_none() && entry.next.take().is_some() {
            self.plan_activity(user);
        }
    }

    /// A push now, whatever else is planned.
    pub(crate) fn ask(&mut self, to: Recipient, now: u64) {
        self.tick(now);
        let user = to.user;
        self.changed.insert(user);
        let entry = self.users.entry(user).or_insert_with(|| Entry::new(to));
        if entry.sending.is_some() {
            entry.next = Some(PushReason::ByHand);
        } else {
            self.set_plan(user, Some(Plan { why: PushReason::ByHand, at: now, tries: 0, first: None }));
        }
    }

    /// A push that belongs to no plan.
    pub(crate) fn add(&mut self, extra: Extra) {
        self.lanes.entry(extra.integrator).or_default().add(extra);
    }

    /// An account is gone. The end of an exchange that is under way is reported all the same.
    pub(crate) fn forget(&mut self, user: UserId) {
        self.set_plan(user, None);
        self.users.remove(&user);
        self.connected.remove(&user);
        self.changed.remove(&user);
    }

    /// Each user with the push that is planned, the one that is under way, and how the last one ended.
    pub(super) fn entries(
        &self,
    ) -> impl Iterator<Item = (&Recipient, Option<&Plan>, Option<&Plan>, Option<&LastPush>)> {
        self.users.values().map(|entry| {
            let sending = entry.sending.as_ref().map(|(plan, _)| plan);
            (&*entry.to, entry.plan.as_ref(), sending, entry.last.as_ref())
        })
    }

    pub(super) fn partners(&self) -> impl Iterator<Item = (u16, &Lane)> {
        self.lanes.iter().map(|(integrator, lane)| (*integrator, lane))
    }

    /// What is to be sent now.
    pub(crate) fn take(&mut self, now: u64) -> Vec<Job> {
        self.tick(now);
        let mut jobs = Vec::new();
        for lane in self.lanes.values_mut() {
            while let Some((user, probe)) = lane.take(now, &self.rules) {
                let taken = self.users.get_mut(&user).and_then(|entry| Some((entry.plan.take()?, entry)));
                let Some((mut plan, entry)) = taken else {
                    // Who is queued has a plan; were it not so, nothing would be owed.
                    lane.ended(Sign::None, probe, now, &self.rules);
                    continue;
                };
                self.changed.insert(user);
                plan.tries = plan.tries.saturating_add(1);
                plan.first = plan.first.or(Some(now));
                let (why, attempt) = (plan.why, plan.tries);
                entry.sending = Some((plan, entry.tried.replace(now)));
                if why == PushReason::Activity && attempt == 1 {
                    entry.since = Some(now);
                }
                jobs.push(Job::Planned { to: Arc::clone(&entry.to), why, attempt, probe });
            }
            while let Some(extra) = lane.take_extra(now, &self.rules) {
                jobs.push(Job::Extra(extra));
            }
        }
        jobs
    }

    /// When there may be something to take, unless something else happens before.
    pub(crate) fn next_at(&self) -> Option<u64> {
        self.lanes.values().filter_map(|lane| lane.next_at(&self.rules)).min()
    }

    /// An exchange that belonged to no plan has ended.
    pub(crate) fn extra_ended(&mut self, integrator: u16, now: u64) {
        self.tick(now);
        if let Some(lane) = self.lanes.get_mut(&integrator) {
            lane.ended(Sign::None, false, now, &self.rules);
        }
    }

    /// A planned exchange has ended.
    pub(crate) fn ended(&mut self, to: &Recipient, probe: bool, ended: Ended, now: u64) -> After {
        self.tick(now);
        let (sign, last, failed) = match ended {
            Ended::Answered(last) => (Sign::Life, Some(last), None),
            Ended::Failed { last, retry_after_s } => (Sign::Trouble, Some(last), Some(retry_after_s)),
            Ended::Needless => (Sign::None, None, None),
        };
        let lane = self.lanes.get_mut(&to.integrator);
        let breaker = lane.and_then(|lane| lane.ended(sign, probe, now, &self.rules));
        let mut after = After { breaker, ..After::default() };
        let connected = self.connected.contains(&to.user);
        let Some(entry) = self.users.get_mut(&to.user) else { return after };
        let Some((plan, tried_before)) = entry.sending.take() else { return after };
        self.changed.insert(to.user);
        match last {
            Some(last) => entry.last = Some(last),
            None => (entry.tried, entry.since) = (tried_before, None),
        }
        if entry.next == Some(PushReason::ByHand) {
            entry.next = None;
            self.set_plan(to.user, Some(Plan { why: PushReason::ByHand, at: now, tries: 0, first: None }));
        } else if connected {
            // What has come since then waits for the end of the connection.
        } else if let Some(retry_after_s) = failed {
            after.gave_up = self.retry(to.user, plan, retry_after_s);
        } else if entry.next.take().is_some() {
            self.plan_activity(to.user);
        } else {
            self.plan_reminder(to.user);
        }
        let plan = self.users.get(&to.user).and_then(|entry| entry.plan);
        after.planned = plan.map(|plan| (plan.why, plan.at));
        after
    }

    /// Plans the next try, unless time is up; then gives how many were made.
    fn retry(&mut self, user: UserId, mut plan: Plan, retry_after_s: Option<u64>) -> Option<u32> {
        let entry = self.users.get_mut(&user)?;
        if entry.next.take().is_some() {
            (plan.why, plan.first) = (PushReason::Activity, None);
        }
        let wait = self.rules.wait(plan.tries, retry_after_s, self.rng.next_u64());
        plan.at = self.now.saturating_add(wait);
        let until = plan.first.unwrap_or(plan.at).saturating_add(self.rules.give_up);
        if plan.at <= until {
            self.set_plan(user, Some(plan));
            return None;
        }
        self.plan_reminder(user);
        Some(plan.tries)
    }

    /// A push for new activity: now, or when the time since the last try has passed.
    fn plan_activity(&mut self, user: UserId) {
        let Some(entry) = self.users.get(&user) else { return };
        let at = self.after_pause(entry);
        self.set_plan(user, Some(Plan { why: PushReason::Activity, at, tries: 0, first: None }));
    }

    /// When the next push for a user may go.
    fn after_pause(&self, entry: &Entry) -> u64 {
        entry.tried.map_or(self.now, |tried| tried.saturating_add(self.rules.every).max(self.now))
    }

    /// The next time at which waiting mail is worth a word. Times that have passed unused are not made up for.
    fn plan_reminder(&mut self, user: UserId) {
        let Some(since) = self.users.get(&user).and_then(|entry| entry.since) else { return };
        let times = self.rules.again.iter().map(|after| since.saturating_add(*after));
        let at = times.filter(|at| *at > self.now).min();
        self.set_plan(user, at.map(|at| Plan { why: PushReason::Reminder, at, tries: 0, first: None }));
    }

    /// The one place where plans are made and dropped: the queue of the partner follows.
    fn set_plan(&mut self, user: UserId, plan: Option<Plan>) {
        let Some(entry) = self.users.get_mut(&user) else { return };
        let old = std::mem::replace(&mut entry.plan, plan);
        if old.is_none() && plan.is_none() {
            return;
        }
        let lane = self.lanes.entry(entry.to.integrator).or_default();
        if let Some(old) = old {
            lane.dequeue(old.at, user);
        }
        if let Some(plan) = plan {
            lane.enqueue(plan.at, user);
        }
    }

    /// Takes the time. A clock that was set back takes all plans with it: waits stay as long as they are.
    fn tick(&mut self, now: u64) {
        let by = self.now.saturating_sub(now);
        self.now = now;
        if by == 0 {
            return;
        }
        self.changed.extend(self.users.keys());
        let shift = |time: &mut u64| *time = time.saturating_sub(by);
        for entry in self.users.values_mut() {
            let sending = entry.sending.as_mut();
            let (running, before) =
                sending.map_or((None, None), |(plan, tried)| (Some(plan), tried.as_mut()));
            for plan in entry.plan.as_mut().into_iter().chain(running) {
                shift(&mut plan.at);
                plan.first.as_mut().map(shift);
            }
            for time in [before, entry.since.as_mut(), entry.tried.as_mut()].into_iter().flatten() {
                shift(time);
            }
        }
        for lane in self.lanes.values_mut() {
            lane.shift(by);
        }
    }
}
