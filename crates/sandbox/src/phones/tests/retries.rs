//! Messages that do not open: asked for again, sent again, shown once; and what must not happen on the way.

use landbridge_stanza::message::MessageIn;
use landbridge_stanza::receipt::{ReceiptIn, ReceiptType};
use landbridge_stanza::retry::Retry;
use landbridge_wire::{Jid, Node};

use super::super::{MessageState, Output, phone::address};
use super::net::{Net, damaged, enc_type, profile};

/// Both have a session, in which both have spoken.
fn acquainted() -> (Net, Jid, Jid) {
    let (mut net, a, b) = Net::pair();
    net.send(&a, &b, "hello");
    net.settle();
    net.send(&b, &a, "hi");
    net.settle();
    for who in [&a, &b] {
        net.user(who).seen.clear();
        net.user(who).sent.clear();
    }
    (net, a, b)
}

fn retries(net: &mut Net, who: &Jid) -> Vec<Retry> {
    let receipts = net.sent(who, "receipt");
    let parsed = receipts.iter().map(|node| {
        let node = node.clone().attr("from", landbridge_stanza::server_jid());
        ReceiptIn::from_node(node.view()).unwrap()
    });
    parsed.filter_map(|receipt| receipt.retry).collect()
}

fn lose_session(net: &mut Net, who: &Jid, peer: &Jid) {
    let mut tx = net.phone(who).store.begin().unwrap();
    tx.delete_session(&address(peer)).unwrap();
    tx.commit().unwrap();
}

/// Damages the only message that waits for `who`.
fn damage_mail(net: &mut Net, who: &Jid) {
    let mail = &mut net.user(who).mail[0];
    mail.stanza = damaged(&mail.stanza);
}

#[test]
fn a_damaged_message_is_asked_for_and_takes_the_place_of_its_placeholder() {
    let (mut net, a, b) = acquainted();
    let id = net.send(&a, &b, "precious");
    net.settle_without(&b);
    damage_mail(&mut net, &b);
    net.step(&b);
    assert_eq!(net.state(&b, &id), MessageState::Waiting);
    assert_eq!(net.line(&b, &id).text, None);
    let seq = net.line(&b, &id).seq;
    assert!(matches!(net.user(&b).seen[..], [Output::Trouble(_), Output::Waiting(_)]));
    net.send(&a, &b, "later");
    net.settle();
    assert_eq!(net.state(&b, &id), MessageState::Shown);
    assert_eq!(net.line(&b, &id).seq, seq);
    let mut shown = net.shown(&b);
    shown.sort();
    assert_eq!(shown, ["later", "precious"]);
    assert_eq!(net.state(&a, &id), MessageState::Delivered);

    let asked = retries(&mut net, &b);
    assert_eq!((asked.len(), asked[0].count, asked[0].keys.is_none()), (1, 1, true));
    let again = net.sent(&a, "message")[2].clone();
    assert_eq!(again.view().attr_str("id").as_deref(), Some(id.as_str()));
    assert_eq!(again.view().attr_str("device_fanout").as_deref(), Some("false"));
    assert_eq!(again.view().attr_str("t"), Some(asked[0].t.to_string().into()));
    assert_eq!(again.view().child("enc").unwrap().attr_str("count").as_deref(), Some("1"));
    assert_eq!(net.user(&a).mail.len() + net.user(&b).mail.len(), 0);
}

#[test]
fn a_lost_session_is_healed_by_the_keys_in_the_request() {
    let (mut net, a, b) = acquainted();
    lose_session(&mut net, &b, &a);
    let id = net.send(&a, &b, "precious");
    net.settle();
    assert_eq!(net.shown(&b), ["precious"]);
    assert_eq!(net.state(&a, &id), MessageState::Delivered);
    let asked = retries(&mut net, &b);
    assert_eq!(asked.len(), 1);
    assert!(asked[0].keys.as_ref().unwrap().prekey.is_some(), "keys at once, as there is no session");
    assert_eq!(enc_type(&net.sent(&a, "message")[1]), "pkmsg");
    assert_eq!(net.reasons.len(), 1, "no fetch but the very first");
    net.send(&b, &a, "thanks");
    net.settle();
    assert_eq!(net.shown(&a), ["thanks"]);
}

#[test]
fn a_request_with_another_registration_id_ends_the_session() {
    let (mut net, a, b) = acquainted();
    let id = net.send(&a, &b, "text");
    net.settle_without(&b);
    let request = Retry {
        id: id.parse().unwrap(),
        t: net.now,
        count: 1,
        error: None,
        registration: 0xFFFF_FFFF,
        keys: None,
    };
    let now = net.now;
    let receipt = ReceiptIn {
        retry: Some(request),
        ..ReceiptIn::new(ReceiptType::Retry, b.clone(), id.parse().unwrap(), now)
    };
    net.give(&a, &receipt.to_node(&profile()));
    assert_eq!(net.reasons.len(), 2, "keys are fetched for a new session");
    net.settle();
    assert_eq!(net.shown(&b), ["text"]);
}

#[test]
fn the_second_request_comes_with_keys_and_the_fifth_never() {
    let (mut net, a, b) = acquainted();
    let id = net.send(&a, &b, "cursed");
    net.settle_without(&b);
    let mut copies = 0;
    while !net.user(&b).mail.is_empty() {
        damage_mail(&mut net, &b);
        net.step(&b);
        net.settle_without(&b);
        copies += 1;
        assert!(copies < 20, "it must end");
    }
    let asked = retries(&mut net, &b);
    assert_eq!(asked.iter().map(|retry| retry.count).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(asked.iter().map(|retry| retry.keys.is_some()).collect::<Vec<_>>(), [false, true, true, true]);
    assert_eq!(copies, 5);
    assert_eq!(net.state(&b, &id), MessageState::Waiting);
    assert_eq!(net.state(&a, &id), MessageState::Sent);
    assert_eq!(net.shown(&b).len(), 0);
}

#[test]
fn a_replay_of_an_unreadable_stanza_counts_once() {
    let (mut net, a, b) = acquainted();
    net.send(&a, &b, "precious");
    net.settle_without(&b);
    damage_mail(&mut net, &b);
    let stanza = net.user(&b).mail[0].stanza.clone();
    for _ in 0..3 {
        net.give(&b, &stanza);
    }
    let asked = net.sent(&b, "receipt");
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|request| *request == asked[0]), "the same request again");
    let waits = net.user(&b).seen.iter().filter(|output| matches!(output, Output::Waiting(_))).count();
    assert_eq!(waits, 1);
    net.settle();
    assert_eq!(net.shown(&b), ["precious"]);
}

#[test]
fn a_late_first_copy_after_the_second_is_not_shown_again() {
    let (mut net, a, b) = acquainted();
    net.send(&a, &b, "precious");
    net.settle_without(&b);
    let whole = net.user(&b).mail[0].stanza.clone();
    damage_mail(&mut net, &b);
    net.settle();
    assert_eq!(net.shown(&b), ["precious"]);
    net.give(&b, &whole);
    assert_eq!(net.shown(&b), ["precious"]);
}

#[test]
fn only_the_recipient_can_ask_for_a_message() {
    let (mut net, a, b) = acquainted();
    let thief = net.add("4915112345678");
    net.settle();
    let id = net.send(&a, &b, "secret");
    net.settle();
    let before = net.sent(&a, "message").len();
    let now = net.now;
    let request = |from: &Jid, count| {
        let retry =
            Retry { id: id.parse().unwrap(), t: now, count, error: None, registration: 1, keys: None };
        ReceiptIn {
            retry: Some(retry),
            ..ReceiptIn::new(ReceiptType::Retry, from.clone(), id.parse().unwrap(), now)
        }
        .to_node(&profile())
    };
    net.give(&a, &request(&thief, 1));
    net.give(&a, &request(&b, 6));
    net.give(&a, &request(&b, 0));
    assert_eq!(net.sent(&a, "message").len(), before);
    assert_eq!(net.troubles(&a), ["unknown", "count", "count"]);
    let acks = net.sent(&a, "ack").iter().filter(|ack| ack.to_string().contains(r#"type="retry""#)).count();
    assert_eq!(acks, 3, "acked all the same");
}

#[test]
fn retry_requests_are_answered_five_times_at_most_and_a_repeated_one_alike() {
    let (mut net, a, b) = acquainted();
    let id = net.send(&a, &b, "text");
    net.settle_without(&b);
    let now = net.now;
    let registration = net.user(&b).listed.as_ref().unwrap().registration;
    let ask = |net: &mut Net, count| {
        let retry = Retry { id: id.parse().unwrap(), t: now, count, error: None, registration, keys: None };
        let receipt = ReceiptIn {
            retry: Some(retry),
            ..ReceiptIn::new(ReceiptType::Retry, b.clone(), id.parse().unwrap(), now)
        };
        net.give(&a, &receipt.to_node(&profile()));
        net.settle_without(&b);
    };
    for count in [1, 1, 1, 2, 1] {
        ask(&mut net, count);
    }
    let sent = net.sent(&a, "message");
    assert_eq!(sent.len(), 6);
    assert_eq!((&sent[1], &sent[1], &sent[4]), (&sent[2], &sent[3], &sent[5]));
    assert_ne!(sent[1], sent[4]);
    for count in 3..=9 {
        ask(&mut net, count);
    }
    assert_eq!(net.sent(&a, "message").len(), 9);
    assert_eq!(net.troubles(&a), ["count"; 4]);
    net.settle();
    assert_eq!(net.shown(&b), ["text"]);
}

#[test]
fn a_ciphertext_under_a_second_id_is_dropped_without_a_retry() {
    let (mut net, a, b) = acquainted();
    net.send(&a, &b, "once");
    net.settle_without(&b);
    let stanza = net.user(&b).mail[0].stanza.clone();
    net.settle();
    let mut copy = MessageIn::from_node(stanza.view()).unwrap();
    copy.id = "OTHER".parse().unwrap();
    net.user(&b).sent.clear();
    net.give(&b, &copy.to_node(&profile()));
    assert_eq!(net.shown(&b), ["once"]);
    let sent: Vec<String> = net.user(&b).sent.iter().map(Node::to_string).collect();
    assert_eq!(sent, [format!(r#"<ack id="OTHER" class="message" to="{a}" error="496"/>"#)]);
    assert_eq!(net.troubles(&b), ["duplicate"]);
}
