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
use crate::partners::Partners;
use crate::state::State;
use crate::{Clock, EnlistKeys, Enlisted, PhoneError, PhoneInfo, PhoneMessage, SandboxError, Trace, UserInfo, handsets};

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
    /// [`PhoneError::BadNumber`], [`PhoneError::Exists`], or a failure of its store.
    pub fn create_phone(&self, number: &str, name: &str) -> Result<PhoneInfo, SandboxError> {
        handsets::create(&self.state, number, name).map_err(|source| failed(number, source))
    }

    /// All test phones, in the order of their numbers.
    pub fn phones(&self) -> Vec<PhoneInfo> {
        self.state.phones.infos()
    }

    /// Lets a phone write a text. `to` is an address (`1-108@interop`) or the user-visible identifier of an enlisted
    /// user. The message is encrypted, stored and accepted by the server when this returns.
    ///
    /// # Errors
    /// [`PhoneError`]: no such phone or recipient, no keys, or the server refuses it.
    pub fn phone_send_text(&self, number: &str, to: &str, text: &str) -> Result<MessageId, SandboxError> {
        self.phone_send(number, to, &landbridge_proto::content::text(text))
    }

    /// As [`phone_send_text`](Self::phone_send_text), with any content.
    ///
    /// # Errors
    /// The same.
    pub fn phone_send(&self, number: &str, to: &str, content: &Message) -> Result<MessageId, SandboxError> {
        let to = self.resolve(to)?.ok_or_else(|| failed(number, PhoneError::NoSuchUser))?;
        let phone = self.phone(number)?;
        phone.send(&self.state, &to, content).map_err(|source| failed(number, source))
    }

    /// What a phone has received and sent, received ones first, each in order.
    ///
    /// # Errors
    /// No such phone, or its store fails.
    pub fn phone_messages(&self, number: &str) -> Result<Vec<PhoneMessage>, SandboxError> {
        self.phone(number)?.messages(&self.state).map_err(|source| failed(number, source))
    }

    /// Lets a phone say that it has read a message.
    ///
    /// # Errors
    /// No such phone, user or message.
    pub fn phone_read(&self, number: &str, from: &str, id: &MessageId) -> Result<(), SandboxError> {
        let from = self.resolve(from)?.ok_or_else(|| failed(number, PhoneError::NoSuchUser))?;
        self.phone(number)?.read(&self.state, &from, id).map_err(|source| failed(number, source))
    }

    /// Lets a phone block or unblock somebody.
    ///
    /// # Errors
    /// No such phone or user, or the server refuses it.
    pub fn phone_block(&self, number: &str, whom: &str, action: BlockAction) -> Result<(), SandboxError> {
        let whom = self.resolve(whom)?.ok_or_else(|| failed(number, PhoneError::NoSuchUser))?;
        self.phone(number)?.block(&self.state, &whom, action).map_err(|source| failed(number, source))
    }

    fn phone(&self, number: &str) -> Result<Arc<handsets::Phone>, SandboxError> {
        self.state.phones.get(number).ok_or_else(|| failed(number, PhoneError::NoSuchPhone))
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
        let named = self.users()?.into_iter().find(|user| user.identifier.as_deref() == Some(name));
        Ok(named.and_then(|user| user.jid.parse().ok()))
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
        self.state.sweep()
    }
}

fn failed(number: &str, source: PhoneError) -> SandboxError {
    SandboxError::Phone { number: number.to_owned(), source }
}
