//! A copy of the store is put back while peers hold keys from before and after it: no one-time key is given to two of them, and
//! what they had under way comes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use landbridge::stanza::Profile;
use landbridge::store::{SqliteStore, StoreError};
use landbridge::{Event, Events};
use landbridge_sandbox::events::EventKind;
use support::world::{ALICE, World};
use support::{event, text};

fn profile() -> Profile {
    let mut profile = Profile::default();
    (profile.keys.first_batch, profile.keys.refill_batch, profile.keys.low_mark) = (20, 8, 5);
    profile
}

fn number(n: usize) -> String {
    format!("1415555{n:04}")
}

/// Opens a file whose last user is about to let it go. Beside the runtime, since opening waits for the other.
async fn reopen(path: &Path) -> SqliteStore {
    loop {
        let path = path.to_owned();
        match tokio::task::spawn_blocking(move || SqliteStore::open(path)).await.unwrap() {
            Ok(store) => return store,
            Err(StoreError::InUse { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// A phone writes, and the client shows it.
async fn hears(world: &World, events: &mut Events, from: &str, words: &str) {
    world.handle().phone_send_text(from, ALICE, words).unwrap();
    assert_eq!(text(events).await, words);
}

/// Ids of one-time keys that were given to peers, in order.
fn given(world: &World, own: &str) -> Vec<u32> {
    let events = world.handle().events(0);
    let bundles = events.iter().filter_map(|event| match &event.kind {
        EventKind::BundleFetched { of, prekey } if of == own => *prekey,
        _ => None,
    });
    bundles.collect()
}

#[tokio::test]
async fn no_key_is_given_twice_and_what_was_under_way_comes() {
    let numbers: Vec<String> = (0..56).map(number).collect();
    let world = World::new(profile(), &numbers.iter().map(String::as_str).collect::<Vec<_>>());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("client.db");
    let mut store = SqliteStore::open(&path).unwrap();
    let own = world.enlist_in(&mut store).to_string();
    let client = world.client(store);
    let mut events = client.events();
    client.connect().await.unwrap();
    for from in &numbers[..3] {
        hears(&world, &mut events, from, "before the copy").await;
    }
    // The last one is handed out and not confirmed, so it comes again with each life.
    client.disconnect().await;
    drop((client, events));
    drop(reopen(&path).await);
    let copy = fs::read(&path).unwrap();

    // Life goes on until keys are given away that were made after the copy.
    let client = world.client(reopen(&path).await);
    let mut events = client.events();
    assert_eq!(text(&mut events).await, "before the copy");
    client.connect().await.unwrap();
    for from in &numbers[3..26] {
        hears(&world, &mut events, from, "after the copy").await;
    }
    let before = given(&world, &own);
    assert_eq!(before.len(), 26);
    assert!(before[..20].iter().max() < before[20..].iter().min(), "{before:?}");
    // What was not receipted would come again.
    let last = numbers[25].as_str();
    let receipted =
        |kind: &EventKind| matches!(kind, EventKind::ReceiptForwarded { to, .. } if to.starts_with(last));
    world.handle().wait_for(0, |event| receipted(&event.kind)).await;
    client.disconnect().await;
    drop((client, events));
    drop(reopen(&path).await);
    fs::write(&path, copy).unwrap();

    // Nobody was answered, so they go on with what they know: a key of the copy, and one that is lost.
    for (from, words) in [(3, "with a key of the copy"), (25, "with a key that is lost")] {
        world.handle().phone_send_text(&numbers[from], ALICE, words).unwrap();
    }
    let client = world.client(reopen(&path).await);
    let mut events = client.events();
    let told = |event: &Event| matches!(event, Event::StoreRolledBack { .. }).then_some(());
    event(&mut events, told).await;
    client.connect().await.unwrap();
    let mut shown = BTreeSet::new();
    while shown.len() < 3 {
        assert!(shown.insert(text(&mut events).await), "{shown:?}");
    }
    assert_eq!(
        shown.iter().map(String::as_str).collect::<Vec<_>>(),
        ["before the copy", "with a key of the copy", "with a key that is lost"]
    );

    // Everybody else fetches keys, those of before, those that are lost, and new ones; all get through.
    for from in &numbers[26..] {
        hears(&world, &mut events, from, &format!("hello from {from}")).await;
    }
    let all = given(&world, &own);
    assert!(all.len() >= 50, "{all:?}");
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "given twice: {all:?}");
    world.assert_nothing_used_twice();
    let (_, offered) = world.used();
    println!("{} one-time keys given away, {offered} offered", all.len());
}
