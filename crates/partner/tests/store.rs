//! The shipped stores meet the contract of stores.

mod memory {
    landbridge_partner::store_conformance!(landbridge_partner::store::SqliteStore::in_memory().unwrap());
}

mod file {
    landbridge_partner::store_conformance!({
        let directory = tempfile::tempdir().unwrap();
        // The open file outlives its name.
        landbridge_partner::store::SqliteStore::open(directory.path().join("partner.db")).unwrap()
    });
}

/// What was promised from memory is there for a server that finds the files as they are at that moment.
#[tokio::test]
async fn a_promise_is_on_disk() {
    use landbridge_partner::store::{Pushed, SqliteStore, Users as _, WakeQueue as _, WakeTargets as _};
    use landbridge_partner::wake::{WakeKind, WakeTarget};

    const T: u64 = 1_800_000_000_000;
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path().join("partner.db")).unwrap();
    let users: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    for user in &users {
        store.remember_user(user, user, T).await.unwrap();
        store.put_target(user, "phone", &WakeTarget::Socket, T).await.unwrap();
        store.push(user, T, 1000).await.unwrap();
    }
    store.fan_out(T, 100).await.unwrap();
    for delivery in store.take(WakeKind::Socket, T, T + 1, 100).await.unwrap().items {
        store.settle(&delivery, landbridge_partner::store::Settlement::Done).await.unwrap();
    }
    for (n, user) in users.iter().enumerate().step_by(7) {
        assert!(!store.is_promised(user, T + 1));
        assert_eq!(store.push(user, T + 1, 1000).await.unwrap(), Pushed::Coalesced, "in the window");
        assert!(store.is_promised(user, T + 2));
        // As a kill would leave them.
        let copy = tempfile::tempdir().unwrap();
        for name in ["partner.db", "partner.db-wal"] {
            std::fs::copy(directory.path().join(name), copy.path().join(name)).unwrap();
        }
        let found = SqliteStore::open(copy.path().join("partner.db")).unwrap();
        assert!(found.is_promised(user, T + 2));
        assert_eq!(found.depth().await.unwrap(), n as u64 / 7 + 1);
        found.fan_out(T + 5000, 100).await.unwrap();
        let woken = found.take(WakeKind::Socket, T + 5000, T + 6000, 100).await.unwrap().items;
        assert!(woken.iter().any(|delivery| delivery.user_id == *user), "{user} is not woken");
        assert!(!found.is_promised(user, T + 5000));
    }
}
