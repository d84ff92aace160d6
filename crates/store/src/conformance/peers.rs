//! What is remembered of peers, and messages that wait to be encrypted.

use super::{begin, commit, key, outgoing, peer};
use crate::{ClientStore, HeldRetry, OutboxMessage, PeerRecord, Progress, Recrypt};

/// A record is one whole, a default one is none, and peers have nothing to do with each other.
pub fn peers_are_remembered(store: &mut dyn ClientStore) {
    let other = "2@s.whatsapp.net";
    assert_eq!(begin(store).peer(&peer()).expect("peer"), PeerRecord::default());
    let verified = PeerRecord { verified: Some(key(1).public()), ..PeerRecord::default() };
    let held = PeerRecord {
        verified: None,
        was_verified: Some(key(1).public()),
        held_since: Some(10),
        awaits_identity: true,
        rebuilt_at: Some(u64::from(u32::MAX)),
    };
    commit(store, |tx| {
        tx.set_peer(&peer(), &verified).expect("set");
        tx.set_peer(other, &verified).expect("set");
    });
    assert_eq!(begin(store).peer(&peer()).expect("peer"), verified);
    commit(store, |tx| tx.set_peer(&peer(), &held).expect("replace"));
    let tx = begin(store);
    assert_eq!(tx.peer(&peer()).expect("peer"), held);
    assert_eq!(tx.peers().expect("peers"), [(peer(), held), (other.to_owned(), verified)]);
    drop(tx);
    commit(store, |tx| tx.set_peer(other, &PeerRecord::default()).expect("forget"));
    assert_eq!(begin(store).peers().expect("peers").len(), 1);
}

/// One request per message, the latest; they come by the times of their messages.
pub fn held_retries_wait(store: &mut dyn ClientStore) {
    let retry = |id: &str, count, t| HeldRetry { id: id.to_owned(), count, t };
    let other = "2@s.whatsapp.net";
    commit(store, |tx| {
        tx.hold_retry(&peer(), &retry("A", 1, 30)).expect("hold");
        tx.hold_retry(&peer(), &retry("B", 1, 20)).expect("hold");
        tx.hold_retry(&peer(), &retry("A", 2, 30)).expect("hold");
        tx.hold_retry(other, &retry("A", 1, 10)).expect("hold");
    });
    let tx = begin(store);
    assert_eq!(tx.held_retries(&peer(), 10).expect("held"), [retry("B", 1, 20), retry("A", 2, 30)]);
    assert_eq!(tx.held_retries(&peer(), 1).expect("held"), [retry("B", 1, 20)], "at most the limit");
    assert_eq!(tx.peers_with_held_retries().expect("peers"), [peer(), other.to_owned()]);
    drop(tx);
    commit(store, |tx| {
        tx.settle_retry(&peer(), "A").expect("settle");
        tx.settle_retry(&peer(), "A").expect("settling twice is no error");
        tx.settle_retry(other, "A").expect("settle");
    });
    let tx = begin(store);
    assert_eq!(tx.held_retries(&peer(), 10).expect("held"), [retry("B", 1, 20)]);
    assert_eq!(tx.peers_with_held_retries().expect("peers"), [peer()]);
}

/// A message without a stanza waits to be encrypted, as long as it is pending.
pub fn unsealed_messages_are_known(store: &mut dyn ClientStore) {
    let unsealed = |id| OutboxMessage { stanza: Vec::new(), ..outgoing(id) };
    commit(store, |tx| tx.enqueue(&outgoing("sealed")).expect("enqueue"));
    assert!(!begin(store).has_unsealed(&peer()).expect("unsealed"));
    commit(store, |tx| {
        tx.enqueue(&unsealed("A")).expect("enqueue");
        tx.enqueue(&unsealed("B")).expect("enqueue");
    });
    assert!(begin(store).has_unsealed(&peer()).expect("unsealed"));
    assert!(!begin(store).has_unsealed("2@s.whatsapp.net").expect("unsealed"), "to another peer");
    let pending: Vec<_> = begin(store).pending(0, 10).expect("pending");
    assert_eq!(
        pending.iter().map(|entry| entry.message.id.as_str()).collect::<Vec<_>>(),
        ["sealed", "A", "B"]
    );
    commit(store, |tx| {
        tx.replace_stanza(&peer(), "A", b"stanza", Recrypt::NewIdentity).expect("replace");
        tx.advance(&peer(), "B", Progress::Failed { reason: "no keys" }, 5).expect("advance");
    });
    assert!(!begin(store).has_unsealed(&peer()).expect("unsealed"), "one is sealed, one has failed");
}
