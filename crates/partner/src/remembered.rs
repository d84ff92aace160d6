//! Whom the store knows, so that it need not be told with every token and asked with every push.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::store::Users;

/// How long a note holds if another server may have told the store something else.
const LIFE: Duration = Duration::from_secs(60);
/// Notes that are kept, of 200 bytes or so each. Beyond, all are forgotten.
const MAX: usize = 250_000;

#[derive(Debug)]
pub(crate) struct Remembered {
    life: Duration,
    notes: Mutex<Notes>,
}

/// Each user has one identifier, and each identifier one user.
#[derive(Debug, Default)]
struct Notes {
    /// By identifier: whose it is, and since when that is known.
    owners: HashMap<Arc<str>, (Arc<str>, Instant)>,
    /// By user.
    identifiers: HashMap<Arc<str>, Arc<str>>,
    /// How often the store has been told something.
    turn: u64,
}

/// When the store was asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn(u64);

impl Remembered {
    /// Remembers what is in `store`.
    pub(crate) fn of(store: &dyn Users) -> Self {
        Self::with(if store.is_own() { Duration::MAX } else { LIFE })
    }

    fn with(life: Duration) -> Self {
        Self { life, notes: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Notes> {
        // A panic elsewhere leaves nothing half done in the tables.
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the store knows that this is how `user_id` is visible.
    pub(crate) fn is_fresh(&self, user_id: &str, identifier: &str, now: Instant) -> bool {
        self.user(identifier, now).is_some_and(|owner| &*owner == user_id)
    }

    /// The user who is visible as `identifier`, if that was so just now.
    pub(crate) fn user(&self, identifier: &str, now: Instant) -> Option<Arc<str>> {
        let notes = self.lock();
        let (owner, at) = notes.owners.get(identifier)?;
        (now.saturating_duration_since(*at) < self.life).then(|| Arc::clone(owner))
    }

    /// To be taken before the store is asked or told, and given back with what it said.
    pub(crate) fn turn(&self) -> Turn {
        Turn(self.lock().turn)
    }

    /// The store has said whose an identifier is. If it has been told otherwise since `turn`, nothing is noted.
    pub(crate) fn found(&self, user_id: Arc<str>, identifier: &str, now: Instant, turn: Turn) {
        let mut notes = self.lock();
        if notes.turn == turn.0 {
            notes.set(user_id, identifier, now);
        }
    }

    /// The store has been told how a user is visible. If it has been told something else since `turn`, nothing is noted.
    pub(crate) fn told(&self, user_id: Arc<str>, identifier: &str, now: Instant, turn: Turn) {
        let mut notes = self.lock();
        if notes.turn == turn.0 {
            notes.set(user_id, identifier, now);
        } else {
            notes.forget(&user_id);
        }
        notes.turn += 1;
    }

    /// The store has forgotten a user.
    pub(crate) fn forget(&self, user_id: &str) {
        let mut notes = self.lock();
        notes.forget(user_id);
        notes.turn += 1;
    }
}

impl Notes {
    fn set(&mut self, user_id: Arc<str>, identifier: &str, now: Instant) {
        if self.owners.len() >= MAX {
            self.owners.clear();
            self.identifiers.clear();
        }
        let identifier: Arc<str> = identifier.into();
        self.forget(&user_id);
        if let Some((earlier, _)) = self.owners.insert(Arc::clone(&identifier), (Arc::clone(&user_id), now)) {
            self.identifiers.remove(&earlier);
        }
        self.identifiers.insert(user_id, identifier);
    }

    fn forget(&mut self, user_id: &str) {
        if let Some(identifier) = self.identifiers.remove(user_id) {
            self.owners.remove(&identifier);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::SqliteStore;

    #[test]
    fn a_change_on_either_side_is_news() {
        let (notes, now) = (Remembered::with(LIFE), Instant::now());
        let is_fresh = |user, identifier| notes.is_fresh(user, identifier, now);
        let user = |identifier| notes.user(identifier, now);
        assert!(!is_fresh("1", "alice"));
        notes.told("1".into(), "alice", now, notes.turn());
        assert!(is_fresh("1", "alice"));
        assert_eq!(user("alice").as_deref(), Some("1"));
        notes.found("1".into(), "bob", now, notes.turn());
        assert_eq!(user("alice"), None);
        assert!(!is_fresh("1", "alice"));
        notes.told("2".into(), "bob", now, notes.turn());
        assert!(!is_fresh("1", "bob") && is_fresh("2", "bob"));
        assert_eq!(user("bob").as_deref(), Some("2"));
        // What was another's before has no part in what becomes of it.
        notes.forget("1");
        assert_eq!(user("bob").as_deref(), Some("2"));
        notes.forget("2");
        assert_eq!(user("bob"), None);
        assert!(!is_fresh("2", "bob"));
    }

    #[test]
    fn what_was_overtaken_is_not_noted() {
        let (notes, now) = (Remembered::with(LIFE), Instant::now());
        let turn = notes.turn();
        notes.told("1".into(), "alice", now, turn);
        notes.found("2".into(), "alice", now, turn);
        assert!(notes.is_fresh("1", "alice", now), "the store was asked before it was told");
        let turn = notes.turn();
        notes.forget("1");
        notes.found("1".into(), "alice", now, turn);
        assert_eq!(notes.user("alice", now), None, "deleted meanwhile");
        // Two words at once: which one the store took last is not known.
        let turn = notes.turn();
        notes.told("1".into(), "bob", now, turn);
        notes.told("1".into(), "alice", now, turn);
        assert_eq!((notes.user("alice", now), notes.user("bob", now)), (None, None));
    }

    #[test]
    fn a_note_ends() {
        let (notes, now) = (Remembered::with(LIFE), Instant::now());
        notes.told("1".into(), "alice", now, notes.turn());
        assert!(notes.user("alice", now + LIFE - Duration::from_millis(1)).is_some());
        assert_eq!(notes.user("alice", now + LIFE), None);
        notes.found("1".into(), "alice", now + LIFE, notes.turn());
        assert!(notes.user("alice", now + LIFE).is_some());
        let notes = Remembered::of(&SqliteStore::in_memory().unwrap());
        notes.told("1".into(), "alice", now, notes.turn());
        assert!(notes.user("alice", now + 1000 * LIFE).is_some(), "nobody else could know better");
    }
}
