//! How many rows wait, roughly and without a row of its own that every push would have to lock.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How old a count may be before the next push has the rows counted again, beside itself.
const FRESH: Duration = Duration::from_secs(1);
/// How old a count may be to refuse a push by it.
const CERTAIN: Duration = Duration::from_millis(100);

/// The last count, and what this server has added since.
#[derive(Debug, Default)]
pub(super) struct Depth(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    counted: Option<(u64, Instant)>,
    added: u64,
    /// Somebody counts; when they began, so much had been added.
    counting: Option<u64>,
}

/// What a push has to do before it is stored.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// There is room.
    Yes,
    /// There is room, and it is time to count again; whoever is told this does it.
    YesAndCount,
    /// There is none.
    No,
    /// That is not known: count first.
    Unknown,
}

impl Depth {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Numbers: a panic elsewhere leaves nothing half done in them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one more would stay within the bound.
    pub(super) fn room(&self, bound: u64, now: Instant) -> Room {
        let mut state = self.lock();
        let Some((counted, at)) = state.counted else { return Room::Unknown };
        let age = now.saturating_duration_since(at);
        if counted.saturating_add(state.added) >= bound {
            return if age < CERTAIN { Room::No } else { Room::Unknown };
        }
        if age < FRESH || state.counting.is_some() {
            return Room::Yes;
        }
        state.counting = Some(state.added);
        Room::YesAndCount
    }

    /// A push was stored as a row of its own.
    pub(super) fn added(&self) {
        let mut state = self.lock();
        state.added = state.added.saturating_add(1);
    }

    /// What was added before the counting began is in it; what came later may be, and counts twice for a while.
    pub(super) fn counted(&self, count: u64, now: Instant) {
        let mut state = self.lock();
        let before = state.counting.take().unwrap_or(state.added);
        state.added = state.added.saturating_sub(before);
        state.counted = Some((count, now));
    }

    /// The counting that [`Room::YesAndCount`] asked for came to nothing.
    pub(super) fn not_counted(&self) {
        self.lock().counting = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_counts_until_the_next_count() {
        let (depth, start) = (Depth::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(depth.room(2, at(0)), Room::Unknown);
        depth.counted(0, at(0));
        depth.added();
        assert_eq!(depth.room(2, at(1)), Room::Yes);
        depth.added();
        assert_eq!((depth.room(2, at(99)), depth.room(2, at(100))), (Room::No, Room::Unknown));
        assert_eq!(depth.room(9, at(1000)), Room::YesAndCount);
        assert_eq!(depth.room(9, at(1000)), Room::Yes, "one counts");
        depth.added();
        depth.counted(5, at(1001));
        assert_eq!(depth.room(6, at(1002)), Room::No, "what came meanwhile may not be in the count");
        assert_eq!(depth.room(7, at(3000)), Room::YesAndCount);
        depth.not_counted();
        assert_eq!(depth.room(7, at(3000)), Room::YesAndCount);
    }
}
