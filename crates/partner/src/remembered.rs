//! Whom the store knows, so that it need not be told with every token and asked with every push.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a note holds: another server may have told the store something else.
const LIFE: Duration = Duration::from_secs(60);
/// Notes that are kept; beyond, all are forgotten.
const MAX: usize = 10_000;

#[derive(Debug, Default)]
pub(crate) struct Remembered {
    /// By identifier and by user, since either may have changed.
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    users: HashMap<String, (String, Instant)>,
    identifiers: HashMap<String, String>,
}

impl Remembered {
    fn lock(&self) -> MutexGuard<'_, Notes> {
        // A panic elsewhere leaves nothing half done in the tables.
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the store knows that this is how `user_id` is visible.
    pub(crate) fn is_fresh(&self, user_id: &str, identifier: &str) -> bool {
        let notes = self.lock();
        let user = notes.users.get(user_id).filter(|(seen, at)| seen == identifier && at.elapsed() < LIFE);
        user.is_some() && notes.identifiers.get(identifier).is_some_and(|owner| owner == user_id)
    }

    /// The user who is visible as `identifier`, if that was so just now.
    pub(crate) fn user(&self, identifier: &str) -> Option<String> {
        let notes = self.lock();
        let owner = notes.identifiers.get(identifier)?;
        let (seen, at) = notes.users.get(owner)?;
        (seen == identifier && at.elapsed() < LIFE).then(|| owner.clone())
    }

    pub(crate) fn note(&self, user_id: &str, identifier: &str) {
        let mut notes = self.lock();
        if notes.users.len() >= MAX {
            *notes = Notes::default();
        }
        notes.users.insert(user_id.to_owned(), (identifier.to_owned(), Instant::now()));
        notes.identifiers.insert(identifier.to_owned(), user_id.to_owned());
    }

    pub(crate) fn forget(&self, user_id: &str) {
        self.lock().users.remove(user_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_on_either_side_is_news() {
        let notes = Remembered::default();
        assert!(!notes.is_fresh("1", "alice"));
        notes.note("1", "alice");
        assert!(notes.is_fresh("1", "alice"));
        assert_eq!(notes.user("alice").as_deref(), Some("1"));
        notes.note("1", "bob");
        assert_eq!(notes.user("alice"), None);
        assert!(!notes.is_fresh("1", "alice"));
        notes.note("2", "bob");
        assert!(!notes.is_fresh("1", "bob") && notes.is_fresh("2", "bob"));
        assert_eq!(notes.user("bob").as_deref(), Some("2"));
        notes.forget("2");
        assert_eq!(notes.user("bob"), None);
        assert!(!notes.is_fresh("2", "bob"));
    }
}
