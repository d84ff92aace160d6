//! A server in a process of its own is killed at random moments while it takes uploads and pushes, and started again on
//! the same directory: nothing that it acknowledged is lost, and nothing half-written is served.
//!
//! `LANDBRIDGE_SEED` repeats a run's moments and files, `LANDBRIDGE_KILLS` sets how many there are.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where something is wrong")]

mod common;

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use common::hosting::{files, hash, sha256};
use common::whatsapp::WhatsApp;
use common::{ALICE, Answer, Events, config};
use landbridge_partner::media::MediaConfig;
use landbridge_partner::{Partner, PartnerConfig, PushConfig};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const DATA: &str = "LANDBRIDGE_TEST_KILLED_DATA";
const KEYS: &str = "LANDBRIDGE_TEST_KILLED_KEYS";
const BASE_URL: &str = "https://partner.example";
/// Longest load before a kill, in milliseconds.
const LOAD: u64 = 500;
/// What a resumable upload sends at once, in bytes.
const PIECE: usize = 40_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if let (Ok(data), Ok(keys)) = (std::env::var(DATA), std::env::var(KEYS)) {
        runtime.block_on(serve(data.into(), keys));
    } else if std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .all(|name| "killed".contains(&*name))
    {
        runtime.block_on(kill_and_look());
    }
}

/// The process that is killed. It ends with the one that started it.
async fn serve(data: PathBuf, keys: String) {
    let partner = Partner::start(PartnerConfig {
        data_dir: Some(data),
        base_url: Some(BASE_URL.to_owned()),
        push: PushConfig { keys_url: Some(keys), ..PushConfig::default() },
        media: MediaConfig { parallel: 10_000, ..MediaConfig::default() },
        ..config()
    });
    let partner = partner.await.unwrap();
    println!("{}", partner.addr());
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await.unwrap().unwrap();
}

/// The process, while it lives.
struct Server {
    child: Child,
    addr: SocketAddr,
}

impl Server {
    fn start(data: &Path, keys: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(DATA, data)
            .env(KEYS, keys)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, addr: line.trim().parse().unwrap() }
    }

    /// SIGKILL, on systems that have signals.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One request. `None` if the server did not answer it to the end.
async fn call(
    addr: SocketAddr,
    line: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Option<(Answer, Vec<u8>)> {
    let mut request = format!(
        "{line} HTTP/1.1\r\nHost: p\r\nConnection: close\r\nAuthorization: Bearer {ALICE}\r\n\
         Tus-Resumable: 1.0.0\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    let exchange = async {
        let mut stream = TcpStream::connect(addr).await?;
        stream.write_all(&[format!("{request}\r\n").as_bytes(), body].concat()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = tokio::time::timeout(Duration::from_secs(20), exchange).await.unwrap().ok()?;
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let body = answer[head..].to_vec();
    let parsed = common::parse(&answer);
    let announced = parsed.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    (line.starts_with("HEAD") || body.len() == announced).then_some((parsed, body))
}

/// A new file that no other is like.
fn new_file(random: &mut StdRng, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; random.random_range(2..most / 16) * 16 + 10];
    random.fill(&mut bytes[..]);
    bytes
}

/// What is known of one file.
#[derive(Clone)]
struct Sent {
    bytes: Vec<u8>,
    /// Acknowledged, if it is.
    reference: Option<String>,
    /// Where it is being uploaded to in pieces, and how much of it was acknowledged.
    resumable: Option<(String, usize)>,
}

impl Sent {
    fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, reference: None, resumable: None }
    }

    /// `None` once the server does not answer.
    async fn put(&mut self, addr: SocketAddr) -> Option<()> {
        let line = format!("PUT /v1/media/by-hash/{}", hash(&self.bytes));
        let headers = [("Content-Type", "application/octet-stream")];
        let (answer, _) = call(addr, &line, &headers, &self.bytes).await?;
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
        self.reference = Some(answer.json()["storage_reference"].as_str().unwrap().to_owned());
        Some(())
    }

    /// Begins or goes on, until it is complete. `None` once the server does not answer.
    async fn send_in_pieces(&mut self, addr: SocketAddr) -> Option<()> {
        let (location, acknowledged) = match self.resumable.take() {
            Some(begun) => begun,
            None => {
                let length = self.bytes.len().to_string();
                let metadata = format!("sha256 {}", BASE64_STANDARD.encode(sha256(&self.bytes)));
                let headers = [("Upload-Length", &*length), ("Upload-Metadata", &*metadata)];
                let (answer, _) = call(addr, "POST /v1/uploads", &headers, b"").await?;
                assert_eq!(answer.status, 201, "{answer:?}");
                (answer.header("location").unwrap().to_owned(), 0)
            }
        };
        self.resumable = Some((location.clone(), acknowledged));
        let (answer, _) = call(addr, &format!("HEAD {location}"), &[], b"").await?;
        assert_eq!(answer.status, 200, "the upload is gone: {answer:?}");
        let mut state = answer;
        loop {
            let offset: usize = state.header("upload-offset").unwrap().parse().unwrap();
            assert!(offset >= self.resumable.as_ref().unwrap().1, "acknowledged bytes are lost: {state:?}");
            self.resumable = Some((location.clone(), offset));
            if let Some(reference) = state.header("storage-reference") {
                self.reference = Some(reference.to_owned());
                return Some(());
            }
            let piece = &self.bytes[offset..self.bytes.len().min(offset + PIECE)];
            let offset = offset.to_string();
            let headers = [("Upload-Offset", &*offset), ("Content-Type", "application/offset+octet-stream")];
            let (answer, _) = call(addr, &format!("PATCH {location}"), &headers, piece).await?;
            assert_eq!(answer.status, 204, "{answer:?}");
            state = answer;
        }
    }

    /// What was acknowledged is served; what was not is whole or not there.
    async fn check(&self, addr: SocketAddr) {
        let reference = match &self.reference {
            Some(reference) => reference.clone(),
            None => {
                let line = format!("HEAD /v1/media/by-hash/{}", hash(&self.bytes));
                let (answer, _) = call(addr, &line, &[], b"").await.unwrap();
                match answer.header("storage-reference") {
                    Some(reference) => reference.to_owned(),
                    None => return assert_eq!(answer.status, 404),
                }
            }
        };
        let (answer, body) = call(addr, &format!("GET /{reference}"), &[], b"").await.unwrap();
        assert_eq!(answer.status, 200, "an acknowledged file is lost: {answer:?}");
        assert!(body == self.bytes, "other bytes are served");
    }
}

/// Uploads until the server does not answer, and gives what is known then.
async fn upload(addr: SocketAddr, mut random: StdRng, most: usize, begun: Option<Sent>) -> Vec<Sent> {
    let (in_pieces, mut all) = (most > PIECE, Vec::new());
    let mut next = begun;
    loop {
        let mut sent = next.take().unwrap_or_else(|| Sent::new(new_file(&mut random, most)));
        let done = if in_pieces { sent.send_in_pieces(addr).await } else { sent.put(addr).await };
        all.push(sent);
        if done.is_none() {
            return all;
        }
    }
}

/// Pushes until the server does not answer. How many were acknowledged.
async fn push(addr: SocketAddr, bearer: String) -> usize {
    let mut acknowledged = 0;
    loop {
        // The session in front is none of WhatsApp's: two would be refused.
        let answer = async {
            let body = r#"{"to":"alice"}"#;
            let request = format!(
                "POST /push HTTP/1.1\r\nHost: p\r\nConnection: close\r\nAuthorization: Bearer {bearer}\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let mut stream = TcpStream::connect(addr).await.ok()?;
            stream.write_all(request.as_bytes()).await.ok()?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.ok()?;
            answer.windows(4).any(|window| window == b"\r\n\r\n").then(|| common::parse(&answer))
        };
        match answer.await {
            // The keys of WhatsApp are fetched just after the start.
            Some(answer) if answer.status == 503 => {}
            Some(answer) => {
                assert_eq!(answer.status, 200, "{answer:?}");
                acknowledged += 1;
            }
            None => return acknowledged,
        }
    }
}

async fn kill_and_look() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = number("LANDBRIDGE_SEED").unwrap_or_else(rand::random);
    let kills = number("LANDBRIDGE_KILLS").unwrap_or(4);
    println!("killed: LANDBRIDGE_SEED={seed} LANDBRIDGE_KILLS={kills}");
    let mut random = StdRng::seed_from_u64(seed);
    let directory = tempfile::tempdir().unwrap();
    let whatsapp = WhatsApp::start().await;
    let (mut known, mut unfinished): (Vec<Sent>, Vec<Sent>) = (Vec::new(), Vec::new());
    let (mut pushes, mut wakes) = (0, 0);
    let mut server = Server::start(directory.path(), &whatsapp.keys.url);
    let target = [("Content-Type", "application/json")];
    let put = call(server.addr, "PUT /v1/wake-targets/phone", &target, br#"{"kind":"socket"}"#).await;
    assert_eq!(put.unwrap().0.status, 204);
    for _ in 0..kills {
        let mut uploads = JoinSet::new();
        for most in [2000, 30_000, 300_000, 1_000_000] {
            let begun = if most > PIECE { unfinished.pop() } else { None };
            uploads.spawn(upload(server.addr, StdRng::seed_from_u64(random.random()), most, begun));
        }
        let pushing = tokio::spawn(push(server.addr, whatsapp.bearer_for(BASE_URL)));
        // The moment is what is random here.
        tokio::time::sleep(Duration::from_millis(random.random_range(1..LOAD))).await;
        server.kill();
        for sent in uploads.join_all().await.into_iter().flatten() {
            let is_begun = sent.reference.is_none() && sent.resumable.is_some();
            if is_begun { unfinished.push(sent) } else { known.push(sent) }
        }
        let pushed = pushing.await.unwrap();
        pushes += pushed;

        server = Server::start(directory.path(), &whatsapp.keys.url);
        let sent: HashSet<String> = known.iter().chain(&unfinished).map(|sent| hash(&sent.bytes)).collect();
        for path in files(&directory.path().join("media/objects")) {
            match std::fs::read(&path) {
                Ok(bytes) => assert!(sent.contains(&hash(&bytes)), "a file is not what was sent"),
                // Nobody was told of it, and the new server has swept it just now.
                Err(gone) => assert_eq!(gone.kind(), std::io::ErrorKind::NotFound),
            }
        }
        for sent in &known {
            sent.check(server.addr).await;
        }
        if pushed > 0 {
            Events::open(server.addr, ALICE, "device=phone").await.next().await;
            wakes += 1;
        }
    }
    for sent in &mut unfinished {
        sent.send_in_pieces(server.addr).await.unwrap();
        sent.check(server.addr).await;
    }
    let acknowledged = known.iter().chain(&unfinished).filter(|sent| sent.reference.is_some()).count();
    println!(
        "killed: {kills} kills, {} files sent, {acknowledged} acknowledged and there, {pushes} pushes acknowledged, \
         {wakes} wake-ups after a restart",
        known.len() + unfinished.len()
    );
    assert!(acknowledged > 0 && wakes > 0, "the load did not reach the server");
}
