//! Receipts: delivered, read, played, retry (PEERS).

use landbridge_wire::{Jid, Node, NodeRef};

use crate::error::StanzaError;
use crate::ids::MessageId;
use crate::macros::words;
use crate::profile::Profile;
use crate::read::El;
use crate::retry::Retry;

words! {
    /// What a receipt says. A receipt without a type says [`Delivered`](ReceiptType::Delivered), a word that is never
    /// written by default.
    ReceiptType {
        /// The message is stored at the recipient's.
        Delivered = "delivery",
        /// The message was read.
        Read = "read",
        /// The recording was played, the picture opened.
        Played = "played",
        /// Delivered while the app was in the background (companions only).
        Inactive = "inactive",
        /// The message did not decrypt.
        Retry = "retry",
        /// As `retry`, for calls.
        EncRekeyRetry = "enc_rekey_retry",
        /// Delivered to another device of the sender.
        Sender = "sender",
        /// Read on another device of the reader.
        ReadSelf = "read-self",
        /// Played on another device of the listener.
        PlayedSelf = "played-self",
        /// Between devices of one account.
        PeerMessage = "peer_msg",
        /// Between devices of one account.
        HistorySync = "hist_sync",
        /// The file of a message is gone, please upload it anew.
        ServerError = "server-error",
        /// The server has the message.
        Sent = "sent",
    }
}

impl ReceiptType {
    fn read(receipt: &El<'_, '_>) -> Self {
        match receipt.opt_str("type").as_deref() {
            None | Some("") => Self::Delivered,
            Some(word) => Self::from(word),
        }
    }

    fn word(&self) -> Option<&str> {
        match self {
            Self::Delivered => None,
            other => Some(other.as_str()),
        }
    }
}

/// A receipt that a client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptOut {
    /// The chat: `from` of the message.
    pub to: Jid,
    /// First id.
    pub id: MessageId,
    /// What happened.
    pub kind: ReceiptType,
    /// Author, in groups.
    pub participant: Option<Jid>,
    /// Echo of the message's recipient.
    pub recipient: Option<Jid>,
    /// Time of reading, unix seconds.
    pub t: Option<u64>,
    /// Further ids of the same chat and author, `profile.receipts.ids_per_receipt` with the first at most.
    pub more_ids: Vec<MessageId>,
    /// The request of a retry receipt.
    pub retry: Option<Retry>,
}

impl ReceiptOut {
    /// A receipt for one message that says `delivered`.
    pub fn delivered(to: Jid, id: MessageId) -> Self {
        Self::of(ReceiptType::Delivered, to, id)
    }

    /// A receipt that says `read` at `t`.
    pub fn read(to: Jid, id: MessageId, t: u64) -> Self {
        Self { t: Some(t), ..Self::of(ReceiptType::Read, to, id) }
    }

    /// A receipt that says `played` at `t`.
    pub fn played(to: Jid, id: MessageId, t: u64) -> Self {
        Self { t: Some(t), ..Self::of(ReceiptType::Played, to, id) }
    }

    /// A receipt that asks for the message again.
    pub fn retry(to: Jid, retry: Retry) -> Self {
        Self { retry: Some(retry.clone()), ..Self::of(ReceiptType::Retry, to, retry.id) }
    }

    fn of(kind: ReceiptType, to: Jid, id: MessageId) -> Self {
        Self { to, id, kind, participant: None, recipient: None, t: None, more_ids: Vec::new(), retry: None }
    }

    /// All ids, the first one first.
    pub fn ids(&self) -> impl Iterator<Item = &MessageId> {
        std::iter::once(&self.id).chain(&self.more_ids)
    }

    /// The stanza. `profile.receipts.delivered_type` is the type of a delivered receipt.
    pub fn to_node(&self, profile: &Profile) -> Node {
        let kind = match &self.kind {
            ReceiptType::Delivered => profile.receipts.delivered_type.as_deref(),
            other => other.word(),
        };
        Node::new("receipt")
            .attr("to", &self.to)
            .attr("id", self.id.as_str())
            .attr_opt("type", kind)
            .attr_opt("participant", self.participant.as_ref())
            .attr_opt("recipient", self.recipient.as_ref())
            .attr_opt("t", self.t)
            .children(id_list(&self.more_ids))
            .children(self.retry.iter().flat_map(Retry::nodes))
    }

    /// Reads a client's receipt.
    ///
    /// # Errors
    /// A [`StanzaError`] if id or address is missing, or a part has another form.
    pub fn from_node(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        let receipt = El::root(node, "receipt")?;
        let kind = ReceiptType::read(&receipt);
        Ok(Self {
            to: receipt.jid("to")?,
            id: receipt.message_id("id")?,
            participant: receipt.opt_jid("participant")?,
            recipient: receipt.opt_jid("recipient")?,
            t: receipt.opt_time("t")?,
            more_ids: read_list(&receipt)?,
            retry: (kind == ReceiptType::Retry).then(|| Retry::read(&receipt)).transpose()?,
            kind,
        })
    }
}

/// A receipt that a client receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptIn {
    /// The chat.
    pub from: Jid,
    /// First id; of an aggregated receipt of a group, an id of the receipt itself.
    pub id: MessageId,
    /// Unix seconds of the server. Required of a server, tolerated when absent.
    pub t: Option<u64>,
    /// What happened.
    pub kind: ReceiptType,
    /// Who, in groups.
    pub participant: Option<Jid>,
    /// Echo, companions only.
    pub recipient: Option<Jid>,
    /// Position in the mailbox, if it comes from there.
    pub offline: Option<u32>,
    /// Further ids.
    pub more_ids: Vec<MessageId>,
    /// The request of a retry receipt.
    pub retry: Option<Retry>,
    /// The receipts of many members of a group for some messages.
    pub aggregated: Vec<MessageReceipts>,
}

/// Who has received or read one message of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageReceipts {
    /// The message.
    pub id: MessageId,
    /// The members.
    pub users: Vec<UserReceipt>,
}

/// One member's part of an aggregated receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserReceipt {
    /// Who.
    pub jid: Jid,
    /// When, unix seconds.
    pub t: u64,
    /// What, if it differs from the receipt's own type.
    pub kind: Option<ReceiptType>,
}

impl ReceiptIn {
    /// A receipt for one message.
    pub fn new(kind: ReceiptType, from: Jid, id: MessageId, t: u64) -> Self {
        Self {
            from,
            id,
            t: Some(t),
            kind,
            participant: None,
            recipient: None,
            offline: None,
            more_ids: Vec::new(),
            retry: None,
            aggregated: Vec::new(),
        }
    }

    /// What the server makes of a client's receipt for the sender of the messages: `from` and `t` are its own.
    pub fn forwarding(receipt: ReceiptOut, from: Jid, t: u64) -> Self {
        Self {
            more_ids: receipt.more_ids,
            retry: receipt.retry,
            participant: receipt.participant,
            ..Self::new(receipt.kind, from, receipt.id, t)
        }
    }

    /// The ids of a receipt that is not aggregated, the first one first.
    pub fn ids(&self) -> impl Iterator<Item = &MessageId> {
        std::iter::once(&self.id).chain(&self.more_ids)
    }

    /// The stanza.
    pub fn to_node(&self, _profile: &Profile) -> Node {
        Node::new("receipt")
            .attr("from", &self.from)
            .attr("id", self.id.as_str())
            .attr_opt("t", self.t)
            .attr_opt("type", self.kind.word())
            .attr_opt("participant", self.participant.as_ref())
            .attr_opt("recipient", self.recipient.as_ref())
            .attr_opt("offline", self.offline)
            .children(id_list(&self.more_ids))
            .children(self.retry.iter().flat_map(Retry::nodes))
            .children(self.aggregated.iter().map(MessageReceipts::node))
    }

    /// Reads the server's receipt. A retry receipt whose request cannot be read is an error; all other types are taken
    /// as they are.
    ///
    /// # Errors
    /// A [`StanzaError`] if id or address is missing, or a part has another form.
    pub fn from_node(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        let receipt = El::root(node, "receipt")?;
        let kind = ReceiptType::read(&receipt);
        Ok(Self {
            from: receipt.jid("from")?,
            id: receipt.message_id("id")?,
            t: receipt.opt_time("t")?,
            participant: receipt.opt_jid("participant")?,
            recipient: receipt.opt_jid("recipient")?,
            offline: receipt.opt_num("offline", "a decimal number")?,
            more_ids: read_list(&receipt)?,
            retry: (kind == ReceiptType::Retry).then(|| Retry::read(&receipt)).transpose()?,
            aggregated: receipt
                .children_named("participants")
                .map(|message| MessageReceipts::read(&message))
                .collect::<Result<_, _>>()?,
            kind,
        })
    }
}

impl MessageReceipts {
    fn node(&self) -> Node {
        Node::new("participants").attr("key", self.id.as_str()).children_with(
            "user",
            &self.users,
            |node, user| {
                node.attr("jid", &user.jid)
                    .attr("t", user.t)
                    .attr_opt("type", user.kind.as_ref().map(ReceiptType::as_str))
            },
        )
    }

    fn read(message: &El<'_, '_>) -> Result<Self, StanzaError> {
        let users = message.children_named("user").map(|user| {
            let kind = user.opt_str("type").map(|word| ReceiptType::from(word.as_str()));
            Ok(UserReceipt { jid: user.jid("jid")?, t: user.time("t")?, kind })
        });
        Ok(Self { id: message.message_id("key")?, users: users.collect::<Result<_, _>>()? })
    }
}

fn id_list(ids: &[MessageId]) -> Option<Node> {
    (!ids.is_empty())
        .then(|| Node::new("list").children_with("item", ids, |item, id| item.attr("id", id.as_str())))
}

fn read_list(receipt: &El<'_, '_>) -> Result<Vec<MessageId>, StanzaError> {
    match receipt.opt_child("list") {
        Some(list) => list.children_named("item").map(|item| item.message_id("id")).collect(),
        None => Ok(Vec::new()),
    }
}
