//! Messages sent.

use super::{begin, commit, outgoing, peer};
use crate::{
    Advanced, ClientStore, OutState, OutboxEntry, OutboxMessage, Progress, Recrypt, StoreError, StoreTx,
};

fn entry(store: &mut dyn ClientStore, id: &str) -> OutboxEntry {
    begin(store).outgoing(&peer(), id).expect("outgoing").expect("stored")
}

/// What is pending comes in the order in which it was stored, whatever its ids and times say.
pub fn outbox_keeps_order(store: &mut dyn ClientStore) {
    for (id, created_at) in [("C", 30), ("A", 20), ("B", 10)] {
        commit(store, |tx| tx.enqueue(&OutboxMessage { created_at, ..outgoing(id) }).expect("enqueue"));
    }
    let twice = begin(store).enqueue(&outgoing("A"));
    assert!(
        matches!(&twice, Err(StoreError::DuplicateMessage { id }) if id == "A"),
        "an id twice: {twice:?}"
    );
    let elsewhere = OutboxMessage { recipient: "2@s.whatsapp.net".into(), ..outgoing("A") };
    commit(store, |tx| tx.enqueue(&elsewhere).expect("the same id to another recipient"));
    commit(store, |tx| tx.advance(&peer(), "A", Progress::Sent, 40).expect("advance"));
    let ids = |store: &mut dyn ClientStore, after, limit| {
        let entries = begin(store).pending(after, limit).expect("pending");
        entries
            .into_iter()
            .map(|entry| (entry.seq, entry.message.recipient, entry.message.id))
            .collect::<Vec<_>>()
    };
    let all = ids(store, 0, 10);
    let expected =
        [(1, peer(), "C".to_owned()), (3, peer(), "B".to_owned()), (4, elsewhere.recipient, "A".to_owned())];
    assert_eq!(all, expected);
    assert_eq!(ids(store, 0, 1), expected[..1]);
    assert_eq!(ids(store, 1, 10), expected[1..]);
}

/// States only move forward, and every order of the same reports ends in the same state with the same times.
pub fn states_end_the_same_in_any_order(store: &mut dyn ClientStore) {
    let unknown = commit(store, |tx| tx.advance(&peer(), "nothing", Progress::Sent, 1).expect("advance"));
    assert_eq!(unknown, Advanced::Unknown);
    let reports = [
        (Progress::Sent, 10),
        (Progress::Failed { reason: "ack error 500" }, 20),
        (Progress::Delivered, 30),
        (Progress::Read, 40),
        (Progress::Played, 50),
    ];
    let mut round = 0;
    for subset in 0..32_usize {
        let chosen: Vec<_> = (0..5).filter(|bit| subset >> bit & 1 == 1).map(|bit| reports[bit]).collect();
        let mut ends: Vec<(OutState, String)> = Vec::new();
        for start in 0..chosen.len().max(1) {
            for reversed in [false, true] {
                round += 1;
                let id = format!("m{round}");
                let mut order = chosen.clone();
                order.rotate_left(start);
                if reversed {
                    order.reverse();
                }
                commit(store, |tx| report_in_order(tx, &id, &order));
                let OutboxEntry { state, times, failure, .. } = entry(store, &id);
                ends.push((state, format!("{times:?} {failure:?}")));
            }
        }
        assert!(ends.windows(2).all(|pair| pair[0] == pair[1]), "the order of {chosen:?} mattered: {ends:?}");
    }
    let first = commit(store, |tx| tx.advance(&peer(), "m1", Progress::Read, 7).expect("advance"));
    assert_eq!(first, Advanced::To { from: OutState::Pending });
    commit(store, |tx| tx.advance(&peer(), "m1", Progress::Read, 8).expect("advance"));
    assert_eq!(entry(store, "m1").times.read, Some(7), "the first report's time stays");
}

fn report_in_order(tx: &mut dyn StoreTx, id: &str, order: &[(Progress<'_>, u64)]) {
    tx.enqueue(&outgoing(id)).expect("enqueue");
    let mut highest = OutState::Pending;
    for (progress, at) in order {
        let (from, to) = (highest, progress.state());
        let advanced = tx.advance(&peer(), id, *progress, *at).expect("advance");
        let expected = if to > from { Advanced::To { from } } else { Advanced::Unchanged };
        assert_eq!(advanced, expected, "{progress:?} after {from:?}");
        highest = from.max(to);
        assert_eq!(tx.outgoing(&peer(), id).expect("outgoing").expect("stored").state, highest);
    }
}

/// The stored bytes come back unchanged until they are replaced on purpose.
pub fn resend_sends_the_same_bytes(store: &mut dyn ClientStore) {
    let every_byte: Vec<u8> = (0..=255).collect();
    let message = OutboxMessage { stanza: every_byte.clone(), plaintext: every_byte, ..outgoing("A") };
    commit(store, |tx| tx.enqueue(&message).expect("enqueue"));
    assert_eq!(begin(store).pending(0, 1).expect("pending")[0].message, message);
    assert_eq!(begin(store).pending(0, 1).expect("pending")[0].message, message, "and again");
    let replace = |store: &mut dyn ClientStore, id: &str, why| {
        commit(store, |tx| tx.replace_stanza(&peer(), id, b"anew", why).expect("replace"))
    };
    assert_eq!(replace(store, "A", Recrypt::NewIdentity), Some(0));
    assert_eq!(replace(store, "A", Recrypt::Retry), Some(1));
    assert_eq!(replace(store, "A", Recrypt::Retry), Some(2));
    assert_eq!(replace(store, "unknown", Recrypt::Retry), None);
    let stored = entry(store, "A");
    assert_eq!((stored.message.stanza.as_slice(), stored.retries), (&b"anew"[..], 2));
    assert_eq!(stored.message.plaintext, message.plaintext, "the content stays for the next retry");
}

/// Content goes once it was read, or once it is old and no longer pending.
pub fn sent_content_can_be_forgotten(store: &mut dyn ClientStore) {
    for (id, created_at, progress) in [
        ("read", 100, Some(Progress::Read)),
        ("old", 10, Some(Progress::Sent)),
        ("sent", 100, Some(Progress::Delivered)),
        ("old pending", 10, None),
    ] {
        commit(store, |tx| {
            tx.enqueue(&OutboxMessage { created_at, ..outgoing(id) }).expect("enqueue");
            if let Some(progress) = progress {
                tx.advance(&peer(), id, progress, 120).expect("advance");
            }
        });
    }
    assert_eq!(commit(store, |tx| tx.forget_sent_content(50).expect("forget")), 2);
    assert_eq!(commit(store, |tx| tx.forget_sent_content(50).expect("forget")), 0);
    for (id, gone) in [("read", true), ("old", true), ("sent", false), ("old pending", false)] {
        let message = entry(store, id).message;
        assert_eq!((message.plaintext.is_empty(), message.stanza.is_empty()), (gone, gone), "{id}");
    }
    assert!(begin(store).enqueue(&outgoing("read")).is_err(), "the id stays taken");
}
