//! What can go wrong when a stanza is read or written.

use std::fmt;

/// A stanza or payload that was refused. Nothing of it is handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset}")]
#[non_exhaustive]
pub struct DecodeError {
    /// Where: a byte position in the input. Behind a compressed payload's flags byte it counts from
    /// the start of the inflated stanza, except for the kinds that concern the compression itself.
    pub offset: usize,
    /// What was wrong.
    pub kind: DecodeErrorKind,
}

impl DecodeError {
    pub(crate) fn new(kind: DecodeErrorKind, offset: usize) -> Self {
        Self { offset, kind }
    }
}

/// The reasons for which a stanza or payload is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The payload has no flags byte.
    EmptyPayload,
    /// More bytes are needed than are left.
    Truncated,
    /// A list announces more entries than the rest of the input can hold.
    OverLongList,
    /// Nodes are nested deeper than [`Limits::max_depth`](crate::Limits::max_depth).
    TooDeep,
    /// A byte that may not begin what is due here, or that is not assigned.
    BadToken,
    /// A node does not begin with a list header.
    NotAList,
    /// A node's list has no entry, not even a tag.
    EmptyNode,
    /// A packed string breaks the packing rules.
    BadPacked,
    /// A tag of no characters.
    EmptyTag,
    /// An attribute key of no characters.
    EmptyKey,
    /// The mark of an empty string stands where a string is due that may not be empty.
    EmptyString,
    /// A JID with an empty part or a server that does not belong to its form.
    BadJid,
    /// A string is not UTF-8.
    NotUtf8,
    /// A node has the same key twice.
    DuplicateKey,
    /// Bytes are left behind the node.
    Trailing,
    /// The compressed stanza is not one complete zlib stream with nothing behind it.
    BadZlib,
    /// The compressed stanza inflates to more than [`Limits::max_inflated`](crate::Limits::max_inflated).
    InflatedTooFar,
    /// The input is longer than 4 GiB.
    TooLong,
}

impl DecodeErrorKind {
    /// A stable lower-case name, for logs, metrics and test vectors.
    pub fn name(self) -> &'static str {
        match self {
            Self::EmptyPayload => "empty_payload",
            Self::Truncated => "truncated",
            Self::OverLongList => "over_long_list",
            Self::TooDeep => "too_deep",
            Self::BadToken => "bad_token",
            Self::NotAList => "not_a_list",
            Self::EmptyNode => "empty_node",
            Self::BadPacked => "bad_packed",
            Self::EmptyTag => "empty_tag",
            Self::EmptyKey => "empty_key",
            Self::EmptyString => "empty_string",
            Self::BadJid => "bad_jid",
            Self::NotUtf8 => "not_utf8",
            Self::DuplicateKey => "duplicate_key",
            Self::Trailing => "trailing",
            Self::BadZlib => "bad_zlib",
            Self::InflatedTooFar => "inflated_too_far",
            Self::TooLong => "too_long",
        }
    }
}

impl fmt::Display for DecodeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EmptyPayload => "the payload is empty",
            Self::Truncated => "the input ends too early",
            Self::OverLongList => "a list announces more than the input can hold",
            Self::TooDeep => "nodes are nested too deep",
            Self::BadToken => "a byte may not stand here",
            Self::NotAList => "a node does not begin with a list header",
            Self::EmptyNode => "a node has no tag",
            Self::BadPacked => "a packed string is malformed",
            Self::EmptyTag => "a tag is empty",
            Self::EmptyKey => "an attribute key is empty",
            Self::EmptyString => "a string is missing",
            Self::BadJid => "a JID is malformed",
            Self::NotUtf8 => "a string is not UTF-8",
            Self::DuplicateKey => "an attribute key is repeated",
            Self::Trailing => "bytes follow the stanza",
            Self::BadZlib => "the compressed stanza is not one whole zlib stream",
            Self::InflatedTooFar => "the compressed stanza is too large",
            Self::TooLong => "the input is too long",
        })
    }
}

/// A node that has no encoding. Nothing is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A node has an empty tag.
    #[error("a node has an empty tag")]
    EmptyTag,
    /// An attribute has an empty key.
    #[error("an attribute of <{tag}> has an empty key")]
    EmptyKey {
        /// Tag of the node.
        tag: String,
    },
    /// A node has more attributes than its list header can count.
    #[error("<{tag}> has {count} attributes, more than 32767")]
    TooManyAttributes {
        /// Tag of the node.
        tag: String,
        /// How many it has.
        count: usize,
    },
    /// A node has more children than a list header can count.
    #[error("<{tag}> has {count} children, more than 65535")]
    TooManyChildren {
        /// Tag of the node.
        tag: String,
        /// How many it has.
        count: usize,
    },
    /// A JID has no form on the wire: an empty server, an empty user or a device where its server does not
    /// take one, or a device that does not fit.
    #[error("the JID {jid} has no form on the wire")]
    Jid {
        /// Text of the JID.
        jid: String,
    },
    /// The stanza would not fit into one frame.
    #[error("the stanza is longer than the {limit} bytes that one frame holds")]
    TooLong {
        /// Largest stanza in bytes.
        limit: usize,
    },
}

impl EncodeError {
    /// A stable lower-case name, for logs and tools.
    pub fn name(&self) -> &'static str {
        match self {
            Self::EmptyTag => "empty_tag",
            Self::EmptyKey { .. } => "empty_key",
            Self::TooManyAttributes { .. } => "too_many_attributes",
            Self::TooManyChildren { .. } => "too_many_children",
            Self::Jid { .. } => "bad_jid",
            Self::TooLong { .. } => "too_long",
        }
    }
}
