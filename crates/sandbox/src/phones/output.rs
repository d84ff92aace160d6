//! What a phone wants done.

use landbridge_curve::PublicKey;
use landbridge_wire::{Jid, Node};

use super::{MessageState, PhoneMessage};
use crate::events::Rule;

/// What a phone wants done, or known. In order.
#[derive(Debug, Clone)]
pub(crate) enum Output {
    /// A client stanza for the router, as if it had come from the phone's socket.
    Send(Node),
    /// A message was opened and stored, for the journal.
    Opened {
        /// Who wrote it.
        from: Jid,
        /// The message.
        id: String,
        /// What it is.
        kind: &'static str,
        /// What became of it.
        verdict: &'static str,
        /// `pkmsg` or `msg`.
        enc: &'static str,
        /// Id of the one-time prekey that it used up.
        prekey: Option<u32>,
    },
    /// A receipt was heard and stored, for the journal.
    Heard {
        /// Whose.
        from: Jid,
        /// The first message that it is about.
        id: String,
        /// Its type.
        kind: String,
    },
    /// The screen shows a message. Each message once, whatever happens.
    Shown(PhoneMessage),
    /// The screen shows a placeholder: the message could not be opened, and was asked for again if that may help.
    Waiting(PhoneMessage),
    /// A message that was sent has got further.
    Receipt(PhoneReceipt),
    /// The screen shows a security notice: the identity of `peer` is another one. Each change once.
    IdentityChanged {
        /// Whose.
        peer: Jid,
        /// The one before, if there was one.
        old: Option<PublicKey>,
        /// The new one, unless only a notification told of the change.
        new: Option<PublicKey>,
    },
    /// Somebody's client broke a rule.
    Trouble(Trouble),
}

/// A broken rule, for the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// Whose stanza or message it was.
    pub(crate) peer: Jid,
    /// The stanza or message.
    pub(crate) id: Option<String>,
    /// The rule's page.
    pub(crate) rule: Rule,
    /// The rule's name on that page, such as `V4`, or the kind of failure, such as `no_session`.
    pub(crate) code: &'static str,
    /// In which way, without the value that broke it.
    pub(crate) detail: String,
}

/// How far a message has got that a phone sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PhoneReceipt {
    /// The recipient.
    pub(crate) to: String,
    /// The message.
    pub(crate) id: String,
    /// How far.
    pub(crate) state: MessageState,
    /// When, in unix seconds.
    pub(crate) t: u64,
    /// Why it failed, if it did.
    pub(crate) failure: Option<String>,
}
