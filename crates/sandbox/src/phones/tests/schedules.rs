//! Random schedules: whatever is delivered when, damaged, repeated or cut short, every message is shown exactly once.

use std::collections::BTreeMap;

use landbridge_wire::Jid;
use proptest::prelude::*;

use super::super::{MessageState, phone::address};
use super::net::{Net, damaged};

/// One thing that happens; the numbers choose among what there is.
#[derive(Debug, Clone)]
enum Happening {
    Send(usize, usize),
    Reply(usize),
    Mail(usize, usize),
    Repeat(usize, usize),
    Damage(usize, usize),
    Reconnect(usize),
    Restart(usize),
    LoseSession(usize, usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    let (who, any) = (0..3_usize, 0..64_usize);
    prop_oneof![
        6 => (who.clone(), 1..3_usize).prop_map(|(who, other)| Happening::Send(who, other)),
        8 => who.clone().prop_map(Happening::Reply),
        12 => (who.clone(), any.clone()).prop_map(|(who, at)| Happening::Mail(who, at)),
        2 => (who.clone(), any.clone()).prop_map(|(who, at)| Happening::Repeat(who, at)),
        1 => (who.clone(), any).prop_map(|(who, at)| Happening::Damage(who, at)),
        1 => who.clone().prop_map(Happening::Reconnect),
        1 => who.clone().prop_map(Happening::Restart),
        1 => (who, 1..3_usize).prop_map(|(who, other)| Happening::LoseSession(who, other)),
    ]
}

struct World {
    net: Net,
    who: Vec<Jid>,
    sent: BTreeMap<Jid, Vec<String>>,
    count: usize,
    /// Copies of each message that were damaged: more than can be asked for would be a loss that nobody can help.
    harmed: BTreeMap<String, usize>,
}

impl World {
    fn new() -> Self {
        let mut net = Net::new();
        let who: Vec<_> =
            ["14155551001", "31612345678", "4915112345678"].map(|number| net.add(number)).into();
        net.settle();
        Self { net, who, sent: BTreeMap::new(), count: 0, harmed: BTreeMap::new() }
    }

    fn happen(&mut self, happening: Happening) {
        let jid = |at: usize| self.who[at % 3].clone();
        match happening {
            Happening::Send(from, other) => {
                let (from, to) = (jid(from), jid(from + other));
                self.count += 1;
                let text = format!("message {}", self.count);
                self.net.send(&from, &to, &text);
                self.sent.entry(to).or_default().push(text);
            }
            Happening::Reply(at) => {
                let who = jid(at);
                if let Some(reply) = self.net.user(&who).replies.pop_front() {
                    self.net.give(&who, &reply);
                }
            }
            Happening::Mail(at, which) => self.mail(&jid(at), which, Copy::Whole),
            Happening::Repeat(at, which) => self.mail(&jid(at), which, Copy::Twice),
            Happening::Damage(at, which) => self.mail(&jid(at), which, Copy::Damaged),
            Happening::Reconnect(at) => self.net.connect(&jid(at)),
            Happening::Restart(at) => self.net.restart(&jid(at)),
            Happening::LoseSession(at, other) => {
                let (who, peer) = (jid(at), jid(at + other));
                let mut tx = self.net.phone(&who).store.begin().unwrap();
                tx.delete_session(&address(&peer)).unwrap();
                tx.commit().unwrap();
            }
        }
    }

    fn mail(&mut self, who: &Jid, which: usize, copy: Copy) {
        let mail = &self.net.user(who).mail;
        if mail.is_empty() {
            return;
        }
        let at = which % mail.len();
        let stanza = mail[at].stanza.clone();
        match copy {
            Copy::Damaged if stanza.view().is("message") => {
                let id = stanza.view().attr_str("id").unwrap().into_owned();
                let harmed = self.harmed.entry(id).or_default();
                if *harmed == 0 && !mail[at].delivered {
                    *harmed += 1;
                    self.net.user(who).mail[at].stanza = damaged(&stanza);
                }
                self.net.deliver(who, at);
            }
            Copy::Twice => {
                self.net.give(who, &stanza);
                if self.net.user(who).mail.get(at).is_some_and(|mail| mail.stanza == stanza) {
                    self.net.deliver(who, at);
                }
            }
            _ => self.net.deliver(who, at),
        }
    }

    fn check(mut self) {
        for _ in 0..2 {
            for who in self.who.clone() {
                self.net.connect(&who);
            }
            self.net.settle();
        }
        for who in self.who.clone() {
            let mut shown = self.net.shown(&who);
            shown.sort();
            let mut sent = self.sent.remove(&who).unwrap_or_default();
            sent.sort();
            assert_eq!(shown, sent, "shown by {who}");
            let lines = self.net.phone(&who).messages(0).0;
            for line in lines {
                let done = matches!(line.state, MessageState::Delivered | MessageState::Shown);
                assert!(done, "{who} {line:?}");
            }
            let user = self.net.user(&who);
            assert_eq!(user.mail.len(), 0, "mail of {who}: {:?}", user.mail);
        }
    }
}

#[derive(PartialEq)]
enum Copy {
    Whole,
    Twice,
    Damaged,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn every_message_is_shown_exactly_once(happenings in prop::collection::vec(happening(), 1..120)) {
        let mut world = World::new();
        for happening in happenings {
            world.happen(happening);
        }
        world.check();
    }
}
