//! Presence. Not stored, not acked (PEERS); subscribing is not part of the published features (ASSUMED optional).

use landbridge_wire::{Jid, Node, NodeRef};

use crate::error::StanzaError;
use crate::profile::Profile;
use crate::read::El;

/// Presence that a client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PresenceOut {
    /// The app is in front.
    Available {
        /// Name that the user shows.
        name: Option<String>,
    },
    /// The app is not in front.
    Unavailable {
        /// Name that the user shows.
        name: Option<String>,
    },
    /// Asks for the presence of a peer.
    Subscribe {
        /// The peer.
        to: Jid,
    },
    /// Does not want it any longer.
    Unsubscribe {
        /// The peer.
        to: Jid,
    },
}

impl PresenceOut {
    /// The stanza.
    pub fn to_node(&self, _profile: &Profile) -> Node {
        let node = Node::new("presence");
        match self {
            Self::Available { name } => node.attr("type", "available").attr_opt("name", name.as_deref()),
            Self::Unavailable { name } => node.attr("type", "unavailable").attr_opt("name", name.as_deref()),
            Self::Subscribe { to } => node.attr("type", "subscribe").attr("to", to),
            Self::Unsubscribe { to } => node.attr("type", "unsubscribe").attr("to", to),
        }
    }

    /// Reads a client's stanza; no type means available.
    ///
    /// # Errors
    /// A [`StanzaError`] for an unknown type or a missing address.
    pub fn from_node(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        let presence = El::root(node, "presence")?;
        match presence.opt_str("type").as_deref() {
            None | Some("available") => Ok(Self::Available { name: presence.opt_str("name") }),
            Some("unavailable") => Ok(Self::Unavailable { name: presence.opt_str("name") }),
            Some("subscribe") => Ok(Self::Subscribe { to: presence.jid("to")? }),
            Some("unsubscribe") => Ok(Self::Unsubscribe { to: presence.jid("to")? }),
            Some(_) => Err(presence.bad_attr("type", "available, unavailable, subscribe or unsubscribe")),
        }
    }
}

/// When a peer was last seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastSeen {
    /// Unix seconds.
    At(u64),
    /// The peer does not say.
    Denied,
}

/// Presence of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceIn {
    /// The peer.
    pub from: Jid,
    /// Whether the peer is there.
    pub availability: Availability,
    /// When the peer was last there.
    pub last: Option<LastSeen>,
}

/// Whether a peer is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// The peer's app is in front.
    Available,
    /// It is not.
    Unavailable,
}

impl PresenceIn {
    /// The stanza.
    pub fn to_node(&self, _profile: &Profile) -> Node {
        let last = self.last.map(|last| match last {
            LastSeen::At(t) => t.to_string(),
            LastSeen::Denied => "deny".to_owned(),
        });
        Node::new("presence")
            .attr("from", &self.from)
            .attr_opt("type", (self.availability == Availability::Unavailable).then_some("unavailable"))
            .attr_opt("last", last)
    }

    /// Reads the server's stanza; no type means available. A `last` of another form is left out.
    ///
    /// # Errors
    /// A [`StanzaError`] if the address is missing.
    pub fn from_node(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        let presence = El::root(node, "presence")?;
        let availability = match presence.opt_str("type").as_deref() {
            Some("unavailable") => Availability::Unavailable,
            _ => Availability::Available,
        };
        let last = match presence.opt_str("last").as_deref() {
            Some("deny") => Some(LastSeen::Denied),
            Some(text) => text.parse().ok().map(LastSeen::At),
            None => None,
        };
        Ok(Self { from: presence.jid("from")?, availability, last })
    }
}
