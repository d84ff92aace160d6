//! From stanza to node.

use std::borrow::Cow;

use crate::scan::check;
use crate::tape::Tape;
use crate::view::NodeRef;
use crate::{DecodeError, Node};

/// Limits of the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Levels of nodes, the root being the first: 128. PEERS (WR).
    pub max_depth: usize,
    /// Largest size of a compressed stanza when inflated, in bytes: 16 MiB. PEERS (WR).
    pub max_inflated: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_depth: 128, max_inflated: 16 << 20 }
    }
}

impl Limits {
    /// The same limits with this depth.
    #[must_use]
    pub fn with_max_depth(self, max_depth: usize) -> Self {
        Self { max_depth, ..self }
    }

    /// The same limits with this inflated size in bytes.
    #[must_use]
    pub fn with_max_inflated(self, max_inflated: usize) -> Self {
        Self { max_inflated, ..self }
    }
}

/// A stanza that has been checked and indexed, and that is read where it stands.
#[derive(Clone)]
pub struct Frame<'a> {
    pub(crate) bytes: Cow<'a, [u8]>,
    pub(crate) tape: Tape,
}

impl<'a> Frame<'a> {
    #[inline]
    pub(crate) fn new(bytes: Cow<'a, [u8]>, limits: &Limits) -> Result<Self, DecodeError> {
        let mut frame = Self { bytes, tape: Tape::new() };
        check(&frame.bytes, limits, &mut frame.tape)?;
        Ok(frame)
    }

    /// The node to read from.
    #[inline]
    pub fn view(&self) -> NodeRef<'_> {
        NodeRef::new(&self.bytes, self.tape.entries(), &[])
    }

    /// A node of its own with the same parts.
    pub fn to_node(&self) -> Node {
        self.view().to_node()
    }

    /// The bytes of the stanza, inflated if it came compressed.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same stanza with bytes of its own.
    pub fn into_owned(self) -> Frame<'static> {
        Frame { bytes: Cow::Owned(self.bytes.into_owned()), tape: self.tape }
    }
}

impl std::fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.view().fmt(f)
    }
}

/// Reads a stanza into a node of its own.
///
/// # Errors
/// If the bytes are not exactly one stanza within the limits; see [`crate::DecodeErrorKind`].
pub fn decode(stanza: &[u8], limits: &Limits) -> Result<Node, DecodeError> {
    decode_ref(stanza, limits).map(|frame| frame.to_node())
}

/// Checks and indexes a stanza, which is then read where it stands: nothing is copied.
///
/// # Errors
/// As [`decode`].
#[inline]
pub fn decode_ref<'a>(stanza: &'a [u8], limits: &Limits) -> Result<Frame<'a>, DecodeError> {
    Frame::new(Cow::Borrowed(stanza), limits)
}
