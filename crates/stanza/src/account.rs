//! Deletion of the account, and the mark that something stale was fetched anew.

use landbridge_wire::{Node, NodeRef};

use crate::error::StanzaError;
use crate::iq::{self, IqType, Request};
use crate::profile::Profile;
use crate::read::El;

/// Namespace of [`Clean`].
pub const DIRTY_XMLNS: &str = "urn:xmpp:whatsapp:dirty";

/// Deletes the account (SEED: "deletion request through the chat channel"; form of older clients, ASSUMED for interop).
/// After the answer the server ends the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeleteAccount;

impl Request for DeleteAccount {
    type Reply = ();

    fn to_node(&self, id: &str, profile: &Profile) -> Node {
        let deletion = &profile.deletion;
        iq::request(id, &deletion.xmlns, deletion.iq_type)
            .child(Node::new("remove").attr("xmlns", deletion.xmlns.as_str()))
    }

    fn from_node(node: NodeRef<'_>, _profile: &Profile) -> Result<Self, StanzaError> {
        El::root(node, "iq")?.child("remove", "the wish to delete the account").map(|_| Self)
    }

    fn parse_result(_node: NodeRef<'_>, _profile: &Profile) -> Result<(), StanzaError> {
        Ok(())
    }

    fn reply_node(&self, (): &(), id: &str, _profile: &Profile) -> Node {
        iq::result(id)
    }
}

/// Says that what a `dirty` announced was fetched (PEERS).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clean {
    /// `type` of the `dirty`.
    pub kind: String,
    /// `timestamp` of the `dirty`, unix seconds.
    pub timestamp: Option<u64>,
}

impl Request for Clean {
    type Reply = ();

    fn to_node(&self, id: &str, _profile: &Profile) -> Node {
        iq::request(id, DIRTY_XMLNS, IqType::Set)
            .child(Node::new("clean").attr("type", self.kind.as_str()).attr_opt("timestamp", self.timestamp))
    }

    fn from_node(node: NodeRef<'_>, _profile: &Profile) -> Result<Self, StanzaError> {
        let iq = El::root(node, "iq")?;
        let clean = iq.child("clean", "what was fetched")?;
        Ok(Self { kind: clean.str("type", "what was fetched")?, timestamp: clean.opt_time("timestamp")? })
    }

    fn parse_result(_node: NodeRef<'_>, _profile: &Profile) -> Result<(), StanzaError> {
        Ok(())
    }

    fn reply_node(&self, (): &(), id: &str, _profile: &Profile) -> Node {
        iq::result(id)
    }
}
