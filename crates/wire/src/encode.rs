//! From node to stanza.

use crate::composer::{Aside, Composer, Marks, size};
use crate::reader::{Body, Item, Str};
use crate::token::MARK_ASIDE;
use crate::view::NodeRef;
use crate::{EncodeError, Jid, Node};

/// Largest stanza that one frame carries, in bytes: a frame of 2^24 − 1 bytes less 16 bytes of the cipher
/// and the flags byte. PEERS.
pub const MAX_STANZA: usize = 16_777_198;
/// Most attributes that a list header counts beside the tag and the content.
const MAX_ATTRIBUTES: usize = 32_767;
/// Most children that a list header counts.
const MAX_CHILDREN: usize = 65_535;

/// Which strings are packed when they can be. Both are read always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pack {
    /// All. PEERS write this.
    #[default]
    All,
    /// The user parts of JIDs only, as in the public sample. SEED.
    Jid,
}

/// How an interoperability JID is written. All forms are read always. ASSUMED.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InteropJid {
    /// In its own form, followed by the name of its server.
    #[default]
    Append,
    /// In its own form without the name of its server.
    Omit,
    /// As user `<integrator>-<id>` and server. There is no such form for a device.
    Pair,
}

/// How stanzas are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EncodeOptions {
    /// Which strings are packed.
    pub pack: Pack,
    /// How interoperability JIDs are written.
    pub interop_jid: InteropJid,
    /// In a payload, a stanza of more than so many bytes is compressed if that makes it shorter; never if
    /// `None`. ASSUMED.
    pub compress_above: Option<usize>,
}

/// Writes a node as a stanza.
///
/// # Errors
/// If the node, or one below it, has no encoding; see [`EncodeError`].
pub fn encode(node: &Node, options: &EncodeOptions) -> Result<Vec<u8>, EncodeError> {
    if is_final(node, options)? { copy(node, Start::Stanza) } else { encode_ref(node.view(), options) }
}

/// Writes a node that is being read as a stanza.
///
/// # Errors
/// As [`encode`].
pub fn encode_ref(node: NodeRef<'_>, options: &EncodeOptions) -> Result<Vec<u8>, EncodeError> {
    rewrite(node, options, Start::Stanza)
}

/// Writes a node as a stanza behind a flags byte of 0.
pub(crate) fn encode_flagged(node: &Node, options: &EncodeOptions) -> Result<Vec<u8>, EncodeError> {
    if is_final(node, options)? {
        copy(node, Start::Flags)
    } else {
        rewrite(node.view(), options, Start::Flags)
    }
}

/// Whether a node holds its payload already as these options want it, whole and in one piece.
pub(crate) fn is_complete(node: &Node, options: &EncodeOptions) -> Result<bool, EncodeError> {
    Ok(is_final(node, options)? && node.asides().is_empty() && node.payload().len() <= MAX_STANZA + 1)
}

/// Whether a node holds its stanza already as these options want it.
fn is_final(node: &Node, options: &EncodeOptions) -> Result<bool, EncodeError> {
    let marks = node.marks();
    if marks.has(Marks::TOO_LONG) {
        return Err(EncodeError::TooLong { limit: MAX_STANZA });
    }
    let mut redo = Marks::IRREGULAR.with(Marks::TEXT);
    if options.pack != Pack::All {
        redo.add(Marks::PACKED);
    }
    if options.interop_jid != InteropJid::Append {
        redo.add(Marks::INTEROP);
    }
    Ok(!marks.has(redo))
}

/// With what a copy begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    Flags,
    Stanza,
}

/// Copies the stanza that a node holds.
fn copy(node: &Node, start: Start) -> Result<Vec<u8>, EncodeError> {
    let skipped = if start == Start::Flags { 0 } else { 1 };
    let bytes = node.payload().get(skipped..).unwrap_or_default();
    let aside = node.asides();
    let length = bytes.len() + aside.iter().map(Aside::extra_length).sum::<usize>();
    if length > MAX_STANZA + 1 - skipped {
        return Err(EncodeError::TooLong { limit: MAX_STANZA });
    }
    if aside.is_empty() {
        return Ok(bytes.to_vec());
    }
    let mut out = Vec::with_capacity(length);
    let mut rest = bytes;
    let mut at = skipped;
    for Aside { at: mark, bytes } in aside {
        let (before, behind) = rest.split_at_checked(*mark as usize - at).unwrap_or_default();
        out.extend_from_slice(before);
        size(&mut out, bytes.len());
        out.extend_from_slice(bytes);
        rest = behind.strip_prefix(&[MARK_ASIDE]).unwrap_or_default();
        at = *mark as usize + 1;
    }
    out.extend_from_slice(rest);
    Ok(out)
}

/// Writes any node piece by piece.
#[inline(never)]
fn rewrite(root: NodeRef<'_>, options: &EncodeOptions, start: Start) -> Result<Vec<u8>, EncodeError> {
    let mut composer = Composer { bytes: Vec::with_capacity(root.weight()), ..Composer::default() };
    if start == Start::Flags {
        composer.bytes.push(0);
    }
    compose(root, options, &mut composer)?;
    Ok(composer.bytes)
}

fn compose(root: NodeRef<'_>, options: &EncodeOptions, out: &mut Composer) -> Result<(), EncodeError> {
    let start = out.bytes.len();
    for node in root.descendants() {
        let attributes = node.items().count();
        if attributes > MAX_ATTRIBUTES {
            return Err(EncodeError::TooManyAttributes { tag: node.tag().into(), count: attributes });
        }
        let body = node.body();
        let content = u32::from(node.is_parent() || body.is_some());
        out.list(1 + 2 * attributes as u32 + content);
        node_parts(node, body, options, out)?;
        if out.bytes.len() - start > MAX_STANZA {
            return Err(EncodeError::TooLong { limit: MAX_STANZA });
        }
    }
    Ok(())
}

fn node_parts(
    node: NodeRef<'_>,
    body: Option<Body<'_>>,
    options: &EncodeOptions,
    out: &mut Composer,
) -> Result<(), EncodeError> {
    let tag = node.tag_string();
    if tag.is_empty() {
        return Err(EncodeError::EmptyTag);
    }
    string(tag, options, out);
    for (key, item) in node.items() {
        if key.is_empty() {
            return Err(EncodeError::EmptyKey { tag: node.tag().into() });
        }
        string(key, options, out);
        match item {
            Item::Str(value) => string(value, options, out),
            Item::Jid(parts) => jid(&parts.to_jid(), options, out)?,
        }
    }
    if node.is_parent() {
        let count = node.children().count();
        if count > MAX_CHILDREN {
            return Err(EncodeError::TooManyChildren { tag: node.tag().into(), count });
        }
        out.list(count as u32);
        return Ok(());
    }
    match body {
        Some(Body::Bytes(bytes)) if bytes.len() > MAX_STANZA => {
            return Err(EncodeError::TooLong { limit: MAX_STANZA });
        }
        Some(Body::Bytes(bytes)) => out.sized(bytes),
        Some(Body::Text(text)) => string(text, options, out),
        Some(Body::Jid(parts)) => jid(&parts.to_jid(), options, out)?,
        _ => {}
    }
    Ok(())
}

fn string(string: Str<'_>, options: &EncodeOptions, out: &mut Composer) {
    match string {
        Str::Word(word) => out.word(word),
        _ => out.string(&string.text(), options.pack),
    }
}

fn jid(jid: &Jid, options: &EncodeOptions, out: &mut Composer) -> Result<(), EncodeError> {
    out.jid(jid, options.pack, options.interop_jid);
    if out.marks.has(Marks::IRREGULAR) {
        return Err(EncodeError::Jid { jid: jid.to_string() });
    }
    Ok(())
}
