//! What a phone shows, remembers over a restart, and says it has read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use landbridge_store::{ClientStore, MemoryStore, SqliteStore, StoreError, StoreTx};
use landbridge_wire::Jid;

use super::super::{Direction, Done, MessageState, PhoneError};
use super::net::{NOW, Net};

#[test]
fn changes_are_numbered_and_can_be_followed() {
    let (mut net, a, b) = Net::pair();
    let id = net.send(&a, &b, "one");
    let (lines, first) = net.phone(&a).messages(0);
    assert_eq!((lines.len(), first), (1, 1));
    net.settle();
    let (lines, second) = net.phone(&a).messages(first);
    assert_eq!(lines.len(), 1);
    assert_eq!((lines[0].id.as_str(), lines[0].state), (id.as_str(), MessageState::Delivered));
    assert_eq!(net.phone(&a).messages(second).0.len(), 0);
    assert_eq!(net.phone(&a).messages(u64::MAX).0.len(), 1, "a number from before a restart");
}

#[test]
fn reading_tells_the_sender_once_per_256_messages() {
    let (mut net, a, b) = Net::pair();
    for n in 0..300 {
        net.send(&a, &b, &n.to_string());
    }
    net.settle();
    let unread = net.phone(&b).unread(&a);
    assert_eq!(unread.len(), 300);
    net.user(&b).sent.clear();
    let now = net.now;
    let out = net.phone(&b).see(&a, &unread, Done::Read, now).unwrap();
    net.run(&b, out);
    assert_eq!(net.sent(&b, "receipt").len(), 2);
    net.settle();
    assert!(net.phone(&a).messages(0).0.iter().all(|line| line.state == MessageState::Read));
    assert_eq!(net.phone(&b).unread(&a).len(), 0);
    assert_eq!(net.phone(&b).info().unwrap().unread, 0);
}

#[test]
fn a_read_receipt_that_was_not_acked_goes_again() {
    let (mut net, a, b) = Net::pair();
    net.send(&a, &b, "hi");
    net.settle();
    let unread = net.phone(&b).unread(&a);
    let read = |net: &mut Net| {
        let receipts = net.sent(&b, "receipt");
        receipts.iter().filter(|node| node.view().attr_str("type").as_deref() == Some("read")).count()
    };
    let now = net.now;
    let lost = net.phone(&b).see(&a, &unread, Done::Read, now).unwrap();
    drop(lost);
    net.restart(&b);
    assert_eq!(read(&mut net), 1);
    net.settle();
    net.restart(&b);
    assert_eq!(read(&mut net), 1, "the ack has settled it");
    let state = net.phone(&a).messages(0).0[0].state;
    assert_eq!(state, MessageState::Read);
}

#[test]
fn what_is_not_there_cannot_be_read() {
    let (mut net, a, b) = Net::pair();
    let id = "3EB0".parse().unwrap();
    let error = net.phone(&a).see(&b, &[id], Done::Read, NOW).unwrap_err();
    assert!(matches!(error, PhoneError::NoMessage { .. }));
}

#[test]
fn the_screen_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let open = |name: &str| Box::new(SqliteStore::open(dir.path().join(name)).unwrap());
    let mut net = Net::new();
    let (a, b) = (net.add_with("14155551001", open("a.db")), net.add_with("31612345678", open("b.db")));
    net.settle();
    net.send(&a, &b, "one");
    net.settle();
    net.send(&b, &a, "two");
    net.settle();
    let unread = net.phone(&b).unread(&a);
    let out = net.phone(&b).see(&a, &unread, Done::Read, NOW).unwrap();
    net.run(&b, out);
    net.settle();
    let before: Vec<_> = [&a, &b].map(|who| net.phone(who).messages(0).0).into();
    let identity = net.phone(&a).info().unwrap().identity;
    // Files can be opened again only when the phones that hold them are gone.
    let numbers: Vec<Jid> = net.users.keys().cloned().collect();
    let mail: Vec<_> =
        std::mem::take(&mut net.users).into_values().map(|user| (user.listed, user.mail)).collect();
    drop(mail);
    for (jid, file) in numbers.iter().zip(["a.db", "b.db"]) {
        net.add_with(jid.user_part(), open(file));
    }
    let after: Vec<_> = [&a, &b].map(|who| net.phone(who).messages(0).0).into();
    for (before, after) in before.iter().flatten().zip(after.iter().flatten()) {
        assert_eq!(
            (before.seq, before.direction, &before.id, &before.text, before.state),
            (after.seq, after.direction, &after.id, &after.text, after.state),
        );
    }
    assert_eq!(after[0].len(), 2);
    assert_eq!(after[1][0].state, MessageState::Read);
    assert_eq!(net.phone(&a).info().unwrap().identity, identity);
    net.settle();
    net.send(&b, &a, "three");
    net.settle();
    let last = net.phone(&a).messages(0).0.pop().unwrap();
    assert_eq!((last.seq, last.direction, last.text.as_deref()), (3, Direction::Received, Some("three")));
}

#[test]
fn a_store_belongs_to_one_number() {
    let mut net = Net::new();
    let a = net.add("14155551001");
    let store = net.users.remove(&a).unwrap().phone.store;
    let opened = super::super::Phone::open(
        "31612345678",
        "Joe",
        store,
        super::net::rng(4),
        super::net::profile(),
        NOW,
    );
    assert!(matches!(opened, Err(PhoneError::Incomplete { .. })));
}

/// A store that can be told to fail.
struct Moody {
    inner: MemoryStore,
    fails: Arc<AtomicBool>,
}

impl ClientStore for Moody {
    fn begin(&mut self) -> Result<Box<dyn StoreTx + '_>, StoreError> {
        if self.fails.load(Ordering::Relaxed) { Err(StoreError::Full) } else { self.inner.begin() }
    }
}

#[test]
fn without_its_store_a_phone_acknowledges_nothing() {
    let fails = Arc::new(AtomicBool::new(false));
    let mut net = Net::new();
    let a = net.add("14155551001");
    let b = net.add_with("31612345678", Box::new(Moody { inner: MemoryStore::new(), fails: fails.clone() }));
    net.settle();
    let id = net.send(&a, &b, "patience");
    net.settle_without(&b);
    fails.store(true, Ordering::Relaxed);
    let stanza = net.user(&b).mail[0].stanza.clone();
    let now = net.now;
    let error = net.phone(&b).handle(stanza.view(), now).unwrap_err();
    assert!(matches!(error, PhoneError::Store(StoreError::Full)), "{error}");
    assert!(net.phone(&b).send_text(&a, "hi", now).is_err());
    assert_eq!(net.phone(&b).messages(0).0.len(), 0);
    fails.store(false, Ordering::Relaxed);
    net.connect(&b);
    net.settle();
    assert_eq!(net.shown(&b), ["patience"]);
    assert_eq!(net.state(&a, &id), MessageState::Delivered);
}
