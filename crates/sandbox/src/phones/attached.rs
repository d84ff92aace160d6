//! A phone at the router: a session like a socket's, only that its stanzas stay in this process.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use landbridge_curve::PublicKey;
use landbridge_proto::message::Message;
use landbridge_stanza::MessageId;
use landbridge_stanza::blocklist::BlockAction;
use landbridge_stanza::chatstate::ChatState;
use landbridge_wire::Jid;
use tokio::sync::watch;

use super::life::Duty;
use super::registry::register;
use super::{
    Direction, Done, MessageState, Output, Phone, PhoneError, PhoneInfo, PhoneMessage, PhoneReceipt, Trouble,
};
use crate::events::{EventKind, Rule};
use crate::faults::Magic;
use crate::router::Session;
use crate::state::{State, lock};

/// Whose sessions a phone has lost.
#[derive(Debug, Default)]
struct Lost {
    with: BTreeSet<Jid>,
    /// It was set up anew.
    with_all: bool,
}

impl Lost {
    fn includes(&self, peer: &Jid) -> bool {
        self.with_all || self.with.contains(peer)
    }
}

/// A phone and its session.
pub(crate) struct Attached {
    pub(super) session: Arc<Session>,
    phone: Mutex<Phone>,
    /// Whether it is connected. Changes while the phone is locked, so that no step is cut in half.
    online: AtomicBool,
    /// Position in the mailbox of the last stanza that it has handled since it was connected.
    pub(super) taken: AtomicI64,
    /// Whether its number behaves in a way of its own.
    pub(super) magic: Option<Magic>,
    /// Ids of messages that were damaged on purpose: that they do not open is nobody's mistake.
    pub(super) damaged: Mutex<BTreeSet<String>>,
    /// Whose sessions the phone has lost: that their messages do not open may be its own mistake.
    lost: Mutex<Lost>,
    /// What the number's behaviour still has to do.
    pub(super) duties: Mutex<VecDeque<Duty>>,
    /// Number of the screen's last change.
    changes: watch::Sender<u64>,
}

impl Attached {
    /// A phone that is away.
    pub(super) fn new(session: Arc<Session>, phone: Phone, magic: Option<Magic>) -> Self {
        Self {
            session,
            changes: watch::Sender::new(phone.last_change()),
            phone: Mutex::new(phone),
            online: AtomicBool::new(false),
            taken: AtomicI64::new(0),
            magic,
            damaged: Mutex::default(),
            lost: Mutex::default(),
            duties: Mutex::default(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Phone> {
        lock(&self.phone)
    }

    pub(crate) fn info(&self) -> Result<PhoneInfo, PhoneError> {
        let info = self.lock().info()?;
        Ok(PhoneInfo { online: self.is_online(), ..info })
    }

    pub(crate) fn is_online(&self) -> bool {
        self.online.load(Ordering::Relaxed)
    }

    /// Connects: offers what the server lacks, sends what waited, and takes what is in the mailbox.
    pub(crate) fn come_online(&self, state: &State) -> Result<(), PhoneError> {
        self.act(state, |phone| {
            if !self.online.swap(true, Ordering::Relaxed) {
                self.taken.store(0, Ordering::Relaxed);
                state.router.attach(&self.session);
            }
            Ok(((), phone.connect()?))
        })?;
        self.session.poke();
        Ok(())
    }

    /// Goes away without a word. What it is told to send waits on its screen, its mailbox at the server.
    pub(crate) fn go_offline(&self, state: &State) {
        let phone = self.lock();
        self.online.store(false, Ordering::Relaxed);
        state.router.detach(&self.session);
        drop(phone);
    }

    /// Sets the phone up anew: another identity, and no session. Everybody who has to know is told.
    pub(crate) fn reinstall(&self, state: &State) -> Result<(), PhoneError> {
        self.act(state, |phone| {
            phone.reinstall(state.now())?;
            lock(&self.lost).with_all = true;
            register(state, phone, self.session.user)?;
            Ok(((), phone.connect()?))
        })
    }

    /// The messages that have changed after change number `after`, and the number of the last change.
    pub(crate) fn messages(&self, after: u64) -> (Vec<PhoneMessage>, u64) {
        self.lock().messages(after)
    }

    /// The number of the screen's last change, as it grows.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Sends a content. The server has accepted it when this returns, unless the phone is away.
    pub(crate) fn send(&self, state: &State, to: &Jid, content: &Message) -> Result<MessageId, PhoneError> {
        self.sent(state, to, |phone| phone.send(to, content, state.now()))
    }

    /// Sends a text, as [`send`](Self::send).
    pub(crate) fn send_text(&self, state: &State, to: &Jid, text: &str) -> Result<MessageId, PhoneError> {
        self.sent(state, to, |phone| phone.send_text(to, text, state.now()))
    }

    /// Sends what the phone makes, as [`send`](Self::send).
    pub(crate) fn sent(
        &self,
        state: &State,
        to: &Jid,
        send: impl FnOnce(&mut Phone) -> Result<(MessageId, Vec<Output>), PhoneError>,
    ) -> Result<MessageId, PhoneError> {
        let (id, line) = self.act_and(state, send, |phone, id| {
            phone.message_line(Direction::Sent, to, id.as_str()).cloned()
        })?;
        match line {
            Some(PhoneMessage { state: MessageState::Failed, failure, .. }) => {
                Err(PhoneError::NotSent { id: id.into_string(), reason: failure.unwrap_or_default() })
            }
            _ => {
                let kind = EventKind::PhoneSent { to: to.to_string(), id: id.to_string() };
                state.note(Some(self.session.connection), Some(&self.session.jid), kind);
                Ok(id)
            }
        }
    }

    /// Reads or plays messages of a chat; `None`: all that are unread.
    pub(crate) fn see(
        &self,
        state: &State,
        peer: &Jid,
        ids: Option<&[MessageId]>,
        done: Done,
    ) -> Result<Vec<MessageId>, PhoneError> {
        self.act(state, |phone| {
            let ids = ids.map_or_else(|| phone.unread(peer), <[_]>::to_vec);
            let out = phone.see(peer, &ids, done, state.now())?;
            Ok((ids, out))
        })
    }

    /// Types, records or stops.
    pub(crate) fn typing(&self, state: &State, peer: &Jid, typing: ChatState) -> Result<(), PhoneError> {
        self.act(state, |phone| Ok(((), vec![phone.typing(peer, typing)?])))
    }

    /// Forgets a session.
    pub(crate) fn lose_session(&self, state: &State, peer: &Jid) -> Result<(), PhoneError> {
        lock(&self.lost).with.insert(peer.clone());
        self.act(state, |phone| Ok(((), phone.lose_session(peer)?)))
    }

    /// Asks for a message once more.
    pub(crate) fn ask_once_more(&self, state: &State, peer: &Jid, id: &MessageId) -> Result<(), PhoneError> {
        self.act(state, |phone| Ok(((), phone.ask_once_more(peer, id)?)))
    }

    /// Changes the block list. The server has answered when this returns.
    pub(crate) fn block(&self, state: &State, whom: &Jid, action: BlockAction) -> Result<(), PhoneError> {
        let ((), blocked) = self.act_and(
            state,
            |phone| Ok(((), phone.set_blocked(whom, action)?)),
            |phone, ()| phone.is_blocked(whom),
        )?;
        if blocked? == (action == BlockAction::Block) { Ok(()) } else { Err(PhoneError::NotBlocked) }
    }

    pub(super) fn act<T>(
        &self,
        state: &State,
        work: impl FnOnce(&mut Phone) -> Result<(T, Vec<Output>), PhoneError>,
    ) -> Result<T, PhoneError> {
        self.act_and(state, work, |_, _| ()).map(|(value, ())| value)
    }

    /// Lets the phone do something, does what it wants done until it wants no more, and then looks at it. The phone is
    /// locked all the while, so that its stanzas reach the router in the order of its steps.
    fn act_and<T, U>(
        &self,
        state: &State,
        work: impl FnOnce(&mut Phone) -> Result<(T, Vec<Output>), PhoneError>,
        look: impl FnOnce(&mut Phone, &T) -> U,
    ) -> Result<(T, U), PhoneError> {
        let mut phone = self.lock();
        let (value, out) = work(&mut phone)?;
        let mut queue = VecDeque::from(out);
        while let Some(output) = queue.pop_front() {
            match output {
                // What waits for a connection is sent again with the next one.
                Output::Send(_) if !self.is_online() => {}
                Output::Send(node) => {
                    for reply in state.handle(&self.session, node.view()).replies {
                        queue.extend(phone.handle(reply.view(), state.now())?);
                    }
                }
                other => self.report(state, other),
            }
        }
        let looked = look(&mut phone, &value);
        let changes = phone.last_change();
        drop(phone);
        self.changes.send_if_modified(|last| std::mem::replace(last, changes) != changes);
        Ok((value, looked))
    }

    /// Writes to the journal.
    fn report(&self, state: &State, output: Output) {
        let (connection, me) = (Some(self.session.connection), &self.session.jid);
        let kind = match output {
            Output::Opened { from, id, kind, verdict, enc, prekey } => {
                let (from, kind) = (from.to_string(), kind.to_owned());
                EventKind::PhoneReceived { from, id, kind, verdict, enc, prekey }
            }
            Output::Heard { from, id, kind } => EventKind::PhoneReceipt { from: from.to_string(), id, kind },
            Output::Trouble(Trouble { id: Some(id), rule: Rule::DECRYPT, .. })
                if lock(&self.damaged).remove(&id) =>
            {
                tracing::debug!(phone = %me, stanza_id = id, "a damaged copy does not open");
                return;
            }
            Output::Trouble(Trouble { peer, id, rule, code, detail }) => {
                let what = id.map(|id| format!(" in {id}")).unwrap_or_default();
                if rule == Rule::DECRYPT && lock(&self.lost).includes(&peer) {
                    let detail = format!("{code}{what}: {detail}; the phone had lost its session");
                    return state.note(connection, Some(&peer), EventKind::Unusual { rule, detail });
                }
                return state.broken(connection, Some(&peer), rule, format!("{code}{what}: {detail}"));
            }
            Output::IdentityChanged { peer, old, new } => {
                let hex = |key: PublicKey| super::phone::hex(key.as_bytes());
                EventKind::PhoneNotice { of: peer.to_string(), old: old.map(hex), new: new.map(hex) }
            }
            Output::Waiting(line) => {
                tracing::debug!(phone = %me, stanza_id = line.id, "a placeholder is shown");
                return;
            }
            Output::Receipt(PhoneReceipt { id, state, .. }) => {
                tracing::debug!(phone = %me, stanza_id = id, ?state, "a message has got further");
                return;
            }
            Output::Shown(line) => {
                tracing::debug!(phone = %me, stanza_id = line.id, kind = line.kind, "a message is shown");
                self.take_on(line);
                return;
            }
            Output::Send(_) => return,
        };
        state.note(connection, Some(me), kind);
    }
}
