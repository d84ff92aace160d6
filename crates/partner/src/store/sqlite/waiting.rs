//! What waits to be fanned out, in memory.
//!
//! The table `wakes` as it is on disk, never ahead of it, and until when the pushes of each user are merged. The thread
//! that owns the database changes it, after a commit and before anybody is told of it; everybody else may read. So a push
//! whose user is found here with a wake-up needs no row of its own: that one is on disk, and whoever turns it into
//! deliveries does so later.
//!
//! Windows are in memory only. A server that starts has none, and wakes a device once too often.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rusqlite::Connection;

use super::uint;
use crate::store::{WAKE_LIFE_MS, WINDOW_MS};

/// How far ahead anything here may lie, in milliseconds. What lies further is from before the clock was set back.
const AHEAD_MS: u64 = 2 * WINDOW_MS;

/// A row of `wakes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wake {
    pub(super) due_at: u64,
    pub(super) expires_at: u64,
}

impl Wake {
    /// Whether it stands for a push at `now`, too: its life may fall short by a window, so that pushes one after the
    /// other need not write.
    pub(super) fn stands_for(&self, now: u64) -> bool {
        self.expires_at + WINDOW_MS >= now + WAKE_LIFE_MS
    }
}

/// What is known of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) wake: Option<Wake>,
    /// The end of the window, unix milliseconds.
    pub(super) merged_until: u64,
}

impl Entry {
    /// The window's end if it is open.
    pub(super) fn window(&self, now: u64) -> Option<u64> {
        (now < self.merged_until && self.merged_until <= now + AHEAD_MS).then_some(self.merged_until)
    }
}

/// Users who have a wake-up or a window.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    users: HashMap<Arc<str>, Entry>,
    /// Those with a wake-up, by when it is due.
    due: BTreeSet<(u64, Arc<str>)>,
    /// Those without, by the end of the window.
    windows: BTreeSet<(u64, Arc<str>)>,
}

impl Waiting {
    /// What is on disk.
    pub(super) fn load(db: &Connection) -> rusqlite::Result<Self> {
        let mut waiting = Self::default();
        let mut rows = db.prepare("SELECT user_id, due_at, expires_at FROM wakes")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let wake = Wake { due_at: uint(row.get(1)?), expires_at: uint(row.get(2)?) };
            let entry = Entry { wake: Some(wake), merged_until: 0 };
            waiting.set(row.get::<_, String>(0)?.into(), Some(entry));
        }
        Ok(waiting)
    }

    pub(super) fn get(&self, user_id: &str) -> Option<Entry> {
        self.users.get(user_id).copied()
    }

    pub(super) fn set(&mut self, user_id: Arc<str>, entry: Option<Entry>) {
        if let Some(old) = self.users.get(&user_id).copied() {
            let (list, at) = self.list(&old);
            list.remove(&(at, Arc::clone(&user_id)));
        }
        match entry {
            Some(entry) => {
                let (list, at) = self.list(&entry);
                list.insert((at, Arc::clone(&user_id)));
                self.users.insert(user_id, entry);
            }
            None => {
                self.users.remove(&user_id);
            }
        }
    }

    fn list(&mut self, entry: &Entry) -> (&mut BTreeSet<(u64, Arc<str>)>, u64) {
        match entry.wake {
            Some(wake) => (&mut self.due, wake.due_at),
            None => (&mut self.windows, entry.merged_until),
        }
    }

    /// How many wake-ups there are.
    pub(super) fn count(&self) -> u64 {
        self.due.len() as u64
    }

    /// Users whose wake-up is due.
    pub(super) fn due(&self, now: u64) -> impl Iterator<Item = &Arc<str>> {
        over(&self.due, now)
    }

    /// Users without a wake-up whose window is over.
    pub(super) fn closed(&self, now: u64) -> impl Iterator<Item = &Arc<str>> {
        over(&self.windows, now)
    }

    /// Users with a wake-up, in the order in which they are due.
    pub(super) fn in_order(&self) -> impl Iterator<Item = &(u64, Arc<str>)> {
        self.due.iter()
    }
}

/// What has a time up to `now`, or one that the clock has been set back behind.
fn over(list: &BTreeSet<(u64, Arc<str>)>, now: u64) -> impl Iterator<Item = &Arc<str>> {
    let past = list.iter().take_while(move |(at, _)| *at <= now);
    let ahead = list.iter().rev().take_while(move |(at, _)| *at > now + AHEAD_MS);
    past.chain(ahead).map(|(_, user_id)| user_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: u64 = 1_800_000_000_000;

    fn entry(due_at: Option<u64>, merged_until: u64) -> Entry {
        Entry { wake: due_at.map(|due_at| Wake { due_at, expires_at: T + WAKE_LIFE_MS }), merged_until }
    }

    #[test]
    fn a_user_is_in_one_list() {
        let mut waiting = Waiting::default();
        for (entry, wakes, windows) in [
            (Some(entry(Some(T), T + 5)), 1, 0),
            (Some(entry(Some(T + 1), T + 5)), 1, 0),
            (Some(entry(None, T + 5)), 0, 1),
            (Some(entry(Some(T + 5), T + 9)), 1, 0),
            (None, 0, 0),
            (None, 0, 0),
        ] {
            waiting.set("1".into(), entry);
            assert_eq!(waiting.get("1"), entry);
            assert_eq!((waiting.count(), waiting.windows.len()), (wakes, windows));
        }
    }

    #[test]
    fn what_is_over_and_what_cannot_be() {
        let mut waiting = Waiting::default();
        for (name, at) in [("past", T - 1), ("now", T), ("soon", T + AHEAD_MS), ("lost", T + AHEAD_MS + 1)] {
            waiting.set(name.into(), Some(entry(Some(at), 0)));
            waiting.set(format!("window {name}").into(), Some(entry(None, at)));
        }
        assert_eq!(waiting.due(T).map(|name| &**name).collect::<Vec<_>>(), ["past", "now", "lost"]);
        let closed: Vec<_> = waiting.closed(T).map(|name| &**name).collect();
        assert_eq!(closed, ["window past", "window now", "window lost"]);
        assert_eq!(waiting.get("window now").and_then(|entry| entry.window(T)), None);
        assert_eq!(waiting.get("window soon").and_then(|entry| entry.window(T)), Some(T + AHEAD_MS));
        assert_eq!(waiting.get("window lost").and_then(|entry| entry.window(T)), None);
    }
}
