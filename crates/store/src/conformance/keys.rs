//! Prekey books, sessions, identities.

use landbridge_signal::{Address, PreKey, PreKeyId, SessionRecord, SignedPreKeyId};

use super::{begin, commit, key, signed};
use crate::{ClientStore, PreKeyCounts, StoreError};

pub(super) fn address() -> Address {
    Address::new("14155551001", 0)
}

fn numbers(ids: &[PreKeyId]) -> Vec<u32> {
    ids.iter().map(|id| id.get()).collect()
}

fn ids(keys: &[PreKey]) -> Vec<u32> {
    keys.iter().map(|key| key.id.get()).collect()
}

fn prekey_id(id: u32) -> PreKeyId {
    PreKeyId::new(id).expect("id")
}

/// Ids begin at 1, go up to 16,777,215, wrap to 1 and leave out those whose keys are still stored. Order is that of making.
pub fn prekey_ids_wrap_and_skip_stored_ones(store: &mut dyn ClientStore) {
    let first = commit(store, |tx| tx.add_prekeys(&[key(1), key(2), key(3)]).expect("add"));
    assert_eq!(numbers(&first), [1, 2, 3]);
    commit(store, |tx| {
        tx.remove_prekey(prekey_id(2)).expect("remove");
        tx.start_prekeys_at(prekey_id(0xff_fffe)).expect("start");
    });
    let wrapped = commit(store, |tx| tx.add_prekeys(&[key(4), key(5), key(6), key(7)]).expect("add"));
    assert_eq!(numbers(&wrapped), [0xff_fffe, 0xff_ffff, 2, 4], "0 is not made, 1 and 3 are stored");
    let next = commit(store, |tx| tx.add_prekeys(&[key(8)]).expect("add"));
    assert_eq!(numbers(&next), [5]);

    let tx = begin(store);
    let waiting = tx.prekeys_to_upload(100).expect("waiting");
    assert_eq!(ids(&waiting), [1, 3, 0xff_fffe, 0xff_ffff, 2, 4, 5], "oldest first");
    for (id, seed) in [(1, 1), (3, 3), (0xff_fffe, 4), (0xff_ffff, 5), (2, 6), (4, 7), (5, 8)] {
        let stored = tx.load_prekey(prekey_id(id)).expect("load").expect("stored");
        assert_eq!(stored.as_bytes(), key(seed).as_bytes(), "key {id}");
    }
}

/// What was not confirmed is offered again, the same keys in the same order; confirmed ones are not.
pub fn lost_upload_offers_the_same_keys(store: &mut dyn ClientStore) {
    let added = commit(store, |tx| tx.add_prekeys(&[key(1), key(2), key(3), key(4)]).expect("add"));
    let offered = begin(store).prekeys_to_upload(3).expect("offer");
    assert_eq!(ids(&offered), [1, 2, 3], "at most the limit");
    assert_eq!(
        ids(&begin(store).prekeys_to_upload(3).expect("offer")),
        [1, 2, 3],
        "the answer was lost: the same again"
    );
    commit(store, |tx| tx.mark_uploaded(&added[..3]).expect("mark"));
    assert_eq!(ids(&begin(store).prekeys_to_upload(3).expect("offer")), [4]);
    let counts = begin(store).prekey_counts().expect("counts");
    assert_eq!(counts, PreKeyCounts { stored: 4, to_upload: 1, used: 0 });
    commit(store, |tx| tx.mark_uploaded(&[prekey_id(77)]).expect("an unknown id is passed over"));
    assert_eq!(ids(&begin(store).prekeys_to_upload(100).expect("offer")), [4]);
}

/// To make room, keys that were handed out go, oldest first; those that still wait for their upload stay, however old.
pub fn handed_out_prekeys_are_pruned_oldest_first(store: &mut dyn ClientStore) {
    let added = commit(store, |tx| {
        let keys: Vec<_> = (1..=6).map(key).collect();
        let added = tx.add_prekeys(&keys).expect("add");
        tx.mark_uploaded(&[added[1], added[2], added[4], added[5]]).expect("mark");
        added
    });
    let left = |store: &mut dyn ClientStore| -> Vec<u32> {
        let tx = begin(store);
        let stored = |id: &&PreKeyId| tx.load_prekey(**id).expect("load").is_some();
        added.iter().filter(stored).map(|id| id.get()).collect()
    };
    for (keep, expected) in [(6, vec![1, 2, 3, 4, 5, 6]), (4, vec![1, 4, 5, 6]), (0, vec![1, 4])] {
        commit(store, |tx| tx.prune_prekeys(keep).expect("prune"));
        assert_eq!(left(store), expected, "pruned to {keep}");
    }
    let counts = begin(store).prekey_counts().expect("counts");
    assert_eq!(counts, PreKeyCounts { stored: 2, to_upload: 2, used: 0 }, "no message has used them");
    let next = commit(store, |tx| tx.add_prekeys(&[key(7)]).expect("add"));
    assert_eq!(numbers(&next), [7], "an id is not given again because its key was pruned");
}

/// A used key is erased and counted once; uploaded keys stay until they are used.
pub fn used_prekeys_are_gone(store: &mut dyn ClientStore) {
    let added = commit(store, |tx| tx.add_prekeys(&[key(1), key(2)]).expect("add"));
    commit(store, |tx| tx.mark_uploaded(&added).expect("mark"));
    assert!(begin(store).load_prekey(added[0]).expect("load").is_some(), "uploaded keys are kept");
    commit(store, |tx| tx.remove_prekey(added[0]).expect("remove"));
    commit(store, |tx| tx.remove_prekey(added[0]).expect("removing twice is no error"));
    assert!(begin(store).load_prekey(added[0]).expect("load").is_none());
    assert!(begin(store).load_prekey(added[1]).expect("load").is_some());
    let counts = begin(store).prekey_counts().expect("counts");
    assert_eq!(counts, PreKeyCounts { stored: 1, to_upload: 0, used: 1 });
}

/// Old halves stay until pruned, newest first, and the one at the server is never pruned. Ids wrap.
pub fn signed_prekeys_keep_old_halves(store: &mut dyn ClientStore) {
    let id = |id| SignedPreKeyId::new(id).expect("id");
    assert_eq!(begin(store).next_signed_prekey_id().expect("next"), id(1));
    commit(store, |tx| {
        for (number, at) in [(0xff_fffe, 10), (0xff_ffff, 20)] {
            tx.add_signed_prekey(&signed(number), at).expect("add");
        }
    });
    assert_eq!(begin(store).next_signed_prekey_id().expect("next"), id(1), "after the largest comes 1");
    commit(store, |tx| {
        for (number, at) in [(1, 30), (2, 40), (3, 50)] {
            tx.add_signed_prekey(&signed(number), at).expect("add");
        }
        tx.mark_signed_uploaded(id(0xff_ffff)).expect("mark");
    });
    let taken = begin(store).add_signed_prekey(&signed(2), 60);
    assert!(matches!(taken, Err(StoreError::KeyIdInUse { id: 2, .. })), "an id twice: {taken:?}");

    let listed = begin(store).signed_prekeys().expect("list");
    let listed: Vec<_> =
        listed.iter().map(|entry| (entry.key.id.get(), entry.created_at, entry.uploaded)).collect();
    assert_eq!(
        listed,
        [(3, 50, false), (2, 40, false), (1, 30, false), (0xff_ffff, 20, true), (0xff_fffe, 10, false)]
    );
    commit(store, |tx| tx.prune_signed_prekeys(2).expect("prune"));
    let tx = begin(store);
    let left: Vec<_> = tx.signed_prekeys().expect("list").iter().map(|entry| entry.key.id.get()).collect();
    assert_eq!(left, [3, 2, 0xff_ffff], "the server's current one is kept");
    assert!(tx.load_signed_prekey(id(1)).expect("load").is_none());
    let kept = tx.load_signed_prekey(id(2)).expect("load").expect("kept");
    assert_eq!((kept.key.as_bytes(), kept.signature), (signed(2).key.as_bytes(), signed(2).signature));
}

/// Sessions and identities are kept per address, replaced, and deleted.
pub fn sessions_and_identities_round_trip(store: &mut dyn ClientStore) {
    let other = Address::new("14155551001", 1);
    commit(store, |tx| {
        tx.save_session(&address(), &SessionRecord::default()).expect("save");
        tx.save_session(&address(), &SessionRecord::default()).expect("replace");
        tx.save_remote_identity(&address(), &key(1).public()).expect("identity");
        tx.approve_identity(&address(), &key(1).public()).expect("approve");
        tx.save_remote_identity(&address(), &key(2).public()).expect("identity");
    });
    let tx = begin(store);
    let record = tx.load_session(&address()).expect("load").expect("stored");
    assert_eq!(record.to_bytes()[..], SessionRecord::default().to_bytes()[..]);
    assert!(tx.load_session(&other).expect("load").is_none(), "another device is another address");
    assert_eq!(tx.remote_identity(&address()).expect("identity"), Some(key(2).public()));
    assert_eq!(
        tx.approved_identity(&address()).expect("approved"),
        Some(key(1).public()),
        "approval is a thing of its own"
    );
    assert_eq!(tx.remote_identity(&other).expect("identity"), None);
    drop(tx);
    commit(store, |tx| {
        tx.delete_session(&address()).expect("delete");
        tx.delete_session(&other).expect("deleting what is not there is no error");
    });
    assert!(begin(store).load_session(&address()).expect("load").is_none());
    assert_eq!(
        begin(store).remote_identity(&address()).expect("identity"),
        Some(key(2).public()),
        "the identity stays"
    );
}
