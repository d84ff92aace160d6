//! The store in PostgreSQL: the contract of stores, and what only several servers on one database can show.
#![allow(clippy::unwrap_used, reason = "helpers of tests may stop the test")]

use std::collections::BTreeSet;

use landbridge_engines::{PostgresConfig, PostgresStore, SealKey};
use landbridge_localservices::{Fsync, Postgres};
use landbridge_partner::media::RETENTION_MS;
use landbridge_partner::store::{
    Begun, Committed, Complete, MediaIndex as _, MediaRow, Pushed, Quota, Resumable, Settlement, StoreError,
    UploadRow, Users as _, WINDOW_MS, WakeQueue as _, WakeTargets as _,
};
use landbridge_partner::wake::{WakeKind, WakeTarget};

/// Some time.
const T: u64 = 1_800_000_000_000;
const BOUND: u64 = 100_000;

mod conformance {
    landbridge_partner::store_conformance!(super::sealing(&super::database(), 7).await);
}

fn database() -> String {
    Postgres::shared().unwrap().database().unwrap()
}

/// One of several servers.
async fn open(url: &str) -> PostgresStore {
    PostgresStore::open(&PostgresConfig { pool: 4, ..PostgresConfig::new(url) }).await.unwrap()
}

/// One with a key for references.
async fn sealing(url: &str, key: u8) -> PostgresStore {
    open(url).await.sealing_references(SealKey::new(&[key; 32]).unwrap())
}

async fn two() -> [PostgresStore; 2] {
    let url = database();
    // Both at once: they must not collide over the tables either.
    let (first, second) = tokio::join!(open(&url), open(&url));
    [first, second]
}

fn fcm(token: &str) -> WakeTarget {
    WakeTarget::Fcm { token: token.to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_for_a_user_are_one_whichever_server_takes_them() {
    let servers = two().await;
    let pushes = (0..40).map(|n| {
        let server = servers[n % 2].clone();
        tokio::spawn(async move { server.push("1", T, BOUND).await.unwrap() })
    });
    let mut queued = 0;
    for push in pushes.collect::<Vec<_>>() {
        queued += usize::from(push.await.unwrap() == Pushed::Queued);
    }
    assert_eq!(queued, 1);
    assert_eq!([servers[0].depth().await.unwrap(), servers[1].depth().await.unwrap()], [1, 1]);
    // Fanned out by one, the next one is at the end of the window for the other.
    servers[0].fan_out(T, 10).await.unwrap();
    assert_eq!(servers[1].push("1", T + 1, BOUND).await.unwrap(), Pushed::Coalesced);
    assert_eq!(servers[0].fan_out(T + 1, 10).await.unwrap().next, Some(T + WINDOW_MS));
}

/// Every push becomes one delivery, and every delivery is one server's.
#[tokio::test(flavor = "multi_thread")]
async fn servers_take_disjoint_deliveries() {
    const USERS: usize = 200;
    let servers = two().await;
    for n in 0..USERS {
        let user = n.to_string();
        servers[n % 2].put_target(&user, "phone", &fcm(&user), T).await.unwrap();
        assert_eq!(servers[n % 2].push(&user, T, BOUND).await.unwrap(), Pushed::Queued);
    }
    let work = |server: PostgresStore| {
        tokio::spawn(async move {
            let (mut fanned, mut taken) = (0, Vec::new());
            // Until nothing is left to do at T: what the other server holds shows as waiting for its lease.
            loop {
                let users = server.fan_out(T, 7).await.unwrap();
                let due = server.take(WakeKind::Fcm, T, T + 30_000, 7).await.unwrap();
                fanned += users.items;
                let (idle, waits) = (users.items == 0 && due.items.is_empty(), users.next.or(due.next));
                taken.extend(due.items.into_iter().map(|delivery| delivery.user_id));
                if idle && waits.is_none_or(|next| next > T) {
                    return (fanned, taken);
                }
            }
        })
    };
    let [first, second] = servers.map(work);
    let ((a, first), (b, second)) = (first.await.unwrap(), second.await.unwrap());
    assert_eq!(usize::try_from(a + b).unwrap(), USERS, "each push was fanned out once");
    assert_eq!(first.len() + second.len(), USERS, "each delivery was taken once");
    assert_eq!(first.into_iter().chain(second).collect::<BTreeSet<_>>().len(), USERS);
}

fn upload(user_id: &str, id: &str, size: u64) -> UploadRow {
    let media = MediaRow {
        name: format!("name-{id}"),
        reference: format!("reference-{id}"),
        sha256: format!("digest-{id}"),
        size,
        expires_at: 0,
    };
    UploadRow {
        id: id.to_owned(),
        user_id: user_id.to_owned(),
        media,
        resumable: Resumable::Yes,
        complete: Complete::No,
        expires_at: T + 1000,
    }
}

/// Stored without a key, it is given as it is; sealed, only to who has the key.
#[tokio::test(flavor = "multi_thread")]
async fn references_are_sealed() {
    let (url, quota) = (database(), Quota { per_day: 1000, stored: 1000, parallel: 100 });
    let (plain, own) = (open(&url).await, sealing(&url, 7).await);
    for (store, id) in [(&plain, "old"), (&own, "new")] {
        assert_eq!(store.begin_upload(&upload("1", id, 1), quota, T).await.unwrap(), Begun::New);
        assert_eq!(store.commit_upload(id, T).await.unwrap(), Committed::New);
    }
    let dump = Postgres::shared().unwrap().dump(&url).unwrap();
    assert!(dump.contains("reference-old") && dump.contains("name-new") && !dump.contains("reference-new"));
    let reference = async |store: &PostgresStore, id: &str| {
        let by_name = store.media(&format!("name-{id}"), T).await.map(|media| media.unwrap().reference);
        let by_hash = store.media_by_hash("1", &format!("digest-{id}"), T).await;
        let of_upload = store.upload("1", id, T).await;
        let again = store.begin_upload(&upload("1", id, 1), quota, T).await;
        assert_eq!(by_hash.ok().map(|media| media.unwrap().reference), by_name.as_ref().ok().cloned());
        assert_eq!(of_upload.ok().map(|row| row.unwrap().media.reference), by_name.as_ref().ok().cloned());
        assert_eq!(matches!(again, Ok(Begun::Existing(_))), by_name.is_ok());
        by_name.ok()
    };
    for store in [&own, &plain, &sealing(&url, 8).await] {
        assert_eq!(reference(store, "old").await.as_deref(), Some("reference-old"));
    }
    assert_eq!(reference(&own, "new").await.as_deref(), Some("reference-new"));
    assert_eq!(reference(&plain, "new").await, None, "sealed");
    assert_eq!(reference(&sealing(&url, 8).await, "new").await, None, "sealed with another key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_holds_across_servers() {
    let servers = two().await;
    let quota = Quota { per_day: 1000, stored: 1000, parallel: 100 };
    let begun: Vec<_> = (0..20)
        .map(|n| {
            let server = servers[n % 2].clone();
            tokio::spawn(async move {
                server.begin_upload(&upload("1", &n.to_string(), 300), quota, T).await.unwrap()
            })
        })
        .collect();
    let mut new = 0;
    for one in begun {
        new += usize::from(one.await.unwrap() == Begun::New);
    }
    assert_eq!(new, 3, "300 of 1000 fits three times");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_so_many_targets_whichever_server_is_asked() {
    use landbridge_partner::store::{MAX_TARGETS, TargetPut};
    let servers = two().await;
    let puts: Vec<_> = (0..3 * MAX_TARGETS)
        .map(|n| {
            let server = servers[usize::from(n % 2 == 1)].clone();
            tokio::spawn(async move { server.put_target("1", &n.to_string(), &fcm("x"), T).await.unwrap() })
        })
        .collect();
    let mut stored = 0;
    for put in puts {
        stored += u32::from(put.await.unwrap() == TargetPut::Stored);
    }
    assert_eq!(stored, MAX_TARGETS);
}

/// A user who comes with the same session everywhere at once is known, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_comes_to_both_servers_at_once() {
    let servers = two().await;
    for (user, name) in [("1", "alice"), ("2", "alice"), ("1", "bob")] {
        let (a, b) =
            tokio::join!(servers[0].remember_user(user, name, T), servers[1].remember_user(user, name, T));
        a.and(b).unwrap();
        assert_eq!(servers[0].find_user(name).await.unwrap().as_deref(), Some(user));
    }
}

/// A server whose clock is behind does not serve what another has begun to remove.
#[tokio::test]
async fn garbage_does_not_come_back() {
    let servers = two().await;
    let quota = Quota { per_day: 1000, stored: 1000, parallel: 100 };
    for id in ["a", "b"] {
        servers[0].begin_upload(&upload("1", id, 10), quota, T).await.unwrap();
    }
    assert_eq!(servers[0].commit_upload("a", T).await.unwrap(), Committed::New);
    assert_eq!(servers[0].garbage(T + RETENTION_MS, 10).await.unwrap().len(), 2);
    assert_eq!(servers[1].media("name-a", T).await.unwrap(), None);
    assert_eq!(servers[1].commit_upload("b", T).await.unwrap(), Committed::Gone);
}

/// Nothing is stored under a text that PostgreSQL cannot hold; asking for it is no failure of the database.
#[tokio::test]
async fn a_zero_is_in_no_text() {
    let store = open(&database()).await;
    assert_eq!(store.find_user("a\0").await.unwrap(), None);
    assert_eq!(store.target("1", "\0").await.unwrap(), None);
    assert_eq!(store.upload("1", "\0", T).await.unwrap(), None);
    assert_eq!(store.media("\0", T).await.unwrap(), None);
    assert!(matches!(store.remember_user("1", "\0", T).await, Err(StoreError::Failed(_))));
}

/// What was answered is there after a crash, what is asked meanwhile fails, and the same store goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_killed() {
    let postgres = Postgres::start(Fsync::On).unwrap();
    let store = open(&postgres.url()).await;
    let mut answered = Vec::new();
    for n in 0..50 {
        let user = n.to_string();
        store.put_target(&user, "phone", &fcm(&user), T).await.unwrap();
        assert_eq!(store.push(&user, T, BOUND).await.unwrap(), Pushed::Queued);
        answered.push(user);
    }
    postgres.kill().unwrap();
    assert!(matches!(store.push("late", T, BOUND).await, Err(StoreError::Failed(_))));
    postgres.restart().unwrap();
    assert_eq!(store.fan_out(T, 100).await.unwrap().items, 50);
    let taken = store.take(WakeKind::Fcm, T, T + 1000, 100).await.unwrap().items;
    let mut users: Vec<_> = taken.iter().map(|delivery| delivery.user_id.clone()).collect();
    users.sort_by_key(|user| user.parse::<u32>().unwrap());
    assert_eq!(users, answered);
    for delivery in &taken {
        store.settle(delivery, Settlement::Done).await.unwrap();
    }
    assert_eq!(store.depth().await.unwrap(), 0);
}
