//! Files on their way out.

use super::{begin, commit, outgoing, peer, sample_account, upload};
use crate::outbox::ACCOUNT_DELETED;
use crate::{ClientStore, OutState, OutboxMessage, StoreError, Upload};

fn ids(store: &mut dyn ClientStore, after: u64, limit: usize) -> Vec<(u64, String)> {
    let entries = begin(store).uploads(after, limit).expect("uploads");
    entries.into_iter().map(|entry| (entry.seq, entry.upload.id)).collect()
}

/// Uploads come in the order in which they were stored, as they were stored, and no position is given twice.
pub fn uploads_keep_order(store: &mut dyn ClientStore) {
    for id in ["C", "A"] {
        commit(store, |tx| tx.begin_upload(&upload(id)).expect("begin"));
    }
    let elsewhere = Upload { recipient: "2@s.whatsapp.net".into(), ..upload("A") };
    assert_eq!(commit(store, |tx| tx.begin_upload(&elsewhere).expect("the same id to another")), 3);
    assert_eq!(ids(store, 0, 9), [(1, "C".into()), (2, "A".into()), (3, "A".into())]);
    assert_eq!(ids(store, 1, 1), [(2, "A".into())]);
    commit(store, |tx| {
        tx.note_place(&peer(), "A", "https://partner.example/v1/uploads/7").expect("note");
        tx.note_place(&peer(), "nothing", "there").expect("an upload that has ended");
    });
    let stored = begin(store).upload(&peer(), "A").expect("upload").expect("it is there").upload;
    let place = Some("https://partner.example/v1/uploads/7".to_owned());
    assert_eq!(stored, Upload { place, ..upload("A") });
    assert!(commit(store, |tx| tx.end_upload(&elsewhere.recipient, "A").expect("end")));
    assert!(!commit(store, |tx| tx.end_upload(&elsewhere.recipient, "A").expect("end twice")));
    assert_eq!(begin(store).upload(&elsewhere.recipient, "A").expect("upload"), None);
    assert_eq!(commit(store, |tx| tx.begin_upload(&elsewhere).expect("begin")), 4, "a position came again");
}

/// An id is taken by an upload as by a message, and goes from the one to the other in one step.
pub fn uploads_share_ids_with_messages(store: &mut dyn ClientStore) {
    let twice = |result: Result<u64, StoreError>| {
        assert!(matches!(&result, Err(StoreError::DuplicateMessage { .. })), "an id twice: {result:?}");
    };
    commit(store, |tx| tx.enqueue(&outgoing("M")).expect("enqueue"));
    twice(begin(store).begin_upload(&upload("M")));
    commit(store, |tx| tx.begin_upload(&upload("F")).expect("begin"));
    twice(begin(store).begin_upload(&upload("F")));
    {
        let mut tx = begin(store);
        assert!(tx.end_upload(&peer(), "F").expect("end"));
        tx.enqueue(&outgoing("F")).expect("enqueue");
        // Not committed.
    }
    let mut tx = begin(store);
    assert!(tx.upload(&peer(), "F").expect("upload").is_some(), "half of a step was kept");
    assert!(tx.outgoing(&peer(), "F").expect("outgoing").is_none(), "half of a step was kept");
    assert!(tx.end_upload(&peer(), "F").expect("end"));
    tx.enqueue(&outgoing("F")).expect("enqueue");
    tx.commit().expect("commit");
    assert!(begin(store).outgoing(&peer(), "F").expect("outgoing").is_some());
    assert!(begin(store).upload(&peer(), "F").expect("upload").is_none());
}

/// What is given up is a failed message without content; so is what is under way when the account is deleted.
pub fn failed_uploads_are_failed_messages(store: &mut dyn ClientStore) {
    commit(store, |tx| {
        tx.create_account(&sample_account()).expect("account");
        tx.begin_upload(&upload("large")).expect("begin");
        tx.begin_upload(&upload("under way")).expect("begin");
    });
    assert!(commit(store, |tx| tx.fail_upload(&peer(), "large", "too large", 120).expect("fail")));
    assert!(!commit(store, |tx| tx.fail_upload(&peer(), "large", "again", 130).expect("fail twice")));
    commit(store, |tx| tx.wipe_keys(140).expect("wipe"));
    assert_eq!(ids(store, 0, 9), []);
    for (id, reason, at) in [("large", "too large", 120), ("under way", ACCOUNT_DELETED, 140)] {
        let entry = begin(store).outgoing(&peer(), id).expect("outgoing").expect("a message");
        assert_eq!((entry.state, entry.failure.as_deref()), (OutState::Failed, Some(reason)), "{id}");
        assert_eq!(entry.times.failed, Some(at), "{id}");
        let (plaintext, stanza) = (Vec::new(), Vec::new());
        let kind = upload(id).kind;
        assert_eq!(entry.message, OutboxMessage { plaintext, stanza, kind, ..outgoing(id) });
    }
}
