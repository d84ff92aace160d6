//! HTTP/1.1 by hand, so that no client library of ours is on both sides.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

/// One exchange: status and the rest of the answer.
pub(crate) fn exchange(method: &str, url: &str, headers: &str, body: &str) -> (u16, String) {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

/// Sends JSON (none for `null`), expects a good answer, and gives its JSON.
#[track_caller]
pub(crate) fn json(method: &str, url: &str, body: &Value) -> Value {
    let sent = if body.is_null() { String::new() } else { body.to_string() };
    let (status, answer) = exchange(method, url, "content-type: application/json\r\n", &sent);
    assert!((200..300).contains(&status), "{method} {url} {sent}: {status} {answer}");
    if answer.trim().is_empty() { Value::Null } else { serde_json::from_str(&answer).unwrap() }
}
