//! What a phone's user does with messages, and what happens to a phone.

use landbridge_proto::content;
use landbridge_proto::message::MessageKey;
use landbridge_stanza::MessageId;
use landbridge_wire::Jid;

use super::super::{Direction, Garbage, MessageState, PhoneError};
use super::net::{NOW, Net};

type Trick = fn(&mut super::super::Phone, &Jid, &MessageId) -> Result<Vec<super::super::Output>, PhoneError>;

fn acquainted() -> (Net, Jid, Jid, String) {
    let (mut net, a, b) = Net::pair();
    let id = net.send(&a, &b, "Lunch tomorrow?");
    net.settle();
    (net, a, b, id)
}

/// Lets a phone do something about a message, and settles.
fn about(net: &mut Net, who: &Jid, peer: &Jid, id: &str, trick: Trick) {
    let out = trick(net.phone(who), peer, &id.parse().unwrap()).unwrap();
    net.run(who, out);
    net.settle();
}

fn reaction(net: &mut Net, who: &Jid, id: &str, by: Direction) -> Option<String> {
    net.line(who, id).reactions.get(&by).map(|reaction| reaction.emoji.clone())
}

#[test]
fn a_reply_quotes_the_message_of_either_side() {
    let (mut net, a, b, id) = acquainted();
    about(&mut net, &b, &a, &id, |phone, peer, id| Ok(phone.reply(peer, id, "Yes, at noon", NOW)?.1));
    let answer = net.phone(&a).messages(0).0.pop().unwrap();
    assert_eq!((answer.text.as_deref(), answer.about.as_deref()), (Some("Yes, at noon"), Some(id.as_str())));
    // The phone's own message can be quoted, too.
    about(&mut net, &a, &b, &id, |phone, peer, id| Ok(phone.reply(peer, id, "I mean today", NOW)?.1));
    let more = net.phone(&b).messages(0).0.pop().unwrap();
    assert_eq!((more.text.as_deref(), more.about.as_deref()), (Some("I mean today"), Some(id.as_str())));
    assert_eq!((net.troubles(&a).len(), net.troubles(&b).len()), (0, 0));
}

#[test]
fn a_reaction_is_shown_at_its_message_until_it_is_taken_back() {
    let (mut net, a, b, id) = acquainted();
    about(&mut net, &b, &a, &id, |phone, peer, id| Ok(phone.react(peer, id, "👍", NOW)?.1));
    assert_eq!(reaction(&mut net, &a, &id, Direction::Received).as_deref(), Some("👍"));
    assert_eq!(reaction(&mut net, &b, &id, Direction::Sent).as_deref(), Some("👍"));
    about(&mut net, &a, &b, &id, |phone, peer, id| Ok(phone.react(peer, id, "😂", NOW)?.1));
    about(&mut net, &b, &a, &id, |phone, peer, id| Ok(phone.react(peer, id, "", NOW + 2)?.1));
    // One that was made before, and comes late.
    about(&mut net, &b, &a, &id, |phone, peer, id| Ok(phone.react(peer, id, "🙏", NOW + 1)?.1));
    assert_eq!(reaction(&mut net, &a, &id, Direction::Received).as_deref(), Some(""));
    assert_eq!(reaction(&mut net, &a, &id, Direction::Sent).as_deref(), Some("😂"));
    assert_eq!(reaction(&mut net, &b, &id, Direction::Received).as_deref(), Some("😂"));
    assert_eq!((net.troubles(&a).len(), net.troubles(&b).len()), (0, 0));
}

#[test]
fn only_the_author_edits_and_takes_back() {
    let (mut net, a, b, id) = acquainted();
    about(&mut net, &a, &b, &id, |phone, peer, id| Ok(phone.edit(peer, id, "Dinner?", NOW)?.1));
    let line = net.line(&b, &id);
    assert_eq!(
        (line.text.as_deref(), line.edited_ms, line.revoked),
        (Some("Dinner?"), Some(NOW as i64 * 1_000), false)
    );
    assert_eq!(net.line(&a, &id).text.as_deref(), Some("Dinner?"));
    let theirs = id.parse().unwrap();
    let edit = net.phone(&b).edit(&a, &theirs, "Never", NOW).unwrap_err();
    let revoke = net.phone(&b).revoke(&a, &theirs, NOW).unwrap_err();
    assert!(
        matches!((&edit, &revoke), (PhoneError::NoMessage { .. }, PhoneError::NoMessage { .. })),
        "{edit}"
    );
    about(&mut net, &a, &b, &id, |phone, peer, id| Ok(phone.revoke(peer, id, NOW)?.1));
    about(&mut net, &a, &b, &id, |phone, peer, id| Ok(phone.edit(peer, id, "too late", NOW + 9)?.1));
    for who in [&a, &b] {
        let line = net.line(who, &id);
        assert_eq!((line.text.as_deref(), line.revoked), (None, true));
    }
    assert_eq!((net.troubles(&a).len(), net.troubles(&b).len()), (0, 0));
}

#[test]
fn what_is_said_about_a_message_waits_for_it_and_survives_a_restart() {
    let (mut net, a, b, _) = acquainted();
    let now = net.now;
    let (id, out) = net.phone(&a).send_text(&b, "late", now).unwrap();
    net.run(&a, out);
    for (text, revoked) in [("later", None), ("latest", Some(()))] {
        let key = MessageKey::own(b.to_string(), id.as_str());
        let said = match revoked {
            None => content::edit(key, content::text(text), 5),
            Some(()) => content::react(MessageKey::own(b.to_string(), id.as_str()), "👀", 6),
        };
        let (_, out) = net.phone(&a).send(&b, &said, now).unwrap();
        net.run(&a, out);
    }
    // The edit and the reaction overtake the message.
    let mail = net.user(&b).mail.len();
    // What is acked has left the mailbox.
    for at in [mail - 2, mail - 2, mail - 3] {
        net.deliver(&b, at);
    }
    net.settle();
    for _ in 0..2 {
        let line = net.line(&b, id.as_str());
        assert_eq!((line.text.as_deref(), line.edited_ms), (Some("later"), Some(5)));
        assert_eq!(line.reactions[&Direction::Received].emoji, "👀");
        net.restart(&b);
    }
}

#[test]
fn played_is_more_than_read() {
    let (mut net, a, b, id) = acquainted();
    for (done, state) in
        [(super::super::Done::Played, MessageState::Played), (super::super::Done::Read, MessageState::Played)]
    {
        let out = net.phone(&b).see(&a, &[id.parse().unwrap()], done, NOW).unwrap();
        net.run(&b, out);
        net.settle();
        assert_eq!((net.line(&b, &id).state, net.state(&a, &id)), (state, state));
    }
    net.restart(&b);
    assert_eq!(net.line(&b, &id).state, MessageState::Played);
}

#[test]
fn a_lost_session_costs_a_retry_and_nothing_else() {
    let (mut net, a, b, _) = acquainted();
    net.send(&b, &a, "hi");
    net.settle();
    let out = net.phone(&b).lose_session(&a).unwrap();
    assert_eq!(out.len(), 0);
    let id = net.send(&a, &b, "are you there?");
    net.settle();
    assert_eq!((net.state(&a, &id), net.troubles(&b)), (MessageState::Delivered, vec!["no_session"]));
    assert_eq!(net.line(&b, &id).text.as_deref(), Some("are you there?"));
    assert_eq!(net.notices(&a), 0, "its identity is the same");
}

#[test]
fn a_message_can_be_asked_for_five_times_more() {
    let (mut net, a, b, id) = acquainted();
    for _ in 0..5 {
        about(&mut net, &b, &a, &id, |phone, peer, id| phone.ask_once_more(peer, id));
    }
    let error = net.phone(&b).ask_once_more(&a, &id.parse().unwrap()).unwrap_err();
    assert!(matches!(error, PhoneError::AskedOften { most: 5, .. }), "{error}");
    let copies = net.sent(&a, "message").len();
    assert_eq!((copies, net.shown(&b)), (6, vec!["Lunch tomorrow?".to_owned()]));
    net.send(&a, &b, "next");
    net.settle();
    assert_eq!(net.shown(&b).last().unwrap(), "next");
}

#[test]
fn another_installation_keeps_the_history_and_no_key() {
    let (mut net, a, b, id) = acquainted();
    let before = net.phone(&b).info().unwrap();
    net.phone(&b).reinstall(NOW).unwrap();
    let after = net.phone(&b).info().unwrap();
    assert_ne!(after.identity, before.identity);
    assert_eq!((after.messages, net.line(&b, &id).text.as_deref()), (1, Some("Lunch tomorrow?")));
    net.user(&b).listed = None;
    net.connect(&b);
    net.settle();
    // It is known to nobody yet: what comes under the old session is asked for.
    let id = net.send(&a, &b, "still you?");
    net.settle();
    assert_eq!((net.state(&a, &id), net.notices(&a)), (MessageState::Delivered, 1));
    net.send(&b, &a, "yes");
    net.settle();
    assert_eq!(net.shown(&a), ["yes"]);
}

#[test]
fn what_was_not_sent_has_failed_after_another_installation() {
    let (mut net, a, b) = Net::pair();
    let now = net.now;
    // Its keys never come.
    let (id, _) = net.phone(&a).send_text(&b, "unsent", now).unwrap();
    assert_eq!(net.state(&a, id.as_str()), MessageState::Pending);
    net.phone(&a).reinstall(NOW).unwrap();
    let line = net.line(&a, id.as_str());
    assert_eq!((line.state, line.failure.is_some()), (MessageState::Failed, true));
    net.user(&a).listed = None;
    net.connect(&a);
    net.settle();
    assert_eq!(net.shown(&b).len(), 0);
}

#[test]
fn garbage_is_named_by_its_rule_and_the_chat_goes_on() {
    let (mut net, a, b, _) = acquainted();
    for (garbage, trouble) in
        [(Garbage::Ciphertext, "bad_mac"), (Garbage::Padding, "D1"), (Garbage::Content, "V13")]
    {
        let (id, out) = net.phone(&a).send_garbage(&b, garbage, NOW).unwrap();
        net.run(&a, out);
        net.settle();
        assert_eq!(net.troubles(&b).last(), Some(&trouble));
        if garbage == Garbage::Ciphertext {
            assert_eq!(net.state(&a, id.as_str()), MessageState::Delivered, "the second copy is good");
        }
    }
    let (_, out) = net.phone(&a).send_garbage(&b, Garbage::Protobuf, NOW).unwrap();
    net.run(&a, out);
    net.settle();
    assert!(net.troubles(&b).last().unwrap().starts_with('P'));
    net.send(&a, &b, "sorry");
    net.settle();
    assert_eq!(net.shown(&b).last().unwrap(), "sorry");
    assert_eq!("ciphertext".parse(), Ok(Garbage::Ciphertext));
    assert!("nothing".parse::<Garbage>().is_err());
}
