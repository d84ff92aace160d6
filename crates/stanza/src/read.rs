//! The one reader of elements: every failure names the path of the element, what was looked for and what was expected.

use std::borrow::Cow;
use std::str::FromStr;

use landbridge_wire::{Jid, NodeRef};

use crate::error::{Found, StanzaError};
use crate::ids::MessageId;

/// An element and the way to it.
#[derive(Clone, Copy)]
pub(crate) struct El<'a, 'p> {
    node: NodeRef<'a>,
    parent: Option<&'p El<'a, 'p>>,
}

impl<'a, 'p> El<'a, 'p> {
    /// The root, which must have the tag `tag`.
    pub(crate) fn root(node: NodeRef<'a>, tag: &'static str) -> Result<Self, StanzaError> {
        if node.is(tag) {
            Ok(Self { node, parent: None })
        } else {
            Err(StanzaError::Tag { expected: tag, found: node.tag().to_string() })
        }
    }

    pub(crate) fn node(&self) -> NodeRef<'a> {
        self.node
    }

    pub(crate) fn is(&self, tag: &str) -> bool {
        self.node.is(tag)
    }

    pub(crate) fn path(&self) -> String {
        match self.parent {
            Some(parent) => format!("{}/{}", parent.path(), self.node.tag()),
            None => self.node.tag().to_string(),
        }
    }

    // Attributes.

    pub(crate) fn opt_str(&self, key: &str) -> Option<String> {
        self.node.attr_str(key).map(Cow::into_owned)
    }

    pub(crate) fn str(&self, key: &'static str, expected: &'static str) -> Result<String, StanzaError> {
        match self.node.attr_str(key) {
            Some(text) if !text.is_empty() => Ok(text.into_owned()),
            Some(_) => Err(self.bad_attr(key, expected)),
            None => Err(self.missing_attr(key, expected)),
        }
    }

    pub(crate) fn opt_jid(&self, key: &'static str) -> Result<Option<Jid>, StanzaError> {
        match self.node.attr_jid(key) {
            Some(jid) => Ok(Some(jid)),
            None if self.node.attr_str(key).is_some() => Err(self.bad_attr(key, "an address")),
            None => Ok(None),
        }
    }

    pub(crate) fn jid(&self, key: &'static str) -> Result<Jid, StanzaError> {
        self.opt_jid(key)?.ok_or_else(|| self.missing_attr(key, "an address"))
    }

    pub(crate) fn opt_num<T: FromStr>(
        &self,
        key: &'static str,
        expected: &'static str,
    ) -> Result<Option<T>, StanzaError> {
        let Some(text) = self.node.attr_str(key) else { return Ok(None) };
        // `FromStr` of the integers takes a leading `+`, which is no decimal number of this protocol.
        if text.bytes().all(|b| b.is_ascii_digit())
            && let Ok(number) = text.parse()
        {
            return Ok(Some(number));
        }
        Err(self.bad_attr(key, expected))
    }

    pub(crate) fn num<T: FromStr>(
        &self,
        key: &'static str,
        expected: &'static str,
    ) -> Result<T, StanzaError> {
        self.opt_num(key, expected)?.ok_or_else(|| self.missing_attr(key, expected))
    }

    /// Unix seconds.
    pub(crate) fn opt_time(&self, key: &'static str) -> Result<Option<u64>, StanzaError> {
        self.opt_num(key, UNIX_SECONDS)
    }

    pub(crate) fn time(&self, key: &'static str) -> Result<u64, StanzaError> {
        self.num(key, UNIX_SECONDS)
    }

    pub(crate) fn message_id(&self, key: &'static str) -> Result<MessageId, StanzaError> {
        let text = self.str(key, MESSAGE_ID)?;
        MessageId::try_from(text).map_err(|_| self.bad_attr(key, MESSAGE_ID))
    }

    // Children.

    pub(crate) fn children<'s>(&'s self) -> impl Iterator<Item = El<'a, 's>> + use<'a, 's, 'p>
    where
        'p: 's,
    {
        self.node.children().map(move |node| El { node, parent: Some(self) })
    }

    pub(crate) fn children_named<'s>(
        &'s self,
        tag: &'static str,
    ) -> impl Iterator<Item = El<'a, 's>> + use<'a, 's, 'p>
    where
        'p: 's,
    {
        self.children().filter(move |child| child.is(tag))
    }

    pub(crate) fn opt_child<'s>(&'s self, tag: &str) -> Option<El<'a, 's>>
    where
        'p: 's,
    {
        self.node.child(tag).map(|node| El { node, parent: Some(self) })
    }

    pub(crate) fn child<'s>(
        &'s self,
        tag: &'static str,
        expected: &'static str,
    ) -> Result<El<'a, 's>, StanzaError>
    where
        'p: 's,
    {
        self.opt_child(tag).ok_or_else(|| self.missing_child(tag, expected))
    }

    // Content.

    /// The content, which must be exactly `N` bytes.
    pub(crate) fn array<const N: usize>(&self, expected: &'static str) -> Result<[u8; N], StanzaError> {
        self.node
            .content_bytes()
            .and_then(|bytes| <[u8; N]>::try_from(bytes.as_ref()).ok())
            .ok_or_else(|| self.bad_content(expected))
    }

    /// The content of the child `tag`, exactly `N` bytes.
    pub(crate) fn child_array<const N: usize>(
        &self,
        tag: &'static str,
        expected: &'static str,
    ) -> Result<[u8; N], StanzaError> {
        self.child(tag, expected)?.array(expected)
    }

    /// Bytes of any length but none.
    pub(crate) fn some_bytes(&self, expected: &'static str) -> Result<Vec<u8>, StanzaError> {
        match self.node.content_bytes() {
            Some(bytes) if !bytes.is_empty() => Ok(bytes.into_owned()),
            _ => Err(self.bad_content(expected)),
        }
    }

    // Failures.

    pub(crate) fn missing_attr(&self, attribute: &'static str, expected: &'static str) -> StanzaError {
        StanzaError::MissingAttribute { element: self.path(), attribute, expected }
    }

    pub(crate) fn bad_attr(&self, attribute: &'static str, expected: &'static str) -> StanzaError {
        StanzaError::BadAttribute { element: self.path(), attribute, expected }
    }

    pub(crate) fn missing_child(&self, child: &'static str, expected: &'static str) -> StanzaError {
        StanzaError::MissingChild { element: self.path(), child, expected }
    }

    pub(crate) fn bad_content(&self, expected: &'static str) -> StanzaError {
        let found = match self.node.content_bytes() {
            Some(bytes) => Found::Bytes(bytes.len()),
            None if self.node.children().next().is_some() => Found::Children,
            None => Found::Nothing,
        };
        StanzaError::BadContent { element: self.path(), expected, found }
    }

    pub(crate) fn wrong_count(&self, expected: &'static str, count: usize) -> StanzaError {
        StanzaError::BadContent { element: self.path(), expected, found: Found::Elements(count) }
    }
}

const UNIX_SECONDS: &str = "unix seconds in decimal";
pub(crate) const MESSAGE_ID: &str = "an id of 1 to 128 bytes";
