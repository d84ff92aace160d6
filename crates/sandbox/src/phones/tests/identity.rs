//! A peer has a new identity: one notice, whichever way it is learnt, and the talk goes on.

use landbridge_stanza::keys::FetchReason;
use landbridge_store::MemoryStore;
use landbridge_wire::Jid;

use super::super::MessageState;
use super::net::{Net, enc_type};

fn acquainted() -> (Net, Jid, Jid) {
    let (mut net, a, b) = Net::pair();
    net.send(&a, &b, "hello");
    net.settle();
    net.send(&b, &a, "hi");
    net.settle();
    (net, a, b)
}

fn reinstall(net: &mut Net, who: &Jid) {
    net.add_with(who.user_part(), Box::new(MemoryStore::new()));
}

#[test]
fn a_notification_drops_the_session_and_the_next_message_fetches_keys() {
    let (mut net, a, b) = acquainted();
    reinstall(&mut net, &b);
    net.notify_identity(&a, &b);
    net.settle();
    assert_eq!(net.notices(&a), 1);
    net.reasons.clear();
    let id = net.send(&a, &b, "who are you?");
    net.settle();
    assert_eq!(net.reasons, [FetchReason::IdentityChanged]);
    assert_eq!(enc_type(net.sent(&a, "message").last().unwrap()), "pkmsg");
    assert_eq!(net.shown(&b), ["who are you?"]);
    assert_eq!(net.state(&a, &id), MessageState::Delivered);
    assert_eq!(net.notices(&a), 1, "the bundle tells nothing new");
    net.send(&b, &a, "me");
    net.settle();
    assert_eq!((net.notices(&a), net.shown(&a).len()), (1, 2));
    let info =
        net.user(&a).seen.iter().filter(|output| matches!(output, super::super::Output::Trouble(_))).count();
    assert_eq!(info, 0);
}

#[test]
fn a_first_message_under_a_new_identity_opens_with_one_notice() {
    let (mut net, a, b) = acquainted();
    reinstall(&mut net, &b);
    net.send(&b, &a, "new phone");
    net.settle();
    assert_eq!(net.shown(&a), ["hi", "new phone"]);
    assert_eq!(net.notices(&a), 1);
    net.notify_identity(&a, &b);
    net.settle();
    assert_eq!(net.notices(&a), 1, "the notification comes second");
    net.send(&a, &b, "welcome");
    net.settle();
    assert_eq!(net.shown(&b), ["welcome"]);
}

#[test]
fn the_same_identity_again_is_no_change() {
    let (mut net, a, b) = acquainted();
    let mut tx = net.phone(&b).store.begin().unwrap();
    tx.delete_session(&super::super::phone::address(&a)).unwrap();
    tx.commit().unwrap();
    net.send(&b, &a, "new session, same me");
    net.settle();
    assert_eq!(net.shown(&a), ["hi", "new session, same me"]);
    assert_eq!(net.notices(&a), 0);
}

#[test]
fn what_was_not_acked_is_encrypted_for_the_new_identity() {
    let (mut net, a, b) = acquainted();
    net.refuse = Some(landbridge_stanza::codes::MessageErrorCode::ServiceUnavailable);
    let one = net.send(&a, &b, "one");
    let two = net.send(&a, &b, "two");
    net.settle();
    net.refuse = None;
    reinstall(&mut net, &b);
    net.notify_identity(&a, &b);
    net.settle();
    assert_eq!(net.shown(&b), ["one", "two"]);
    assert_eq!(net.state(&a, &one), MessageState::Delivered);
    assert_eq!(net.state(&a, &two), MessageState::Delivered);
    assert_eq!(net.troubles(&b).len(), 0, "nothing had to be asked for");
}

#[test]
fn a_message_to_the_old_identity_is_asked_for_and_arrives() {
    let (mut net, a, b) = acquainted();
    net.send(&a, &b, "in the mail");
    net.settle_without(&b);
    reinstall(&mut net, &b);
    net.settle();
    assert_eq!(net.shown(&b), ["in the mail"]);
    assert_eq!(net.notices(&a), 1, "the keys in the request show the new identity");
}
