//! Nodes that are built.

use std::borrow::{Borrow, Cow};
use std::sync::OnceLock;

use crate::composer::{ASIDE_FROM, Aside, Composer, Marks, list_header_length};
use crate::encode::{InteropJid, Pack};
use crate::reader::{Body, Item, Reader, Str};
use crate::scan::{index, word_bit};
use crate::tape::{ContentKind, Entry, NO_PARENT, Tape};
use crate::token::{LIST_8, MARK_ASIDE, Word};
use crate::value::{Value, with_digits};
use crate::view::NodeRef;
use crate::{DecodeErrorKind, Jid};

/// What a node may hold before further parts are left out; beyond, no frame could carry it by far.
const MOST_BYTES: usize = 1 << 30;
/// Room for a usual stanza, so that most nodes are built with one allocation.
const FIRST_BYTES: usize = 512;
/// Where the tag stands: behind a flags byte and the longest list header.
const TAG: usize = 6;
/// What stands before the tag as long as there is nothing but the tag.
const EMPTY_HEAD: [u8; TAG] = [0, 0, 0, 0, LIST_8, 1];

/// A stanza, or a part of one: a tag, attributes in order, and content.
///
/// A node is built by a chain of calls that cannot fail. What has no encoding, an empty tag for example, is
/// refused by [`encode`](crate::encode). It is read through [`Node::view`].
///
/// ```
/// use landbridge_wire::{Jid, Node};
///
/// let ping = Node::new("iq")
///     .attr("id", "x-1")
///     .attr("xmlns", "w:p")
///     .attr("type", "get")
///     .attr("to", Jid::server("s.whatsapp.net"))
///     .child(Node::new("ping"));
/// assert_eq!(
///     ping.to_string(),
///     r#"<iq id="x-1" xmlns="w:p" type="get" to="@s.whatsapp.net"><ping/></iq>"#,
/// );
/// ```
///
/// Inside, a node is the payload that it will be: every call appends to it in its final form, so that
/// encoding is copying. Two nodes are equal if they differ in the order of attributes only; text, JIDs and
/// bytes as content are equal if their UTF-8 bytes are.
#[derive(Clone)]
pub struct Node {
    /// The payload of the node: room for the flags byte and the longest list header, the tag, the
    /// attributes, the content. List headers are kept up to date; the flags byte and the list header stand
    /// directly before the tag.
    composer: Composer,
    /// Bytes that are kept aside, in order of their marks.
    #[expect(clippy::box_collection, reason = "rarely there, and a node is often moved")]
    aside: Option<Box<Vec<Aside>>>,
    /// The index, from the first reading on.
    tape: OnceLock<Box<Tape>>,
    /// Where the content begins.
    content: u32,
    attributes: u32,
    children: u32,
    /// A bit for every key there is; see [`word_bit`].
    keys: u32,
    kind: ContentKind,
}

impl Node {
    /// A node without attributes and content.
    pub fn new(tag: &str) -> Self {
        let mut bytes = Vec::with_capacity(FIRST_BYTES);
        bytes.extend_from_slice(&EMPTY_HEAD);
        let mut composer = Composer { bytes, marks: Marks::default() };
        composer.name(tag, Pack::All);
        Self {
            content: composer.bytes.len() as u32,
            composer,
            aside: None,
            tape: OnceLock::new(),
            attributes: 0,
            children: 0,
            keys: 0,
            kind: ContentKind::None,
        }
    }

    /// Sets an attribute. A key that is there already keeps its place and gets the new value.
    #[must_use]
    #[inline]
    pub fn attr<'v>(mut self, key: &str, value: impl Into<Value<'v>>) -> Self {
        self.set_attr(key, value);
        self
    }

    /// Sets an attribute if there is a value.
    #[must_use]
    #[inline]
    pub fn attr_opt<'v>(self, key: &str, value: Option<impl Into<Value<'v>>>) -> Self {
        match value {
            Some(value) => self.attr(key, value),
            None => self,
        }
    }

    /// Appends a child. Content of another kind is replaced.
    #[must_use]
    #[inline]
    pub fn child(mut self, child: Self) -> Self {
        self.push_child(child);
        self
    }

    /// Appends a child if there is one.
    #[must_use]
    #[inline]
    pub fn child_opt(self, child: Option<Self>) -> Self {
        match child {
            Some(child) => self.child(child),
            None => self,
        }
    }

    /// Appends children. An empty list is the same as none.
    #[must_use]
    #[inline]
    pub fn children(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        for child in children {
            self.push_child(child);
        }
        self
    }

    /// Makes bytes the content, replacing any other. Free text, such as a name, belongs here too.
    #[must_use]
    #[inline]
    pub fn bytes<'v>(mut self, bytes: impl Into<Cow<'v, [u8]>>) -> Self {
        self.set_bytes(bytes);
        self
    }

    /// Makes a word of the protocol the content, replacing any other. It is written as a string; what is
    /// neither in the dictionary nor packable is read back as bytes.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        if self.begin_value(text.len()) {
            self.composer.text(text);
        }
        self
    }

    /// Makes a JID the content, replacing any other.
    #[must_use]
    pub fn jid_content(mut self, jid: impl Borrow<Jid>) -> Self {
        let jid = jid.borrow();
        if self.begin_value(jid.user_part().len() + jid.server_part().len()) {
            self.composer.jid(jid, Pack::All, InteropJid::Append);
        }
        self
    }

    /// The node to read from.
    pub fn view(&self) -> NodeRef<'_> {
        let tape = self.tape.get_or_init(|| {
            let size = if self.kind == ContentKind::Children { NO_PARENT } else { 1 };
            let root =
                Entry { tag: TAG as u32, content: self.content, size, left: self.children, kind: self.kind };
            Box::new(index(&self.composer.bytes, root))
        });
        NodeRef::new(&self.composer.bytes, tape.entries(), self.asides())
    }

    /// Appends a child. Content of another kind is replaced.
    pub fn push_child(&mut self, child: Self) {
        if self.kind == ContentKind::Value {
            self.clear_content();
        }
        self.tape.take();
        self.composer.marks.add(child.composer.marks);
        let stanza = child.stanza();
        if self.composer.bytes.len() + stanza.len() > MOST_BYTES {
            return self.composer.marks.add(Marks::TOO_LONG);
        }
        self.set_children(self.children + 1);
        // Positions move from the child to its parent.
        let moved = self.composer.bytes.len() + stanza.len() - child.composer.bytes.len();
        self.composer.bytes.extend_from_slice(stanza);
        if let Some(mut aside) = child.aside {
            for aside in aside.iter_mut() {
                aside.at += moved as u32;
            }
            match &mut self.aside {
                Some(own) => own.append(&mut aside),
                none => *none = Some(aside),
            }
        }
    }

    /// Counts the children, which are content from the first one on.
    fn set_children(&mut self, count: u32) {
        if self.children == 0 {
            self.set_kind(ContentKind::Children);
            self.composer.list(count);
        } else if self.composer.bytes.get(self.content as usize) == Some(&LIST_8) && count <= 255 {
            if let Some(byte) = self.composer.bytes.get_mut(self.content as usize + 1) {
                *byte = count as u8;
            }
        } else {
            let start = self.content as usize;
            let end = start + list_header_length(self.children);
            let before = self.content;
            self.splice(start..end, |composer| composer.list(count));
            self.content = before;
        }
        self.children = count;
    }

    /// Keeps the list header before the tag up to date.
    #[inline]
    fn count_entries(&mut self) {
        let entries = self.entries();
        if let Ok(entries) = u8::try_from(entries)
            && let Some(byte) = self.composer.bytes.get_mut(TAG - 1)
        {
            *byte = entries;
        } else {
            self.write_long_header(entries);
        }
    }

    #[cold]
    fn write_long_header(&mut self, entries: u32) {
        let mut header = Composer { bytes: Vec::with_capacity(TAG), ..Composer::default() };
        header.bytes.push(0);
        header.list(entries);
        self.composer.marks.add(header.marks);
        let start = TAG - header.bytes.len();
        if let Some(place) = self.composer.bytes.get_mut(start..TAG) {
            place.copy_from_slice(&header.bytes);
        }
    }

    #[inline]
    fn set_kind(&mut self, kind: ContentKind) {
        self.kind = kind;
        self.count_entries();
    }

    /// Sets an attribute. A key that is there already keeps its place and gets the new value.
    #[inline]
    pub fn set_attr<'v>(&mut self, key: &str, value: impl Into<Value<'v>>) {
        self.put_attr(key, value.into(), Repeats::Replace);
    }

    /// Makes bytes the content, replacing any other.
    #[inline]
    pub fn set_bytes<'v>(&mut self, bytes: impl Into<Cow<'v, [u8]>>) {
        if self.begin_value(0) {
            self.put_bytes(bytes.into());
        }
    }

    /// Sets an attribute whose key is known not to be there.
    pub(crate) fn add_attr(&mut self, key: &str, value: Value<'_>) {
        self.put_attr(key, value, Repeats::None);
    }

    fn put_attr(&mut self, key: &str, value: Value<'_>, repeats: Repeats) {
        self.tape.take();
        let word = Word::find(key);
        let bit = word_bit(word);
        if self.keys & bit != 0
            && repeats == Repeats::Replace
            && let Some(old) = self.find_value(key)
        {
            return self.splice(old, |composer| write_value(composer, value));
        }
        self.keys |= bit;
        self.attributes = self.attributes.saturating_add(1);
        self.count_entries();
        let write = |composer: &mut Composer| {
            match word {
                Some(word) => composer.word(word),
                None => {
                    if key.is_empty() {
                        composer.marks.add(Marks::IRREGULAR);
                    }
                    composer.other(key, Pack::All);
                }
            }
            write_value(composer, value);
        };
        if self.kind != ContentKind::None {
            let end = self.content as usize;
            return self.splice(end..end, write);
        }
        if self.composer.bytes.len() > MOST_BYTES {
            return self.composer.marks.add(Marks::TOO_LONG);
        }
        write(&mut self.composer);
        self.content = self.composer.bytes.len() as u32;
    }

    /// Replaces a range before the content, or the list header at its beginning.
    fn splice(&mut self, range: std::ops::Range<usize>, write: impl FnOnce(&mut Composer)) {
        let mut part = Composer::default();
        write(&mut part);
        self.composer.marks.add(part.marks);
        let (old, new) = (range.len(), part.bytes.len());
        if self.composer.bytes.len() + new > MOST_BYTES {
            return self.composer.marks.add(Marks::TOO_LONG);
        }
        self.composer.bytes.splice(range, part.bytes);
        let moved = |at: u32| (at as usize + new - old) as u32;
        self.content = moved(self.content);
        for aside in self.aside.iter_mut().flat_map(|aside| aside.iter_mut()) {
            aside.at = moved(aside.at);
        }
    }

    /// Composes a node of the parts of another.
    pub(crate) fn copy(root: NodeRef<'_>) -> Self {
        let mut copy = Self::new(&root.tag());
        for (key, item) in root.items() {
            copy.add_attr(&key.text(), item_value(item));
        }
        let (children, body) = (root.children().count(), root.body());
        if children > 0 {
            copy.set_children(children as u32);
        } else if body.is_some() {
            copy.set_kind(ContentKind::Value);
        }
        copy.copy_body(body);
        for node in root.descendants().skip(1) {
            let (attributes, children) = (node.items().count(), node.children().count());
            let body = node.body();
            let content = usize::from(children > 0 || body.is_some());
            copy.composer.list((1 + 2 * attributes + content) as u32);
            copy.composer.name(&node.tag(), Pack::All);
            for (key, item) in node.items() {
                copy.composer.name(&key.text(), Pack::All);
                write_value(&mut copy.composer, item_value(item));
            }
            if children > 0 {
                copy.composer.list(children as u32);
            }
            copy.copy_body(body);
        }
        copy
    }

    fn copy_body(&mut self, body: Option<Body<'_>>) {
        match body {
            Some(Body::Bytes(bytes)) => self.put_bytes(bytes.into()),
            Some(Body::Text(text)) => self.composer.text(&text.text()),
            Some(Body::Jid(jid)) => self.composer.jid(&jid.to_jid(), Pack::All, InteropJid::Append),
            _ => {}
        }
    }

    /// Where the value of a key stands.
    fn find_value(&self, key: &str) -> Option<std::ops::Range<usize>> {
        let attributes = self.composer.bytes.get(..self.content as usize)?;
        let mut reader = Reader::<true>::at(attributes, TAG);
        reader.filled(DecodeErrorKind::EmptyTag).ok()?;
        while reader.left() > 0 {
            let found: Str<'_> = reader.filled(DecodeErrorKind::EmptyKey).ok()?;
            let start = reader.at;
            reader.item().ok()?;
            if found.is(key) {
                return Some(start..reader.at);
            }
        }
        None
    }

    /// Bytes as content; long ones are kept aside.
    #[inline]
    fn put_bytes(&mut self, bytes: Cow<'_, [u8]>) {
        if bytes.len() < ASIDE_FROM {
            self.composer.sized(&bytes);
        } else {
            let at = self.composer.bytes.len() as u32;
            self.aside.get_or_insert_default().push(Aside { at, bytes: bytes.into_owned() });
            self.composer.bytes.push(MARK_ASIDE);
        }
    }

    /// Makes room for content that is one value.
    #[inline]
    fn begin_value(&mut self, length: usize) -> bool {
        self.tape.take();
        if self.kind != ContentKind::None {
            self.clear_content();
        }
        if self.composer.bytes.len() + length > MOST_BYTES {
            self.composer.marks.add(Marks::TOO_LONG);
            return false;
        }
        self.set_kind(ContentKind::Value);
        true
    }

    fn clear_content(&mut self) {
        self.composer.bytes.truncate(self.content as usize);
        self.aside = None;
        self.children = 0;
        self.set_kind(ContentKind::None);
    }

    /// Entries of the node's list: its tag, its attributes and, if there is any, its content.
    #[inline]
    fn entries(&self) -> u32 {
        let content = u32::from(self.kind != ContentKind::None);
        self.attributes.saturating_mul(2).saturating_add(1 + content)
    }

    pub(crate) fn marks(&self) -> Marks {
        self.composer.marks
    }

    pub(crate) fn asides(&self) -> &[Aside] {
        self.aside.as_deref().map(Vec::as_slice).unwrap_or_default()
    }

    /// The stanza, with marks for what is kept aside, behind a flags byte of 0.
    #[inline]
    pub(crate) fn payload(&self) -> &[u8] {
        let start = TAG - 1 - list_header_length(self.entries());
        self.composer.bytes.get(start..).unwrap_or_default()
    }

    #[inline]
    fn stanza(&self) -> &[u8] {
        self.payload().get(1..).unwrap_or_default()
    }

    /// How far positions in [`Self::payload`] lie before those in [`Self::asides`].
    pub(crate) fn payload_start(&self) -> usize {
        self.composer.bytes.len() - self.payload().len()
    }
}

/// Whether a key may be there already.
#[derive(PartialEq, Eq)]
enum Repeats {
    Replace,
    None,
}

#[inline]
fn write_value(composer: &mut Composer, value: Value<'_>) {
    match value {
        Value::Text(text) => composer.string(&text, Pack::All),
        Value::Number(number) => with_digits(number, |digits| composer.string(digits, Pack::All)),
        Value::Jid(jid) => composer.jid(&jid, Pack::All, InteropJid::Append),
    }
}

fn item_value(item: Item<'_>) -> Value<'_> {
    match item {
        Item::Str(string) => Value::Text(string.text()),
        Item::Jid(jid) => Value::Jid(Cow::Owned(jid.to_jid())),
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.view() == other.view()
    }
}

impl Eq for Node {}

impl std::fmt::Display for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.view().fmt(f)
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl From<NodeRef<'_>> for Node {
    fn from(view: NodeRef<'_>) -> Self {
        view.to_node()
    }
}
