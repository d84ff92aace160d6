//! Messages about messages: reactions, edits, revokes; and those of them whose message has not come yet.

use crate::{InboxEntry, MessageKey, StoreError};

/// A message that others are about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The chat.
    pub chat: String,
    /// Who wrote it; `None`: this account.
    pub author: Option<String>,
    /// Its id.
    pub id: String,
}

impl Target {
    /// A message of the other side of a one-to-one chat.
    pub fn theirs(peer: impl Into<String>, id: impl Into<String>) -> Self {
        let peer = peer.into();
        Self { chat: peer.clone(), author: Some(peer), id: id.into() }
    }

    /// A message of this account.
    pub fn own(chat: impl Into<String>, id: impl Into<String>) -> Self {
        Self { chat: chat.into(), author: None, id: id.into() }
    }

    /// Its key in the inbox, if it was received.
    pub(crate) fn received(&self) -> Option<MessageKey> {
        let sender = self.author.clone()?;
        Some(MessageKey { chat: self.chat.clone(), sender, id: self.id.clone() })
    }
}

/// What a message does to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RelationKind {
    /// Adds an emoji, or takes it back.
    Reaction,
    /// Replaces its words.
    Edit,
    /// Takes it back.
    Revoke,
}

impl RelationKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Reaction, Self::Edit, Self::Revoke];

    /// The stored number: stable across releases.
    pub const fn code(self) -> u8 {
        match self {
            Self::Reaction => 0,
            Self::Edit => 1,
            Self::Revoke => 2,
        }
    }

    /// The kind with that number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// What one sender has done to one message. There is one of each kind per sender: the newest.
#[derive(Clone, PartialEq, Eq)]
pub struct Relation {
    /// The message that it is about.
    pub target: Target,
    /// What it does.
    pub kind: RelationKind,
    /// Who did it; `None`: this account.
    pub sender: Option<String>,
    /// Id of the message that brought it.
    pub id: String,
    /// When, by the sender's clock, in unix milliseconds: the greatest one is the newest.
    pub at_ms: i64,
    /// Received: the server's time. Sent: when it was made. In unix seconds.
    pub t: u64,
    /// What it says; opaque to the store.
    pub content: Vec<u8>,
}

impl std::fmt::Debug for Relation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { target, kind, sender, id, at_ms, t, content } = self;
        f.debug_struct("Relation")
            .field("target", target)
            .field("kind", kind)
            .field("sender", sender)
            .field("id", id)
            .field("at_ms", at_ms)
            .field("t", t)
            .field("content", &format_args!("[{} bytes redacted]", content.len()))
            .finish()
    }
}

impl Relation {
    /// The key of the message that brought it, if that was received.
    pub(crate) fn received(&self) -> Option<MessageKey> {
        let sender = self.sender.clone()?;
        Some(MessageKey { chat: self.target.chat.clone(), sender, id: self.id.clone() })
    }
}

/// What [`Relations::relate`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Related {
    /// It is the newest, and counts now.
    Newest,
    /// A newer one counts; nothing was changed.
    Older,
}

/// Messages about messages. Called by the receiving path in the transaction that stores the message that brings one, by
/// the sending path in the transaction that stores the message to be sent, and by queries.
pub trait Relations {
    /// Takes a stored message out of the stream until a message `target` of its chat comes. Of those that wait in a chat, the
    /// latest `most` are kept; older ones are [discarded](Self::discard).
    ///
    /// # Errors
    /// The backend fails.
    fn set_aside(&mut self, seq: u64, target: &str, most: usize) -> Result<(), StoreError>;

    /// The messages that wait for `target`, in order of arrival.
    ///
    /// # Errors
    /// The backend fails, or a record does not parse.
    fn waiting(&self, chat: &str, target: &str) -> Result<Vec<InboxEntry>, StoreError>;

    /// Puts a message that waits at the end of the stream, unconfirmed. Returns its new place in the order, or `None` if no
    /// such message waits.
    ///
    /// # Errors
    /// The backend fails.
    fn release(&mut self, seq: u64) -> Result<Option<u64>, StoreError>;

    /// A stored message is of no use: it is confirmed, waits no longer, and its content is wiped. Its dedupe key stays. Unknown
    /// positions are passed over.
    ///
    /// # Errors
    /// The backend fails.
    fn discard(&mut self, seq: u64) -> Result<(), StoreError>;

    /// [Discards](Self::discard) the messages that wait and have a server time before `before`. Returns how many.
    ///
    /// # Errors
    /// The backend fails.
    fn discard_waiting(&mut self, before: u64) -> Result<usize, StoreError>;

    /// Notes what a message does to another, unless a newer one of the same kind and sender counts; of two with the same
    /// time the later call wins.
    ///
    /// The content of a received one moves here from the inbox. What no longer counts will not come again in the stream, and
    /// the content of a sent edit that no longer counts is wiped. A revoke wipes the content of its target, with all
    /// reactions to it and edits of it.
    ///
    /// # Errors
    /// The backend fails.
    fn relate(&mut self, relation: &Relation) -> Result<Related, StoreError>;

    /// What was done to a message, by kind and sender; this account first.
    ///
    /// # Errors
    /// The backend fails, or a record does not parse.
    fn relations(&self, target: &Target) -> Result<Vec<Relation>, StoreError>;

    /// What a received message has done, if it counts still.
    ///
    /// # Errors
    /// The backend fails, or a record does not parse.
    fn relation_of(&self, message: &MessageKey) -> Result<Option<Relation>, StoreError>;
}
