//! JSON text to nodes.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::jid::Server;
use crate::value::Value;
use crate::{Jid, Node};

/// Deepest nesting that is read. Beyond what any decoder takes.
const MAX_DEPTH: usize = 200;
/// Most bytes that `fill` or `repeat` may stand for.
const MAX_MADE: usize = 64 << 20;

/// A text that is not the JSON of one node.
#[derive(Debug, thiserror::Error)]
#[error("this is not the JSON of a node: line {line}, column {column}")]
#[non_exhaustive]
pub struct JsonError {
    /// Line of the text, from 1 on.
    pub line: usize,
    /// Column of the line in bytes, from 1 on; 0 if the line is empty.
    pub column: usize,
    /// What was wrong there.
    #[source]
    pub source: serde_json::Error,
}

/// Reads the JSON text of one node.
///
/// # Errors
/// If the text is not the JSON of exactly one node.
pub fn parse(text: &str) -> Result<Node, JsonError> {
    let mut reader = serde_json::Deserializer::from_str(text);
    // The depth is bounded by NodeSeed.
    reader.disable_recursion_limit();
    let node = NodeSeed { depth: 1 }.deserialize(&mut reader).and_then(|node| reader.end().map(|()| node));
    node.map_err(|source| JsonError { line: source.line(), column: source.column(), source })
}

#[derive(Clone, Copy)]
struct NodeSeed {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for NodeSeed {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        if self.depth > MAX_DEPTH {
            return Err(D::Error::custom("nodes are nested too deep"));
        }
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for NodeSeed {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a node: an object of tag, attrs and content")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let (mut tag, mut attrs, mut content) = (None::<String>, None, None);
        while let Some(key) = map.next_key::<NodeKey>()? {
            let repeated = match key {
                NodeKey::Tag => tag.replace(map.next_value()?).is_some(),
                NodeKey::Attrs => attrs.replace(map.next_value::<Attributes>()?).is_some(),
                NodeKey::Content => {
                    let seed = ContentSeed { depth: self.depth };
                    content.replace(map.next_value_seed(seed)?).is_some()
                }
            };
            if repeated {
                return Err(A::Error::custom("a key is repeated"));
            }
        }
        let mut node = Node::new(&tag.ok_or_else(|| A::Error::missing_field("tag"))?);
        for (key, value) in attrs.unwrap_or_default().0 {
            match value {
                JsonValue::Text(text) => node.add_attr(&key, Value::from(text)),
                JsonValue::Jid(jid) => node.add_attr(&key, Value::from(jid)),
            }
        }
        Ok(content.unwrap_or(Content::None).put(node))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum NodeKey {
    Tag,
    Attrs,
    Content,
}

/// Attributes with keys that differ.
#[derive(Default)]
struct Attributes(Vec<(String, JsonValue)>);

impl<'de> Deserialize<'de> for Attributes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Attributes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of [key, value]")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Attributes, A::Error> {
                let (mut pairs, mut keys) = (Vec::new(), HashSet::new());
                while let Some((key, value)) = seq.next_element::<(String, JsonValue)>()? {
                    if !keys.insert(key.clone()) {
                        return Err(A::Error::custom("an attribute is repeated"));
                    }
                    pairs.push((key, value));
                }
                Ok(Attributes(pairs))
            }
        }
        deserializer.deserialize_seq(Pairs)
    }
}

/// An attribute's value. Read by hand: a derived reader would keep anything, of any depth, before it
/// decides.
enum JsonValue {
    Text(String),
    Jid(Jid),
}

impl<'de> Deserialize<'de> for JsonValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Key {
            Jid,
        }
        struct TextOrJid;
        impl<'de> Visitor<'de> for TextOrJid {
            type Value = JsonValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an attribute's value: a string or {\"jid\": JID}")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<JsonValue, E> {
                Ok(JsonValue::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonValue, A::Error> {
                let Some(Key::Jid) = map.next_key()? else {
                    return Err(A::Error::missing_field("jid"));
                };
                let JsonJid(jid) = map.next_value()?;
                match map.next_key::<Key>()? {
                    None => Ok(JsonValue::Jid(jid)),
                    Some(Key::Jid) => Err(A::Error::duplicate_field("jid")),
                }
            }
        }
        deserializer.deserialize_any(TextOrJid)
    }
}

struct JsonJid(Jid);

impl<'de> Deserialize<'de> for JsonJid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            user: String,
            server: String,
            #[serde(default)]
            device: u16,
            #[serde(default)]
            integrator: u16,
        }
        let Fields { user, server, device, integrator } = Fields::deserialize(deserializer)?;
        let server = Server::named(&server);
        if integrator != 0 && server != Server::Interop {
            return Err(D::Error::custom("only a JID at interop has an integrator"));
        }
        Ok(Self(Jid::from_parts(user.into(), server, device, integrator)))
    }
}

enum Content {
    None,
    Nodes(Vec<Node>),
    Bytes(Vec<u8>),
    Text(String),
    Jid(Jid),
    Repeat(usize, Node),
}

impl Content {
    fn put(self, mut node: Node) -> Node {
        match self {
            Self::None => node,
            Self::Nodes(nodes) => node.children(nodes),
            Self::Bytes(bytes) => node.bytes(bytes),
            Self::Text(text) => node.text(&text),
            Self::Jid(jid) => node.jid_content(jid),
            Self::Repeat(count, child) => {
                for _ in 0..count {
                    node.push_child(child.clone());
                }
                node
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum ContentKey {
    Nodes,
    Bytes,
    Text,
    Jid,
    Fill,
    Repeat,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fill {
    len: usize,
    #[serde(rename = "mod")]
    modulus: usize,
}

#[derive(Clone, Copy)]
struct ContentSeed {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for ContentSeed {
    type Value = Content;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ContentSeed {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("content: an object of one of nodes, bytes, text, jid, fill, repeat")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        let key = map.next_key::<ContentKey>()?.ok_or_else(|| A::Error::custom("content has one key"))?;
        let below = self.depth + 1;
        let content = match key {
            ContentKey::Nodes => Content::Nodes(map.next_value_seed(NodesSeed { depth: below })?),
            ContentKey::Bytes => {
                let hex: String = map.next_value()?;
                Content::Bytes(
                    unhex(&hex).ok_or_else(|| A::Error::custom("bytes are pairs of hexadecimal digits"))?,
                )
            }
            ContentKey::Text => Content::Text(map.next_value()?),
            ContentKey::Jid => Content::Jid(map.next_value::<JsonJid>()?.0),
            ContentKey::Fill => {
                let Fill { len, modulus } = map.next_value()?;
                if len > MAX_MADE || !(1..=256).contains(&modulus) {
                    return Err(A::Error::custom("len is at most 64 MiB, mod from 1 to 256"));
                }
                Content::Bytes((0..len).map(|index| (index % modulus) as u8).collect())
            }
            ContentKey::Repeat => {
                let (count, node) = map.next_value_seed(RepeatSeed { depth: below })?;
                if node.view().weight().saturating_mul(count) > MAX_MADE {
                    return Err(A::Error::custom("the repeated nodes take more than 64 MiB"));
                }
                Content::Repeat(count, node)
            }
        };
        match map.next_key::<ContentKey>()? {
            None => Ok(content),
            Some(_) => Err(A::Error::custom("content has one key")),
        }
    }
}

struct NodesSeed {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for NodesSeed {
    type Value = Vec<Node>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Node>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for NodesSeed {
    type Value = Vec<Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of nodes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Node>, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = seq.next_element_seed(NodeSeed { depth: self.depth })? {
            nodes.push(node);
        }
        Ok(nodes)
    }
}

struct RepeatSeed {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for RepeatSeed {
    type Value = (usize, Node);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(usize, Node), D::Error> {
        deserializer.deserialize_map(self)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RepeatKey {
    Count,
    Node,
}

impl<'de> Visitor<'de> for RepeatSeed {
    type Value = (usize, Node);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of count and node")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(usize, Node), A::Error> {
        let (mut count, mut node) = (None, None);
        while let Some(key) = map.next_key::<RepeatKey>()? {
            match key {
                RepeatKey::Count => count = Some(map.next_value()?),
                RepeatKey::Node => node = Some(map.next_value_seed(NodeSeed { depth: self.depth })?),
            }
        }
        match (count, node) {
            (Some(count), Some(node)) => Ok((count, node)),
            _ => Err(A::Error::custom("repeat has count and node")),
        }
    }
}

fn unhex(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        hex.chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits?;
    let (pairs, odd) = digits.as_chunks::<2>();
    odd.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}
