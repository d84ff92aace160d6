//! Reaching a user who has not enabled interoperability. No stanza of it is public: all of it is ASSUMED and named by
//! `profile.reach`.

use landbridge_wire::{Jid, Node, NodeRef};

use crate::error::StanzaError;
use crate::iq::{self, Request};
use crate::macros::words;
use crate::profile::Profile;
use crate::read::El;

words! {
    /// What became of a [`Reach`].
    ReachStatus {
        /// The user was asked.
        Requested = "requested",
        /// The user can be written to.
        Enabled = "enabled",
        /// The user cannot be asked.
        NotEligible = "not_eligible",
    }
}

/// Asks that a user enable interoperability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The user.
    pub jid: Jid,
}

impl Request for Reach {
    type Reply = ReachStatus;

    fn to_node(&self, id: &str, profile: &Profile) -> Node {
        let reach = &profile.reach;
        iq::request(id, &reach.xmlns, reach.iq_type)
            .child(Node::new(reach.tag.as_str()).attr("jid", &self.jid))
    }

    fn from_node(node: NodeRef<'_>, profile: &Profile) -> Result<Self, StanzaError> {
        let iq = El::root(node, "iq")?;
        match iq.opt_child(&profile.reach.tag) {
            Some(reach) => Ok(Self { jid: reach.jid("jid")? }),
            None => Err(iq.missing_child("reach", "the user to reach")),
        }
    }

    fn parse_result(node: NodeRef<'_>, profile: &Profile) -> Result<ReachStatus, StanzaError> {
        let iq = El::root(node, "iq")?;
        match iq.opt_child(&profile.reach.tag) {
            Some(reach) => {
                Ok(ReachStatus::from(reach.str("status", "requested, enabled or not_eligible")?.as_str()))
            }
            None => Err(iq.missing_child("reach", "the status of the user")),
        }
    }

    fn reply_node(&self, status: &ReachStatus, id: &str, profile: &Profile) -> Node {
        iq::result(id).child(
            Node::new(profile.reach.tag.as_str()).attr("jid", &self.jid).attr("status", status.as_str()),
        )
    }
}
