//! One suite for every backend.
//!
//! Each case takes an empty store and panics with a message where the store breaks the contract.
//! [`store_conformance!`](crate::store_conformance) makes a test of each. What a suite cannot see from inside one process
//! (survival of a kill, a second server) is up to the backend's own tests.
//!
//! ```
//! landbridge_partner::store_conformance!(landbridge_partner::store::SqliteStore::in_memory().unwrap());
//! ```
#![expect(clippy::expect_used, reason = "a test suite reports by panicking")]

mod media;

use super::{Counted, MAX_TARGETS, Pushed, Settlement, Store, TargetPut, WAKE_LIFE_MS, WINDOW_MS};
use crate::wake::{Delivery, WakeKind, WakeTarget};

pub use media::{
    a_plain_upload_ends_with_its_lease, a_quota_counts_what_is_there_and_what_is_coming,
    an_upload_becomes_an_object_once, an_upload_is_held_by_one, expired_and_deleted_media_are_garbage,
    media_of_others_are_not_found, the_day_counts_what_was_deleted, what_is_held_is_not_garbage,
};

/// Makes a `#[tokio::test]` of each case of the [suite](crate::store::conformance); the argument gives an empty store.
#[macro_export]
macro_rules! store_conformance {
    ($empty:expr) => {
        $crate::store_conformance! { @cases $empty =>
            users_are_found_by_their_last_identifier
            targets_are_kept_per_device
            a_user_has_so_many_targets
            the_first_push_is_due_at_once_and_the_others_are_merged
            a_promise_is_kept
            the_queue_is_bounded
            a_taken_delivery_is_nobody_elses
            kinds_do_not_see_each_other
            a_retry_waits_and_counts
            a_push_during_an_attempt_is_not_lost
            a_dead_address_goes_unless_it_was_set_anew
            what_is_old_is_dropped
            a_device_that_is_heard_of_hurries
            a_stream_that_opens_during_an_attempt_is_tried_again
            an_attempt_that_lost_its_lease_puts_nothing_off
            a_forgotten_user_leaves_nothing
            an_upload_becomes_an_object_once
            media_of_others_are_not_found
            a_quota_counts_what_is_there_and_what_is_coming
            the_day_counts_what_was_deleted
            expired_and_deleted_media_are_garbage
            an_upload_is_held_by_one
            what_is_held_is_not_garbage
            a_plain_upload_ends_with_its_lease
        }
    };
    (@cases $empty:expr => $($case:ident)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                $crate::store::conformance::$case(&$empty).await;
            }
        )*
    };
}

/// Some time.
const T: u64 = 1_800_000_000_000;
const BOUND: u64 = 100_000;
const DONE: &str = "the store does what it is asked";

fn fcm(token: &str) -> WakeTarget {
    WakeTarget::Fcm { token: token.to_owned() }
}

/// A user with one device.
async fn user(store: &dyn Store, user_id: &str, target: &WakeTarget) {
    store.remember_user(user_id, &format!("name of {user_id}"), T).await.expect(DONE);
    assert_eq!(store.put_target(user_id, "phone", target, T).await.expect(DONE), TargetPut::Stored);
}

async fn push(store: &dyn Store, user_id: &str, now: u64) -> Pushed {
    store.push(user_id, now, BOUND).await.expect(DONE)
}

/// Fans out and takes what is due for FCM.
async fn take(store: &dyn Store, now: u64) -> Vec<Delivery> {
    store.fan_out(now, 100).await.expect(DONE);
    store.take(WakeKind::Fcm, now, now + 1000, 100).await.expect(DONE).items
}

async fn settle(store: &dyn Store, delivery: &Delivery, settlement: Settlement) {
    store.settle(delivery, settlement).await.expect(DONE);
}

/// Either side may change; the last word counts, for both.
pub async fn users_are_found_by_their_last_identifier(store: &dyn Store) {
    let find = async |identifier: &str| store.find_user(identifier).await.expect(DONE);
    assert_eq!(find("alice").await, None);
    store.remember_user("1", "alice", T).await.expect(DONE);
    store.remember_user("2", "Alice", T).await.expect(DONE);
    assert_eq!(find("alice").await.as_deref(), Some("1"), "identifiers are compared to the letter");
    store.remember_user("1", "bob", T).await.expect(DONE);
    assert_eq!((find("alice").await, find("bob").await.as_deref()), (None, Some("1")));
    store.remember_user("3", "bob", T).await.expect(DONE);
    assert_eq!(find("bob").await.as_deref(), Some("3"));
}

/// Setting one replaces it, and other users' devices of the same name are others.
pub async fn targets_are_kept_per_device(store: &dyn Store) {
    let target = async |user: &str, device: &str| store.target(user, device).await.expect(DONE);
    user(store, "1", &fcm("a")).await;
    user(store, "2", &WakeTarget::Socket).await;
    assert_eq!(target("1", "phone").await, Some(fcm("a")));
    user(store, "1", &fcm("b")).await;
    assert_eq!(target("1", "phone").await, Some(fcm("b")));
    assert_eq!(target("2", "phone").await, Some(WakeTarget::Socket));
    store.delete_target("1", "phone").await.expect(DONE);
    store.delete_target("1", "phone").await.expect(DONE);
    assert_eq!((target("1", "phone").await, target("1", "other").await), (None, None));
    assert!(target("2", "phone").await.is_some(), "another user's device went");
}

/// Beyond the limit none is added, but those that are there can be set.
pub async fn a_user_has_so_many_targets(store: &dyn Store) {
    let put = async |n: u32| store.put_target("1", &n.to_string(), &fcm("x"), T).await.expect(DONE);
    for n in 0..MAX_TARGETS {
        assert_eq!(put(n).await, TargetPut::Stored);
    }
    assert_eq!(put(MAX_TARGETS).await, TargetPut::TooMany);
    assert_eq!(put(0).await, TargetPut::Stored);
}

/// One at once, and one at the end of the window for all the others.
pub async fn the_first_push_is_due_at_once_and_the_others_are_merged(store: &dyn Store) {
    user(store, "1", &fcm("a")).await;
    assert_eq!(push(store, "1", T).await, Pushed::Queued);
    assert_eq!(push(store, "1", T).await, Pushed::Coalesced);
    let first = take(store, T).await;
    assert_eq!(first.len(), 1);
    for delivery in &first {
        settle(store, delivery, Settlement::Done).await;
    }
    for later in [1, 2, WINDOW_MS - 1] {
        assert_eq!(push(store, "1", T + later).await, Pushed::Coalesced);
    }
    let due = store.fan_out(T + WINDOW_MS - 1, 100).await.expect(DONE);
    assert_eq!((due.items, due.next), (0, Some(T + WINDOW_MS)));
    let second = take(store, T + WINDOW_MS).await;
    assert_eq!(second.len(), 1);
    assert_ne!(second.first().map(|d| &d.wake_id), first.first().map(|d| &d.wake_id), "each has its own id");
    for delivery in &second {
        settle(store, delivery, Settlement::Done).await;
    }
    assert_eq!(store.depth().await.expect(DONE), 0);
    assert_eq!(push(store, "1", T + 3 * WINDOW_MS).await, Pushed::Queued, "the window is over");
}

/// A push that is answered from memory has its wake-up; a store that never promises may do that, too.
pub async fn a_promise_is_kept(store: &dyn Store) {
    user(store, "1", &fcm("a")).await;
    assert!(!store.is_promised("1", T), "nothing is stored");
    push(store, "1", T).await;
    for delivery in take(store, T).await {
        settle(store, &delivery, Settlement::Done).await;
    }
    assert!(!store.is_promised("1", T + 1), "the first one has been sent");
    push(store, "1", T + 1).await;
    for now in [T + 2, T + WINDOW_MS - 1, T + WINDOW_MS] {
        if store.is_promised("1", now) {
            assert_eq!(push(store, "1", now).await, Pushed::Coalesced);
        }
    }
    assert!(!store.is_promised("2", T + 2), "another user's");
    let late = T + 1 + WAKE_LIFE_MS;
    assert!(!store.is_promised("1", late), "what is dropped by then is no promise");
    assert_eq!(take(store, T + WINDOW_MS).await.len(), 1);
    assert!(!store.is_promised("1", T + WINDOW_MS), "it may have been sent");
    push(store, "1", T + WINDOW_MS).await;
    store.forget_user("1").await.expect(DONE);
    assert!(!store.is_promised("1", T + WINDOW_MS), "a user who has gone");
}

/// A user who waits already takes no more room.
pub async fn the_queue_is_bounded(store: &dyn Store) {
    assert_eq!(store.push("1", T, 2).await.expect(DONE), Pushed::Queued);
    assert_eq!(store.push("2", T, 2).await.expect(DONE), Pushed::Queued);
    assert_eq!(store.push("3", T, 2).await.expect(DONE), Pushed::Full);
    assert_eq!(store.push("1", T, 2).await.expect(DONE), Pushed::Coalesced);
    assert_eq!(store.depth().await.expect(DONE), 2);
}

/// Until its lease ends, and then it is due again.
pub async fn a_taken_delivery_is_nobody_elses(store: &dyn Store) {
    user(store, "1", &fcm("a")).await;
    push(store, "1", T).await;
    let taken = take(store, T).await;
    assert_eq!(taken.first().map(|delivery| &delivery.target), Some(&fcm("a")));
    assert_eq!(take(store, T + 999).await.len(), 0);
    let due = store.take(WakeKind::Fcm, T + 999, T + 2000, 100).await.expect(DONE);
    assert_eq!(due.next, Some(T + 1000));
    assert_eq!(take(store, T + 1000).await.len(), 1, "nobody settled it");
}

/// Each sender takes its own.
pub async fn kinds_do_not_see_each_other(store: &dyn Store) {
    user(store, "1", &WakeTarget::Socket).await;
    push(store, "1", T).await;
    assert_eq!(take(store, T).await.len(), 0);
    let due = store.take(WakeKind::Socket, T, T + 1000, 100).await.expect(DONE);
    assert_eq!(due.items.len(), 1);
}

/// Attempts that were put off do not count.
pub async fn a_retry_waits_and_counts(store: &dyn Store) {
    user(store, "1", &fcm("a")).await;
    push(store, "1", T).await;
    let mut now = T;
    for (counted, attempt) in [(Counted::Yes, 0), (Counted::No, 1), (Counted::Yes, 1), (Counted::Yes, 2)] {
        let taken = take(store, now).await;
        assert_eq!(taken.iter().map(|delivery| delivery.attempt).collect::<Vec<_>>(), [attempt]);
        now += 500;
        for delivery in &taken {
            settle(store, delivery, Settlement::Retry { at: now, counted }).await;
        }
        assert_eq!(take(store, now - 1).await.len(), 0, "it waits");
    }
}

/// What is being sent may be older than the mail it would be for.
pub async fn a_push_during_an_attempt_is_not_lost(store: &dyn Store) {
    user(store, "1", &fcm("a")).await;
    push(store, "1", T).await;
    store.fan_out(T, 100).await.expect(DONE);
    let later = T + WINDOW_MS;
    let first = store.take(WakeKind::Fcm, T, later + 60_000, 100).await.expect(DONE).items;
    assert_eq!(push(store, "1", later).await, Pushed::Queued);
    assert_eq!(take(store, later).await.len(), 0, "the device is still being tried");
    for delivery in &first {
        settle(store, delivery, Settlement::Done).await;
    }
    let again = take(store, later).await;
    assert_eq!(again.len(), 1, "the old attempt's end is not the new one's");
    assert_ne!(again.first().map(|d| &d.wake_id), first.first().map(|d| &d.wake_id));
}

/// With everything that waits for it; a new address is not punished for the old one.
pub async fn a_dead_address_goes_unless_it_was_set_anew(store: &dyn Store) {
    user(store, "1", &fcm("old")).await;
    push(store, "1", T).await;
    let taken = take(store, T).await;
    store.put_target("1", "phone", &fcm("new"), T + 1).await.expect(DONE);
    for delivery in &taken {
        settle(store, delivery, Settlement::Gone).await;
    }
    let again = take(store, T + 1).await;
    assert_eq!(again.first().map(|delivery| &delivery.target), Some(&fcm("new")));
    for delivery in &again {
        settle(store, delivery, Settlement::Gone).await;
    }
    assert_eq!(store.target("1", "phone").await.expect(DONE), None);
    assert_eq!(store.depth().await.expect(DONE), 0);
}

/// A wake-up that did not get through in an hour is of no use any more.
pub async fn what_is_old_is_dropped(store: &dyn Store) {
    user(store, "1", &fcm("a")).await;
    push(store, "1", T).await;
    assert_eq!(take(store, T).await.len(), 1);
    push(store, "2", T).await;
    assert_eq!(store.depth().await.expect(DONE), 2);
    assert_eq!(take(store, T + WAKE_LIFE_MS).await.len(), 0);
    assert_eq!(store.depth().await.expect(DONE), 0);
}

/// What was put off is due when the device says that it is there.
pub async fn a_device_that_is_heard_of_hurries(store: &dyn Store) {
    user(store, "1", &fcm("a")).await;
    push(store, "1", T).await;
    for delivery in take(store, T).await {
        settle(store, &delivery, Settlement::Retry { at: T + 60_000, counted: Counted::Yes }).await;
    }
    assert_eq!(take(store, T + 1).await.len(), 0);
    store.hurry("1", "phone", T + 1).await.expect(DONE);
    assert_eq!(take(store, T + 1).await.len(), 1);
}

/// The attempt may have looked for a stream before it was there, and must not put off what is due now.
pub async fn a_stream_that_opens_during_an_attempt_is_tried_again(store: &dyn Store) {
    user(store, "1", &WakeTarget::Socket).await;
    push(store, "1", T).await;
    store.fan_out(T, 100).await.expect(DONE);
    let take = async |now: u64| store.take(WakeKind::Socket, now, now + 1000, 100).await.expect(DONE).items;
    let early = take(T).await;
    store.hurry("1", "phone", T + 1).await.expect(DONE);
    for delivery in &early {
        settle(store, delivery, Settlement::Retry { at: T + 60_000, counted: Counted::Yes }).await;
    }
    let again = take(T + 1).await;
    assert_eq!(again.iter().map(|delivery| delivery.attempt).collect::<Vec<_>>(), [0], "due at once");
    for delivery in &early {
        settle(store, delivery, Settlement::Retry { at: T + 60_000, counted: Counted::Yes }).await;
    }
    assert_eq!(take(T + 2).await.len(), 0, "the new lease is not the old attempt's to end");
    for delivery in &again {
        settle(store, delivery, Settlement::Done).await;
    }
    assert_eq!(store.depth().await.expect(DONE), 0);
}

/// Somebody else is at it by now.
pub async fn an_attempt_that_lost_its_lease_puts_nothing_off(store: &dyn Store) {
    user(store, "1", &fcm("a")).await;
    push(store, "1", T).await;
    let slow = take(store, T).await;
    let second = take(store, T + 1000).await;
    assert_eq!((slow.len(), second.len()), (1, 1));
    for delivery in &slow {
        settle(store, delivery, Settlement::Retry { at: T + 60_000, counted: Counted::Yes }).await;
    }
    assert_eq!(take(store, T + 1999).await.len(), 0, "the second has it until its lease ends");
    assert_eq!(take(store, T + 2000).await.len(), 1);
    // An end is an end, whoever reports it.
    for delivery in &slow {
        settle(store, delivery, Settlement::Done).await;
    }
    assert_eq!(store.depth().await.expect(DONE), 0);
}

/// And costs the others nothing.
pub async fn a_forgotten_user_leaves_nothing(store: &dyn Store) {
    for name in ["1", "2"] {
        user(store, name, &fcm(name)).await;
        push(store, name, T).await;
    }
    store.fan_out(T, 100).await.expect(DONE);
    push(store, "1", T + 1).await;
    store.forget_user("1").await.expect(DONE);
    assert_eq!(store.find_user("name of 1").await.expect(DONE), None);
    assert_eq!(store.target("1", "phone").await.expect(DONE), None);
    assert_eq!(store.depth().await.expect(DONE), 1);
    assert_eq!(take(store, T + 1).await.len(), 1);
    assert_eq!(push(store, "1", T + 2).await, Pushed::Queued, "the window is gone, too");
}
