//! What the tests over the vectors share.
#![allow(dead_code, reason = "every test binary uses a part")]

use landbridge_wire::{Node, json};
use serde::Deserialize as _;
use serde_json::Value;

/// A file of vectors, nested as deep as it likes.
pub(crate) fn load(name: &str) -> Value {
    let path = format!("{}/tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let mut reader = serde_json::Deserializer::from_str(&text);
    reader.disable_recursion_limit();
    Value::deserialize(&mut reader).unwrap()
}

/// The array under a key.
pub(crate) fn list(file: &Value, key: &str) -> Vec<Value> {
    file[key].as_array().cloned().unwrap_or_default()
}

/// The node of a vector.
pub(crate) fn node(value: &Value) -> Node {
    json::parse(&value.to_string()).unwrap()
}

/// Whether bytes are those of a vector: hex, or length, hash and ends.
pub(crate) fn is(bytes: &[u8], vector: &Value) -> bool {
    match vector {
        Value::String(text) => hex::encode(bytes) == *text,
        _ => {
            let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
            vector["length"] == bytes.len() && vector["sha256"] == hex::encode(digest)
        }
    }
}

/// Bytes that stand in a vector in full.
pub(crate) fn bytes(vector: &Value) -> Option<Vec<u8>> {
    vector.as_str().map(|text| hex::decode(text).unwrap())
}
