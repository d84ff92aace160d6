//! Nodes that are written where they will stand.

use std::borrow::{Borrow, Cow};
use std::ops::Range;

use crate::composer::{ASIDE_FROM, Aside, Composer, Marks, list_header_length};
use crate::encode::{InteropJid, Pack};
use crate::reader::{Reader, Str};
use crate::scan::word_bit;
use crate::tape::{ContentKind, Entry, NO_PARENT};
use crate::token::{LIST_8, Word};
use crate::value::{Value, with_digits};
use crate::{DecodeErrorKind, Jid, Node};

/// What a node may hold before further parts are left out; beyond, no frame could carry it by far.
const MOST_BYTES: usize = 1 << 30;

/// A node that is being written in place, inside its parent or as the root of [`Node::with`].
///
/// It has the same calls as [`Node`], but a child that is written through it needs no memory of its own and is not
/// copied into its parent. Bytes as content are copied once, to where they will be sent from.
///
/// ```
/// use landbridge_wire::{Jid, Node};
///
/// let users = ["31612345678", "31687654321"];
/// let query = Node::new("iq").attr("type", "get").child_with("list", |list| {
///     list.children_with("user", users, |user, number| user.attr("jid", Jid::user(number)))
/// });
/// assert_eq!(
///     query.to_string(),
///     r#"<iq type="get"><list><user jid="31612345678@s.whatsapp.net"/><user jid="31687654321@s.whatsapp.net"/></list></iq>"#,
/// );
/// ```
pub struct NodeMut<'n> {
    composer: &'n mut Composer,
    element: &'n mut Element,
}

/// Where the parts of a node stand that is still open for more: always the last one in its composer, so that all
/// bytes from its list header on are its own.
#[derive(Debug, Clone)]
pub(crate) struct Element {
    /// Position of the list header, which is kept up to date; the tag follows.
    head: u32,
    /// Where the content begins.
    content: u32,
    attributes: u32,
    children: u32,
    /// A bit for every key there is; see [`word_bit`].
    keys: u32,
    kind: ContentKind,
}

impl Element {
    /// Begins a node.
    #[inline]
    pub(crate) fn open(composer: &mut Composer, tag: &str) -> Self {
        let head = composer.bytes.len() as u32;
        composer.bytes.extend_from_slice(&[LIST_8, 1]);
        composer.name(tag, Pack::All);
        let content = composer.bytes.len() as u32;
        Self { head, content, attributes: 0, children: 0, keys: 0, kind: ContentKind::None }
    }

    /// Entries of the node's list: its tag, its attributes and, if there is any, its content.
    #[inline]
    fn entries(&self) -> u32 {
        let content = u32::from(self.kind != ContentKind::None);
        self.attributes.saturating_mul(2).saturating_add(1 + content)
    }

    fn tag(&self) -> u32 {
        self.head + list_header_length(self.entries()) as u32
    }

    /// The entry of an index that begins with this node.
    pub(crate) fn entry(&self) -> Entry {
        let size = if self.kind == ContentKind::Children { NO_PARENT } else { 1 };
        Entry { tag: self.tag(), content: self.content, size, left: self.children, kind: self.kind }
    }
}

/// Whether a key may be there already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeats {
    Replace,
    None,
}

/// Where long bytes go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Long {
    /// Aside, because the node may yet be copied into a parent.
    Aside,
    /// Where they will stand.
    InPlace,
}

impl<'n> NodeMut<'n> {
    #[inline]
    pub(crate) fn new(composer: &'n mut Composer, element: &'n mut Element) -> Self {
        Self { composer, element }
    }

    /// Sets an attribute. A key that is there already keeps its place and gets the new value.
    #[inline]
    pub fn attr<'v>(mut self, key: &str, value: impl Into<Value<'v>>) -> Self {
        self.put_attr(key, value.into(), Repeats::Replace);
        self
    }

    /// Sets an attribute if there is a value.
    #[inline]
    pub fn attr_opt<'v>(self, key: &str, value: Option<impl Into<Value<'v>>>) -> Self {
        match value {
            Some(value) => self.attr(key, value),
            None => self,
        }
    }

    /// Appends a child, which `build` completes in place. Content of another kind is replaced.
    #[inline]
    pub fn child_with(mut self, tag: &str, build: impl FnOnce(NodeMut<'_>) -> NodeMut<'_>) -> Self {
        self.put_child(tag, build);
        self
    }

    /// Appends one child for each of `items`, which `build` completes in place with it. Nothing of them is the same
    /// as no call.
    #[inline]
    pub fn children_with<I: IntoIterator>(
        mut self,
        tag: &str,
        items: I,
        mut build: impl FnMut(NodeMut<'_>, I::Item) -> NodeMut<'_>,
    ) -> Self {
        for item in items {
            self.put_child(tag, |child| build(child, item));
        }
        self
    }

    /// Appends a child that has been built before; it is copied. Content of another kind is replaced.
    #[inline]
    pub fn child(mut self, child: Node) -> Self {
        self.put_node(child);
        self
    }

    /// Makes bytes the content, replacing any other. Free text, such as a name, belongs here too.
    #[inline]
    pub fn bytes<'v>(mut self, bytes: impl Into<Cow<'v, [u8]>>) -> Self {
        self.put_bytes(bytes.into(), Long::InPlace);
        self
    }

    /// Makes a word of the protocol the content, replacing any other; see [`Node::text`].
    #[inline]
    pub fn text(mut self, text: &str) -> Self {
        self.put_text(text);
        self
    }

    /// Makes a JID the content, replacing any other.
    #[inline]
    pub fn jid_content(mut self, jid: impl Borrow<Jid>) -> Self {
        self.put_jid(jid.borrow());
        self
    }

    pub(crate) fn put_attr(&mut self, key: &str, value: Value<'_>, repeats: Repeats) {
        if !self.has_room(key.len() + value.weight()) {
            return;
        }
        let word = Word::find(key);
        let bit = word_bit(word);
        if self.element.keys & bit != 0
            && repeats == Repeats::Replace
            && let Some(old) = self.find_value(key)
        {
            return self.splice(old, |composer| write_value(composer, value));
        }
        self.element.keys |= bit;
        self.change(|element| element.attributes = element.attributes.saturating_add(1));
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
        if self.element.kind != ContentKind::None {
            let end = self.element.content as usize;
            return self.splice(end..end, write);
        }
        write(self.composer);
        self.element.content = self.composer.bytes.len() as u32;
    }

    #[inline]
    fn put_child(&mut self, tag: &str, build: impl FnOnce(NodeMut<'_>) -> NodeMut<'_>) {
        if !self.has_room(tag.len()) {
            return;
        }
        self.count_child();
        let mut child = Element::open(self.composer, tag);
        // The lifetime of the argument makes sure that this very node is what comes back.
        build(NodeMut { composer: self.composer, element: &mut child });
    }

    pub(crate) fn put_node(&mut self, child: Node) {
        let child = child.into_composer();
        self.composer.marks.add(child.marks);
        let stanza = child.bytes.get(1..).unwrap_or_default();
        if !self.has_room(stanza.len()) {
            return;
        }
        self.count_child();
        // Positions move from the child to its parent.
        let moved = self.composer.bytes.len() as u32 - 1;
        self.composer.bytes.extend_from_slice(stanza);
        if let Some(mut aside) = child.aside {
            for aside in aside.iter_mut() {
                aside.at += moved;
            }
            match &mut self.composer.aside {
                Some(own) => own.append(&mut aside),
                none => *none = Some(aside),
            }
        }
    }

    pub(crate) fn put_bytes(&mut self, bytes: Cow<'_, [u8]>, long: Long) {
        if !self.begin_value(bytes.len()) {
            return;
        }
        if long == Long::Aside && bytes.len() >= ASIDE_FROM {
            self.composer.put_aside(bytes.into_owned());
        } else {
            self.composer.sized(&bytes);
        }
    }

    pub(crate) fn put_text(&mut self, text: &str) {
        if self.begin_value(text.len()) {
            self.composer.text(text);
        }
    }

    pub(crate) fn put_jid(&mut self, jid: &Jid) {
        if self.begin_value(jid.user_part().len() + jid.server_part().len()) {
            self.composer.jid(jid, Pack::All, InteropJid::Append);
        }
    }

    /// Whether parts of so many bytes may be added; else notes that they have been left out.
    #[inline]
    fn has_room(&mut self, length: usize) -> bool {
        let fits = self.composer.bytes.len().saturating_add(length) <= MOST_BYTES;
        if !fits {
            self.composer.marks.add(Marks::TOO_LONG);
        }
        fits
    }

    /// Makes room for content that is one value.
    #[inline]
    pub(crate) fn begin_value(&mut self, length: usize) -> bool {
        if self.element.kind != ContentKind::None {
            self.clear_content();
        }
        let fits = self.has_room(length);
        if fits {
            self.change(|element| element.kind = ContentKind::Value);
        }
        fits
    }

    fn clear_content(&mut self) {
        let content = self.element.content;
        self.composer.bytes.truncate(content as usize);
        if let Some(aside) = &mut self.composer.aside {
            aside.retain(|aside| aside.at < content);
        }
        self.change(|element| {
            element.children = 0;
            element.kind = ContentKind::None;
        });
    }

    #[inline]
    fn count_child(&mut self) {
        if self.element.kind == ContentKind::Value {
            self.clear_content();
        }
        self.set_children(self.element.children.saturating_add(1));
    }

    /// Counts the children, which are content from the first one on.
    #[inline]
    pub(crate) fn set_children(&mut self, count: u32) {
        let before = std::mem::replace(&mut self.element.children, count);
        let content = self.element.content as usize;
        if before == 0 {
            self.change(|element| element.kind = ContentKind::Children);
            self.composer.list(count);
        } else if let (1..=255, Ok(short), Some(byte)) =
            (before, u8::try_from(count), self.composer.bytes.get_mut(content + 1))
        {
            *byte = short;
        } else {
            self.replace(content..content + list_header_length(before), |composer| composer.list(count));
        }
    }

    /// Changes what the list header depends on, and the header with it.
    #[inline]
    fn change(&mut self, change: impl FnOnce(&mut Element)) {
        let before = self.element.entries();
        change(self.element);
        let after = self.element.entries();
        if let (..=255, Ok(short), Some(byte)) =
            (before, u8::try_from(after), self.composer.bytes.get_mut(self.element.head as usize + 1))
        {
            *byte = short;
        } else {
            self.rewrite_header(before, after);
        }
    }

    #[cold]
    fn rewrite_header(&mut self, before: u32, after: u32) {
        let head = self.element.head as usize;
        self.splice(head..head + list_header_length(before), |composer| composer.list(after));
    }

    /// Replaces a range before the content, which moves.
    #[cold]
    fn splice(&mut self, range: Range<usize>, write: impl FnOnce(&mut Composer)) {
        let before = self.composer.bytes.len();
        self.replace(range, write);
        let moved = self.composer.bytes.len() as u32;
        self.element.content = self.element.content + moved - before as u32;
    }

    /// Replaces a range.
    fn replace(&mut self, range: Range<usize>, write: impl FnOnce(&mut Composer)) {
        let mut part = Composer::default();
        write(&mut part);
        self.composer.marks.add(part.marks);
        let (start, old, new) = (range.start as u32, range.len() as u32, part.bytes.len() as u32);
        self.composer.bytes.splice(range, part.bytes);
        for Aside { at, .. } in self.composer.aside.iter_mut().flat_map(|aside| aside.iter_mut()) {
            if *at >= start {
                *at = *at + new - old;
            }
        }
    }

    /// Where the value of a key stands.
    fn find_value(&self, key: &str) -> Option<Range<usize>> {
        let attributes = self.composer.bytes.get(..self.element.content as usize)?;
        let mut reader = Reader::<true>::at(attributes, self.element.tag() as usize);
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
}

/// Writes the value of an attribute.
#[inline]
pub(crate) fn write_value(composer: &mut Composer, value: Value<'_>) {
    match value {
        Value::Text(text) => composer.string(&text, Pack::All),
        Value::Number(number) => with_digits(number, |digits| composer.string(digits, Pack::All)),
        Value::Jid(jid) => composer.jid(&jid, Pack::All, InteropJid::Append),
    }
}

impl std::fmt::Debug for NodeMut<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Element { attributes, children, .. } = &*self.element;
        f.debug_struct("NodeMut")
            .field("attributes", attributes)
            .field("children", children)
            .finish_non_exhaustive()
    }
}
