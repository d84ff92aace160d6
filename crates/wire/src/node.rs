//! Nodes that are built.

use std::borrow::{Borrow, Cow};
use std::sync::OnceLock;

use crate::composer::{Aside, Composer, Marks};
use crate::encode::{InteropJid, Pack};
use crate::node_mut::{Element, Long, NodeMut, Repeats, write_value};
use crate::reader::{Body, Item};
use crate::scan::index;
use crate::tape::Tape;
use crate::value::Value;
use crate::view::NodeRef;
use crate::{EncodeError, EncodeOptions, Jid};

/// Room for a usual stanza, so that most nodes are built with one allocation.
const FIRST_BYTES: usize = 512;

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
///     .child_with("ping", |ping| ping);
/// assert_eq!(
///     ping.to_string(),
///     r#"<iq id="x-1" xmlns="w:p" type="get" to="@s.whatsapp.net"><ping/></iq>"#,
/// );
/// ```
///
/// Inside, a node is the payload that it will be: every call appends to it in its final form, so that
/// encoding is copying, and [`Node::into_payload`] does not even copy. [`Node::child`] copies a node that exists into
/// its parent; [`Node::child_with`] writes it where it will stand, without memory of its own. Two nodes are equal if they differ in the order of attributes only; text, JIDs and
/// bytes as content are equal if their UTF-8 bytes are.
#[derive(Clone)]
pub struct Node {
    /// The payload of the node: a flags byte of 0, then the stanza.
    composer: Composer,
    element: Element,
    /// The index, from the first reading on.
    tape: OnceLock<Box<Tape>>,
}

impl Node {
    /// A node without attributes and content.
    pub fn new(tag: &str) -> Self {
        let mut bytes = Vec::with_capacity(FIRST_BYTES);
        bytes.push(0);
        let mut composer = Composer { bytes, ..Composer::default() };
        let element = Element::open(&mut composer, tag);
        Self { composer, element, tape: OnceLock::new() }
    }

    /// A node that `build` completes in place. Long bytes are written to where they will be sent from.
    ///
    /// ```
    /// use landbridge_wire::Node;
    ///
    /// let ack = Node::with("ack", |ack| ack.attr("id", "x-1").attr("class", "receipt"));
    /// assert_eq!(ack, Node::new("ack").attr("id", "x-1").attr("class", "receipt"));
    /// ```
    pub fn with(tag: &str, build: impl FnOnce(NodeMut<'_>) -> NodeMut<'_>) -> Self {
        let mut node = Self::new(tag);
        build(node.parts());
        node
    }

    /// The node to write to.
    #[inline]
    fn parts(&mut self) -> NodeMut<'_> {
        self.tape.take();
        NodeMut::new(&mut self.composer, &mut self.element)
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

    /// Appends a child, which `build` completes in place. Content of another kind is replaced.
    ///
    /// ```
    /// use landbridge_wire::Node;
    ///
    /// let query = Node::new("iq").child_with("list", |list| list.child_with("user", |user| user.attr("t", 7u8)));
    /// assert_eq!(query.to_string(), r#"<iq><list><user t="7"/></list></iq>"#);
    /// ```
    #[must_use]
    #[inline]
    pub fn child_with(mut self, tag: &str, build: impl FnOnce(NodeMut<'_>) -> NodeMut<'_>) -> Self {
        self.parts().child_with(tag, build);
        self
    }

    /// Appends one child for each of `items`, which `build` completes in place with it. Nothing of them is the same
    /// as no call.
    #[must_use]
    #[inline]
    pub fn children_with<I: IntoIterator>(
        mut self,
        tag: &str,
        items: I,
        build: impl FnMut(NodeMut<'_>, I::Item) -> NodeMut<'_>,
    ) -> Self {
        self.parts().children_with(tag, items, build);
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
        self.parts().put_text(text);
        self
    }

    /// Makes a JID the content, replacing any other.
    #[must_use]
    pub fn jid_content(mut self, jid: impl Borrow<Jid>) -> Self {
        self.parts().put_jid(jid.borrow());
        self
    }

    /// The node to read from.
    pub fn view(&self) -> NodeRef<'_> {
        let tape = self.tape.get_or_init(|| Box::new(index(&self.composer.bytes, self.element.entry())));
        NodeRef::new(&self.composer.bytes, tape.entries(), self.asides())
    }

    /// Appends a child. Content of another kind is replaced.
    pub fn push_child(&mut self, child: Self) {
        self.parts().put_node(child);
    }

    /// Sets an attribute. A key that is there already keeps its place and gets the new value.
    #[inline]
    pub fn set_attr<'v>(&mut self, key: &str, value: impl Into<Value<'v>>) {
        self.parts().put_attr(key, value.into(), Repeats::Replace);
    }

    /// Makes bytes the content, replacing any other.
    #[inline]
    pub fn set_bytes<'v>(&mut self, bytes: impl Into<Cow<'v, [u8]>>) {
        self.parts().put_bytes(bytes.into(), Long::Aside);
    }

    /// Sets an attribute whose key is known not to be there.
    pub(crate) fn add_attr(&mut self, key: &str, value: Value<'_>) {
        self.parts().put_attr(key, value, Repeats::None);
    }

    /// The node as a payload, as [`encode_payload`](crate::encode_payload) writes it. What has been built in place is
    /// not copied.
    ///
    /// # Errors
    /// If the node, or one below it, has no encoding; see [`EncodeError`].
    pub fn into_payload(self, options: &EncodeOptions) -> Result<Vec<u8>, EncodeError> {
        crate::payload::from_node(self, options)
    }

    /// Composes a node of the parts of another.
    pub(crate) fn copy(root: NodeRef<'_>) -> Self {
        let mut copy = Self::new(&root.tag());
        for (key, item) in root.items() {
            copy.add_attr(&key.text(), item_value(item));
        }
        let (children, body) = (root.children().count(), root.body());
        if children > 0 {
            copy.parts().set_children(children as u32);
        } else if body.is_some() {
            copy.parts().begin_value(0);
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
            Some(Body::Bytes(bytes)) => self.composer.sized(bytes),
            Some(Body::Text(text)) => self.composer.text(&text.text()),
            Some(Body::Jid(jid)) => self.composer.jid(&jid.to_jid(), Pack::All, InteropJid::Append),
            _ => {}
        }
    }

    pub(crate) fn into_composer(self) -> Composer {
        self.composer
    }

    pub(crate) fn marks(&self) -> Marks {
        self.composer.marks
    }

    pub(crate) fn asides(&self) -> &[Aside] {
        self.composer.asides()
    }

    /// The stanza, with marks for what is kept aside, behind a flags byte of 0.
    #[inline]
    pub(crate) fn payload(&self) -> &[u8] {
        &self.composer.bytes
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
