//! The peer's side.

use wacore_binary::builder::NodeBuilder;
use wacore_binary::node::ValueRef;
use wacore_binary::{
    Node, NodeContentRef, NodeRef, marshal, marshal::unmarshal_ref, marshal_auto, marshal_exact,
};

use super::spec::{Attr, Spec};

pub fn build(spec: &Spec) -> Node {
    let mut builder = NodeBuilder::new(spec.tag);
    for (key, value) in &spec.attrs {
        builder = match value {
            Attr::Text(text) => builder.attr(key, *text),
            Attr::Jid { peer, .. } => builder.attr(key, peer),
        };
    }
    if let Some(bytes) = &spec.bytes {
        return builder.bytes(bytes.as_slice()).build();
    }
    if spec.children.is_empty() {
        return builder.build();
    }
    builder.children(spec.children.iter().map(build)).build()
}

type Encoder = fn(&Node) -> Vec<u8>;

/// The peer's ways to encode; which is fastest depends on the stanza.
pub const ENCODERS: [Encoder; 3] = [
    |node| marshal(node).unwrap_or_default(),
    |node| marshal_auto(node).unwrap_or_default(),
    |node| marshal_exact(node).unwrap_or_default(),
];

#[expect(clippy::expect_used, reason = "the inputs can be decoded, or there is nothing to measure")]
pub fn decode(payload: &[u8]) -> NodeRef<'_> {
    unmarshal_ref(payload.get(1..).unwrap_or_default()).expect("decodes")
}

/// Decodes and asks for every part; gives the sum of the lengths.
pub fn read(payload: &[u8]) -> usize {
    sum(&decode(payload))
}

fn sum(node: &NodeRef<'_>) -> usize {
    let attributes: usize = node
        .attrs_iter()
        .map(|(key, value)| {
            key.len()
                + match value {
                    ValueRef::String(text) => text.len(),
                    ValueRef::Jid(jid) => jid.user.len() + jid.server.as_str().len(),
                }
        })
        .sum();
    let content = match node.content.as_ref() {
        Some(NodeContentRef::Nodes(children)) => children.iter().map(sum).sum(),
        Some(NodeContentRef::Bytes(bytes)) => bytes.len(),
        Some(NodeContentRef::String(text)) => text.len(),
        None => 0,
    };
    node.tag.len() + attributes + content
}
