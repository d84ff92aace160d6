//! Our side.

use landbridge_wire::{
    ContentRef, EncodeOptions, Frame, Limits, Node, NodeMut, NodeRef, ValueRef, decode_payload_ref, encode_payload,
};

use super::spec::{Attr, Spec};

pub fn build(spec: &Spec) -> Node {
    Node::with(spec.tag, |node| fill(node, spec))
}

fn fill<'n>(mut node: NodeMut<'n>, spec: &Spec) -> NodeMut<'n> {
    for (key, value) in &spec.attrs {
        node = match value {
            Attr::Text(text) => node.attr(key, *text),
            Attr::Jid { ours, .. } => node.attr(key, ours),
        };
    }
    if let Some(bytes) = &spec.bytes {
        node = node.bytes(bytes);
    }
    for child in &spec.children {
        node = node.child_with(child.tag, |node| fill(node, child));
    }
    node
}

/// The same, child by child: each is built by itself and then copied into its parent.
pub fn build_apart(spec: &Spec) -> Node {
    let mut node = Node::new(spec.tag);
    for (key, value) in &spec.attrs {
        match value {
            Attr::Text(text) => node.set_attr(key, *text),
            Attr::Jid { ours, .. } => node.set_attr(key, ours),
        };
    }
    if let Some(bytes) = &spec.bytes {
        node.set_bytes(bytes);
    }
    for child in &spec.children {
        node.push_child(build_apart(child));
    }
    node
}

#[expect(clippy::expect_used, reason = "the inputs can be encoded, or there is nothing to measure")]
pub fn into_payload(node: Node) -> Vec<u8> {
    node.into_payload(&EncodeOptions::default()).expect("encodes")
}

#[expect(clippy::expect_used, reason = "the inputs can be encoded, or there is nothing to measure")]
pub fn encode(node: &Node) -> Vec<u8> {
    encode_payload(node, &EncodeOptions::default()).expect("encodes")
}

#[expect(clippy::expect_used, reason = "the inputs can be decoded, or there is nothing to measure")]
pub fn decode(payload: &[u8]) -> Frame<'_> {
    decode_payload_ref(payload, &Limits::default()).expect("decodes")
}

/// Decodes and asks for every part; gives the sum of the lengths.
pub fn read(payload: &[u8]) -> usize {
    sum(decode(payload).view())
}

fn sum(node: NodeRef<'_>) -> usize {
    let attributes: usize = node
        .attrs()
        .map(|(key, value)| {
            key.len()
                + match value {
                    ValueRef::Text(text) => text.len(),
                    ValueRef::Jid(jid) => jid.user_part().len() + jid.server_part().len(),
                }
        })
        .sum();
    let content = match node.content() {
        ContentRef::Children(children) => children.map(sum).sum(),
        ContentRef::Bytes(bytes) => bytes.len(),
        ContentRef::Text(text) => text.len(),
        ContentRef::Jid(_) | ContentRef::None => 0,
    };
    node.tag().len() + attributes + content
}
