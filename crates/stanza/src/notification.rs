//! Notifications: always acked, after their effect is stored (PEERS).

use landbridge_wire::{Jid, Node, NodeRef};

use crate::ack::{AckClass, AckOut};
use crate::blocklist::BlockAction;
use crate::error::StanzaError;
use crate::profile::Profile;
use crate::read::El;
use crate::server_jid;

/// A notification.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    /// Who or what it is about; the server itself for the own account.
    pub from: Jid,
    /// Id, for the ack.
    pub id: String,
    /// `type`, for the ack.
    pub kind: String,
    /// The server's time in unix seconds.
    pub t: Option<u64>,
    /// Position in the mailbox, if it comes from there.
    pub offline: Option<u32>,
    /// Who acted, in groups.
    pub participant: Option<Jid>,
    /// The content.
    pub event: NotificationEvent,
}

/// What a notification says.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum NotificationEvent {
    /// The server runs out of one-time prekeys: upload a batch.
    PreKeysLow {
        /// How many are left.
        count: u32,
    },
    /// The server wants its view of the keys checked ([`DigestKeys`](crate::keys::DigestKeys)).
    CheckDigest,
    /// The identity of `from` has changed.
    IdentityChanged {
        /// The user's hidden number.
        lid: Option<Jid>,
    },
    /// The block list was changed elsewhere.
    Blocklist(BlocklistChange),
    /// `from` can, or can no longer, be written to (ASSUMED, see [`crate::reach`]).
    Reachable(Reachability),
    /// Anything else, whole.
    Other(Node),
}

/// Whether a user can be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reachability {
    /// Yes.
    Reachable,
    /// No.
    Unreachable,
}

/// A change of the block list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlocklistChange {
    /// Hash of the list after it.
    pub dhash: Option<String>,
    /// Hash of the list before it. If it is not the stored one, fetch the list.
    pub prev_dhash: Option<String>,
    /// What changed.
    pub items: Vec<(Jid, BlockAction)>,
}

impl Notification {
    /// The server tells an account that it has `count` one-time prekeys left.
    pub fn prekeys_low(id: impl Into<String>, t: u64, count: u32) -> Self {
        Self::new(server_jid(), id, "encrypt", t, NotificationEvent::PreKeysLow { count })
    }

    /// The server tells a contact that the identity of `from` has changed.
    pub fn identity_changed(id: impl Into<String>, t: u64, from: Jid) -> Self {
        Self::new(from, id, "encrypt", t, NotificationEvent::IdentityChanged { lid: None })
    }

    /// Any notification; `kind` is its `type`.
    pub fn new(from: Jid, id: impl Into<String>, kind: &str, t: u64, event: NotificationEvent) -> Self {
        Self {
            from,
            id: id.into(),
            kind: kind.to_owned(),
            t: Some(t),
            offline: None,
            participant: None,
            event,
        }
    }

    /// The ack that is owed once the effect is stored.
    pub fn ack(&self) -> AckOut {
        AckOut {
            id: self.id.clone(),
            class: AckClass::Notification,
            to: self.from.clone(),
            participant: self.participant.clone(),
            recipient: None,
            kind: Some(self.kind.clone()),
            error: None,
            failure_reason: None,
        }
    }

    /// The stanza. An event of kind [`NotificationEvent::Other`] is the whole stanza already.
    pub fn to_node(&self, profile: &Profile) -> Node {
        let content = match &self.event {
            NotificationEvent::PreKeysLow { count } => Node::new("count").attr("value", *count),
            NotificationEvent::CheckDigest => Node::new("digest"),
            NotificationEvent::IdentityChanged { lid } => Node::new("identity").attr_opt("lid", lid.as_ref()),
            NotificationEvent::Blocklist(change) => change.node(),
            NotificationEvent::Reachable(value) => {
                let value = if *value == Reachability::Reachable { "true" } else { "false" };
                Node::new(profile.reach.notification_tag.as_str()).attr("value", value)
            }
            NotificationEvent::Other(node) => return node.clone(),
        };
        Node::new("notification")
            .attr("from", &self.from)
            .attr("id", self.id.as_str())
            .attr("type", self.kind.as_str())
            .attr_opt("t", self.t)
            .attr_opt("offline", self.offline)
            .attr_opt("participant", self.participant.as_ref())
            .child(content)
    }

    /// Reads a notification. A known content under a type that does not go with it is kept as
    /// [`NotificationEvent::Other`].
    ///
    /// # Errors
    /// A [`StanzaError`] if the envelope lacks a part, or the content does.
    pub fn from_node(node: NodeRef<'_>, profile: &Profile) -> Result<Self, StanzaError> {
        let notification = El::root(node, "notification")?;
        let from = notification.jid("from")?;
        let kind = notification.str("type", "what changed")?;
        Ok(Self {
            event: read_event(&notification, &from, &kind, profile)?,
            id: notification.str("id", "an id for the ack")?,
            t: notification.opt_time("t")?,
            offline: notification.opt_num("offline", "a decimal number")?,
            participant: notification.opt_jid("participant")?,
            from,
            kind,
        })
    }
}

fn read_event(
    notification: &El<'_, '_>,
    from: &Jid,
    kind: &str,
    profile: &Profile,
) -> Result<NotificationEvent, StanzaError> {
    let from_server = *from == server_jid();
    match kind {
        "encrypt" if from_server => {
            if let Some(count) = notification.opt_child("count") {
                let count = count.opt_num("value", "a decimal number")?.unwrap_or(0);
                return Ok(NotificationEvent::PreKeysLow { count });
            }
            if notification.opt_child("digest").is_some() {
                return Ok(NotificationEvent::CheckDigest);
            }
        }
        "encrypt" => {
            if let Some(identity) = notification.opt_child("identity") {
                return Ok(NotificationEvent::IdentityChanged { lid: identity.opt_jid("lid")? });
            }
        }
        "account_sync" => {
            if let Some(list) = notification.opt_child("blocklist") {
                return Ok(NotificationEvent::Blocklist(BlocklistChange::read(&list)?));
            }
        }
        kind if kind == profile.reach.notification_type => {
            if let Some(reachable) = notification.opt_child(&profile.reach.notification_tag) {
                return match reachable.str("value", "`true` or `false`")?.as_str() {
                    "true" => Ok(NotificationEvent::Reachable(Reachability::Reachable)),
                    "false" => Ok(NotificationEvent::Reachable(Reachability::Unreachable)),
                    _ => Err(reachable.bad_attr("value", "`true` or `false`")),
                };
            }
        }
        _ => {}
    }
    Ok(NotificationEvent::Other(notification.node().to_node()))
}

impl BlocklistChange {
    fn node(&self) -> Node {
        Node::new("blocklist")
            .attr_opt("dhash", self.dhash.as_deref())
            .attr_opt("prev_dhash", self.prev_dhash.as_deref())
            .children_with("item", &self.items, |node, (jid, action)| {
                node.attr("jid", jid).attr("action", action.as_str())
            })
    }

    fn read(list: &El<'_, '_>) -> Result<Self, StanzaError> {
        let items = list.children_named("item").map(|item| Ok((item.jid("jid")?, BlockAction::read(&item)?)));
        Ok(Self {
            dhash: list.opt_str("dhash"),
            prev_dhash: list.opt_str("prev_dhash"),
            items: items.collect::<Result<_, _>>()?,
        })
    }
}
