//! What outlives the process.

use super::{Board, Entry, Plan, Recipient};
use crate::db::{KeptPlan, KeptPushes, UserId};

impl Board {
    /// Notes that everything in a user's mailbox up to a position was told.
    pub(crate) fn saw(&mut self, user: UserId, position: i64) {
        let Some(entry) = self.users.get_mut(&user).filter(|entry| entry.seen < position) else { return };
        entry.seen = position;
        self.changed.insert(user);
    }

    /// Where the pushes stand for those for whom that has changed since the last call, and as of when. An exchange that is
    /// under way is still to be made: its end may never be told.
    pub(crate) fn changes(&mut self) -> (u64, Vec<KeptPushes>) {
        let changed = std::mem::take(&mut self.changed);
        let kept = changed.into_iter().filter_map(|user| Some(self.users.get(&user)?.kept(user, self)));
        (self.now, kept.collect())
    }

    /// Goes on at a time of an earlier run.
    pub(crate) fn begin_at(&mut self, now: u64) {
        self.now = now;
    }

    /// Goes on with what an earlier run has kept.
    pub(crate) fn restore(&mut self, to: Recipient, kept: &KeptPushes) {
        let (user, KeptPushes { since, tried, seen, .. }) = (to.user, *kept);
        self.users.insert(user, Entry { since, tried, seen, ..Entry::new(to) });
        let plan = |KeptPlan { why, due, tries, first }| Plan { why, at: due, tries, first };
        self.set_plan(user, kept.plan.map(plan));
    }
}

impl Entry {
    fn kept(&self, user: UserId, board: &Board) -> KeptPushes {
        let under_way = self.sending.as_ref().map(|(plan, _)| *plan);
        let owed = |why| Plan { why, at: board.after_pause(self), tries: 0, first: None };
        let plan = under_way.or(self.plan).or_else(|| self.next.map(owed));
        let plan = plan.map(|Plan { why, at, tries, first }| KeptPlan { why, due: at, tries, first });
        KeptPushes { user, plan, since: self.since, tried: self.tried, seen: self.seen }
    }
}
