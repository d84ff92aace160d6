//! What the control API, the command line and tests do with a sandbox.

mod files;
mod phones;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use landbridge_curve::PublicKey;
use landbridge_enlist::{IntegratorId, UserIdentifier};
use landbridge_wire::Jid;

use crate::events::Event;
use crate::faults::{Fault, FaultReport, Probability};
use crate::partners::Partners;
use crate::state::State;
use crate::{Calm, Clock, EnlistKeys, Enlisted, PushReport, SandboxError, Trace, UserInfo};

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
        self.state.clock_moved();
        self.state.sweep()
    }

    /// Moves the clock back, as an operator or a correction does. What has expired has gone and does not come back.
    pub fn set_clock_back(&self, seconds: u64) {
        self.state.clock.set_back(seconds);
        self.state.clock_moved();
    }

    // Pushes.

    /// Which pushes are planned, and how the last one for each user ended.
    pub fn pushes(&self) -> PushReport {
        self.state.push_report()
    }

    /// Pushes for a partner's user now, who is named as in [`phone_send_text`](Self::phone_send_text): whether it is
    /// connected or not, whether mail waits or not.
    ///
    /// # Errors
    /// [`SandboxError::NoSuchUser`], [`SandboxError::NoPushes`], or the database fails.
    pub fn push(&self, to: &str) -> Result<(), SandboxError> {
        let to = self.resolve(to)?.ok_or(SandboxError::NoSuchUser)?;
        if self.state.push_now(&to)? { Ok(()) } else { Err(SandboxError::NoPushes) }
    }

    // Keys.

    /// Makes the sandbox's push keys move on by one: the key that stood by signs from now on, a new one stands by, and the
    /// one that signed stays published until the next time.
    ///
    /// # Errors
    /// The database fails, or no key can be made.
    pub async fn rotate_push_keys(&self) -> Result<(), SandboxError> {
        self.state.push_keys.rotate(&self.state).await.map(drop)
    }
}
