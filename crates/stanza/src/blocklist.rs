//! The block list (SEED names it, form PEERS).

use landbridge_wire::{Jid, Node, NodeRef};

use crate::error::StanzaError;
use crate::iq::{self, IqType, Request};
use crate::profile::Profile;
use crate::read::El;

/// Namespace of the block list.
pub const XMLNS: &str = "blocklist";

/// Whom the user has blocked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Blocklist {
    /// The server's hash of the list.
    pub dhash: Option<String>,
    /// The list.
    pub items: Vec<BlockedUser>,
}

/// One blocked user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockedUser {
    /// Who.
    pub jid: Jid,
    /// Since when, unix seconds.
    pub t: Option<u64>,
}

impl Blocklist {
    fn node(&self) -> Node {
        Node::new("list").attr_opt("dhash", self.dhash.as_deref()).children_with(
            "item",
            &self.items,
            |node, item| node.attr("jid", &item.jid).attr_opt("t", item.t),
        )
    }

    /// Reads the list, or the items that stand directly in the iq.
    fn read(iq: &El<'_, '_>) -> Result<Self, StanzaError> {
        let list = iq.opt_child("list");
        let holder = list.as_ref().unwrap_or(iq);
        let items = holder
            .children_named("item")
            .map(|item| Ok(BlockedUser { jid: item.jid("jid")?, t: item.opt_time("t")? }));
        Ok(Self { dhash: holder.opt_str("dhash"), items: items.collect::<Result<_, _>>()? })
    }
}

/// Asks for the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GetBlocklist;

impl Request for GetBlocklist {
    type Reply = Blocklist;

    fn to_node(&self, id: &str, _profile: &Profile) -> Node {
        iq::request(id, XMLNS, IqType::Get)
    }

    fn from_node(node: NodeRef<'_>, _profile: &Profile) -> Result<Self, StanzaError> {
        El::root(node, "iq").map(|_| Self)
    }

    fn parse_result(node: NodeRef<'_>, _profile: &Profile) -> Result<Blocklist, StanzaError> {
        Blocklist::read(&El::root(node, "iq")?)
    }

    fn reply_node(&self, list: &Blocklist, id: &str, _profile: &Profile) -> Node {
        iq::result(id).child(list.node())
    }
}

/// Which way a block list changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockAction {
    /// The user is blocked from now on.
    Block,
    /// The user is no longer blocked.
    Unblock,
}

impl BlockAction {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Unblock => "unblock",
        }
    }

    pub(crate) fn read(item: &El<'_, '_>) -> Result<Self, StanzaError> {
        match item.str("action", "`block` or `unblock`")?.as_str() {
            "block" => Ok(Self::Block),
            "unblock" => Ok(Self::Unblock),
            _ => Err(item.bad_attr("action", "`block` or `unblock`")),
        }
    }
}

/// Blocks or unblocks one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateBlocklist {
    /// Whom.
    pub jid: Jid,
    /// Which way.
    pub action: BlockAction,
    /// Hash of the list that the client has; the server refuses a change of another list with 409.
    pub dhash: Option<String>,
    /// The number of a user who is blocked by hidden number; demanded of companions.
    pub pn_jid: Option<Jid>,
}

impl Request for UpdateBlocklist {
    /// The new list, if the server sends it; else fetch it.
    type Reply = Option<Blocklist>;

    fn to_node(&self, id: &str, _profile: &Profile) -> Node {
        iq::request(id, XMLNS, IqType::Set).child(
            Node::new("item")
                .attr("jid", &self.jid)
                .attr("action", self.action.as_str())
                .attr_opt("dhash", self.dhash.as_deref())
                .attr_opt("pn_jid", self.pn_jid.as_ref()),
        )
    }

    fn from_node(node: NodeRef<'_>, _profile: &Profile) -> Result<Self, StanzaError> {
        let iq = El::root(node, "iq")?;
        let item = iq.child("item", "the user and the action")?;
        Ok(Self {
            jid: item.jid("jid")?,
            action: BlockAction::read(&item)?,
            dhash: item.opt_str("dhash"),
            pn_jid: item.opt_jid("pn_jid")?,
        })
    }

    fn parse_result(node: NodeRef<'_>, _profile: &Profile) -> Result<Option<Blocklist>, StanzaError> {
        let iq = El::root(node, "iq")?;
        if iq.opt_child("list").is_none() && iq.opt_child("item").is_none() {
            return Ok(None);
        }
        Blocklist::read(&iq).map(Some)
    }

    fn reply_node(&self, list: &Option<Blocklist>, id: &str, _profile: &Profile) -> Node {
        iq::result(id).children(list.as_ref().map(Blocklist::node))
    }
}
