//! Uploads and downloads over the socket.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::{Answer, parse, read_all};

pub(crate) const BOB: &str = "b";

pub(crate) fn sha256(bytes: &[u8]) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().to_vec()
}

pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    sha256(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn hash(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(sha256(bytes))
}

/// Bytes of a file's length that are different for each seed.
pub(crate) fn file(seed: u8, blocks: usize) -> Vec<u8> {
    (0..blocks * 16 + 10).map(|n| (n as u8).wrapping_mul(31).wrapping_add(seed)).collect()
}

/// One request with bytes as its body; the answer's body comes as bytes, too.
pub(crate) async fn call(
    addr: SocketAddr,
    line: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> (Answer, Vec<u8>) {
    let mut request = format!("{line} HTTP/1.1\r\nHost: p\r\nConnection: close\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    if !headers.iter().any(|(name, _)| *name == "Content-Length") && !body.is_empty() {
        request += &format!("Content-Length: {}\r\n", body.len());
    }
    let mut stream = TcpStream::connect(addr).await.unwrap();
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(&[format!("{request}\r\n").as_bytes(), body].concat()).await;
    let answer = read_all(&mut stream).await;
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
    (parse(&answer), answer[head..].to_vec())
}

pub(crate) async fn put(addr: SocketAddr, session: &str, bytes: &[u8]) -> Answer {
    let authorization = format!("Bearer {session}");
    let headers = [("Authorization", authorization.as_str()), ("Content-Type", "application/octet-stream")];
    call(addr, &format!("PUT /v1/media/by-hash/{}", hash(bytes)), &headers, bytes).await.0
}

pub(crate) async fn stored(addr: SocketAddr, session: &str, bytes: &[u8]) -> String {
    let answer = put(addr, session, bytes).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["storage_reference"].as_str().unwrap().to_owned()
}

pub(crate) async fn get(addr: SocketAddr, reference: &str, headers: &[(&str, &str)]) -> (Answer, Vec<u8>) {
    call(addr, &format!("GET /{reference}"), headers, b"").await
}

/// Files below a directory.
pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// tus 1.0 by hand.
pub(crate) struct Tus {
    pub(crate) addr: SocketAddr,
    authorization: String,
}

impl Tus {
    pub(crate) fn new(addr: SocketAddr, session: &str) -> Self {
        Self { addr, authorization: format!("Bearer {session}") }
    }

    pub(crate) async fn call(&self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let own = [("Authorization", self.authorization.as_str()), ("Tus-Resumable", "1.0.0")];
        call(self.addr, line, &[own.as_slice(), headers].concat(), body).await.0
    }

    pub(crate) async fn create(&self, bytes: &[u8]) -> Answer {
        let (length, metadata) =
            (bytes.len().to_string(), format!("name eA==,sha256 {}", STANDARD.encode(sha256(bytes))));
        self.call("POST /v1/uploads", &[("Upload-Length", &length), ("Upload-Metadata", &metadata)], b"")
            .await
    }

    pub(crate) async fn patch(&self, location: &str, offset: usize, bytes: &[u8]) -> Answer {
        let (offset, kind) = (offset.to_string(), ("Content-Type", "application/offset+octet-stream"));
        self.call(&format!("PATCH {location}"), &[("Upload-Offset", &offset), kind], bytes).await
    }

    pub(crate) async fn offset(&self, location: &str) -> usize {
        let answer = self.call(&format!("HEAD {location}"), &[], b"").await;
        assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")), "{answer:?}");
        answer.header("upload-offset").unwrap().parse().unwrap()
    }
}
