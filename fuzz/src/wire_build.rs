//! Nodes that a script builds, against a model that cannot go wrong.

use landbridge_wire::{
    EncodeOptions, InteropJid, Jid, Limits, Node, NodeRef, Pack, decode, encode, encode_ref, json, xml,
};

use crate::input::Input;

#[derive(Clone, Debug)]
enum Word {
    Text(String),
    Jid(Jid),
}

impl Word {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Jid(jid) => jid.to_string(),
        }
    }
}

#[derive(Clone, Debug)]
enum Content {
    None,
    Bytes(Vec<u8>),
    Text(String),
    Jid(Jid),
    Children(Vec<Model>),
}

#[derive(Clone, Debug)]
struct Model {
    tag: String,
    attrs: Vec<(String, Word)>,
    content: Content,
}

/// Words of the dictionary, packable ones, and others.
const WORDS: [&str; 24] = [
    "iq",
    "message",
    "receipt",
    "to",
    "from",
    "id",
    "type",
    "xmlns",
    "list",
    "s.whatsapp.net",
    "t",
    "x",
    "",
    "3EB0C0FFEE",
    "1763870400",
    "0.1-2",
    "read-self",
    "Ä",
    "_x41_",
    "with space",
    "a:b",
    "1-2@interop",
    "31612345678",
    "\u{1}",
];

const SERVERS: [&str; 8] =
    ["s.whatsapp.net", "lid", "g.us", "interop", "msgr", "hosted", "hosted.lid", "example"];

fn word(script: &mut Input<'_>) -> String {
    match script.u8() {
        255 => script.text(),
        at => WORDS[usize::from(at) % WORDS.len()].to_owned(),
    }
}

fn name(script: &mut Input<'_>) -> String {
    let word = word(script);
    if word.is_empty() { "n".to_owned() } else { word }
}

fn jid(script: &mut Input<'_>) -> Jid {
    let server = script.pick(&SERVERS);
    let user = word(script);
    match server {
        "interop" => {
            let (integrator, device) = (script.u16(), script.u16());
            Jid::interop(integrator, if user.is_empty() { "7" } else { &user }).with_device(device)
        }
        "s.whatsapp.net" | "lid" if !user.is_empty() => {
            Jid::new(user, server).with_device(u16::from(script.u8()))
        }
        server => Jid::new(user, server),
    }
}

/// Builds a node and its model with the same calls.
fn build(script: &mut Input<'_>, depth: usize) -> (Node, Model) {
    let tag = name(script);
    let mut node = Node::new(&tag);
    let mut model = Model { tag, attrs: Vec::new(), content: Content::None };
    for _ in 0..script.below(8) {
        match script.u8() % 8 {
            0..=2 => {
                let key = name(script);
                let value = if script.one_in(3) { Word::Jid(jid(script)) } else { Word::Text(word(script)) };
                node = match &value {
                    Word::Text(text) => node.attr(&key, text),
                    Word::Jid(jid) => node.attr(&key, jid),
                };
                match model.attrs.iter_mut().find(|(known, _)| *known == key) {
                    Some((_, old)) => *old = value,
                    None => model.attrs.push((key, value)),
                }
            }
            3 => {
                let bytes = script.short().to_vec();
                node = node.bytes(&*bytes);
                model.content = Content::Bytes(bytes);
            }
            4 => {
                let bytes = vec![7; 900 + script.below(400)];
                node = node.bytes(&*bytes);
                model.content = Content::Bytes(bytes);
            }
            5 => {
                let text = word(script);
                node = node.text(&text);
                model.content = Content::Text(text);
            }
            6 => {
                let jid = jid(script);
                node = node.jid_content(&jid);
                model.content = Content::Jid(jid);
            }
            _ if depth < 6 => {
                let (child, of_child) = build(script, depth + 1);
                node = node.child(child);
                match &mut model.content {
                    Content::Children(children) => children.push(of_child),
                    other => *other = Content::Children(vec![of_child]),
                }
            }
            _ => {}
        }
        if script.one_in(16) {
            // What is looked at, copied and built on is still the same node.
            agrees(node.view(), &model);
            node = node.view().to_node();
        }
    }
    (node, model)
}

fn agrees(node: NodeRef<'_>, model: &Model) {
    assert_eq!(node.tag(), model.tag);
    assert!(node.is(&model.tag));
    let attrs: Vec<_> =
        node.attrs().map(|(key, value)| (key.into_owned(), value.text().into_owned())).collect();
    let expected: Vec<_> = model.attrs.iter().map(|(key, value)| (key.clone(), value.text())).collect();
    assert_eq!(attrs, expected);
    for (key, value) in &model.attrs {
        assert_eq!(node.attr_str(key).as_deref(), Some(value.text().as_str()));
        if let Word::Jid(jid) = value {
            assert_eq!(node.attr_jid(key).as_ref(), Some(jid));
        }
    }
    let bytes = match &model.content {
        Content::None => None,
        Content::Bytes(bytes) => Some(bytes.clone()),
        Content::Text(text) => Some(text.clone().into_bytes()),
        Content::Jid(jid) => Some(jid.to_string().into_bytes()),
        Content::Children(children) => {
            assert_eq!(node.children().count(), children.len());
            node.children().zip(children).for_each(|(node, model)| agrees(node, model));
            None
        }
    };
    assert_eq!(node.content_bytes().map(std::borrow::Cow::into_owned), bytes);
    assert!(matches!(model.content, Content::Children(_)) || node.children().next().is_none());
}

/// A node that was built says what was put in, and still does after it was written and read.
pub(crate) fn build_and_read(bytes: &[u8]) {
    let (node, model) = build(&mut Input::new(bytes), 0);
    agrees(node.view(), &model);
    let text = xml::to_string(node.view());
    let from_xml = xml::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(json::to_string(from_xml.view()), json::to_string(node.view()));
    for pack in [Pack::All, Pack::Jid] {
        for interop_jid in [InteropJid::Append, InteropJid::Omit, InteropJid::Pair] {
            let options = EncodeOptions { pack, interop_jid, compress_above: None };
            let stanza = encode(&node, &options);
            assert_eq!(encode_ref(node.view(), &options), stanza);
            let Ok(stanza) = stanza else {
                assert!(has_jid(&model), "only JIDs can lack a form");
                continue;
            };
            let again = decode(&stanza, &Limits::default()).expect("what was written can be read");
            agrees(again.view(), &model);
        }
    }
}

fn has_jid(model: &Model) -> bool {
    model.attrs.iter().any(|(_, value)| matches!(value, Word::Jid(_)))
        || match &model.content {
            Content::Jid(_) => true,
            Content::Children(children) => children.iter().any(has_jid),
            _ => false,
        }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    (0..24u8)
        .map(|seed| {
            (0..96u8).map(|at| at.wrapping_mul(seed.wrapping_mul(2) + 3).wrapping_add(seed)).collect()
        })
        .collect()
}
