//! Answers owed, blocklist, identity events.

use super::{begin, commit, key, peer, receipt};
use crate::{BlockChange, ClientStore, IdentityEvent, Noted, OwedAnswer, OwedClass, Sighting};

/// Answers come in the order in which they were first owed; the same one twice is one; settled ones are gone.
pub fn owed_answers_keep_their_order(store: &mut dyn ClientStore) {
    let ack = OwedAnswer { class: OwedClass::Ack, ..receipt("A") };
    let in_group = OwedAnswer { participant: Some("a@s.whatsapp.net".into()), ..receipt("A") };
    let answers = [receipt("A"), receipt("B"), ack, in_group];
    for answer in &answers {
        commit(store, |tx| tx.owe(answer).expect("owe"));
    }
    let newer = OwedAnswer { stanza: b"newer".to_vec(), ..receipt("A") };
    let seq = commit(store, |tx| tx.owe(&newer).expect("owe"));
    let listed = begin(store).owed(10).expect("owed");
    assert_eq!(listed[0].seq, seq, "the position stays");
    let listed: Vec<_> = listed.into_iter().map(|entry| entry.answer).collect();
    assert_eq!(listed, [newer, answers[1].clone(), answers[2].clone(), answers[3].clone()]);

    let seqs: Vec<_> = begin(store).owed(2).expect("owed").iter().map(|entry| entry.seq).collect();
    commit(store, |tx| tx.settle(&seqs).expect("settle"));
    commit(store, |tx| tx.settle(&seqs).expect("settling twice is no error"));
    let left: Vec<_> = begin(store).owed(10).expect("owed").into_iter().map(|entry| entry.answer).collect();
    assert_eq!(left, answers[2..]);
    let later = commit(store, |tx| tx.owe(&receipt("B")).expect("owe"));
    let last = begin(store).owed(10).expect("owed").pop().expect("owed");
    assert_eq!((last.seq, last.answer), (later, receipt("B")), "owed anew, at the end");
}

/// The list is what the server told last, with its version.
pub fn blocklist_follows_the_server(store: &mut dyn ClientStore) {
    let (a, b) = ("a@s.whatsapp.net", "b@s.whatsapp.net");
    commit(store, |tx| tx.replace_blocklist(&[b.into(), a.into(), a.into()], Some("v1")).expect("replace"));
    let tx = begin(store);
    assert_eq!(tx.blocked().expect("list"), [a, b]);
    assert_eq!(tx.blocklist_hash().expect("hash").as_deref(), Some("v1"));
    assert!(tx.is_blocked(a).expect("blocked") && !tx.is_blocked("c@s.whatsapp.net").expect("blocked"));
    drop(tx);
    commit(store, |tx| {
        assert!(tx.change_block(a, BlockChange::Unblock, Some("v2")).expect("unblock"));
        assert!(!tx.change_block(a, BlockChange::Unblock, Some("v3")).expect("unblock"), "was not blocked");
        assert!(!tx.change_block(b, BlockChange::Block, Some("v4")).expect("block"), "was blocked");
    });
    let tx = begin(store);
    assert_eq!(tx.blocked().expect("list"), [b]);
    assert_eq!(tx.blocklist_hash().expect("hash").as_deref(), Some("v4"));
    drop(tx);
    commit(store, |tx| tx.change_block(b, BlockChange::Unblock, None).expect("unblock"));
    assert_eq!(begin(store).blocklist_hash().expect("hash"), None, "a list without a version");
}

/// One notice per change, whichever way it is learnt first, and however often.
pub fn identity_changes_make_one_notice(store: &mut dyn ClientStore) {
    let (old, new, newest) = (key(1).public(), key(2).public(), key(3).public());
    let note = |store: &mut dyn ClientStore, peer: &str, old, sighting: Sighting<'_>, at| {
        commit(store, |tx| tx.note_identity_change(peer, old, sighting, at).expect("note"))
    };
    let (key, told) = (Sighting::Key, Sighting::Notification);
    // A notification first, then the key.
    assert_eq!(note(store, &peer(), Some(&old), told("n1"), 10), Noted::New { seq: 1 });
    assert_eq!(note(store, &peer(), None, told("n1"), 11), Noted::Known, "the notification again");
    assert_eq!(note(store, &peer(), None, key(&new), 12), Noted::Known, "the key of the same change");
    assert_eq!(note(store, &peer(), Some(&old), key(&new), 13), Noted::Known, "and again");
    assert_eq!(note(store, &peer(), Some(&new), told("n1"), 14), Noted::Known, "its ack was lost");
    // The key first, then the notification, then another change.
    assert_eq!(note(store, &peer(), Some(&new), key(&newest), 20), Noted::New { seq: 2 });
    assert_eq!(note(store, &peer(), None, told("n2"), 21), Noted::Known);
    assert_eq!(note(store, &peer(), Some(&newest), told("n3"), 30), Noted::New { seq: 3 });
    assert_eq!(note(store, &peer(), Some(&newest), told("n1"), 31), Noted::Known, "an old one, again");
    // Peers have nothing to do with each other.
    assert_eq!(note(store, "other@s.whatsapp.net", None, key(&new), 40), Noted::New { seq: 4 });

    let events = begin(store).unconfirmed_identity_changes(10).expect("events");
    let first = IdentityEvent {
        seq: 1,
        peer: peer(),
        old: Some(old),
        new: Some(new),
        announcement: Some("n1".to_owned()),
        at: 10,
        confirmed: false,
    };
    assert_eq!(events[0], first, "the missing key was filled in");
    let second = &events[1];
    assert_eq!(
        (second.old, second.new, second.announcement.as_deref()),
        (Some(new), Some(newest), Some("n2"))
    );
    commit(store, |tx| {
        tx.confirm_identity_change(1).expect("confirm");
        tx.confirm_identity_change(3).expect("confirm");
        tx.confirm_identity_change(99).expect("an unknown position is passed over");
    });
    let left: Vec<_> = begin(store)
        .unconfirmed_identity_changes(10)
        .expect("events")
        .iter()
        .map(|event| event.seq)
        .collect();
    assert_eq!(left, [2, 4]);
    assert_eq!(note(store, &peer(), None, told("n3"), 50), Noted::Known, "confirmed, still known");
}
