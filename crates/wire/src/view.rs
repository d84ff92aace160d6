//! Reading nodes.

use std::borrow::Cow;
use std::fmt;
use std::iter::FusedIterator;

use crate::composer::Aside;
use crate::reader::{Body, Item, Reader, Str};
use crate::tape::{ContentKind, Entry};
use crate::{DecodeErrorKind, Jid, Node};

/// A node to read from: part of a built [`Node`] or of a decoded [`Frame`](crate::Frame). A cheap copy.
///
/// Strings that stand in the stanza as they are, and words of the dictionary, are borrowed; packed strings
/// are unpacked when they are asked for.
#[derive(Clone, Copy)]
pub struct NodeRef<'a> {
    bytes: &'a [u8],
    /// The entries of this node and of all below it.
    tape: &'a [Entry],
    aside: &'a [Aside],
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueRef<'a> {
    /// A string.
    Text(Cow<'a, str>),
    /// A JID, typed as such.
    Jid(Jid),
}

/// The content of a node.
#[derive(Debug, Clone)]
pub enum ContentRef<'a> {
    /// Nothing.
    None,
    /// At least one child.
    Children(Children<'a>),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A word of the protocol.
    Text(Cow<'a, str>),
    /// A JID.
    Jid(Jid),
}

impl<'a> NodeRef<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8], tape: &'a [Entry], aside: &'a [Aside]) -> Self {
        Self { bytes, tape, aside }
    }

    #[inline]
    fn entry(self) -> Entry {
        const NOTHING: Entry = Entry { tag: 0, content: 0, size: 0, left: 0, kind: ContentKind::None };
        self.tape.first().copied().unwrap_or(NOTHING)
    }

    #[inline]
    pub(crate) fn tag_string(self) -> Str<'a> {
        let mut reader = Reader::<true>::at(self.bytes, self.entry().tag as usize);
        reader.filled(DecodeErrorKind::EmptyTag).unwrap_or(Str::Plain(&[]))
    }

    #[inline]
    pub(crate) fn items(self) -> Items<'a> {
        let entry = self.entry();
        let attributes = self.bytes.get(..entry.content as usize).unwrap_or_default();
        let mut reader = Reader::at(attributes, entry.tag as usize);
        // A tag that cannot be read leaves nothing behind it to be read.
        if reader.filled(DecodeErrorKind::EmptyTag).is_err() {
            reader = Reader::at(&[], 0);
        }
        Items { reader }
    }

    /// The content, but for children, as it stands in the stanza. `None` for children too.
    #[inline]
    pub(crate) fn body(self) -> Option<Body<'a>> {
        let entry = self.entry();
        if entry.kind != ContentKind::Value {
            return None;
        }
        let body = Reader::<true>::at(self.bytes, entry.content as usize).body().ok()?;
        let Body::Aside(at) = body else {
            return Some(body);
        };
        let index = self.aside.binary_search_by_key(&at, |aside| aside.at).ok()?;
        self.aside.get(index).map(|aside| Body::Bytes(&aside.bytes))
    }

    pub(crate) fn is_parent(self) -> bool {
        self.entry().kind == ContentKind::Children
    }

    /// This node and all below it, in the order in which they begin.
    pub(crate) fn descendants(self) -> impl Iterator<Item = Self> {
        (0..self.tape.len()).filter_map(move |start| {
            let size = self.tape.get(start)?.size as usize;
            Some(Self { tape: self.tape.get(start..)?.get(..size)?, ..self })
        })
    }

    /// Number of nodes, this one included.
    pub(crate) fn size(self) -> usize {
        self.tape.len()
    }

    /// About how many bytes the stanza of all this takes.
    pub(crate) fn weight(self) -> usize {
        self.bytes.len() + self.aside.iter().map(|aside| aside.bytes.len() + 8).sum::<usize>() + 16
    }

    /// The tag.
    #[inline]
    pub fn tag(self) -> Cow<'a, str> {
        self.tag_string().text()
    }

    /// Whether this is the tag.
    #[inline]
    pub fn is(self, tag: &str) -> bool {
        self.tag_string().is(tag)
    }

    /// The attributes in order.
    #[inline]
    pub fn attrs(self) -> Attrs<'a> {
        Attrs { items: self.items() }
    }

    #[inline]
    fn item(self, key: &str) -> Option<Item<'a>> {
        self.items().find(|(found, _)| found.is(key)).map(|(_, item)| item)
    }

    /// The value of an attribute.
    pub fn attr(self, key: &str) -> Option<ValueRef<'a>> {
        self.item(key).map(ValueRef::from)
    }

    /// The value of an attribute as text; a JID in its text form.
    pub fn attr_str(self, key: &str) -> Option<Cow<'a, str>> {
        self.item(key).map(|item| match item {
            Item::Str(string) => string.text(),
            Item::Jid(jid) => Cow::Owned(jid.to_jid().to_string()),
        })
    }

    /// The value of an attribute that is a JID, or a string that reads as one, such as the bare name of a
    /// server.
    pub fn attr_jid(self, key: &str) -> Option<Jid> {
        match self.item(key)? {
            Item::Str(string) => string.text().parse().ok(),
            Item::Jid(jid) => Some(jid.to_jid()),
        }
    }

    /// Whether there is such an attribute.
    pub fn has_attr(self, key: &str) -> bool {
        self.item(key).is_some()
    }

    /// The content.
    pub fn content(self) -> ContentRef<'a> {
        if self.is_parent() {
            return ContentRef::Children(self.children());
        }
        match self.body() {
            Some(Body::Bytes(bytes)) => ContentRef::Bytes(bytes),
            Some(Body::Text(text)) => ContentRef::Text(text.text()),
            Some(Body::Jid(jid)) => ContentRef::Jid(jid.to_jid()),
            _ => ContentRef::None,
        }
    }

    /// The children in order; none if the content is of another kind.
    #[inline]
    pub fn children(self) -> Children<'a> {
        Children { rest: Self { tape: self.tape.get(1..).unwrap_or_default(), ..self } }
    }

    /// The first child with this tag.
    pub fn child(self, tag: &str) -> Option<Self> {
        self.children().find(|child| child.is(tag))
    }

    /// All children with this tag.
    pub fn children_named(self, tag: &str) -> impl Iterator<Item = NodeRef<'a>> {
        self.children().filter(move |child| child.is(tag))
    }

    /// The content as bytes: bytes as they are, text and JIDs in UTF-8. `None` if there is no content or if
    /// it is children.
    pub fn content_bytes(self) -> Option<Cow<'a, [u8]>> {
        match self.body()? {
            Body::Bytes(bytes) => Some(Cow::Borrowed(bytes)),
            Body::Text(text) => Some(match text.text() {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            }),
            Body::Jid(jid) => Some(Cow::Owned(jid.to_jid().to_string().into_bytes())),
            _ => None,
        }
    }

    /// The content as text: text, a JID in its text form, bytes if they are UTF-8.
    pub fn content_text(self) -> Option<Cow<'a, str>> {
        match self.body()? {
            Body::Bytes(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Body::Text(text) => Some(text.text()),
            Body::Jid(jid) => Some(Cow::Owned(jid.to_jid().to_string())),
            _ => None,
        }
    }

    /// The content as a JID, or a string that reads as one.
    pub fn content_jid(self) -> Option<Jid> {
        match self.body()? {
            Body::Jid(jid) => Some(jid.to_jid()),
            _ => self.content_text()?.parse().ok(),
        }
    }

    /// A node of its own with the same parts.
    pub fn to_node(self) -> Node {
        Node::copy(self)
    }
}

impl<'a> From<Item<'a>> for ValueRef<'a> {
    #[inline]
    fn from(item: Item<'a>) -> Self {
        match item {
            Item::Str(string) => Self::Text(string.text()),
            Item::Jid(jid) => Self::Jid(jid.to_jid()),
        }
    }
}

impl<'a> ValueRef<'a> {
    /// The value as text; a JID in its text form.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Jid(jid) => Cow::Owned(jid.to_string()),
        }
    }

    /// The JID, if the value is typed as one.
    pub fn as_jid(&self) -> Option<&Jid> {
        match self {
            Self::Text(_) => None,
            Self::Jid(jid) => Some(jid),
        }
    }
}

/// The attributes of a node in order: key and value.
#[derive(Clone)]
pub struct Attrs<'a> {
    items: Items<'a>,
}

impl<'a> Iterator for Attrs<'a> {
    type Item = (Cow<'a, str>, ValueRef<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.items.next().map(|(key, item)| (key.text(), item.into()))
    }
}

impl FusedIterator for Attrs<'_> {}

impl fmt::Debug for Attrs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.clone()).finish()
    }
}

/// The attributes of a node as they stand in the stanza.
#[derive(Clone)]
pub(crate) struct Items<'a> {
    reader: Reader<'a, true>,
}

impl<'a> Iterator for Items<'a> {
    type Item = (Str<'a>, Item<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let key = self.reader.filled(DecodeErrorKind::EmptyKey).ok()?;
        let item = self.reader.item().ok()?;
        Some((key, item))
    }
}

/// The children of a node in order.
#[derive(Clone)]
pub struct Children<'a> {
    rest: NodeRef<'a>,
}

impl<'a> Iterator for Children<'a> {
    type Item = NodeRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let size = self.rest.tape.first()?.size as usize;
        let (first, rest) = self.rest.tape.split_at_checked(size.max(1))?;
        let child = NodeRef { tape: first, ..self.rest };
        self.rest.tape = rest;
        Some(child)
    }
}

impl FusedIterator for Children<'_> {}

impl fmt::Debug for Children<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl PartialEq for NodeRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.size() == other.size()
            && self.descendants().zip(other.descendants()).all(|(one, other)| {
                one.size() == other.size()
                    && one.tag() == other.tag()
                    && one.is_parent() == other.is_parent()
                    && one.content_bytes() == other.content_bytes()
                    && same_attributes(one, other)
            })
    }
}

impl Eq for NodeRef<'_> {}

/// Compares attributes as sets: in order as long as the keys agree, else by key.
fn same_attributes(one: NodeRef<'_>, other: NodeRef<'_>) -> bool {
    if one.attrs().eq(other.attrs()) {
        return true;
    }
    let mut attributes: Vec<_> = one.attrs().collect();
    let mut others: Vec<_> = other.attrs().collect();
    attributes.sort_by(|(one, _), (other, _)| one.cmp(other));
    others.sort_by(|(one, _), (other, _)| one.cmp(other));
    attributes == others
}

impl fmt::Display for NodeRef<'_> {
    /// The XML text of the node, as [`crate::xml::to_string`] gives it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::xml::write(*self, f)
    }
}

impl fmt::Debug for NodeRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq<NodeRef<'_>> for Node {
    fn eq(&self, other: &NodeRef<'_>) -> bool {
        self.view() == *other
    }
}

impl<'a> From<&'a Node> for NodeRef<'a> {
    fn from(node: &'a Node) -> Self {
        node.view()
    }
}
