//! Pings both ways, and the switch between active and passive (PEERS).

use landbridge_wire::{Jid, Node, NodeRef};

use crate::error::StanzaError;
use crate::iq::{self, IqType, Request};
use crate::profile::{PingForm, Profile};
use crate::read::El;
use crate::server_jid;

/// Namespace of the client's ping.
pub const PING_XMLNS: &str = "w:p";
/// Namespace of the server's ping.
pub const SERVER_PING_XMLNS: &str = "urn:xmpp:ping";
/// Namespace of [`SetActive`].
pub const PASSIVE_XMLNS: &str = "passive";

/// The client's ping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ping;

/// The server's answer to a [`Ping`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pong {
    /// The server's time in unix seconds.
    pub t: Option<u64>,
}

impl Request for Ping {
    type Reply = Pong;

    fn to_node(&self, id: &str, profile: &Profile) -> Node {
        let node = iq::request(id, PING_XMLNS, IqType::Get);
        match profile.liveness.ping_form {
            PingForm::Empty => node,
            PingForm::Child => node.child(Node::new("ping")),
        }
    }

    fn from_node(node: NodeRef<'_>, _profile: &Profile) -> Result<Self, StanzaError> {
        El::root(node, "iq").map(|_| Self)
    }

    fn parse_result(node: NodeRef<'_>, _profile: &Profile) -> Result<Pong, StanzaError> {
        Ok(Pong { t: El::root(node, "iq")?.opt_time("t")? })
    }

    fn reply_node(&self, pong: &Pong, id: &str, _profile: &Profile) -> Node {
        iq::result(id).attr_opt("t", pong.t)
    }
}

/// A ping of the server, which the client answers with [`ServerPing::reply_node`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerPing {
    /// Id to answer with.
    pub id: String,
    /// Who asks.
    pub from: Jid,
}

impl ServerPing {
    /// A ping of the chat server.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), from: server_jid() }
    }

    /// The stanza.
    pub fn to_node(&self, _profile: &Profile) -> Node {
        Node::new("iq")
            .attr("from", &self.from)
            .attr("type", "get")
            .attr("id", self.id.as_str())
            .attr("xmlns", SERVER_PING_XMLNS)
    }

    /// The client's answer.
    pub fn reply_node(&self) -> Node {
        Node::new("iq").attr("to", &self.from).attr("type", "result").attr("id", self.id.as_str())
    }

    /// Whether an iq of the server is a ping: by its namespace or by its child, with type `get` or none.
    pub(crate) fn matches(node: NodeRef<'_>) -> bool {
        let kind = node.attr_str("type");
        node.is("iq")
            && kind.is_none_or(|kind| kind == "get")
            && (node.attr_str("xmlns").is_some_and(|xmlns| xmlns == SERVER_PING_XMLNS)
                || node.child("ping").is_some())
    }

    /// Reads a ping.
    ///
    /// # Errors
    /// A [`StanzaError`] if id or sender is missing.
    pub fn from_node(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        let iq = El::root(node, "iq")?;
        Ok(Self {
            id: iq.str("id", "an id to answer with")?,
            from: iq.opt_jid("from")?.unwrap_or_else(server_jid),
        })
    }
}

/// Tells the server whether it may deliver the mailbox and live stanzas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetActive {
    /// It may.
    Active,
    /// It may not.
    Passive,
}

impl SetActive {
    const fn tag(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
        }
    }
}

impl Request for SetActive {
    type Reply = ();

    fn to_node(&self, id: &str, _profile: &Profile) -> Node {
        iq::request(id, PASSIVE_XMLNS, IqType::Set).child(Node::new(self.tag()))
    }

    fn from_node(node: NodeRef<'_>, _profile: &Profile) -> Result<Self, StanzaError> {
        let iq = El::root(node, "iq")?;
        match (iq.opt_child("active"), iq.opt_child("passive")) {
            (Some(_), None) => Ok(Self::Active),
            (None, Some(_)) => Ok(Self::Passive),
            _ => Err(iq.missing_child("active", "either <active/> or <passive/>")),
        }
    }

    fn parse_result(_node: NodeRef<'_>, _profile: &Profile) -> Result<(), StanzaError> {
        Ok(())
    }

    fn reply_node(&self, (): &(), id: &str, _profile: &Profile) -> Node {
        iq::result(id)
    }
}
