//! A running server and a client that speaks the socket.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may stop the test")]

mod grown;
pub(crate) mod hosting;
pub(crate) mod place;
pub(crate) mod whatsapp;

use std::net::SocketAddr;
use std::time::Duration;

use landbridge_partner::{Partner, PartnerBuilder, PartnerConfig, StartError};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) const ALICE: &str = "session-of-alice";

pub(crate) fn config() -> PartnerConfig {
    PartnerConfig {
        addr: "127.0.0.1:0".parse().unwrap(),
        admin_addr: "127.0.0.1:0".parse().unwrap(),
        dev_users: [(ALICE.to_owned(), "alice".to_owned()), ("b".to_owned(), "😀".repeat(40))].into(),
        insecure_dev_auth: true,
        ..PartnerConfig::default()
    }
}

pub(crate) async fn start() -> Partner {
    start_with(config()).await.unwrap()
}

/// A server in the mode of this run, see [`grown`], that leaves nothing behind; one that does is at a [`place::Place`].
pub(crate) async fn builder(config: PartnerConfig) -> PartnerBuilder {
    let builder = Partner::builder(config);
    if grown::is_wanted() { grown::Engines::new().await.install(builder).await } else { builder }
}

pub(crate) async fn start_with(config: PartnerConfig) -> Result<Partner, StartError> {
    builder(config).await.start().await
}

/// An answer taken apart.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|cause| panic!("{cause}: {self:?}"))
    }

    /// Checks that this is the problem document of `slug`.
    pub(crate) fn assert_problem(&self, status: u16, slug: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let document = self.json();
        assert_eq!(document["type"], format!("https://landbridge.invalid/problems/{slug}"));
        assert_eq!(document["status"], status);
        assert_eq!(document["instance"].as_str(), self.header("x-request-id"));
        assert!(document["title"].is_string());
    }
}

/// Sends bytes, ends the sending side, and reads until the server closes.
pub(crate) async fn raw(addr: SocketAddr, bytes: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(bytes).await;
    parse(&read_all(&mut stream).await)
}

/// Sends bytes and reads until the server closes, while more could be sent.
pub(crate) async fn raw_open(addr: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    String::from_utf8(read_all(&mut stream).await).unwrap()
}

pub(crate) async fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    let reading = async {
        let mut buffer = [0; 4096];
        // A reset after the answer is an end like any other.
        while let Ok(n @ 1..) = stream.read(&mut buffer).await {
            answer.extend_from_slice(&buffer[..n]);
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reading).await.unwrap();
    answer
}

pub(crate) fn parse(answer: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// One request with headers and a body, on a connection of its own.
pub(crate) async fn send(addr: SocketAddr, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = format!("{line} HTTP/1.1\r\nHost: partner\r\nConnection: close\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        request += &format!("Content-Length: {}\r\n", body.len());
    }
    request += &format!("\r\n{body}");
    raw(addr, request.as_bytes()).await
}

pub(crate) async fn token(addr: SocketAddr, session: &str) -> Answer {
    let authorization = format!("Bearer {session}");
    let headers = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
    send(addr, "POST /v1/token", &headers, "{}").await
}

/// Waits until `done` holds, for as long as a test may take.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut done: impl FnMut() -> F) {
    let waiting = async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// A stream of server-sent events: `next` gives the id of the next wake-up.
pub(crate) struct Events {
    stream: TcpStream,
    seen: String,
}

impl Events {
    pub(crate) async fn open(addr: SocketAddr, session: &str, query: &str) -> Self {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let request = format!(
            "GET /v1/wake?{query} HTTP/1.1\r\nHost: p\r\nConnection: close\r\nAuthorization: Bearer {session}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut events = Self { stream, seen: String::new() };
        assert!(events.read_until("\r\n\r\n").await.starts_with("HTTP/1.1 200"), "{}", events.seen);
        events
    }

    /// Everything up to `mark`, which is taken too.
    async fn read_until(&mut self, mark: &str) -> String {
        let reading = async {
            loop {
                if let Some((before, after)) = self.seen.split_once(mark) {
                    let (before, after) = (before.to_owned(), after.to_owned());
                    self.seen = after;
                    return before;
                }
                let mut buffer = [0; 4096];
                let n = self.stream.read(&mut buffer).await.unwrap();
                assert_ne!(n, 0, "the stream ended");
                self.seen.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
            }
        };
        tokio::time::timeout(Duration::from_secs(20), reading).await.unwrap()
    }

    pub(crate) async fn next(&mut self) -> String {
        self.read_until("event: wake\n").await;
        let data = self.read_until("\n\n").await;
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        let members: Vec<&String> = data.as_object().unwrap().keys().collect();
        assert_eq!(members, ["id", "type"], "a wake-up says nothing else");
        assert_eq!(data["type"], "wake");
        data["id"].as_str().unwrap().to_owned()
    }

    /// Whether the server ends the stream.
    pub(crate) async fn ended(mut self) -> bool {
        let rest = read_all(&mut self.stream).await;
        !String::from_utf8_lossy(&rest).contains("event: wake")
    }
}

pub(crate) async fn put_target(addr: SocketAddr, session: &str, device: &str, body: &str) -> Answer {
    let authorization = format!("Bearer {session}");
    let headers = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
    send(addr, &format!("PUT /v1/wake-targets/{device}"), &headers, body).await
}
