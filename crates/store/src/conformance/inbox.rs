//! Messages received.

use super::{begin, commit, incoming, peer};
use crate::{ClientStore, InboxMessage, MessageKey, Seen, Stored};

/// The key is (chat, sender, id): the same three are stored once, any difference makes another message.
pub fn messages_are_stored_once(store: &mut dyn ClientStore) {
    let message = incoming("A");
    assert_eq!(begin(store).seen(&message.key).expect("seen"), Seen::Never);
    assert_eq!(commit(store, |tx| tx.store_message(&message).expect("store")), Stored::New { seq: 1 });
    assert_eq!(begin(store).seen(&message.key).expect("seen"), Seen::Stored);
    let changed = InboxMessage { plaintext: b"other".to_vec(), ..message.clone() };
    assert_eq!(commit(store, |tx| tx.store_message(&changed).expect("store")), Stored::Duplicate);
    let kept = begin(store).message(&message.key).expect("message").expect("stored");
    assert_eq!(kept.message, message, "the first copy stays");

    let group =
        |sender: &str, id: &str| MessageKey { chat: "1@g.us".into(), sender: sender.into(), id: id.into() };
    for key in
        [group("a@s.whatsapp.net", "A"), group("b@s.whatsapp.net", "A"), group("a@s.whatsapp.net", "a")]
    {
        let stored =
            commit(store, |tx| tx.store_message(&InboxMessage { key, ..message.clone() }).expect("store"));
        assert!(matches!(stored, Stored::New { .. }), "another key: {stored:?}");
    }
}

/// The application gets what it has not confirmed, in order of arrival, page by page.
pub fn unconfirmed_come_in_order(store: &mut dyn ClientStore) {
    let times = [30, 10, 20, 40];
    for (id, t) in ["A", "B", "C", "D"].into_iter().zip(times) {
        commit(store, |tx| tx.store_message(&InboxMessage { t, ..incoming(id) }).expect("store"));
    }
    let ids = |store: &mut dyn ClientStore, after, limit| {
        let entries = begin(store).unconfirmed(after, limit).expect("unconfirmed");
        entries.into_iter().map(|entry| (entry.seq, entry.message.key.id)).collect::<Vec<_>>()
    };
    let expected =
        |pairs: &[(u64, &str)]| pairs.iter().map(|(seq, id)| (*seq, (*id).to_owned())).collect::<Vec<_>>();
    assert_eq!(ids(store, 0, 3), expected(&[(1, "A"), (2, "B"), (3, "C")]));
    assert_eq!(ids(store, 3, 3), expected(&[(4, "D")]));
    commit(store, |tx| {
        tx.confirm(2).expect("confirm");
        tx.confirm(2).expect("confirming twice is no error");
        tx.confirm(99).expect("an unknown position is passed over");
    });
    assert_eq!(ids(store, 0, 10), expected(&[(1, "A"), (3, "C"), (4, "D")]));
    assert!(
        begin(store).message(&MessageKey::direct(peer(), "B")).expect("message").expect("stored").confirmed
    );
}

/// A failed copy is counted once, however often it is replayed; a readable copy takes the record's place.
pub fn undecryptable_copies_are_counted_once(store: &mut dyn ClientStore) {
    let key = MessageKey::direct(peer(), "A");
    assert_eq!(commit(store, |tx| tx.count_retry(&key).expect("count")), 0, "nothing to ask for");
    let first = commit(store, |tx| tx.record_failure(&key, 100, 0, "no session").expect("record"));
    assert_eq!((first.failures, first.last_count, first.asked, first.t), (1, 0, 0, 100));
    assert_eq!(commit(store, |tx| tx.count_retry(&key).expect("count")), 1);
    let replay = commit(store, |tx| tx.record_failure(&key, 999, 0, "replayed").expect("record"));
    assert_eq!((replay.failures, replay.asked, replay.reason.as_str()), (1, 1, "no session"));
    let second = commit(store, |tx| tx.record_failure(&key, 105, 1, "bad mac").expect("record"));
    assert_eq!((second.failures, second.last_count, second.asked, second.t), (2, 1, 1, 100));
    assert_eq!(second.reason, "bad mac");
    assert_eq!(begin(store).seen(&key).expect("seen"), Seen::Undecryptable(second));
    assert_eq!(commit(store, |tx| tx.count_retry(&key).expect("count")), 2);

    commit(store, |tx| tx.store_message(&incoming("B")).expect("store"));
    let recovered = commit(store, |tx| tx.store_message(&incoming("A")).expect("store"));
    assert_eq!(recovered, Stored::Recovered { seq: 2 });
    assert_eq!(begin(store).seen(&key).expect("seen"), Seen::Stored);
    assert_eq!(commit(store, |tx| tx.store_message(&incoming("A")).expect("store")), Stored::Duplicate);
}

/// Content goes, the dedupe key stays; what is unconfirmed keeps its content.
pub fn content_can_be_forgotten(store: &mut dyn ClientStore) {
    for (id, t) in [("old", 10), ("unconfirmed", 10), ("new", 50)] {
        commit(store, |tx| tx.store_message(&InboxMessage { t, ..incoming(id) }).expect("store"));
    }
    commit(store, |tx| {
        tx.confirm(1).expect("confirm");
        tx.confirm(3).expect("confirm");
        assert_eq!(tx.forget_content(50).expect("forget"), 1);
        assert_eq!(tx.forget_content(50).expect("forget"), 0, "nothing more to forget");
    });
    let tx = begin(store);
    let empty = |id| {
        let entry = tx.message(&MessageKey::direct(peer(), id)).expect("message").expect("stored");
        entry.message.plaintext.is_empty()
    };
    assert!(empty("old") && !empty("unconfirmed") && !empty("new"));
    assert_eq!(tx.seen(&MessageKey::direct(peer(), "old")).expect("seen"), Seen::Stored);
}
