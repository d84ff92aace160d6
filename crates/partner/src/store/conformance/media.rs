//! The rows of media.

use super::{DONE, T};
use crate::media::RETENTION_MS;
use crate::store::{
    Begun, Claimed, Committed, Complete, Deleted, Garbage, MediaRow, MediaTotals, Quota, Resumable, Store,
    UploadRow,
};

const QUOTA: Quota = Quota { per_day: 1000, stored: 1000, parallel: 2 };
const DAY: u64 = 24 * 60 * 60 * 1000;

fn upload(user_id: &str, id: &str, sha256: &str, size: u64) -> UploadRow {
    let media = MediaRow {
        name: format!("name-{id}"),
        reference: format!("reference-{id}"),
        sha256: sha256.to_owned(),
        size,
        expires_at: 0,
    };
    let (user_id, id) = (user_id.to_owned(), id.to_owned());
    UploadRow {
        id,
        user_id,
        media,
        resumable: Resumable::Yes,
        complete: Complete::No,
        expires_at: T + 10 * DAY,
    }
}

async fn begin(store: &dyn Store, upload: &UploadRow, now: u64) -> Begun {
    store.begin_upload(upload, QUOTA, now).await.expect(DONE)
}

async fn commit(store: &dyn Store, id: &str, now: u64) -> Committed {
    store.commit_upload(id, now).await.expect(DONE)
}

async fn object(store: &dyn Store, name: &str, now: u64) -> Option<MediaRow> {
    store.media(name, now).await.expect(DONE)
}

/// Two uploads of the same bytes are one object; the later one is told which.
pub async fn an_upload_becomes_an_object_once(store: &dyn Store) {
    let (first, second) = (upload("1", "a", "digest", 100), upload("1", "b", "digest", 100));
    assert_eq!(begin(store, &first, T).await, Begun::New);
    assert_eq!(begin(store, &second, T).await, Begun::New);
    assert_eq!(object(store, "name-a", T).await, None, "it is not complete");
    assert_eq!(store.upload("1", "a", T).await.expect(DONE).as_ref(), Some(&first));
    assert_eq!(commit(store, "a", T).await, Committed::New);
    let row = object(store, "name-a", T).await.expect("the object is there");
    assert_eq!((row.size, row.expires_at, &*row.reference), (100, T + RETENTION_MS, "reference-a"));
    assert_eq!(commit(store, "b", T).await, Committed::Existing(row.clone()));
    assert_eq!(object(store, "name-b", T).await, None);
    assert_eq!(begin(store, &upload("1", "c", "digest", 100), T).await, Begun::Existing(row.clone()));
    let complete = store.upload("1", "a", T).await.expect(DONE).expect("it is asked for by its id");
    assert_eq!((complete.complete, complete.media), (Complete::Yes, row));
    let totals = store.media_totals(T).await.expect(DONE);
    assert_eq!(totals, MediaTotals { objects: 1, bytes: 100 });
}

/// Neither objects nor uploads, nor that they are there.
pub async fn media_of_others_are_not_found(store: &dyn Store) {
    begin(store, &upload("1", "a", "digest", 100), T).await;
    assert_eq!(store.upload("2", "a", T).await.expect(DONE), None);
    commit(store, "a", T).await;
    assert_eq!(store.media_by_hash("2", "digest", T).await.expect(DONE), None);
    assert_eq!(begin(store, &upload("2", "b", "digest", 100), T).await, Begun::New, "their own object");
    assert_eq!(store.delete_media("2", "name-a", T).await.expect(DONE), Deleted::No);
    assert!(object(store, "name-a", T).await.is_some());
}

/// Objects, uploads, and how many at once; what is given up does not count.
pub async fn a_quota_counts_what_is_there_and_what_is_coming(store: &dyn Store) {
    begin(store, &upload("1", "a", "a", 600), T).await;
    commit(store, "a", T).await;
    assert_eq!(begin(store, &upload("1", "b", "b", 401), T).await, Begun::OverQuota);
    assert_eq!(begin(store, &upload("1", "b", "b", 300), T).await, Begun::New);
    assert_eq!(begin(store, &upload("1", "c", "c", 101), T).await, Begun::OverQuota);
    assert_eq!(begin(store, &upload("1", "c", "c", 50), T).await, Begun::New);
    assert_eq!(begin(store, &upload("1", "d", "d", 1), T).await, Begun::OverQuota, "two at once");
    store.abort_upload("b").await.expect(DONE);
    assert_eq!(store.upload("1", "b", T).await.expect(DONE), None);
    assert_eq!(commit(store, "b", T).await, Committed::Gone);
    assert_eq!(begin(store, &upload("1", "d", "d", 350), T).await, Begun::New);
    assert_eq!(begin(store, &upload("2", "e", "e", 1000), T).await, Begun::New, "users do not share");
}

/// Deleting makes room, but not for the day.
pub async fn the_day_counts_what_was_deleted(store: &dyn Store) {
    begin(store, &upload("1", "a", "a", 800), T).await;
    commit(store, "a", T).await;
    assert_eq!(store.delete_media("1", "name-a", T).await.expect(DONE), Deleted::Yes);
    assert_eq!(begin(store, &upload("1", "b", "b", 300), T + DAY - 1).await, Begun::OverQuota);
    assert_eq!(begin(store, &upload("1", "b", "b", 300), T + DAY).await, Begun::New);
}

/// And stay so until their bytes are gone.
pub async fn expired_and_deleted_media_are_garbage(store: &dyn Store) {
    let garbage = async |now: u64| {
        let mut found = store.garbage(now, 100).await.expect(DONE);
        found.sort_by_key(|piece| format!("{piece:?}"));
        found
    };
    let media = |name: &str| Garbage::Media { name: format!("name-{name}") };
    for id in ["a", "b"] {
        begin(store, &upload("1", id, id, 100), T).await;
        commit(store, id, T).await;
    }
    let unfinished = UploadRow { expires_at: T + DAY, ..upload("1", "c", "c", 100) };
    begin(store, &unfinished, T).await;
    assert_eq!(garbage(T).await, []);
    assert_eq!(store.delete_media("1", "name-a", T).await.expect(DONE), Deleted::Yes);
    assert_eq!(store.delete_media("1", "name-a", T).await.expect(DONE), Deleted::No);
    assert_eq!(object(store, "name-a", T).await, None);
    assert_eq!(garbage(T).await, [media("a")]);
    assert_eq!(garbage(T).await, [media("a")], "its bytes are still there");
    store.swept(&media("a")).await.expect(DONE);
    let dropped = Garbage::Upload { id: "c".to_owned(), name: "name-c".to_owned() };
    assert_eq!(garbage(T + DAY).await, std::slice::from_ref(&dropped));
    store.swept(&dropped).await.expect(DONE);
    assert!(object(store, "name-b", T + RETENTION_MS - 1).await.is_some());
    assert_eq!(object(store, "name-b", T + RETENTION_MS).await, None);
    assert_eq!(garbage(T + RETENTION_MS).await, [media("b")]);
    let again = UploadRow { expires_at: T + RETENTION_MS + DAY, ..upload("1", "d", "b", 100) };
    assert_eq!(begin(store, &again, T + RETENTION_MS).await, Begun::New, "it can be sent again");
    assert_eq!(commit(store, "d", T + RETENTION_MS).await, Committed::New);
    store.forget_user("1").await.expect(DONE);
    assert_eq!(object(store, "name-d", T + RETENTION_MS).await, None);
    assert!(garbage(T + RETENTION_MS).await.contains(&media("d")));
}

async fn claim(store: &dyn Store, id: &str, owner: &str, now: u64) -> Claimed {
    store.claim_upload(id, owner, now, now + 1000).await.expect(DONE)
}

/// Until the end of the lease, which the holder may move, or until it is given back.
pub async fn an_upload_is_held_by_one(store: &dyn Store) {
    assert_eq!(claim(store, "a", "x", T).await, Claimed::Gone, "it has not begun");
    begin(store, &upload("1", "a", "a", 100), T).await;
    assert_eq!(claim(store, "a", "x", T).await, Claimed::Yes);
    assert_eq!(claim(store, "a", "y", T + 999).await, Claimed::Taken);
    assert_eq!(claim(store, "a", "x", T + 999).await, Claimed::Yes, "the end moves");
    assert_eq!(claim(store, "a", "y", T + 1998).await, Claimed::Taken);
    assert_eq!(claim(store, "a", "y", T + 1999).await, Claimed::Yes, "the lease has ended");
    assert_eq!(claim(store, "a", "x", T + 2000).await, Claimed::Taken, "the earlier holder finds out");
    store.release_upload("a", "x").await.expect(DONE);
    assert_eq!(claim(store, "a", "x", T + 2000).await, Claimed::Taken, "it was not theirs to give back");
    store.release_upload("a", "y").await.expect(DONE);
    store.release_upload("a", "y").await.expect(DONE);
    assert_eq!(claim(store, "a", "x", T + 2000).await, Claimed::Yes);
    assert_eq!(commit(store, "a", T + 2000).await, Committed::New);
    assert_eq!(claim(store, "a", "x", T + 2000).await, Claimed::Gone, "it is complete");
}

/// Whoever still writes finds out that it is for nothing, and only then the bytes go.
pub async fn what_is_held_is_not_garbage(store: &dyn Store) {
    begin(store, &upload("1", "a", "a", 100), T).await;
    assert_eq!(claim(store, "a", "x", T).await, Claimed::Yes);
    store.abort_upload("a").await.expect(DONE);
    assert_eq!(store.garbage(T, 100).await.expect(DONE), []);
    assert_eq!(claim(store, "a", "x", T).await, Claimed::Gone);
    let dropped = Garbage::Upload { id: "a".to_owned(), name: "name-a".to_owned() };
    assert_eq!(store.garbage(T + 1000, 100).await.expect(DONE), std::slice::from_ref(&dropped));
    store.release_upload("a", "x").await.expect(DONE);
    assert_eq!(store.garbage(T, 100).await.expect(DONE), [dropped]);
}

/// Its request is over, or the server that had it: it counts no more, and cannot be completed.
pub async fn a_plain_upload_ends_with_its_lease(store: &dyn Store) {
    let plain =
        |id: &str| UploadRow { resumable: Resumable::No, expires_at: T + 500, ..upload("1", id, id, 400) };
    for id in ["a", "b"] {
        assert_eq!(begin(store, &plain(id), T).await, Begun::New);
        assert_eq!(claim(store, id, "x", T).await, Claimed::Yes);
    }
    assert_eq!(begin(store, &plain("c"), T + 999).await, Begun::OverQuota, "two at once");
    assert_eq!(claim(store, "a", "x", T + 999).await, Claimed::Yes);
    let dropped = Garbage::Upload { id: "b".to_owned(), name: "name-b".to_owned() };
    assert_eq!(store.garbage(T + 1000, 100).await.expect(DONE), [dropped]);
    assert_eq!(commit(store, "b", T + 1000).await, Committed::Gone);
    assert_eq!(commit(store, "a", T + 1000).await, Committed::New);
    let next = UploadRow { expires_at: T + 1500, ..upload("1", "c", "c", 200) };
    assert_eq!(begin(store, &next, T + 1000).await, Begun::New);
}
