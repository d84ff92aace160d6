//! What a phone does by itself: it takes its mail, and what its number or a fault wants it to do.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use landbridge_stanza::blocklist::BlockAction;
use landbridge_stanza::chatstate::{ChatState, ChatStateIn};
use landbridge_wire::{Jid, Node, NodeRef};

use super::{Attached, Direction, PhoneError, PhoneMessage};
use crate::SandboxError;
use crate::db::{Entry, MailClass};
use crate::events::EventKind;
use crate::faults::{self, Fault, Magic};
use crate::router::Ears;
use crate::state::{State, chain, lock};

/// Stanzas that are read from the mailbox at a time.
const PAGE: u32 = 64;
/// How long a phone waits before it sends again what the server has refused for now.
const AGAIN: Duration = Duration::from_secs(1);

/// What a magic number does about a message.
pub(super) enum Duty {
    Answer { to: Jid, text: String },
    Block { whom: Jid },
    Reinstall,
}

/// A phone's life: it looks into its mailbox when there may be something in it, until its session ends.
pub(super) async fn live(state: Arc<State>, phone: Arc<Attached>, mut ears: Ears) {
    loop {
        let again = phone.is_online() && phone.lock().wants_to_send_again();
        tokio::select! {
            biased;
            _ = ears.end.wait_for(Option::is_some) => break,
            () = phone.session.poked() => {}
            Some(stanza) = ears.ephemeral.recv() => {
                phone.hear_typing(&state, stanza.view());
                continue;
            }
            () = tokio::time::sleep(AGAIN), if again => {
                let sent = phone.act(&state, |phone| Ok(((), phone.send_again()?)));
                phone.note_failure(&state, sent);
                continue;
            }
        }
        if phone.magic == Some(Magic::Slow) && phone.has_mail(&state) {
            tokio::select! {
                biased;
                _ = ears.end.wait_for(Option::is_some) => break,
                () = tokio::time::sleep(state.config.fault_times.slow_phone) => {}
            }
        }
        while phone.take_mail(&state) {
            // Others shall have their turn.
            tokio::task::yield_now().await;
        }
        phone.do_duties(&state);
    }
    state.router.detach(&phone.session);
}

impl Attached {
    /// Takes a page of the mailbox. `false` if there was nothing, or it cannot be taken now.
    fn take_mail(&self, state: &State) -> bool {
        let entries = match state.db.read(|tx| tx.mail(self.session.user, self.position(), PAGE)) {
            Ok(entries) => entries,
            Err(error) => {
                state.internal("a phone's mailbox cannot be read", &error);
                return false;
            }
        };
        if entries.is_empty() {
            return false;
        }
        for entry in entries {
            let damaged = self.damage(state, &entry);
            let stanza = damaged.as_ref().unwrap_or(&entry.stanza).view();
            let handled = self.act(state, |phone| {
                if !self.is_online() {
                    return Ok((false, Vec::new()));
                }
                let out = phone.handle(stanza, state.now())?;
                self.taken.store(entry.seq, Ordering::Relaxed);
                Ok((true, out))
            });
            let here = *handled.as_ref().unwrap_or(&false);
            if !self.note_failure(state, handled.map(drop)) || !here {
                // It stays in the mailbox, unacknowledged; the next poke tries again.
                return false;
            }
            self.change_identity_by_chance(state, &entry);
        }
        true
    }

    fn position(&self) -> i64 {
        self.taken.load(Ordering::Relaxed)
    }

    fn has_mail(&self, state: &State) -> bool {
        let mail = state.db.read(|tx| tx.mail(self.session.user, self.position(), 1));
        self.is_online() && mail.is_ok_and(|entries| !entries.is_empty())
    }

    /// In the middle of a chat, the phone is set up anew.
    fn change_identity_by_chance(&self, state: &State, entry: &Entry) {
        if entry.class != MailClass::Message || state.faults.roll(Fault::IdentityChanged).is_none() {
            return;
        }
        let (connection, jid) = (Some(self.session.connection), Some(&self.session.jid));
        let detail = "the phone is set up anew behind this message";
        state.injected(Fault::IdentityChanged, connection, jid, Some(&entry.id), detail);
        let done = self.reinstall(state);
        self.note_failure(state, done);
    }

    /// Somebody types. The screen does not show it; the journal does.
    fn hear_typing(&self, state: &State, stanza: NodeRef<'_>) {
        // What the router passes on has this form.
        let Ok(typing) = ChatStateIn::from_node(stanza) else { return };
        let what = match typing.state {
            ChatState::Composing => "composing",
            ChatState::Recording => "recording",
            ChatState::Paused => "paused",
        };
        let kind = EventKind::PhoneTyping { from: typing.from.to_string(), state: what };
        state.note(Some(self.session.connection), Some(&self.session.jid), kind);
    }

    /// A message that the phone is to ask for again, though it could open it.
    fn damage(&self, state: &State, entry: &Entry) -> Option<Node> {
        if entry.class != MailClass::Message {
            return None;
        }
        let by_number = self.magic == Some(Magic::AsksAgain);
        if !by_number && !state.faults.may(Fault::RetryAsked) {
            return None;
        }
        let damaged = faults::stanza::damaged(entry.stanza.view(), state.profile())?;
        let (id, detail) = (Some(entry.id.as_str()), "the phone gets a damaged copy and asks for it again");
        if by_number {
            state.magic(Magic::AsksAgain, id, detail);
        } else {
            state.faults.roll(Fault::RetryAsked)?;
            let (connection, jid) = (Some(self.session.connection), Some(&self.session.jid));
            state.injected(Fault::RetryAsked, connection, jid, id, detail);
        }
        lock(&self.damaged).insert(entry.id.clone());
        Some(damaged)
    }

    /// Does what the number's behaviour wants done about the messages that were shown.
    fn do_duties(&self, state: &State) {
        let Some(magic) = self.magic.filter(|_| self.is_online()) else { return };
        let failed = |source| SandboxError::Phone { number: magic.number().to_owned(), source };
        loop {
            let Some(duty) = lock(&self.duties).pop_front() else { return };
            let done = match &duty {
                Duty::Answer { to, text } => self.answer(state, magic, to, text),
                Duty::Block { whom } => self.block(state, whom, BlockAction::Block).map_err(failed),
                Duty::Reinstall => self.reinstall_once(state, magic),
            };
            if let Err(error) = done {
                state.magic(magic, None, format!("it could not do its work: {}", chain(&error)));
            }
        }
    }

    /// The first time that this is to be done, also over restarts.
    fn reinstall_once(&self, state: &State, magic: Magic) -> Result<(), SandboxError> {
        const DONE: &str = "magic_reinstalled";
        if state.db.read(|tx| tx.meta(DONE))?.is_some() {
            return Ok(());
        }
        let failed = |source| SandboxError::Phone { number: magic.number().to_owned(), source };
        self.reinstall(state).map_err(failed)?;
        state.magic(magic, None, "the phone is set up anew: its identity is another one");
        state.db.write(|tx| tx.set_meta(DONE, b"1"))
    }

    fn answer(&self, state: &State, magic: Magic, to: &Jid, text: &str) -> Result<(), SandboxError> {
        let answers = magic.answers(text);
        let shuffled = magic == Magic::OutOfOrder;
        if shuffled {
            let count = u32::try_from(answers.len()).unwrap_or(u32::MAX);
            state.hold_messages(to, count, state.faults.seed())?;
        }
        let sent = answers.iter().try_for_each(|text| self.send_text(state, to, text).map(drop));
        if shuffled {
            // If one could not be sent, the others are not to wait for it.
            state.release_messages(to)?;
        }
        sent.map_err(|source| SandboxError::Phone { number: magic.number().to_owned(), source })
    }

    fn note_failure(&self, state: &State, result: Result<(), PhoneError>) -> bool {
        if let Err(error) = &result {
            state.internal("a phone could not go on", error);
        }
        result.is_ok()
    }

    /// Whether the number's behaviour has to do something about a message that is shown.
    pub(super) fn take_on(&self, line: PhoneMessage) {
        let (Some(magic), Ok(peer)) = (self.magic, line.peer.parse::<Jid>()) else { return };
        if line.direction != Direction::Received {
            return;
        }
        let mut duties = lock(&self.duties);
        match line.text {
            _ if magic == Magic::Blocks => duties.push_back(Duty::Block { whom: peer }),
            Some(text) => duties.push_back(Duty::Answer { to: peer, text }),
            None => return,
        }
        if magic == Magic::Reinstalls {
            duties.push_back(Duty::Reinstall);
        }
    }
}
