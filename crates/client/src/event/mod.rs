//! What the client tells the application, in order.

mod queue;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use landbridge_curve::PublicKey;
use landbridge_stanza::MessageId;
use landbridge_stanza::chatstate::ChatState;
use landbridge_stanza::notification::Reachability;
use landbridge_stanza::presence::Availability;
use landbridge_store::OutState;
use landbridge_wire::Jid;

use crate::error::{Ending, Error};
use crate::media::MediaError;
use crate::message::{ReceivedEdit, ReceivedMessage, ReceivedReaction, ReceivedRevoke};
use crate::reconnect::Cause;
use crate::send_failure::SendFailure;
use crate::trust::{Sending, Verification};
pub(crate) use queue::EventQueue;
pub use stream::Events;

/// Something happened.
///
/// Messages and what is done to them ([`Message`](Self::Message), [`Reaction`](Self::Reaction), [`Edited`](Self::Edited),
/// [`Revoked`](Self::Revoked)) and [`IdentityChanged`](Self::IdentityChanged) come from the store: each is handed out again
/// after a restart until the application has asked for the event after it. Of several edits or reactions that replace each
/// other, the last one alone may be handed out. All other events are lost with the process.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A login was accepted and the client may be reached.
    Connected {
        /// The server's time in unix seconds, if it told.
        server_time: Option<u64>,
    },
    /// The connection ended.
    Disconnected {
        /// How.
        ending: Arc<Ending>,
        /// Its row of the [table](crate::Cause).
        cause: Cause,
        /// Whether [`Client::run`](crate::Client::run) is at work and goes on by the table; [`Event::Reconnecting`] says when.
        will_retry: bool,
        /// When, in unix seconds.
        at: u64,
    },
    /// WhatsApp no longer knows the account, as after 30 days away (SEED). [`Client::run`](crate::Client::run) enlists it anew by
    /// itself; without it, [`Client::reenlist`](crate::Client::reenlist) does. Identity, sessions and messages stay.
    MustReenlist {
        /// The address that is gone.
        address: Jid,
    },
    /// The account was enlisted anew, with the same keys.
    Reenlisted {
        /// The address from now on.
        address: Jid,
    },
    /// The automatic mode will connect again.
    Reconnecting {
        /// After this time.
        after: Duration,
        /// Because of this.
        because: Arc<Error>,
    },
    /// A message came. It is stored, and the sender has been told so.
    Message(Box<ReceivedMessage>),
    /// Somebody has reacted to a message, or taken a reaction back. It replaces that user's reaction before.
    Reaction(Box<ReceivedReaction>),
    /// The author of a message has replaced its words.
    Edited(Box<ReceivedEdit>),
    /// The author of a message has taken it back. Its content is wiped from the store; the application is to show it no longer. If it
    /// was not shown so far, there is no [`Message`](Self::Message) of it.
    Revoked(Box<ReceivedRevoke>),
    /// A message came that cannot be decrypted: a placeholder is to be shown. The sender is asked for it again, unless that was done
    /// often enough.
    Undecryptable {
        /// The chat.
        chat: Jid,
        /// Its id. Should it come in a readable form, that [`Message`](Self::Message) has the same one, and its
        /// [`arrival`](ReceivedMessage::arrival) says that it takes the place of the placeholder.
        id: MessageId,
        /// How often the sender has been asked.
        asked: u32,
        /// Why, as a phrase.
        reason: String,
    },
    /// A message came that holds nothing this client could have; it will not come in another form.
    Unavailable {
        /// The chat.
        chat: Jid,
        /// Its id.
        id: MessageId,
    },
    /// A message of ours has got further: sent, delivered, read, played, or failed.
    MessageState {
        /// The recipient.
        to: Jid,
        /// Its id.
        id: MessageId,
        /// How far it has got.
        state: OutState,
        /// The server's time of it, in unix seconds.
        at: u64,
        /// Why it failed, if it did.
        failure: Option<SendFailure>,
    },
    /// A file in the [outbox of files](crate::media::Files#the-outbox) has got further: told with each hundredth, and when it begins.
    FileProgress {
        /// The recipient.
        to: Jid,
        /// The id of its message.
        id: MessageId,
        /// Bytes of the encrypted file that the partner's server has.
        bytes: u64,
        /// All of them.
        of: u64,
    },
    /// A file could not be brought to the partner's server. It is tried again, later or by another uploader; see
    /// [`Files::uploader`](crate::media::Files::uploader).
    FileWaits {
        /// The recipient.
        to: Jid,
        /// The id of its message.
        id: MessageId,
        /// Why.
        because: Arc<MediaError>,
    },
    /// A file will not get there, and nothing is left of it here. [`MessageState`](Self::MessageState) says so of its message, too.
    FileFailed {
        /// The recipient.
        to: Jid,
        /// The id of its message.
        id: MessageId,
        /// Why: among others, [`MediaError::Lost`], and [`MediaError::Transfer`] for a file that is too large for the server or
        /// beyond the user's quota.
        because: Arc<MediaError>,
    },
    /// The security code of a peer changed. It must be shown in the chat (SEED).
    IdentityChanged {
        /// Its place in the order of changes. Confirmed, as a message is, when the next event is asked for.
        seq: u64,
        /// The peer.
        peer: Jid,
        /// The identity before, if it was known.
        old: Option<PublicKey>,
        /// The identity now, if it is known already.
        new: Option<PublicKey>,
        /// What the user has said about the peer.
        verification: Verification,
        /// Whether messages still go out to the peer, or wait for [`Client::accept_identity`](crate::Client::accept_identity).
        sending: Sending,
    },
    /// The store is older than it should be: a backup was put back, or a file copied. Every session is begun anew before
    /// anything is sent and new keys are uploaded, so no key is used or offered twice; what happened after the copy was made is
    /// not known here, and messages that were taken from the mailbox since are gone. What it costs: `docs/export.md`. Confirmed, as a message is, when the next event is asked for.
    StoreRolledBack {
        /// How far the store has come.
        found: u64,
        /// How far it had come, if its witness knows it.
        expected: Option<u64>,
    },
    /// A peer has begun to type or to record, or has stopped: it says so, its message comes, nothing more is heard of it for a while
    /// (the profile says how long), or the connection ends.
    Typing {
        /// The peer.
        from: Jid,
        /// What.
        state: ChatState,
    },
    /// A peer came or went.
    Presence {
        /// The peer.
        from: Jid,
        /// Which of the two.
        availability: Availability,
    },
    /// So many stanzas wait in the mailbox.
    MailboxPreview {
        /// All of them.
        count: u32,
        /// The messages among them.
        messages: u32,
    },
    /// The mailbox is empty.
    MailboxEmpty {
        /// How many stanzas it held.
        delivered: u32,
    },
    /// A user can, or can no longer, be written to.
    Reachable {
        /// The user.
        user: Jid,
        /// Which of the two.
        reachability: Reachability,
    },
    /// The server will refuse this version of the client.
    ClientExpires {
        /// From then on, in unix seconds.
        at: u64,
    },
    /// The application was too slow: so many events were dropped. No message is among them.
    Missed {
        /// How many.
        count: u64,
    },
    /// Messages could not be read from the store or confirmed there. None is lost; asking for the next event tries again.
    StoreFailed {
        /// Why.
        error: Arc<Error>,
    },
}

/// Where the store keeps an event until it is confirmed.
#[derive(Clone, Copy)]
enum Place {
    Rollback,
    Message(u64),
    Change(u64),
}

impl Event {
    fn place(&self) -> Option<Place> {
        match self {
            Self::Message(message) => Some(Place::Message(message.seq)),
            Self::Reaction(reaction) => Some(Place::Message(reaction.seq)),
            Self::Edited(edit) => Some(Place::Message(edit.seq)),
            Self::Revoked(revoke) => Some(Place::Message(revoke.seq)),
            Self::IdentityChanged { seq, .. } => Some(Place::Change(*seq)),
            Self::StoreRolledBack { .. } => Some(Place::Rollback),
            _ => None,
        }
    }

    /// Bytes of content that it carries.
    fn bytes(&self) -> usize {
        match self {
            Self::Message(message) => message.content.raw().len(),
            Self::Edited(edit) => edit.content.raw().len(),
            _ => 0,
        }
    }
}
