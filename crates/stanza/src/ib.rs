//! Information of the server about the mailbox and the connection (`ib`, SEED names it). Never acked.

use landbridge_wire::{Jid, Node, NodeRef};

use crate::error::StanzaError;
use crate::profile::Profile;
use crate::read::El;
use crate::server_jid;

/// One piece of information.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Ib {
    /// What waits in the mailbox.
    OfflinePreview(OfflinePreview),
    /// C→S: the server may send so many stanzas more of the mailbox.
    OfflineBatch {
        /// How many.
        count: u32,
    },
    /// The mailbox is empty.
    Offline {
        /// How many stanzas of it were delivered.
        count: u32,
    },
    /// Something must be fetched anew; answer with [`Clean`](crate::account::Clean) afterwards.
    Dirty {
        /// What.
        kind: String,
        /// Since when, unix seconds.
        timestamp: Option<u64>,
    },
    /// Bytes to send before the header of the next connection.
    EdgeRouting {
        /// The bytes.
        routing_info: Vec<u8>,
    },
    /// This version of the client will be refused.
    ClientExpiration {
        /// From when, unix seconds.
        t: u64,
    },
    /// Anything else, whole.
    Other(Node),
}

/// What waits in the mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OfflinePreview {
    /// All of it.
    pub count: u32,
    /// Messages.
    pub message: u32,
    /// Receipts.
    pub receipt: u32,
    /// Notifications.
    pub notification: u32,
    /// Calls.
    pub call: u32,
    /// Changes of synchronised app data.
    pub appdata: u32,
    /// Status updates.
    pub status: u32,
}

const COUNT: &str = "a decimal number";

impl Ib {
    /// The stanza, as the sender of this kind of information writes it.
    pub fn to_node(&self, _profile: &Profile) -> Node {
        let from_server = |child| Node::new("ib").attr("from", server_jid()).child(child);
        match self {
            Self::OfflinePreview(preview) => from_server(preview.node()),
            Self::OfflineBatch { count } => {
                Node::new("ib").child(Node::new("offline_batch").attr("count", *count))
            }
            Self::Offline { count } => from_server(Node::new("offline").attr("count", *count)),
            Self::Dirty { kind, timestamp } => {
                from_server(Node::new("dirty").attr("type", kind.as_str()).attr_opt("timestamp", *timestamp))
            }
            Self::EdgeRouting { routing_info } => from_server(
                Node::new("edge_routing").child(Node::new("routing_info").bytes(routing_info.as_slice())),
            ),
            Self::ClientExpiration { t } => from_server(Node::new("client_expiration").attr("t", *t)),
            Self::Other(node) => node.clone(),
        }
    }

    /// Reads the first piece of information of an `ib` that this crate knows.
    ///
    /// # Errors
    /// A [`StanzaError`] if a known piece lacks a part.
    pub fn from_node(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        let ib = El::root(node, "ib")?;
        let _: Option<Jid> = ib.opt_jid("from")?;
        for child in ib.children() {
            if let Some(known) = Self::read(&child)? {
                return Ok(known);
            }
        }
        Ok(Self::Other(node.to_node()))
    }

    fn read(child: &El<'_, '_>) -> Result<Option<Self>, StanzaError> {
        Ok(Some(match child.node().tag().as_ref() {
            "offline_preview" => Self::OfflinePreview(OfflinePreview::read(child)?),
            "offline_batch" => Self::OfflineBatch { count: child.num("count", COUNT)? },
            "offline" => Self::Offline { count: child.opt_num("count", COUNT)?.unwrap_or(0) },
            "dirty" => Self::Dirty {
                kind: child.str("type", "what is dirty")?,
                timestamp: child.opt_time("timestamp")?,
            },
            "edge_routing" => {
                let routing_info = child.child("routing_info", "bytes")?.some_bytes("bytes")?;
                Self::EdgeRouting { routing_info }
            }
            "client_expiration" => Self::ClientExpiration { t: child.time("t")? },
            _ => return Ok(None),
        }))
    }
}

impl OfflinePreview {
    fn node(&self) -> Node {
        let unless_zero = |n: u32| (n > 0).then_some(n);
        Node::new("offline_preview")
            .attr("count", self.count)
            .attr("message", self.message)
            .attr("receipt", self.receipt)
            .attr("notification", self.notification)
            .attr_opt("call", unless_zero(self.call))
            .attr_opt("appdata", unless_zero(self.appdata))
            .attr_opt("status", unless_zero(self.status))
    }

    fn read(preview: &El<'_, '_>) -> Result<Self, StanzaError> {
        let number = |key| Ok(preview.opt_num(key, COUNT)?.unwrap_or(0));
        Ok(Self {
            count: preview.num("count", COUNT)?,
            message: number("message")?,
            receipt: number("receipt")?,
            notification: number("notification")?,
            call: number("call")?,
            appdata: number("appdata")?,
            status: number("status")?,
        })
    }
}
