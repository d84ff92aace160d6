//! What ends otherwise, and what is left then: nothing.

use landbridge::media::{MediaError, TransferError};
use landbridge::store::{ExportSecret, MemoryStore, OutState, SqliteStore};
use landbridge_partner::media::MediaConfig;

use super::world::{World, bob, bytes};

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_never_takes_has_failed_and_says_why() {
    let small = MediaConfig { max_bytes: 1_500_010, ..MediaConfig::default() };
    let poor = MediaConfig { quota_per_day: 1_500_010, ..MediaConfig::default() };
    for (media, quota) in [(small, false), (poor, true)] {
        let world = World::with(media).await;
        let mut life = world.open().await;
        life.client.connect().await.unwrap();
        let id = life.send(&bytes(2_000_000, 1)).await;
        let because = life.failed(&id).await;
        match &*because {
            MediaError::Transfer { source: TransferError::QuotaExceeded } => assert!(quota),
            MediaError::Transfer { source: TransferError::TooLarge } => assert!(!quota),
            other => panic!("{other:?}"),
        }
        assert!(world.spooled().is_empty());
        // The way is free for others.
        let id = life.send(&bytes(1_000, 2)).await;
        life.delivered(&id).await;
        world.arrived(&id, &bytes(1_000, 2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_owns_is_swept_and_what_is_owned_is_not() {
    let world = World::new().await;
    let life = world.open().await;
    let id = life.send(&bytes(40_000, 1)).await;
    drop(life);
    let owned = world.spooled();
    let folder = owned[0].parent().unwrap().to_owned();
    std::fs::write(folder.join("0123456789abcdef0123456789abcdef"), "left by a kill").unwrap();
    std::fs::write(folder.join("notes"), "somebody else's").unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&owned[0]), mode(&folder)), (0o600, 0o700));
    }
    let life = world.open().await;
    // Before anything new is made.
    let second = life.send(&bytes(50_000, 2)).await;
    assert!(!folder.join("0123456789abcdef0123456789abcdef").exists());
    assert!(owned[0].exists() && folder.join("notes").exists());
    life.client.connect().await.unwrap();
    life.delivered(&id).await;
    life.delivered(&second).await;
    assert_eq!(world.spooled(), [folder.join("notes")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_gone_or_cut_short_has_failed() {
    for cut_short in [false, true] {
        let world = World::new().await;
        let life = world.open().await;
        let id = life.send(&bytes(40_000, 1)).await;
        drop(life);
        let path = world.spooled().pop().unwrap();
        match cut_short {
            false => std::fs::remove_file(&path).unwrap(),
            true => std::fs::write(&path, "short").unwrap(),
        }
        let mut life = world.open().await;
        life.client.connect().await.unwrap();
        let because = life.failed(&id).await;
        assert!(matches!(&*because, MediaError::Lost { .. }), "{because:?}");
        assert!(world.spooled().is_empty());
        assert_eq!(world.gate.passed(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_stored_leaves_nothing() {
    let world = World::new().await;
    let life = world.open().await;
    life.client.connect().await.unwrap();
    life.client.delete_account().await.unwrap();
    drop(life);
    let life = world.open().await;
    let file = landbridge::media::OutgoingFile::new(bytes(9_000, 1), "image/png");
    let refused = life.files.send_image(&bob(), file).await.unwrap_err();
    assert!(matches!(refused, MediaError::Send { source: landbridge::Error::NotEnlisted }), "{refused:?}");
    assert!(world.spooled().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_account_has_no_files_left() {
    let world = World::new().await;
    world.gate.hold_after(1_500_000);
    let life = world.open().await;
    life.client.connect().await.unwrap();
    let id = life.send(&bytes(3_000_000, 1)).await;
    world.gate.held().await;
    life.client.delete_account().await.unwrap();
    assert!(world.spooled().is_empty() && life.files.pending().await.unwrap().is_empty());
    assert_eq!(life.client.message_state(&bob(), &id).await.unwrap(), Some(OutState::Failed));
}

/// The encrypted files stay where they are; the account takes its word along that they were to be sent.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_moves_leaves_its_files_behind() {
    let world = World::new().await;
    let life = world.open().await;
    let (id, plain) = (life.send(&bytes(40_000, 1)).await, bytes(40_000, 1));
    let secret = || ExportSecret::key([7; 32]);
    let exported = life.client.export(Vec::new(), secret()).await.unwrap();
    assert_eq!(world.spooled().len(), 1, "the account may come back");

    let elsewhere = tempfile::tempdir().unwrap();
    let store = SqliteStore::import(elsewhere.path().join("client.db"), &exported[..], &secret()).unwrap();
    let mut there = world.surroundings().life(store);
    there.client.connect().await.unwrap();
    let because = there.failed(&id).await;
    assert!(matches!(&*because, MediaError::Lost { .. }), "{because:?}");
    there.client.disconnect().await;

    life.client.take_back().await.unwrap();
    life.client.connect().await.unwrap();
    life.delivered(&id).await;
    world.arrived(&id, &plain).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_in_memory_puts_nothing_on_the_disk() {
    let world = World::new().await;
    let life = world.surroundings().life(MemoryStore::new());
    life.client.enlist("alice", 1).await.unwrap();
    life.client.connect().await.unwrap();
    let id = life.send(&bytes(3_000_000, 1)).await;
    assert!(world.spooled().is_empty());
    life.delivered(&id).await;
    world.arrived(&id, &bytes(3_000_000, 1)).await;
}
