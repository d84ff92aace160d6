//! Messages sent: stored with their ciphertext before the first byte is written, and their state afterwards.

use crate::StoreError;

/// The reason that [`AccountStore::wipe_keys`](crate::AccountStore::wipe_keys) gives to messages that were pending.
pub(crate) const ACCOUNT_DELETED: &str = "account deleted";

/// A message to be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct OutboxMessage {
    /// The message id, unique per recipient.
    pub id: String,
    /// The recipient's address as text.
    pub recipient: String,
    /// What it is, as text (`text`, `reaction`, …): opaque to the store.
    pub kind: String,
    /// The content before padding and encryption, kept so that a retry can be answered.
    pub plaintext: Vec<u8>,
    /// The stanza with its ciphertext, as it is written. A resend sends these same bytes. Empty while the message waits to
    /// be encrypted.
    pub stanza: Vec<u8>,
    /// When it was made, in unix seconds.
    pub created_at: u64,
}

impl std::fmt::Debug for OutboxMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, recipient, kind, plaintext, stanza, created_at } = self;
        f.debug_struct("OutboxMessage")
            .field("id", id)
            .field("recipient", recipient)
            .field("kind", kind)
            .field("plaintext", &format_args!("[{} bytes redacted]", plaintext.len()))
            .field("stanza", &format_args!("[{} bytes]", stanza.len()))
            .field("created_at", created_at)
            .finish()
    }
}

/// How far a message has got. Ordered: a state only ever moves to a greater one.
///
/// `Failed` lies between `Sent` and `Delivered`: a receipt proves delivery whatever an earlier refusal said, and a refusal
/// that comes after a receipt says nothing. So any order of the same reports ends in the same state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OutState {
    /// Stored, not acked by the server.
    Pending,
    /// Acked by the server: one tick.
    Sent,
    /// Refused, or given up.
    Failed,
    /// On the recipient's device: two ticks.
    Delivered,
    /// Read.
    Read,
    /// Played (voice, view once).
    Played,
}

impl OutState {
    /// All states, in order.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Sent, Self::Failed, Self::Delivered, Self::Read, Self::Played];

    /// The stored number: stable across releases.
    pub const fn code(self) -> u8 {
        match self {
            Self::Pending => 0,
            Self::Sent => 1,
            Self::Failed => 2,
            Self::Delivered => 3,
            Self::Read => 4,
            Self::Played => 5,
        }
    }

    /// Its name, for people and machines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Played => "played",
        }
    }

    /// The state with that number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }
}

/// What is reported about a message sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// The server's ack.
    Sent,
    /// A delivery receipt.
    Delivered,
    /// A read receipt.
    Read,
    /// A played receipt.
    Played,
    /// Refused or given up, and why.
    Failed {
        /// One phrase, such as `ack error 404`.
        reason: &'a str,
    },
}

impl Progress<'_> {
    /// The state that this report leads to.
    pub const fn state(self) -> OutState {
        match self {
            Self::Sent => OutState::Sent,
            Self::Delivered => OutState::Delivered,
            Self::Read => OutState::Read,
            Self::Played => OutState::Played,
            Self::Failed { .. } => OutState::Failed,
        }
    }
}

/// When each state was reported, in unix seconds. A state that was jumped over has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutTimes {
    /// Ack of the server.
    pub sent: Option<u64>,
    /// Delivery receipt.
    pub delivered: Option<u64>,
    /// Read receipt.
    pub read: Option<u64>,
    /// Played receipt.
    pub played: Option<u64>,
    /// Refusal.
    pub failed: Option<u64>,
}

impl OutTimes {
    fn slot(&mut self, state: OutState) -> Option<&mut Option<u64>> {
        match state {
            OutState::Pending => None,
            OutState::Sent => Some(&mut self.sent),
            OutState::Failed => Some(&mut self.failed),
            OutState::Delivered => Some(&mut self.delivered),
            OutState::Read => Some(&mut self.read),
            OutState::Played => Some(&mut self.played),
        }
    }
}

/// A stored message with its place in the order of sending and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Position in the order of sending, from 1, growing, never reused.
    pub seq: u64,
    /// The message. `plaintext` and `stanza` are empty once forgotten.
    pub message: OutboxMessage,
    /// How far it has got.
    pub state: OutState,
    /// When each state was reported.
    pub times: OutTimes,
    /// Why it failed, if it did.
    pub failure: Option<String>,
    /// How many retry requests were answered.
    pub retries: u32,
}

impl OutboxEntry {
    /// Takes a report in. The one place where states move, for every backend.
    pub(crate) fn apply(&mut self, progress: Progress<'_>, at: u64) -> Advanced {
        let (from, to) = (self.state, progress.state());
        if let Some(slot) = self.times.slot(to) {
            slot.get_or_insert(at);
        }
        if let (Progress::Failed { reason }, None) = (progress, &self.failure) {
            self.failure = Some(reason.to_owned());
        }
        self.state = from.max(to);
        if to > from { Advanced::To { from } } else { Advanced::Unchanged }
    }
}

/// What [`Outbox::advance`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advanced {
    /// The state moved forward.
    To {
        /// The state before.
        from: OutState,
    },
    /// The message had got at least as far; only a missing time may have been filled in.
    Unchanged,
    /// No such message.
    Unknown,
}

/// Messages sent. Called by the sending path, in the transaction that also advances the ratchet, before the first byte is
/// written; by acks and receipts; and after a reconnect.
pub trait Outbox {
    /// Stores a message as pending and returns its place in the order.
    ///
    /// # Errors
    /// [`StoreError::DuplicateMessage`] if (recipient, id) is stored already.
    fn enqueue(&mut self, message: &OutboxMessage) -> Result<u64, StoreError>;

    /// Pending messages after position `after`, in order, at most `limit`. 0 starts from the beginning. After a reconnect: these go again, as
    /// the same bytes.
    ///
    /// # Errors
    /// The backend fails, or a record does not parse.
    fn pending(&self, after: u64, limit: usize) -> Result<Vec<OutboxEntry>, StoreError>;

    /// Whether a pending message to this recipient waits to be encrypted.
    ///
    /// # Errors
    /// The backend fails.
    fn has_unsealed(&self, recipient: &str) -> Result<bool, StoreError>;

    /// Moves a message forward, never back. `at` is in unix seconds.
    ///
    /// # Errors
    /// The backend fails.
    fn advance(
        &mut self,
        recipient: &str,
        id: &str,
        progress: Progress<'_>,
        at: u64,
    ) -> Result<Advanced, StoreError>;

    /// Puts a newly encrypted stanza in the place of the old one. `Recrypt::Retry` counts an answered retry request.
    /// Returns the number of retries answered so far, or `None` if there is no such message.
    ///
    /// # Errors
    /// The backend fails.
    fn replace_stanza(
        &mut self,
        recipient: &str,
        id: &str,
        stanza: &[u8],
        why: Recrypt,
    ) -> Result<Option<u32>, StoreError>;

    /// One stored message.
    ///
    /// # Errors
    /// The backend fails, or a record does not parse.
    fn outgoing(&self, recipient: &str, id: &str) -> Result<Option<OutboxEntry>, StoreError>;

    /// Wipes plaintext and stanza of messages that are no longer pending and were made before `before`, or were read. Returns how many.
    ///
    /// # Errors
    /// The backend fails.
    fn forget_sent_content(&mut self, before: u64) -> Result<usize, StoreError>;
}

/// Why a message was encrypted anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recrypt {
    /// The recipient asked for it.
    Retry,
    /// It had not been encrypted for the recipient's present session: it waited, or the identity changed before the
    /// message was acked.
    NewIdentity,
}
