//! The inputs: nodes as plain data, from which both codecs build their own.

use landbridge_wire::{ContentRef, NodeRef, ValueRef, json};

pub struct Input {
    pub name: String,
    pub payload: Vec<u8>,
    pub node: Spec,
}

/// A node. Words are static, as they are in a program.
pub struct Spec {
    pub tag: &'static str,
    pub attrs: Vec<(&'static str, Attr)>,
    pub children: Vec<Spec>,
    pub bytes: Option<Vec<u8>>,
}

pub enum Attr {
    Text(&'static str),
    Jid { ours: landbridge_wire::Jid, peer: wacore_binary::Jid },
}

pub fn load() -> Result<Vec<Input>, String> {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("../../../inputs/wire.json")).map_err(|error| error.to_string())?;
    let inputs = file["inputs"].as_array().ok_or("no inputs")?;
    inputs.iter().map(input).collect()
}

fn input(input: &serde_json::Value) -> Result<Input, String> {
    let node = json::parse(&input["node"].to_string()).map_err(|error| error.to_string())?;
    let hex = input["payload"].as_str().ok_or("no payload")?;
    let byte = |index| u8::from_str_radix(&hex[index..index + 2], 16).map_err(|error| error.to_string());
    Ok(Input {
        name: input["name"].as_str().ok_or("no name")?.to_owned(),
        payload: (0..hex.len()).step_by(2).map(byte).collect::<Result<_, _>>()?,
        node: spec(node.view()),
    })
}

fn spec(node: NodeRef<'_>) -> Spec {
    Spec {
        tag: leak(&node.tag()),
        attrs: node.attrs().map(|(key, value)| (leak(&key), attr(&value))).collect(),
        children: node.children().map(spec).collect(),
        bytes: match node.content() {
            ContentRef::Bytes(bytes) => Some(bytes.to_vec()),
            _ => None,
        },
    }
}

fn attr(value: &ValueRef<'_>) -> Attr {
    match value {
        ValueRef::Text(text) => Attr::Text(leak(text)),
        ValueRef::Jid(jid) => {
            let server = wacore_binary::Server::try_from(jid.server_part()).unwrap_or_default();
            Attr::Jid { ours: jid.clone(), peer: wacore_binary::Jid::new(jid.user_part(), server) }
        }
    }
}

fn leak(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}
