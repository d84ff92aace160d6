//! Messages as the application sees them.

use landbridge_proto::content::{self, Content, Context};
use landbridge_stanza::MessageId;
use landbridge_store::{InboxEntry, OutState};
use landbridge_wire::Jid;

/// Who wrote a message, or did something to one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Author {
    /// This account.
    Own,
    /// Somebody else.
    Peer(Jid),
}

/// Names a message of a chat. Ids are unique per chat and author, so both belong to a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MessageRef {
    /// Who wrote it.
    pub author: Author,
    /// Its id.
    pub id: MessageId,
}

/// Whether a message was announced before it could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Arrival {
    /// It was readable when it came.
    #[default]
    Direct,
    /// It takes the place of the placeholder of [`Event::Undecryptable`](crate::Event::Undecryptable) with the same chat and id.
    Recovered,
}

/// A message as the application gets it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReceivedMessage {
    /// Its place in the order of arrival.
    pub seq: u64,
    /// The chat.
    pub chat: Jid,
    /// Who wrote it.
    pub sender: Jid,
    /// Its id, unique per chat and sender.
    pub id: MessageId,
    /// The server's time, in unix seconds.
    pub t: u64,
    /// The name that the sender showed.
    pub notify: Option<String>,
    /// Whether it takes the place of a placeholder.
    pub arrival: Arrival,
    /// The content after all checks. One of a kind that this release does not know is
    /// [`Kind::Unsupported`](content::Kind::Unsupported), and [`Content::raw`] has its bytes.
    pub content: Content,
}

impl ReceivedMessage {
    /// The text or caption, as far as it is to be shown.
    pub fn text(&self) -> Option<&str> {
        self.content.shown_text()
    }

    /// A stored message; `None` if its content was wiped or no longer reads.
    pub(crate) fn from_entry(entry: InboxEntry, own: &str, limits: &content::Limits) -> Option<Self> {
        let message = entry.message;
        if message.plaintext.is_empty() {
            return None;
        }
        let context = Context::direct(&message.key.sender, own);
        Some(Self {
            seq: entry.seq,
            chat: message.key.chat.parse().ok()?,
            sender: message.key.sender.parse().ok()?,
            id: MessageId::try_from(message.key.id.clone()).ok()?,
            t: message.t,
            notify: message.notify,
            arrival: if entry.recovered { Arrival::Recovered } else { Arrival::Direct },
            content: content::decode(&message.plaintext, &context, limits).ok()?,
        })
    }
}

/// A reaction as it comes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReceivedReaction {
    /// Its place in the order of arrival; confirmed as a message is.
    pub seq: u64,
    /// The chat.
    pub chat: Jid,
    /// Who has reacted.
    pub sender: Jid,
    /// To which message, of either side.
    pub target: MessageRef,
    /// The emoji; `None`: the reaction is taken back.
    pub emoji: Option<String>,
    /// The server's time, in unix seconds.
    pub t: u64,
}

/// An edit as it comes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReceivedEdit {
    /// Its place in the order of arrival; confirmed as a message is.
    pub seq: u64,
    /// The chat.
    pub chat: Jid,
    /// Who has edited.
    pub sender: Jid,
    /// Which message.
    pub target: MessageRef,
    /// What the message says now.
    pub content: Content,
    /// The server's time, in unix seconds.
    pub t: u64,
}

/// The taking back of a message as it comes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReceivedRevoke {
    /// Its place in the order of arrival; confirmed as a message is.
    pub seq: u64,
    /// The chat.
    pub chat: Jid,
    /// Who has taken it back.
    pub sender: Jid,
    /// Which message.
    pub target: MessageRef,
    /// The server's time, in unix seconds.
    pub t: u64,
}

/// A message of the store, with all that was done to it. See [`Client::message`](crate::Client::message).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoredMessage {
    /// The chat.
    pub chat: Jid,
    /// Who wrote it.
    pub author: Author,
    /// Its id.
    pub id: MessageId,
    /// Received: the server's time. Sent: when it was made. In unix seconds.
    pub t: u64,
    /// What it says now.
    pub body: Body,
    /// When its words were last replaced, by the author's clock, in unix milliseconds.
    pub edited_ms: Option<i64>,
    /// The reactions to it, one per user at most, this account's first.
    pub reactions: Vec<MessageReaction>,
    /// The message that it answers.
    pub quoted: Option<Box<QuotedMessage>>,
    /// How far it has got, if it is this account's.
    pub state: Option<OutState>,
}

/// What a stored message says now.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Body {
    /// This: the words of the latest edit, if there was one.
    Content(Box<Content>),
    /// It was taken back, and its content is gone.
    Revoked {
        /// The time of that: the server's if it was received, else when it was made. In unix seconds.
        t: u64,
    },
    /// Its content is no longer kept: messages sent are kept until they are read, or for as long as the profile says.
    Forgotten,
    /// It could not be decrypted so far.
    Undecryptable {
        /// How often the sender was asked for it.
        asked: u32,
    },
}

impl Body {
    /// The text or caption, as far as it is to be shown.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Content(content) => content.shown_text(),
            _ => None,
        }
    }
}

/// A reaction to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageReaction {
    /// Whose.
    pub sender: Author,
    /// The emoji.
    pub emoji: String,
    /// When, by that user's clock, in unix milliseconds.
    pub at_ms: i64,
}

/// The message that another one answers.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum QuotedMessage {
    /// The store holds it: this is what it says now, whatever the copy in the answer says (V16).
    Known {
        /// Its author and id.
        message: MessageRef,
        /// What it says now.
        body: Body,
    },
    /// The store does not hold it: the writer of the answer claims that it said this.
    Claimed {
        /// Its id.
        id: MessageId,
        /// Who is said to have written it.
        author: Jid,
        /// The copy that came along, cleaned, if there was one.
        message: Option<Box<landbridge_proto::message::Message>>,
    },
}
