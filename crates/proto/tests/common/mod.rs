//! Reading the vector files.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]
#![allow(dead_code, reason = "each test uses a part of it")]

use serde_json::Value;

pub(crate) fn vectors(text: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(text).unwrap();
    file["vectors"].as_array().unwrap().clone()
}

pub(crate) fn content() -> Vec<Value> {
    vectors(include_str!("../vectors/content.json"))
}

pub(crate) fn malformed() -> Vec<Value> {
    vectors(include_str!("../vectors/malformed.json"))
}

pub(crate) fn transport() -> Vec<Value> {
    vectors(include_str!("../vectors/transport.json"))
}

pub(crate) fn padding() -> Vec<Value> {
    vectors(include_str!("../vectors/padding.json"))
}

pub(crate) fn text<'v>(entry: &'v Value, field: &str) -> Option<&'v str> {
    entry.get(field).and_then(Value::as_str)
}

pub(crate) fn name(entry: &Value) -> &str {
    text(entry, "name").unwrap()
}

pub(crate) fn bytes(entry: &Value) -> Vec<u8> {
    hex::decode(text(entry, "hex").unwrap()).unwrap()
}

/// The entries of a file whose root is `message`.
pub(crate) fn of<'v>(entries: &'v [Value], message: &'static str) -> impl Iterator<Item = &'v Value> {
    entries.iter().filter(move |entry| text(entry, "message") == Some(message))
}
