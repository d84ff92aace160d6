//! The trail of messages.

use super::{begin, commit, peer};
use crate::trail::{TRAIL_ENTRIES, TRAIL_PER_MESSAGE, TRAIL_SECONDS, TRAIL_SWEEP};
use crate::{ClientStore, OutState, OwedClass, TrailStep};

/// One of each step.
fn every_step() -> Vec<TrailStep> {
    let reason = || "because".to_owned();
    vec![
        TrailStep::Queued,
        TrailStep::Held,
        TrailStep::Written,
        TrailStep::Acked,
        TrailStep::Postponed { seconds: 20 },
        TrailStep::Moved { state: OutState::Read },
        TrailStep::Failed { reason: reason() },
        TrailStep::Reencrypted,
        TrailStep::RetryAsked { count: 1 },
        TrailStep::RetryAnswered { count: 2 },
        TrailStep::RetryIgnored { reason: reason() },
        TrailStep::SessionBegun,
        TrailStep::Stored { kind: "text".into() },
        TrailStep::Recovered { kind: "text".into() },
        TrailStep::DecryptFailed { reason: reason() },
        TrailStep::RetryRequested { count: 3 },
        TrailStep::NotAsked { reason: reason() },
        TrailStep::Duplicate,
        TrailStep::Refused { code: 491 },
        TrailStep::NotShown { reason: reason() },
        TrailStep::Blocked,
        TrailStep::Unavailable,
        TrailStep::Answered { class: OwedClass::Retry },
    ]
}

/// Each step comes back as it was noted, in order, under its id and no other.
pub fn steps_come_back_in_order(store: &mut dyn ClientStore) {
    let steps = every_step();
    for (n, step) in (0..).zip(&steps) {
        commit(store, |tx| {
            tx.note(&peer(), "A", 100 + n, step).expect("note");
            tx.note("other@s.whatsapp.net", "AB", 100 + n, step).expect("note");
        });
    }
    commit(store, |tx| tx.note("other@s.whatsapp.net", "A", 200, &TrailStep::Duplicate).expect("note"));
    let tx = begin(store);
    let trail = tx.trail("A").expect("trail");
    let told: Vec<_> = trail.iter().map(|entry| (entry.at, entry.chat.clone(), entry.step.clone())).collect();
    let mut noted: Vec<_> = (100..).zip(steps).map(|(at, step)| (at, peer(), step)).collect();
    noted.push((200, "other@s.whatsapp.net".into(), TrailStep::Duplicate));
    assert_eq!(told, noted);
    assert!(trail.iter().all(|entry| entry.id == "A"));
    assert!(trail.windows(2).all(|pair| pair[0].seq < pair[1].seq), "positions grow");
    assert!(tx.trail("B").expect("trail").is_empty());
}

/// No peer and no length of time fills the store: so many per message, so many in all, and for so long.
pub fn the_trail_is_bounded(store: &mut dyn ClientStore) {
    commit(store, |tx| {
        for n in 0..TRAIL_PER_MESSAGE + 10 {
            tx.note(&peer(), "loud", n, &TrailStep::Duplicate).expect("note");
        }
        tx.note("other@s.whatsapp.net", "loud", 0, &TrailStep::Duplicate)
            .expect("the same id, another message");
    });
    let tx = begin(store);
    let trail = tx.trail("loud").expect("trail");
    assert_eq!(trail.iter().filter(|entry| entry.chat == peer()).count(), 100);
    assert_eq!(trail.len(), 101);
    drop(tx);

    // A month later they go, when enough new ones come.
    let later = 100 + TRAIL_SECONDS;
    commit(store, |tx| {
        for n in 0..TRAIL_SWEEP {
            tx.note(&peer(), &format!("new {n}"), later, &TrailStep::Queued).expect("note");
        }
    });
    let left = begin(store).trail("loud").expect("trail");
    assert!(left.iter().all(|entry| entry.at >= 100), "{} entries are too old", left.len());
    assert_eq!(begin(store).trail("new 0").expect("trail").len(), 1);

    commit(store, |tx| {
        for n in 0..TRAIL_ENTRIES + TRAIL_SWEEP {
            tx.note(&peer(), &format!("many {n}"), later, &TrailStep::Queued).expect("note");
        }
    });
    let tx = begin(store);
    assert!(tx.trail("new 0").expect("trail").is_empty(), "the oldest go first");
    assert_eq!(tx.trail(&format!("many {}", TRAIL_ENTRIES)).expect("trail").len(), 1);
}
