//! Typing. Not stored, not acked (PEERS).

use landbridge_wire::{Jid, Node, NodeRef};

use crate::error::StanzaError;
use crate::profile::Profile;
use crate::read::El;

/// What somebody does in a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChatState {
    /// Writes.
    Composing,
    /// Records audio.
    Recording,
    /// Neither, any more.
    Paused,
}

impl ChatState {
    fn node(self) -> Node {
        match self {
            Self::Composing => Node::new("composing"),
            Self::Recording => Node::new("composing").attr("media", "audio"),
            Self::Paused => Node::new("paused"),
        }
    }

    fn read(chatstate: &El<'_, '_>) -> Result<Self, StanzaError> {
        match (chatstate.opt_child("composing"), chatstate.opt_child("paused")) {
            (Some(composing), None) if composing.opt_str("media").as_deref() == Some("audio") => {
                Ok(Self::Recording)
            }
            (Some(_), None) => Ok(Self::Composing),
            (None, Some(_)) => Ok(Self::Paused),
            _ => Err(chatstate.missing_child("composing", "either <composing/> or <paused/>")),
        }
    }
}

/// Typing of the own user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatStateOut {
    /// The chat.
    pub to: Jid,
    /// What the user does.
    pub state: ChatState,
}

impl ChatStateOut {
    /// The stanza.
    pub fn to_node(&self, _profile: &Profile) -> Node {
        Node::new("chatstate").attr("to", &self.to).child(self.state.node())
    }

    /// Reads a client's stanza.
    ///
    /// # Errors
    /// A [`StanzaError`] if address or state is missing.
    pub fn from_node(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        let chatstate = El::root(node, "chatstate")?;
        Ok(Self { to: chatstate.jid("to")?, state: ChatState::read(&chatstate)? })
    }
}

/// Typing of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatStateIn {
    /// The chat.
    pub from: Jid,
    /// Who, in groups.
    pub participant: Option<Jid>,
    /// What the peer does.
    pub state: ChatState,
}

impl ChatStateIn {
    /// The stanza.
    pub fn to_node(&self, _profile: &Profile) -> Node {
        Node::new("chatstate")
            .attr("from", &self.from)
            .attr_opt("participant", self.participant.as_ref())
            .child(self.state.node())
    }

    /// Reads the server's stanza.
    ///
    /// # Errors
    /// A [`StanzaError`] if address or state is missing.
    pub fn from_node(node: NodeRef<'_>) -> Result<Self, StanzaError> {
        let chatstate = El::root(node, "chatstate")?;
        Ok(Self {
            from: chatstate.jid("from")?,
            participant: chatstate.opt_jid("participant")?,
            state: ChatState::read(&chatstate)?,
        })
    }
}
