//! Acks: what is owed for a stanza that is not answered by a receipt (PEERS).

use landbridge_wire::{Jid, Node, NodeRef};

use crate::codes::{MessageErrorCode, NackCode};
use crate::error::StanzaError;
use crate::macros::words;
use crate::profile::Profile;
use crate::read::El;

words! {
    /// Tag of the stanza that an ack is about.
    AckClass {
        /// A message.
        Message = "message",
        /// A receipt.
        Receipt = "receipt",
        /// A notification.
        Notification = "notification",
        /// A call.
        Call = "call",
    }
}

/// An ack that a client sends. An ack is never acked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AckOut {
    /// Id of the stanza.
    pub id: String,
    /// Tag of the stanza.
    pub class: AckClass,
    /// `from` of the stanza.
    pub to: Jid,
    /// Echo of the stanza's participant.
    pub participant: Option<Jid>,
    /// Echo of the stanza's recipient.
    pub recipient: Option<Jid>,
    /// Echo of the stanza's type; not for messages.
    pub kind: Option<String>,
    /// Why the stanza cannot be taken.
    pub error: Option<NackCode>,
    /// Detail of an invalid protobuf ([`NackCode::InvalidProtobuf`]).
    pub failure_reason: Option<u32>,
}

impl AckOut {
    /// The ack that any stanza of the server asks for, by the rules of echoing. `None` if the stanza is one that is not
    /// acked: without an id or a sender, or itself an ack, an iq, or a stanza of the stream.
    pub fn answering(stanza: NodeRef<'_>, error: Option<NackCode>) -> Option<Self> {
        const NEVER_ACKED: [&str; 8] =
            ["ack", "chatstate", "failure", "ib", "iq", "presence", "stream:error", "success"];
        if NEVER_ACKED.iter().any(|tag| stanza.is(tag)) {
            return None;
        }
        let class = AckClass::from(stanza.tag().as_ref());
        let kind = match class {
            AckClass::Message => None,
            _ => stanza.attr_str("type").map(Into::into),
        };
        Some(Self {
            id: stanza.attr_str("id").filter(|id| !id.is_empty())?.into(),
            class,
            to: stanza.attr_jid("from")?,
            participant: stanza.attr_jid("participant"),
            recipient: stanza.attr_jid("recipient"),
            kind,
            error,
            failure_reason: None,
        })
    }

    /// The stanza.
    pub fn to_node(&self, _profile: &Profile) -> Node {
        let node = Node::new("ack")
            .attr("id", self.id.as_str())
            .attr("class", self.class.as_str())
            .attr("to", &self.to)
            .attr_opt("participant", self.participant.as_ref())
            .attr_opt("recipient", self.recipient.as_ref())
            .attr_opt("type", self.kind.as_deref())
            .attr_opt("error", self.error.map(NackCode::number));
        match self.failure_reason {
            Some(reason) => node.child(Node::new("meta").attr("failure_reason", reason)),
            None => node,
        }
    }

    /// Reads a client's ack.
    ///
    /// # Errors
    /// A [`StanzaError`] if id, class or address is missing or the code is no number.
    pub fn from_node(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        let ack = El::root(node, "ack")?;
        let failure_reason = match ack.opt_child("meta") {
            Some(meta) => meta.opt_num("failure_reason", "a decimal number")?,
            None => None,
        };
        Ok(Self {
            id: ack.str("id", "the id of the stanza")?,
            class: AckClass::from(ack.str("class", "the tag of the stanza")?.as_str()),
            to: ack.jid("to")?,
            participant: ack.opt_jid("participant")?,
            recipient: ack.opt_jid("recipient")?,
            kind: ack.opt_str("type"),
            error: ack.opt_num::<u16>("error", "a decimal code")?.map(NackCode::from),
            failure_reason,
        })
    }
}

/// An ack that a client receives: the server has taken, or refused, a message or a receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AckIn {
    /// Id of the client's stanza.
    pub id: String,
    /// Tag of the client's stanza.
    pub class: AckClass,
    /// `to` of the client's stanza.
    pub from: Jid,
    /// The server's time in unix seconds: the time of the message.
    pub t: Option<u64>,
    /// Why a message is refused.
    pub error: Option<MessageErrorCode>,
    /// Echo of the type.
    pub kind: Option<String>,
    /// The server's hash over the participants of a group.
    pub phash: Option<String>,
    /// `count`, seldom set.
    pub count: Option<u32>,
    /// Echo of the participant.
    pub participant: Option<Jid>,
}

impl AckIn {
    /// The server's plain ack of a client's message.
    pub fn message(id: impl Into<String>, from: Jid, t: u64) -> Self {
        Self {
            id: id.into(),
            class: AckClass::Message,
            from,
            t: Some(t),
            error: None,
            kind: None,
            phash: None,
            count: None,
            participant: None,
        }
    }

    /// The same with a reason for refusal.
    #[must_use]
    pub fn refused(mut self, error: MessageErrorCode) -> Self {
        self.error = Some(error);
        self
    }

    /// The stanza.
    pub fn to_node(&self, _profile: &Profile) -> Node {
        Node::new("ack")
            .attr("class", self.class.as_str())
            .attr("id", self.id.as_str())
            .attr("from", &self.from)
            .attr_opt("t", self.t)
            .attr_opt("type", self.kind.as_deref())
            .attr_opt("error", self.error.map(MessageErrorCode::number))
            .attr_opt("phash", self.phash.as_deref())
            .attr_opt("count", self.count)
            .attr_opt("participant", self.participant.as_ref())
    }

    /// Reads the server's ack.
    ///
    /// # Errors
    /// A [`StanzaError`] if id, class or address is missing or a number is none.
    pub fn from_node(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        let ack = El::root(node, "ack")?;
        Ok(Self {
            id: ack.str("id", "the id of the stanza")?,
            class: AckClass::from(ack.str("class", "the tag of the stanza")?.as_str()),
            from: ack.jid("from")?,
            t: ack.opt_time("t")?,
            error: ack.opt_num::<u16>("error", "a decimal code")?.map(MessageErrorCode::from),
            kind: ack.opt_str("type"),
            phash: ack.opt_str("phash"),
            count: ack.opt_num("count", "a decimal number")?,
            participant: ack.opt_jid("participant")?,
        })
    }
}
