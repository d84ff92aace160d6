//! Messages about messages.

use super::{begin, commit, incoming, outgoing, peer, relation};
use crate::{ClientStore, InboxMessage, MessageKey, Progress, Related, Relation, RelationKind, Seen, Target};

fn ids(store: &mut dyn ClientStore) -> Vec<(u64, String)> {
    let entries = begin(store).unconfirmed(0, 100).expect("unconfirmed");
    entries.into_iter().map(|entry| (entry.seq, entry.message.key.id)).collect()
}

fn plaintext(store: &mut dyn ClientStore, id: &str) -> Vec<u8> {
    let entry = begin(store).message(&MessageKey::direct(peer(), id)).expect("message").expect("stored");
    entry.message.plaintext
}

/// A message that waits is not in the stream until it is released, and then it is the last. Each chat keeps its latest ones; what
/// is given up leaves its dedupe key alone.
pub fn messages_wait_for_their_target(store: &mut dyn ClientStore) {
    for (id, t) in [("A", 10), ("B", 20), ("C", 30), ("D", 40)] {
        commit(store, |tx| tx.store_message(&InboxMessage { t, ..incoming(id) }).expect("store"));
    }
    let other = InboxMessage { key: MessageKey::direct("other@s.whatsapp.net", "A"), ..incoming("A") };
    commit(store, |tx| {
        tx.store_message(&other).expect("store");
        for (seq, target) in [(1, "X"), (2, "X"), (3, "Y"), (5, "X")] {
            tx.set_aside(seq, target, 3).expect("set aside");
        }
    });
    assert_eq!(ids(store), [(4, "D".to_owned())]);
    let waiting = |store: &mut dyn ClientStore, target| {
        let found = begin(store).waiting(&peer(), target).expect("waiting");
        found.into_iter().map(|entry| entry.message.key.id).collect::<Vec<_>>()
    };
    assert_eq!(waiting(store, "X"), ["A", "B"], "in order, of this chat alone");
    assert_eq!(waiting(store, "Z"), [""; 0]);

    // A fourth one in the chat: the first gives way.
    commit(store, |tx| tx.set_aside(4, "X", 3).expect("set aside"));
    assert_eq!(waiting(store, "X"), ["B", "D"]);
    assert_eq!(plaintext(store, "A"), b"", "what is given up is wiped");
    let key = MessageKey::direct(peer(), "A");
    assert_eq!(begin(store).seen(&key).expect("seen"), Seen::Stored);

    commit(store, |tx| {
        assert_eq!(tx.release(2).expect("release"), Some(6));
        assert_eq!(tx.release(2).expect("release"), None, "nothing waits there any more");
        assert_eq!(tx.release(1).expect("release"), None, "it was given up");
    });
    assert_eq!(ids(store), [(6, "B".to_owned())], "at the end of the order");
    assert!(!plaintext(store, "B").is_empty() && waiting(store, "X") == ["D"]);
    let next = commit(store, |tx| tx.store_message(&incoming("E")).expect("store"));
    assert_eq!(next, crate::Stored::New { seq: 7 });
    commit(store, |tx| {
        tx.confirm(6).expect("confirm");
        assert_eq!(tx.discard_waiting(40).expect("discard"), 1, "C, but neither D nor what does not wait");
        tx.discard(7).expect("discard");
        tx.discard(99).expect("an unknown position is passed over");
    });
    assert_eq!((waiting(store, "Y"), waiting(store, "X")), (vec![], vec!["D".to_owned()]));
    assert_eq!((ids(store), plaintext(store, "E")), (vec![], vec![]));
    assert_eq!(begin(store).waiting("other@s.whatsapp.net", "X").expect("waiting").len(), 1);
}

/// Of each kind and sender the newest counts, whatever the order of arrival; what does not count comes no more.
pub fn only_the_newest_relation_counts(store: &mut dyn ClientStore) {
    let target = Target::own(peer(), "out-1");
    let mut relate = |id: &str, kind, at_ms| {
        commit(store, |tx| {
            tx.store_message(&incoming(id)).expect("store");
            tx.relate(&relation(target.clone(), kind, id, at_ms)).expect("relate")
        })
    };
    assert_eq!(relate("r1", RelationKind::Reaction, 5), Related::Newest);
    assert_eq!(relate("r2", RelationKind::Reaction, 7), Related::Newest);
    assert_eq!(relate("r3", RelationKind::Reaction, 6), Related::Older);
    assert_eq!(relate("e1", RelationKind::Edit, -3), Related::Newest, "kinds do not meet");
    assert_eq!(relate("r4", RelationKind::Reaction, 7), Related::Newest, "the later call of two");
    let own = Relation { sender: None, ..relation(target.clone(), RelationKind::Reaction, "mine", 1) };
    assert_eq!(commit(store, |tx| tx.relate(&own).expect("relate")), Related::Newest, "senders do not meet");
    let tx = begin(store);
    let found = tx.relations(&target).expect("relations");
    let r4 = relation(target.clone(), RelationKind::Reaction, "r4", 7);
    assert_eq!(found, [own, r4.clone(), relation(target.clone(), RelationKind::Edit, "e1", -3)]);
    assert_eq!(tx.relations(&Target::theirs(peer(), "out-1")).expect("relations"), [], "another author");
    let of = |id: &str| tx.relation_of(&MessageKey::direct(peer(), id)).expect("relation");
    assert_eq!((of("r4"), of("r1"), of("mine")), (Some(r4), None, None));
    drop(tx);
    // r3 changed nothing, so it is its caller's affair.
    let left: Vec<_> = ids(store).into_iter().map(|(_, id)| id).collect();
    assert_eq!(left, ["r3", "e1", "r4"]);
    assert_eq!(plaintext(store, "r4"), b"", "the content has moved");

    commit(store, |tx| assert_eq!(tx.forget_content(101).expect("forget"), 0));
    let kept: Vec<_> =
        begin(store).relations(&target).expect("relations").iter().map(|it| it.content.len()).collect();
    assert_eq!(kept, ["content of mine".len(), "content of r4".len(), 0], "edits are content");
}

/// Nothing is left of a message that was taken back, on either side.
pub fn revokes_wipe_their_target(store: &mut dyn ClientStore) {
    let theirs = Target::theirs(peer(), "in-1");
    commit(store, |tx| {
        for id in ["in-1", "edit", "reaction", "revoke"] {
            tx.store_message(&incoming(id)).expect("store");
        }
        for (kind, id) in [(RelationKind::Edit, "edit"), (RelationKind::Reaction, "reaction")] {
            tx.relate(&relation(theirs.clone(), kind, id, 1)).expect("relate");
        }
        let revoke = relation(theirs.clone(), RelationKind::Revoke, "revoke", 0);
        assert_eq!(tx.relate(&revoke).expect("relate"), Related::Newest);
    });
    assert_eq!(plaintext(store, "in-1"), b"");
    assert_eq!(ids(store), [(4, "revoke".to_owned())], "only the revoke is left to be shown");
    let left = begin(store).relations(&theirs).expect("relations");
    assert_eq!(left, [relation(theirs, RelationKind::Revoke, "revoke", 0)]);

    let own = Target::own(peer(), "out-1");
    let mine = |kind, id: &str, at_ms| Relation { sender: None, ..relation(own.clone(), kind, id, at_ms) };
    commit(store, |tx| {
        for id in ["out-1", "edit-1", "edit-2", "pending", "revoke"] {
            tx.enqueue(&outgoing(id)).expect("enqueue");
        }
        for id in ["out-1", "edit-1", "edit-2"] {
            tx.advance(&peer(), id, Progress::Sent, 101).expect("advance");
        }
        tx.relate(&mine(RelationKind::Edit, "edit-1", 1)).expect("relate");
        tx.relate(&mine(RelationKind::Edit, "edit-2", 2)).expect("relate");
    });
    let sent = |store: &mut dyn ClientStore, id: &str| {
        let entry = begin(store).outgoing(&peer(), id).expect("outgoing").expect("stored");
        (!entry.message.plaintext.is_empty(), !entry.message.stanza.is_empty())
    };
    assert_eq!(sent(store, "edit-1"), (false, false), "replaced by the second edit");
    assert_eq!((sent(store, "edit-2"), sent(store, "out-1")), ((true, true), (true, true)));
    commit(store, |tx| {
        tx.relate(&mine(RelationKind::Revoke, "revoke", 3)).expect("relate");
        let pending =
            Relation { target: Target::own(peer(), "pending"), ..mine(RelationKind::Revoke, "revoke", 3) };
        tx.relate(&pending).expect("relate");
    });
    assert_eq!((sent(store, "edit-2"), sent(store, "out-1")), ((false, false), (false, false)));
    assert_eq!(sent(store, "pending"), (false, true), "what is on its way goes out");
    assert_eq!(sent(store, "revoke"), (true, true));
}
