//! The phone's own keys, its block list, and bundles that are of no use.

use landbridge_stanza::blocklist::BlockAction;
use landbridge_stanza::codes::IqErrorCode;
use landbridge_stanza::keys::UploadKeys;
use landbridge_stanza::notification::{BlocklistChange, Notification, NotificationEvent};
use landbridge_stanza::{Request, server_jid};
use landbridge_wire::{Jid, Node};

use super::super::MessageState;
use super::net::{NOW, Net, jid, profile};

fn uploads(net: &mut Net, who: &Jid) -> Vec<UploadKeys> {
    let requests = net.sent(who, "iq");
    let mine = requests.iter().filter(|node| node.view().child("skey").is_some());
    mine.map(|node| UploadKeys::from_node(node.view(), &profile()).unwrap()).collect()
}

fn low() -> Node {
    Notification::prekeys_low("low", NOW, 4).to_node(&profile())
}

#[test]
fn the_first_upload_is_what_the_account_lists() {
    let (mut net, a, _) = Net::pair();
    let listed = net.phone(&a).identity().unwrap();
    let first = uploads(&mut net, &a);
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].prekeys.len(), 12);
    assert_eq!((first[0].registration, first[0].identity), (listed.registration, listed.identity));
    assert_eq!(first[0].signed_prekey, listed.signed_prekey);
    net.connect(&a);
    assert_eq!(uploads(&mut net, &a).len(), 1, "nothing new to offer");
}

#[test]
fn a_low_count_is_acked_and_answered_with_a_batch_and_a_lost_answer_mints_none() {
    let (mut net, a, _) = Net::pair();
    net.user(&a).sent.clear();
    net.give(&a, &low());
    net.give(&a, &low());
    let asked = uploads(&mut net, &a);
    assert_eq!((asked.len(), asked[0].prekeys.len()), (1, 50), "one upload at a time");
    assert_eq!(net.sent(&a, "ack").len(), 2);
    // The answer is lost with the connection.
    net.connect(&a);
    let again = uploads(&mut net, &a);
    assert_eq!(again.len(), 2);
    assert_eq!(again[0], again[1], "the same keys again");
    net.settle();
    net.connect(&a);
    assert_eq!(uploads(&mut net, &a).len(), 2);
    assert_eq!(net.user(&a).listed.as_ref().unwrap().prekeys.len(), 62);
}

#[test]
fn a_doubted_view_of_the_keys_is_healed_by_new_ones() {
    let (mut net, a, _) = Net::pair();
    let before = net.user(&a).listed.take().unwrap().prekeys;
    let doubt = Notification::new(server_jid(), "d", "encrypt", NOW, NotificationEvent::CheckDigest);
    net.give(&a, &doubt.to_node(&profile()));
    net.settle();
    let after = &net.user(&a).listed.as_ref().unwrap().prekeys;
    assert_eq!(after.len(), 12);
    assert!(after.iter().all(|key| !before.contains(key)), "some of them may have been given away before");
}

#[test]
fn without_one_time_keys_the_first_message_arrives_too() {
    let (mut net, a, b) = Net::pair();
    net.user(&b).listed.as_mut().unwrap().prekeys.clear();
    net.send(&a, &b, "hello");
    net.settle();
    assert_eq!(net.shown(&b), ["hello"]);
}

#[test]
fn nobody_there_fails_the_message() {
    let (mut net, a, _) = Net::pair();
    let id = net.send(&a, &jid("4915112345678"), "anybody?");
    net.settle();
    assert_eq!(net.state(&a, &id), MessageState::Failed);
    assert_eq!(net.line(&a, &id).failure.as_deref(), Some("no keys: error 404 (item-not-found)"));
}

#[test]
fn trouble_of_the_key_server_lets_the_message_wait() {
    let (mut net, a, b) = Net::pair();
    net.no_keys = Some(IqErrorCode::ServiceUnavailable);
    let id = net.send(&a, &b, "hello");
    net.settle();
    assert_eq!(net.state(&a, &id), MessageState::Pending);
    net.no_keys = None;
    net.send(&a, &b, "again");
    net.settle();
    assert_eq!(net.shown(&b), ["hello", "again"]);
}

#[test]
fn a_bundle_with_a_wrong_signature_is_not_used() {
    let (mut net, a, b) = Net::pair();
    net.user(&b).listed.as_mut().unwrap().signed.signature[5] ^= 1;
    let id = net.send(&a, &b, "hello");
    net.settle();
    assert_eq!(net.state(&a, &id), MessageState::Failed);
    assert_eq!(net.troubles(&a), ["bundle"]);
    assert_eq!(net.shown(&b).len(), 0);
}

fn blocked(net: &mut Net, who: &Jid) -> Vec<String> {
    net.phone(who).info().unwrap().blocked
}

#[test]
fn blocking_takes_over_the_servers_list_and_hides_what_is_on_its_way() {
    let (mut net, a, b) = Net::pair();
    net.send(&b, &a, "before");
    net.settle();
    net.send(&b, &a, "on its way");
    net.settle_without(&a);
    let out = net.phone(&a).set_blocked(&b, BlockAction::Block).unwrap();
    net.run(&a, out);
    net.settle();
    assert_eq!(blocked(&mut net, &a), [b.to_string()]);
    assert_eq!(net.shown(&a), ["before"]);
    assert_eq!(net.user(&a).mail.len(), 0, "acked all the same");
    let out = net.phone(&a).set_blocked(&b, BlockAction::Unblock).unwrap();
    net.run(&a, out);
    net.settle();
    assert_eq!(blocked(&mut net, &a).len(), 0);
    net.send(&b, &a, "after");
    net.settle();
    assert_eq!(net.shown(&a), ["before", "after"]);
}

#[test]
fn a_change_of_an_old_list_is_repeated_on_the_new_one() {
    let (mut net, a, b) = Net::pair();
    // Changed elsewhere, without a notification.
    net.user(&a).blocked.insert("4915112345678@s.whatsapp.net".to_owned());
    net.user(&a).version = 7;
    let out = net.phone(&a).set_blocked(&b, BlockAction::Block).unwrap();
    net.run(&a, out);
    net.settle();
    assert_eq!(blocked(&mut net, &a), ["31612345678@s.whatsapp.net", "4915112345678@s.whatsapp.net"]);
}

#[test]
fn a_notification_changes_the_list_that_it_knows_and_fetches_any_other() {
    let (mut net, a, b) = Net::pair();
    let change = |prev: &str, next: &str| {
        let change = BlocklistChange {
            dhash: Some(next.to_owned()),
            prev_dhash: Some(prev.to_owned()),
            items: vec![(b.clone(), BlockAction::Block)],
        };
        let event = NotificationEvent::Blocklist(change);
        Notification::new(a.clone(), "b", "account_sync", NOW, event).to_node(&profile())
    };
    net.give(&a, &change("v0", "v1"));
    assert_eq!(blocked(&mut net, &a), [b.to_string()]);
    net.give(&a, &change("v5", "v6"));
    net.settle();
    assert_eq!(blocked(&mut net, &a).len(), 0, "the server's list is empty");
}
