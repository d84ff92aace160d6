//! What is done to stanzas.

use landbridge_stanza::Profile;
use landbridge_stanza::message::{EncType, MessageContent, MessageIn};
use landbridge_wire::{Node, NodeRef};

use super::Dice;

/// Name of what nobody knows.
pub(crate) const UNKNOWN: &str = "x-landbridge";

/// Adds what nobody knows: an attribute, and a child where there can be one.
pub(crate) fn with_extras(stanza: Node, dice: &mut Dice) -> Node {
    let has_bytes = stanza.view().content_bytes().is_some();
    let stanza = stanza.attr(UNKNOWN, dice.below(1_000).to_string());
    if has_bytes { stanza } else { stanza.child(Node::new(UNKNOWN).attr("v", "1")) }
}

/// A stanza with a tag that nobody knows, to be acked all the same.
pub(crate) fn unknown(now: u64, dice: &mut Dice) -> Node {
    Node::new(UNKNOWN)
        .attr("from", landbridge_stanza::server_jid())
        .attr("id", format!("x-{}", dice.below(u64::from(u32::MAX))))
        .attr("t", now)
}

/// A message whose ciphertext is damaged; `None` if it is no first copy of one.
pub(crate) fn damaged(stanza: NodeRef<'_>, profile: &Profile) -> Option<Node> {
    let mut message = MessageIn::from_node(stanza).ok()?;
    let MessageContent::Encrypted(encs) = &mut message.content else { return None };
    if encs.iter().any(|enc| enc.count.is_some()) {
        return None;
    }
    for enc in encs.iter_mut().filter(|enc| matches!(enc.kind, EncType::PreKey | EncType::Message)) {
        crate::phones::damage(&mut enc.ciphertext)?;
    }
    Some(message.to_node(profile))
}
