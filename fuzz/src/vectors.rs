//! Seeds from the test vectors of the crates.

use landbridge_wire::json;
use serde::Deserialize as _;
use serde_json::Value;

macro_rules! vectors {
    ($($name:ident = $path:literal;)*) => {$(
        pub(crate) fn $name() -> Value {
            read(include_str!(concat!("../../crates/", $path)))
        }
    )*};
}

vectors! {
    frames = "wire/tests/vectors/frames.json";
    jids = "wire/tests/vectors/jids.json";
    malformed_frames = "wire/tests/vectors/malformed.json";
    stanzas = "wire/tests/vectors/stanzas.json";
    strings = "wire/tests/vectors/strings.json";
    structure = "wire/tests/vectors/structure.json";
    xml = "wire/tests/vectors/xml.json";
    certificates = "noise/tests/vectors/certificates.json";
    framing = "noise/tests/vectors/framing.json";
    server_hello = "noise/tests/vectors/server_hello.json";
    content = "proto/tests/vectors/content.json";
    malformed_content = "proto/tests/vectors/malformed.json";
    padding = "proto/tests/vectors/padding.json";
    proto_transport = "proto/tests/vectors/transport.json";
    tokens = "enlist/tests/vectors/tokens.json";
    jwks_docs = "enlist/tests/vectors/jwks-docs.json";
    proxy = "transport/tests/vectors/proxy_protocol.json";
}

fn read(text: &str) -> Value {
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.disable_recursion_limit();
    Value::deserialize(&mut reader).expect("vectors are JSON")
}

/// The entries of an array.
pub(crate) fn list(file: &Value, key: &str) -> Vec<Value> {
    file[key].as_array().cloned().unwrap_or_default()
}

/// Every string below `value`, object keys excluded.
pub(crate) fn strings_below(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::String(text) => out.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| strings_below(item, out)),
        Value::Object(members) => members.values().for_each(|member| strings_below(member, out)),
        _ => {}
    }
}

/// The bytes of every hex string of `file` under one of `keys`, at any depth, up to 4 KiB each.
pub(crate) fn hex_under(file: &Value, keys: &[&str]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    collect(file, keys, &mut found);
    found
}

fn collect(value: &Value, keys: &[&str], out: &mut Vec<Vec<u8>>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, keys, out)),
        Value::Object(members) => {
            for (key, member) in members {
                let mut texts = Vec::new();
                if keys.contains(&key.as_str()) {
                    strings_below(member, &mut texts);
                }
                out.extend(
                    texts.iter().filter_map(|text| hex::decode(text).ok()).filter(|b| b.len() <= 4096),
                );
                collect(member, keys, out);
            }
        }
        _ => {}
    }
}

/// Payloads of ordinary stanzas: a flags byte before each stanza of the vectors.
pub(crate) fn payloads() -> Vec<Vec<u8>> {
    let mut all = hex_under(&frames(), &["payload"]);
    all.extend(hex_under(&malformed_frames(), &["payload"]));
    for file in [stanzas(), jids(), strings(), structure()] {
        all.extend(
            hex_under(&file, &["all", "jid", "also"]).into_iter().map(|stanza| [&[0], &*stanza].concat()),
        );
    }
    all
}

/// The JSON of the nodes of the vectors.
pub(crate) fn nodes() -> Vec<String> {
    let files = [stanzas(), jids(), strings(), structure()];
    let nodes = files.iter().flat_map(|file| list(file, "vectors")).map(|vector| vector["node"].to_string());
    nodes.filter(|text| text.len() <= 4096 && json::parse(text).is_ok()).collect()
}
