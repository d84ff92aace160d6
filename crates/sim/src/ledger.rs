//! The reference model: who wrote what to whom, what was shown, and what has to hold.

use std::collections::{BTreeMap, BTreeSet};

use landbridge::store::OutState;
use landbridge_sandbox::MessageState;

use crate::overtaken::Overtaken;
use crate::trace::Trace;

/// Somebody who writes and reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Party {
    Client(usize),
    Phone(usize),
}

impl std::fmt::Display for Party {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Client(number) => write!(f, "c{number}"),
            Self::Phone(number) => write!(f, "p{number}"),
        }
    }
}

/// What became of the wish to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    /// It was asked for; the answer is not there yet.
    Asked,
    /// Whoever was asked was killed before the answer.
    Unknown,
    /// It was promised.
    Accepted,
    /// It was refused: nothing has happened.
    Refused,
}

/// One message.
#[derive(Debug)]
struct Message {
    from: Party,
    to: Party,
    /// Its place among those of the same sender to the same recipient.
    place: u64,
    id: Option<String>,
    sending: Sending,
    /// A block between the two, or a new installation of its author, may have kept it, or its receipt, from arriving.
    optional: bool,
    /// Its author was set up anew before it had got anywhere.
    may_fail: bool,
    shown: u32,
}

/// Sender, recipient, id.
type Key = (Party, Party, String);

/// See the [module](self).
pub(crate) struct Ledger {
    trace: Trace,
    messages: Vec<Message>,
    by_text: BTreeMap<String, usize>,
    by_id: BTreeMap<Key, usize>,
    /// What senders were told.
    states: BTreeMap<Key, OutState>,
    /// What the stores of senders hold; whoever was killed may not have been told.
    in_store: BTreeMap<Key, OutState>,
    places: BTreeMap<(Party, Party), u64>,
    /// Who is, or may be, blocked by whom, and which block of all that was.
    blocked: BTreeMap<(Party, Party), usize>,
    blocks_asked: usize,
    /// Messages to somebody that are held back from now on.
    holds: BTreeMap<Party, u32>,
    held: BTreeSet<Key>,
    /// Messages that a fault lets come out of order.
    disordered: BTreeSet<String>,
    /// What the server has stored.
    at_server: BTreeSet<Key>,
    /// What was shown since the last look, for the check of the order.
    fresh: Vec<(usize, String)>,
    last_shown: BTreeMap<(Party, Party), u64>,
    last_stored: BTreeMap<(Party, Party), u64>,
    pub(crate) overtaken: Overtaken,
    /// Notices of changed identities that were shown: on whose screen and whose identity, to which notices.
    notices: BTreeMap<(Party, Party), BTreeSet<u64>>,
    /// What each application was handed last.
    handed: BTreeMap<Party, usize>,
    /// What may come once more, for its handling was cut short.
    again: BTreeMap<Party, usize>,
}

impl Ledger {
    pub(crate) fn new(trace: Trace) -> Self {
        Self {
            trace,
            messages: Vec::new(),
            by_text: BTreeMap::new(),
            by_id: BTreeMap::new(),
            states: BTreeMap::new(),
            in_store: BTreeMap::new(),
            places: BTreeMap::new(),
            blocked: BTreeMap::new(),
            blocks_asked: 0,
            holds: BTreeMap::new(),
            held: BTreeSet::new(),
            disordered: BTreeSet::new(),
            at_server: BTreeSet::new(),
            fresh: Vec::new(),
            last_shown: BTreeMap::new(),
            last_stored: BTreeMap::new(),
            overtaken: Overtaken::default(),
            notices: BTreeMap::new(),
            handed: BTreeMap::new(),
            again: BTreeMap::new(),
        }
    }

    /// Somebody wants to write: gives the message's number and its text, which is no other's.
    pub(crate) fn ask(&mut self, from: Party, to: Party) -> (usize, String) {
        let number = self.messages.len();
        let place = self.places.entry((from, to)).or_default();
        *place += 1;
        let place = *place;
        let text = format!("{from} to {to}, {place}: {number}");
        let optional = self.may_be_blocked(from, to);
        self.messages.push(Message {
            from,
            to,
            place,
            id: None,
            sending: Sending::Asked,
            optional,
            may_fail: false,
            shown: 0,
        });
        self.by_text.insert(text.clone(), number);
        (number, text)
    }

    /// The message is promised under an id.
    pub(crate) fn accepted(&mut self, number: usize, id: &str) {
        let Some(message) = self.messages.get_mut(number) else { return };
        message.sending = Sending::Accepted;
        let key = (message.from, message.to, id.to_owned());
        if message.id.replace(id.to_owned()).is_some_and(|old| old != id) {
            self.trace.violation(format!("message {number} was shown with another id than {id}"));
        }
        if self.by_id.insert(key, number).is_some_and(|old| old != number) {
            self.trace.violation(format!("id {id} was given twice"));
        }
    }

    /// Nothing is to come of the message.
    pub(crate) fn refused(&mut self, number: usize) {
        if let Some(message) = self.messages.get_mut(number) {
            message.sending = Sending::Refused;
            if message.shown > 0 {
                self.trace.violation(format!("message {number} was shown and then refused"));
            }
        }
    }

    /// The process of a client was killed.
    pub(crate) fn killed(&mut self, party: Party) {
        for message in &mut self.messages {
            if message.from == party && message.sending == Sending::Asked {
                message.sending = Sending::Unknown;
            }
        }
        if let Some(last) = self.handed.remove(&party) {
            self.again.insert(party, last);
        }
    }

    /// A message is on somebody's screen.
    pub(crate) fn shown(&mut self, on: Party, from: Option<Party>, id: &str, text: &str) {
        let Some(&number) = self.by_text.get(text) else {
            return self.trace.violation(format!("{on} shows what nobody wrote: `{text}` ({id})"));
        };
        let Some(message) = self.messages.get_mut(number) else { return };
        if message.to != on || Some(message.from) != from {
            self.trace.violation(format!("{on} shows message {number}, which is not for it or from another"));
        }
        if message.id.get_or_insert_with(|| id.to_owned()) != id {
            self.trace.violation(format!("message {number} is shown with another id: {id}"));
        }
        let key = (message.from, on, id.to_owned());
        self.by_id.entry(key).or_insert(number);
        if message.sending == Sending::Refused {
            self.trace.violation(format!("message {number} was refused, and {on} shows it"));
        }
        self.handed.insert(on, number);
        let once_more = self.again.get(&on) == Some(&number);
        if message.shown > 0 && once_more {
            self.again.remove(&on);
            return;
        }
        message.shown += 1;
        if message.shown > 1 {
            self.trace.violation(format!("{on} shows message {number} {} times", message.shown));
        }
        self.fresh.push((number, id.to_owned()));
    }

    /// The server has stored a message.
    pub(crate) fn stored(&mut self, from: Party, to: Party, id: &str) {
        self.overtaken.stored(from, to, id);
        let key = (from, to, id.to_owned());
        if !self.at_server.insert(key.clone()) {
            // Encrypted anew.
            return;
        }
        if let Some(left) = self.holds.get_mut(&to)
            && *left > 0
        {
            *left -= 1;
            self.held.insert(key.clone());
        }
        let Some(message) = self.by_id.get(&key).and_then(|number| self.messages.get(*number)) else {
            return;
        };
        let last = self.last_stored.entry((from, to)).or_default();
        if message.place < *last {
            self.trace.violation(format!(
                "{id}: message {} of {from} to {to} reached the server after message {last}",
                message.place
            ));
        }
        *last = message.place.max(*last);
    }

    /// A message may come out of order.
    pub(crate) fn out_of_order(&mut self, id: String) {
        self.disordered.insert(id);
    }

    /// The next messages to somebody are held back.
    pub(crate) fn hold(&mut self, to: Party, count: u32) {
        self.holds.insert(to, count);
    }

    /// A phone was set up anew: what it wrote may not arrive any more, and its identity is another one.
    pub(crate) fn set_up_anew(&mut self, who: Party) {
        self.overtaken.set_up_anew(who);
        for number in 0..self.messages.len() {
            let open = !self.is_done(number);
            if let Some(message) = self.messages.get_mut(number).filter(|message| message.from == who) {
                message.optional |= open;
                message.may_fail |= open;
            }
        }
    }

    /// A client shows a notice that an identity has changed.
    pub(crate) fn notice(&mut self, on: Party, whose: Party, seq: u64) {
        self.notices.entry((on, whose)).or_default().insert(seq);
    }

    /// Checks that nobody takes anybody for changed who is not. After the server's journal was read.
    ///
    /// A message of the identity before that comes late looks like a change back, and there is a notice for that, too.
    pub(crate) fn check_notices(&self) {
        let late = |on: Party, whose: Party| {
            let from_whose = |(from, to, _): &&Key| (*from, *to) == (whose, on);
            let disordered =
                |(from, to, id): &&Key| (*from, *to) == (whose, on) && self.disordered.contains(id);
            self.overtaken.explains(on, whose)
                || self.held.iter().any(|key| from_whose(&key))
                || self.at_server.iter().any(|key| disordered(&key))
        };
        for ((on, whose), shown) in &self.notices {
            let (shown, changes) = (shown.len(), self.overtaken.renewals(*whose));
            if shown > changes && !late(*on, *whose) {
                self.trace.violation(format!("{on} shows {shown} notices of {changes} changes of {whose}"));
            }
        }
    }

    /// The last message that one party has shown of another.
    pub(crate) fn last_shown_id(&self, on: Party, from: Party) -> Option<String> {
        let shown = self
            .messages
            .iter()
            .rev()
            .find(|message| (message.to, message.from) == (on, from) && message.shown > 0);
        shown.and_then(|message| message.id.clone())
    }

    /// Nothing is held back any more.
    pub(crate) fn release(&mut self, to: Party) {
        self.holds.remove(&to);
    }

    /// Checks the order of what was shown since the last time. After the server's journal was read.
    pub(crate) fn check_order(&mut self) {
        for (number, id) in std::mem::take(&mut self.fresh) {
            let Some(message) = self.messages.get(number) else { continue };
            let pair = (message.from, message.to);
            if self.disordered.contains(&id) || self.held.contains(&(message.from, message.to, id)) {
                continue;
            }
            let last = self.last_shown.entry(pair).or_default();
            if message.place < *last {
                self.trace.violation(format!(
                    "{} shows message {} of {} after message {last}",
                    pair.1, message.place, pair.0
                ));
            }
            *last = message.place.max(*last);
        }
    }

    /// A sender was told how far a message has got.
    pub(crate) fn state(&mut self, from: Party, to: Party, id: &str, state: OutState) {
        let old = self.states.insert((from, to, id.to_owned()), state);
        if old.is_some_and(|old| old >= state) {
            self.trace.violation(format!("{from}: message {id} went from {old:?} to {state:?}"));
        }
        let message =
            self.by_id.get(&(from, to, id.to_owned())).and_then(|number| self.messages.get(*number));
        if state == OutState::Failed && !message.is_some_and(|message| message.may_fail) {
            self.trace.violation(format!("{from}: message {id} to {to} failed"));
        }
    }

    /// A phone shows how far a message has got.
    pub(crate) fn phone_state(&mut self, from: Party, to: Party, id: &str, state: MessageState) {
        let state = match state {
            MessageState::Waiting | MessageState::Shown | MessageState::Pending => OutState::Pending,
            MessageState::Sent => OutState::Sent,
            MessageState::Failed => OutState::Failed,
            MessageState::Delivered => OutState::Delivered,
            MessageState::Read => OutState::Read,
            MessageState::Played => OutState::Played,
        };
        let old = self.states.get(&(from, to, id.to_owned())).copied();
        if old != Some(state) {
            self.state(from, to, id, state);
        }
    }

    /// One of two may block the other from now on.
    pub(crate) fn may_block(&mut self, who: Party, whom: Party) {
        self.blocks_asked += 1;
        self.blocked.insert((who, whom), self.blocks_asked);
        let is_pair = |from, to| (from, to) == (who, whom) || (from, to) == (whom, who);
        for number in 0..self.messages.len() {
            let open = !self.is_done(number);
            if let Some(message) = self.messages.get_mut(number)
                && is_pair(message.from, message.to)
            {
                message.optional |= open;
            }
        }
    }

    /// Which block of one by another is the last that was asked for; 0 if there is none.
    pub(crate) fn last_block(&self, who: Party, whom: Party) -> usize {
        self.blocked.get(&(who, whom)).copied().unwrap_or(0)
    }

    /// A block is over; but not if another was asked for since.
    pub(crate) fn unblocked(&mut self, who: Party, whom: Party, block: usize) {
        if self.last_block(who, whom) == block {
            self.blocked.remove(&(who, whom));
        }
    }

    /// Who may be blocked by whom.
    pub(crate) fn blocks(&self) -> Vec<(Party, Party)> {
        self.blocked.keys().copied().collect()
    }

    fn may_be_blocked(&self, one: Party, other: Party) -> bool {
        self.blocked.contains_key(&(one, other)) || self.blocked.contains_key(&(other, one))
    }

    /// Shown once, and its sender knows.
    fn is_done(&self, number: usize) -> bool {
        let Some(message) = self.messages.get(number) else { return true };
        match message.sending {
            Sending::Refused => true,
            Sending::Asked => false,
            // Perhaps there never was one; what is in the sender's store is checked there.
            Sending::Unknown if message.shown == 0 => true,
            Sending::Unknown | Sending::Accepted => {
                message.shown == 1 && self.state_of(message) >= Some(OutState::Delivered)
            }
        }
    }

    /// Messages that are not done and have to be, with what is missing.
    pub(crate) fn open(&self) -> Vec<String> {
        let numbers = 0..self.messages.len();
        let open = numbers.filter(|number| !self.is_done(*number));
        open.filter_map(|number| {
            let message = self.messages.get(number).filter(|message| !message.optional)?;
            let state = self.state_of(message);
            Some(format!(
                "message {number} ({} to {}, id {:?}): {:?}, shown {} times, state {state:?}",
                message.from, message.to, message.id, message.sending, message.shown
            ))
        })
        .collect()
    }

    /// Sender, recipient and id of the messages that were shown and whose senders do not know.
    pub(crate) fn untold(&self) -> Vec<(Party, Party, String)> {
        let numbers = (0..self.messages.len()).filter(|number| !self.is_done(*number));
        let messages = numbers.filter_map(|number| self.messages.get(number));
        messages.filter_map(|message| Some((message.from, message.to, message.id.clone()?))).collect()
    }

    /// The store of a sender says how far a message has got.
    pub(crate) fn state_in_store(&mut self, from: Party, to: Party, id: &str, state: OutState) {
        let key = (from, to, id.to_owned());
        let told = self.states.get(&key).copied();
        if told.is_some_and(|told| told > state) {
            self.trace.violation(format!("{from}: the store has {state:?} for {id}, and {told:?} was told"));
        }
        self.in_store.insert(key, state);
    }

    fn state_of(&self, message: &Message) -> Option<OutState> {
        let key = (message.from, message.to, message.id.clone()?);
        self.states.get(&key).copied().max(self.in_store.get(&key).copied())
    }

    /// How many messages were promised.
    pub(crate) fn promised(&self) -> usize {
        self.messages.iter().filter(|message| message.sending == Sending::Accepted).count()
    }

    /// How many were shown.
    pub(crate) fn shown_once(&self) -> usize {
        self.messages.iter().filter(|message| message.shown == 1).count()
    }
}
