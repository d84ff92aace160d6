//! Messages received: each shown to the application exactly once.

use crate::StoreError;

/// What makes a received message unique (stanza catalogue 4.5): addresses as text, the id as received.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageKey {
    /// The chat: the peer's address, or the group's.
    pub chat: String,
    /// Who wrote it; in a one-to-one chat the same as `chat`.
    pub sender: String,
    /// The message id.
    pub id: String,
}

impl MessageKey {
    /// The key of a message in a one-to-one chat.
    pub fn direct(peer: impl Into<String>, id: impl Into<String>) -> Self {
        let peer = peer.into();
        Self { chat: peer.clone(), sender: peer, id: id.into() }
    }
}

/// A decrypted message, as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct InboxMessage {
    /// Chat, sender and id.
    pub key: MessageKey,
    /// The server's time in unix seconds: the order of messages is by this, then by arrival.
    pub t: u64,
    /// What it is, as text (`text`, `reaction`, …): opaque to the store.
    pub kind: String,
    /// The content as decrypted and unpadded, undecoded: fields unknown today are readable tomorrow.
    pub plaintext: Vec<u8>,
    /// The sender's display name at the time.
    pub notify: Option<String>,
}

impl std::fmt::Debug for InboxMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { key, t, kind, plaintext, notify: _ } = self;
        f.debug_struct("InboxMessage")
            .field("key", key)
            .field("t", t)
            .field("kind", kind)
            .field("plaintext", &format_args!("[{} bytes redacted]", plaintext.len()))
            .finish_non_exhaustive()
    }
}

/// A stored message with its place in the order of arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxEntry {
    /// Position in the order of arrival, from 1, growing, never reused. It changes once if the message waits for another one.
    pub seq: u64,
    /// The message. `plaintext` is empty once forgotten, wiped or moved to a relation.
    pub message: InboxMessage,
    /// Whether the application has confirmed it.
    pub confirmed: bool,
    /// Whether it took the place of an undecryptable record.
    pub recovered: bool,
}

/// A message that could not be decrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecryptable {
    /// Chat, sender and id.
    pub key: MessageKey,
    /// The server's time of the first copy, in unix seconds.
    pub t: u64,
    /// How many different copies failed. A replay of the same copy is not counted again.
    pub failures: u32,
    /// The highest `count` attribute among the failed copies, 0 for the first one.
    pub last_count: u32,
    /// How many retry receipts were sent for it.
    pub asked: u32,
    /// Why the last copy failed, as text.
    pub reason: String,
}

impl Undecryptable {
    /// The record after the first copy failed.
    pub(crate) fn first(key: &MessageKey, t: u64, count: u32, reason: &str) -> Self {
        Self { key: key.clone(), t, failures: 1, last_count: count, asked: 0, reason: reason.to_owned() }
    }

    /// The record after another copy failed, or `None` if that copy is a replay.
    pub(crate) fn again(mut self, count: u32, reason: &str) -> Option<Self> {
        if count <= self.last_count {
            return None;
        }
        self.failures = self.failures.saturating_add(1);
        self.last_count = count;
        reason.clone_into(&mut self.reason);
        Some(self)
    }
}

/// What the inbox knows about a message key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing: process it.
    Never,
    /// Copies came and none could be read: process a copy with a higher count.
    Undecryptable(Undecryptable),
    /// Stored: repeat the receipt and nothing else.
    Stored,
}

/// What [`Inbox::store_message`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// The message is new.
    New {
        /// Its place in the order of arrival.
        seq: u64,
    },
    /// It takes the place of an undecryptable record.
    Recovered {
        /// Its place in the order of arrival.
        seq: u64,
    },
    /// It was stored before; nothing was changed.
    Duplicate,
}

/// Messages received. Called by the receiving path, in the transaction that also advances the ratchet; and by the stream
/// from which the application takes messages.
pub trait Inbox {
    /// What is known about a message. Before decryption.
    ///
    /// # Errors
    /// The backend fails.
    fn seen(&self, key: &MessageKey) -> Result<Seen, StoreError>;

    /// Stores a decrypted message with its dedupe key, unconfirmed.
    ///
    /// # Errors
    /// The backend fails.
    fn store_message(&mut self, message: &InboxMessage) -> Result<Stored, StoreError>;

    /// Notes a copy that failed to decrypt and returns the record after it. `count` is the copy's `count` attribute, 0 if
    /// absent: a copy with a count not above the highest seen is a replay and changes nothing. Never called for a message that is stored.
    ///
    /// # Errors
    /// The backend fails.
    fn record_failure(
        &mut self,
        key: &MessageKey,
        t: u64,
        count: u32,
        reason: &str,
    ) -> Result<Undecryptable, StoreError>;

    /// Notes that a retry receipt is owed or sent, and returns how many there were with this one. 0 if there is no such record.
    ///
    /// # Errors
    /// The backend fails.
    fn count_retry(&mut self, key: &MessageKey) -> Result<u32, StoreError>;

    /// Unconfirmed messages after position `after`, in order of arrival, at most `limit`. 0 starts from the beginning.
    ///
    /// # Errors
    /// The backend fails, or a record does not parse.
    fn unconfirmed(&self, after: u64, limit: usize) -> Result<Vec<InboxEntry>, StoreError>;

    /// The application has taken the message: it will not come again. Unknown positions are passed over.
    ///
    /// # Errors
    /// The backend fails.
    fn confirm(&mut self, seq: u64) -> Result<(), StoreError>;

    /// One stored message.
    ///
    /// # Errors
    /// The backend fails, or a record does not parse.
    fn message(&self, key: &MessageKey) -> Result<Option<InboxEntry>, StoreError>;

    /// Wipes the content of confirmed messages with server time before `before`, and of edits from before that; their dedupe
    /// keys stay. Returns how many messages.
    ///
    /// # Errors
    /// The backend fails.
    fn forget_content(&mut self, before: u64) -> Result<usize, StoreError>;
}
