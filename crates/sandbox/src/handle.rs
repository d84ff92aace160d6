//! What the control API, the command line and tests do with a sandbox.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use landbridge_curve::PublicKey;
use landbridge_enlist::{IntegratorId, UserIdentifier};
use landbridge_proto::message::Message;
use landbridge_stanza::MessageId;
use landbridge_stanza::blocklist::BlockAction;
use landbridge_wire::Jid;

use crate::events::Event;
use crate::faults::{Fault, FaultReport, Probability};
use crate::partners::Partners;
use crate::state::State;
use crate::{
    Calm, Clock, EnlistKeys, Enlisted, PhoneError, PhoneInfo, PhoneMessage, SandboxError, Trace, UserInfo,
    phones,
};

/// A handle on a sandbox. Clones are handles on the same one.
#[derive(Clone)]
pub struct SandboxHandle {
    state: Arc<State>,
}

impl std::fmt::Debug for SandboxHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SandboxHandle").finish_non_exhaustive()
    }
}

impl SandboxHandle {
    pub(crate) fn new(state: Arc<State>) -> Self {
        Self { state }
    }

    pub(crate) fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// The root of the chat server's certificates, for clients to pin.
    pub fn root_key(&self) -> PublicKey {
        self.state.root_key
    }

    /// The partners and their key sets.
    pub fn partners(&self) -> &Partners {
        &self.state.partners
    }

    // Test phones.

    /// Makes a test phone: a WhatsApp user with keys and a store of its own. `number` has 5 to 15 digits. Must be called
    /// within a tokio runtime.
    ///
    /// # Errors
    /// [`PhoneError::Number`], [`PhoneError::Exists`], or a failure of its store.
    pub fn create_phone(&self, number: &str, name: &str) -> Result<PhoneInfo, SandboxError> {
        phones::create(&self.state, number, name).map_err(|source| failed(number, source))
    }

    /// All test phones, in the order of their numbers.
    ///
    /// # Errors
    /// A phone's store fails.
    pub fn phones(&self) -> Result<Vec<PhoneInfo>, SandboxError> {
        let info = |phone: &Arc<phones::Attached>| phone.info().map_err(|source| failed("", source));
        self.state.phones.all().iter().map(info).collect()
    }

    /// One test phone.
    ///
    /// # Errors
    /// No such phone, or its store fails.
    pub fn phone_info(&self, number: &str) -> Result<PhoneInfo, SandboxError> {
        self.phone(number)?.info().map_err(|source| failed(number, source))
    }

    /// Lets a phone write a text. `to` is an address (`1-108@interop`), the user-visible identifier of an enlisted user or
    /// the number of another phone. The message is encrypted, stored and accepted by the server when this returns.
    ///
    /// # Errors
    /// [`PhoneError`]: no such phone or recipient, a text that is too long, no keys, or the server refuses it.
    pub fn phone_send_text(&self, number: &str, to: &str, text: &str) -> Result<MessageId, SandboxError> {
        let (phone, to) = self.phone_and_user(number, to)?;
        phone.send_text(&self.state, &to, text).map_err(|source| failed(number, source))
    }

    /// As [`phone_send_text`](Self::phone_send_text), with any content, also one that breaks rules.
    ///
    /// # Errors
    /// The same.
    pub fn phone_send(&self, number: &str, to: &str, content: &Message) -> Result<MessageId, SandboxError> {
        let (phone, to) = self.phone_and_user(number, to)?;
        phone.send(&self.state, &to, content).map_err(|source| failed(number, source))
    }

    /// What a phone shows: received and sent messages, in order.
    ///
    /// # Errors
    /// No such phone.
    pub fn phone_messages(&self, number: &str) -> Result<Vec<PhoneMessage>, SandboxError> {
        Ok(self.phone_changes(number, 0)?.0)
    }

    /// The messages of a phone that have changed after change number `after`, in the order of its screen, and the number
    /// of its last change. A number that was not reached, from before a restart, stands for 0.
    ///
    /// # Errors
    /// No such phone.
    pub fn phone_changes(&self, number: &str, after: u64) -> Result<(Vec<PhoneMessage>, u64), SandboxError> {
        Ok(self.phone(number)?.messages(after))
    }

    /// The number of a phone's last change, as it grows. Ends with the sandbox.
    ///
    /// # Errors
    /// No such phone.
    pub fn watch_phone(&self, number: &str) -> Result<tokio::sync::watch::Receiver<u64>, SandboxError> {
        Ok(self.phone(number)?.changes())
    }

    /// Lets a phone say that it has read a message.
    ///
    /// # Errors
    /// No such phone, user or message.
    pub fn phone_read(&self, number: &str, from: &str, id: &MessageId) -> Result<(), SandboxError> {
        let (phone, from) = self.phone_and_user(number, from)?;
        let read = phone.read(&self.state, &from, Some(std::slice::from_ref(id)));
        read.map(drop).map_err(|source| failed(number, source))
    }

    /// Lets a phone say that it has read everything of a chat, and gives the ids.
    ///
    /// # Errors
    /// No such phone or user.
    pub fn phone_read_all(&self, number: &str, from: &str) -> Result<Vec<MessageId>, SandboxError> {
        let (phone, from) = self.phone_and_user(number, from)?;
        phone.read(&self.state, &from, None).map_err(|source| failed(number, source))
    }

    /// Lets a phone block or unblock somebody.
    ///
    /// # Errors
    /// No such phone or user, or the server refuses it.
    pub fn phone_block(&self, number: &str, whom: &str, action: BlockAction) -> Result<(), SandboxError> {
        let (phone, whom) = self.phone_and_user(number, whom)?;
        phone.block(&self.state, &whom, action).map_err(|source| failed(number, source))
    }

    fn phone(&self, number: &str) -> Result<Arc<phones::Attached>, SandboxError> {
        self.state.phones.get(number).ok_or_else(|| failed(number, PhoneError::NoSuchPhone))
    }

    fn phone_and_user(&self, number: &str, user: &str) -> Result<(Arc<phones::Attached>, Jid), SandboxError> {
        let phone = self.phone(number)?;
        let user = self.resolve(user)?.ok_or_else(|| failed(number, PhoneError::NoSuchUser))?;
        Ok((phone, user))
    }

    /// Ends all phones and waits for them.
    pub(crate) async fn stop_phones(&self) {
        self.state.phones.stop().await;
    }

    /// The address behind an address or an identifier.
    fn resolve(&self, name: &str) -> Result<Option<Jid>, SandboxError> {
        if let Ok(jid) = name.parse::<Jid>()
            && self.state.live_user(&jid)?.is_some()
        {
            return Ok(Some(jid));
        }
        let number = Jid::user(name.strip_prefix('+').unwrap_or(name));
        self.state.summon(&number)?;
        if self.state.phones.get(name).is_some() {
            return Ok(Some(number));
        }
        let named = self.users()?.into_iter().find(|user| user.identifier.as_deref() == Some(name));
        Ok(named.and_then(|user| user.jid.parse().ok()))
    }

    // Delivery.

    /// Holds back the next `count` messages to a user, who is named as in [`phone_send_text`](Self::phone_send_text). They
    /// are acked and stored as ever; when the last one is there, all are delivered in an order that `seed` decides and that
    /// is not the order in which they were sent.
    ///
    /// # Errors
    /// [`SandboxError::NoSuchUser`], or the database fails.
    pub fn hold_messages(&self, to: &str, count: u32, seed: u64) -> Result<(), SandboxError> {
        let to = self.resolve(to)?.ok_or(SandboxError::NoSuchUser)?;
        self.state.hold_messages(&to, count, seed)
    }

    /// Delivers what is held back for a user, and holds back nothing more.
    ///
    /// # Errors
    /// [`SandboxError::NoSuchUser`], or the database fails.
    pub fn release_messages(&self, to: &str) -> Result<(), SandboxError> {
        let to = self.resolve(to)?.ok_or(SandboxError::NoSuchUser)?;
        self.state.release_messages(&to)
    }

    // Users.

    /// All accounts, phones among them, in the order of their making.
    ///
    /// # Errors
    /// The database fails.
    pub fn users(&self) -> Result<Vec<UserInfo>, SandboxError> {
        let mut users = self.state.db.read(|tx| tx.user_infos())?;
        for user in &mut users {
            user.connected = match user.jid.parse() {
                Ok(jid) => self.state.is_connected(&jid)?,
                Err(_) => false,
            };
        }
        Ok(users)
    }

    /// Enlists a user whose request, token and keys were checked elsewhere, by the rules of repeats and rotation.
    ///
    /// # Errors
    /// The database fails.
    pub fn enlist_user(
        &self,
        integrator: IntegratorId,
        identifier: &UserIdentifier,
        keys: &EnlistKeys,
    ) -> Result<Enlisted, SandboxError> {
        self.state.enlist_user(integrator, identifier, keys)
    }

    // Journal.

    /// The events after position `since`, as far as they are kept. 0 gives all.
    pub fn events(&self, since: u64) -> Vec<Event> {
        self.state.journal.since(since)
    }

    /// Position of the last event.
    pub fn last_event(&self) -> u64 {
        self.state.journal.last()
    }

    /// The events after position `since` that are kept, and a receiver of those that come: none is missed or seen twice.
    pub fn follow(&self, since: u64) -> (Vec<Event>, tokio::sync::broadcast::Receiver<Event>) {
        self.state.journal.follow(since)
    }

    /// Waits for the first event after position `since` that `wanted` takes. Waits for ever if none comes: put a time
    /// limit around it.
    pub async fn wait_for(&self, since: u64, mut wanted: impl FnMut(&Event) -> bool) -> Event {
        let mut since = since;
        loop {
            let (kept, mut live) = self.follow(since);
            for event in kept {
                since = event.seq;
                if wanted(&event) {
                    return event;
                }
            }
            // A receiver that lags starts again from what is kept.
            while let Ok(event) = live.recv().await {
                since = event.seq;
                if wanted(&event) {
                    return event;
                }
            }
        }
    }

    /// Whether stanzas are written to the journal.
    pub fn set_trace(&self, trace: Trace) {
        self.state.trace.store(trace == Trace::On, Ordering::Relaxed);
    }

    // Faults.

    /// The faults: which there are, how likely they are, how often they came.
    pub fn faults(&self) -> FaultReport {
        self.state.faults.report()
    }

    /// Sets how likely a fault is; `times`: so often at most, and then never again.
    pub fn set_fault(&self, fault: Fault, probability: Probability, times: Option<u64>) {
        self.state.faults.set(fault, probability, times);
    }

    /// Sets how likely all faults are, what all decisions are drawn from, or both. A seed begins all decisions anew.
    pub fn set_faults(&self, profile: Option<Calm>, seed: Option<u64>) {
        self.state.faults.set_profile(profile, seed);
    }

    // Time.

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.state.clock
    }

    /// Moves the clock ahead and lets the time do its work: accounts away for too long go, old mail goes.
    ///
    /// # Errors
    /// The database fails.
    pub fn advance_clock(&self, seconds: u64) -> Result<(), SandboxError> {
        self.state.clock.advance(seconds);
        self.state.partners.clock_moved();
        self.state.sweep()
    }
}

fn failed(number: &str, source: PhoneError) -> SandboxError {
    SandboxError::Phone { number: number.to_owned(), source }
}
