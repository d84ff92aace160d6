//! Messages that arrive, once and in order, and what their senders hear of them.

use landbridge_stanza::codes::MessageErrorCode;
use landbridge_stanza::liveness::ServerPing;
use landbridge_wire::{Jid, Node};

use super::super::{MessageState, Phone, PhoneError};
use super::net::{NOW, Net, enc_type, jid, profile, rng};

#[test]
fn a_first_message_fetches_keys_begins_a_session_and_is_delivered() {
    let (mut net, a, b) = Net::pair();
    let id = net.send(&a, &b, "Hello");
    assert_eq!(net.state(&a, &id), MessageState::Pending);
    net.settle();
    assert_eq!(net.shown(&b), ["Hello"]);
    assert_eq!(net.state(&a, &id), MessageState::Delivered);
    let sent = net.sent(&a, "message");
    assert_eq!(sent.len(), 1);
    assert_eq!(enc_type(&sent[0]), "pkmsg");
    assert_eq!(net.reasons.len(), 1, "one fetch");
    assert_eq!(net.phone(&b).store.begin().unwrap().prekey_counts().unwrap().used, 1);
    assert_eq!(net.user(&b).mail.len(), 0, "receipts took everything out of the mailbox");
}

#[test]
fn a_conversation_turns_to_msg_after_the_first_answer() {
    let (mut net, a, b) = Net::pair();
    for round in 0..5 {
        net.send(&a, &b, &format!("ping {round}"));
        net.settle();
        net.send(&b, &a, &format!("pong {round}"));
        net.settle();
    }
    assert_eq!(net.shown(&b).len(), 5);
    assert_eq!(net.shown(&a), ["pong 0", "pong 1", "pong 2", "pong 3", "pong 4"]);
    let kinds: Vec<_> = net.sent(&a, "message").iter().map(enc_type).collect();
    assert_eq!(kinds, ["pkmsg", "msg", "msg", "msg", "msg"]);
    assert!(net.sent(&b, "message").iter().all(|message| enc_type(message) == "msg"));
    assert_eq!(net.troubles(&a), [""; 0]);
}

#[test]
fn what_is_written_while_keys_are_fetched_follows_in_order() {
    let (mut net, a, b) = Net::pair();
    let texts: Vec<_> = (0..7).map(|n| format!("text {n}")).collect();
    for text in &texts {
        net.send(&a, &b, text);
    }
    assert_eq!(net.sent(&a, "message").len(), 0);
    net.settle();
    assert_eq!(net.reasons.len(), 1, "one fetch for all");
    assert_eq!(net.shown(&b), texts);
}

#[test]
fn both_begin_at_once_and_come_together() {
    let (mut net, a, b) = Net::pair();
    net.send(&a, &b, "from a");
    net.send(&b, &a, "from b");
    net.settle();
    for round in 0..3 {
        net.send(&a, &b, &format!("a{round}"));
        net.send(&b, &a, &format!("b{round}"));
        net.settle();
    }
    assert_eq!(net.shown(&b), ["from a", "a0", "a1", "a2"]);
    assert_eq!(net.shown(&a), ["from b", "b0", "b1", "b2"]);
    assert_eq!(net.troubles(&a).len() + net.troubles(&b).len(), 0);
}

#[test]
fn order_does_not_matter() {
    let (mut net, a, b) = Net::pair();
    net.send(&a, &b, "first");
    net.settle();
    net.send(&b, &a, "answer");
    net.settle();
    for n in 0..6 {
        net.send(&a, &b, &n.to_string());
    }
    net.settle_without(&b);
    assert_eq!(net.user(&b).mail.len(), 6);
    for at in (0..6).rev() {
        net.deliver(&b, at);
    }
    net.settle();
    assert_eq!(net.shown(&b), ["first", "5", "4", "3", "2", "1", "0"]);
    assert_eq!(net.troubles(&b).len(), 0);
}

#[test]
fn a_stanza_that_comes_again_gets_its_receipt_again_and_is_shown_once() {
    let (mut net, a, b) = Net::pair();
    net.send(&a, &b, "once");
    net.settle_without(&b);
    let stanza = net.user(&b).mail[0].stanza.clone();
    for _ in 0..3 {
        net.give(&b, &stanza);
    }
    assert_eq!(net.shown(&b), ["once"]);
    assert_eq!(net.sent(&b, "receipt").len(), 3);
}

#[test]
fn a_restart_before_the_ack_sends_the_same_bytes_again() {
    let (mut net, a, b) = Net::pair();
    net.send(&a, &b, "first");
    net.settle();
    net.send(&a, &b, "second");
    let before = net.sent(&a, "message");
    net.restart(&a);
    let after = net.sent(&a, "message");
    assert_eq!(after.len(), before.len() + 1);
    assert_eq!(after.last(), before.last());
    net.settle();
    assert_eq!(net.shown(&b), ["first", "second"]);
}

#[test]
fn a_restart_while_keys_are_fetched_loses_nothing() {
    let (mut net, a, b) = Net::pair();
    net.send(&a, &b, "one");
    net.send(&a, &b, "two");
    net.restart(&a);
    net.send(&a, &b, "three");
    net.settle();
    assert_eq!(net.shown(&b), ["one", "two", "three"]);
}

#[test]
fn a_refused_message_fails_and_trouble_of_the_server_does_not() {
    let (mut net, a, b) = Net::pair();
    net.refuse = Some(MessageErrorCode::Forbidden);
    let failed = net.send(&a, &b, "no");
    net.settle();
    assert_eq!(net.state(&a, &failed), MessageState::Failed);
    assert_eq!(net.line(&a, &failed).failure.as_deref(), Some("ack error 403"));

    net.refuse = Some(MessageErrorCode::ServiceUnavailable);
    let waits = net.send(&a, &b, "later");
    net.settle();
    assert_eq!(net.state(&a, &waits), MessageState::Pending);
    net.refuse = None;
    net.connect(&a);
    net.settle();
    assert_eq!(net.state(&a, &waits), MessageState::Delivered);
    assert_eq!(net.shown(&b), ["later"]);
}

#[test]
fn what_cannot_be_sent_is_refused_and_changes_nothing() {
    let (mut net, a, b) = Net::pair();
    let long = "x".repeat(65_537);
    for (to, text) in [(&b, ""), (&b, long.as_str())] {
        let error = net.phone(&a).send_text(to, text, NOW).unwrap_err();
        assert!(matches!(error, PhoneError::Text { .. }), "{error}");
    }
    for to in [a.clone(), Jid::group("12345"), Jid::server("s.whatsapp.net"), b.with_device(3)] {
        let error = net.phone(&a).send_text(&to, "hi", NOW).unwrap_err();
        assert!(matches!(error, PhoneError::Recipient { .. }), "{error}");
    }
    assert_eq!(net.phone(&a).messages(0).0.len(), 0);
}

#[test]
fn a_number_has_5_to_15_digits() {
    for number in ["", "1234", "0123456789", "+14155551001", "1415555100x", "1234567890123456"] {
        let store = Box::new(landbridge_store::MemoryStore::new());
        let opened = Phone::open(number, "Joe", store, rng(1), profile(), NOW);
        assert!(matches!(opened, Err(PhoneError::Number)), "{number}");
    }
}

#[test]
fn pings_are_answered_and_strange_stanzas_acked() {
    let (mut net, a, _) = Net::pair();
    let mut answer = |node: &Node| {
        net.user(&a).sent.clear();
        net.give(&a, node);
        net.user(&a).sent.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let ping = ServerPing::new("p-1").to_node(&profile());
    assert_eq!(answer(&ping), [r#"<iq to="@s.whatsapp.net" type="result" id="p-1"/>"#]);
    let strange = Node::new("call").attr("from", jid("31612345678")).attr("id", "c-1");
    assert_eq!(answer(&strange), [r#"<ack id="c-1" class="call" to="31612345678@s.whatsapp.net"/>"#]);
    let strange = Node::new("surprise").attr("from", jid("31612345678")).attr("id", "s-1");
    let ack = r#"<ack id="s-1" class="surprise" to="31612345678@s.whatsapp.net" error="488"/>"#;
    assert_eq!(answer(&strange), [ack]);
    let question = Node::new("iq")
        .attr("from", Jid::server("s.whatsapp.net"))
        .attr("id", "q")
        .attr("type", "get")
        .attr("xmlns", "odd");
    assert!(answer(&question)[0].contains(r#"code="501""#));
    // Without a time this is no message.
    let broken = Node::new("message").attr("from", jid("31612345678")).attr("id", "m-1").attr("type", "text");
    assert!(answer(&broken)[0].contains(r#"error="487""#));
    assert_eq!(net.troubles(&a), ["stanza"]);
}
