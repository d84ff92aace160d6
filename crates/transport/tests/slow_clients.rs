//! Crowds of clients that say nothing, or say it slowly, and what the others notice of it. With many more of them:
//! `cargo run --release --example slow_clients`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use landbridge_transport::http_server::{
    Certificates, HttpLimits, ServerHandle, TlsVersions, listen, serve, serve_tls,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SILENT: usize = 500;
const DRIPPING: usize = 250;
/// As long as a test may wait for what has to come.
const PATIENCE: Duration = Duration::from_secs(30);

async fn start(limits: HttpLimits, certificates: Option<Arc<Certificates>>) -> ServerHandle {
    let router = Router::new().route("/", get(|| async { "hello" }));
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    match certificates {
        None => serve(listener, router, limits, std::future::pending()).unwrap(),
        Some(certificates) => {
            serve_tls(listener, certificates, router, limits, std::future::pending()).unwrap()
        }
    }
}

fn certificates() -> Arc<Certificates> {
    let directory = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let (chain, private) = (directory.path().join("chain.pem"), directory.path().join("key.pem"));
    std::fs::write(&chain, parameters.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(&private, key.serialize_pem()).unwrap();
    Certificates::load(chain, private, TlsVersions::Tls13).unwrap()
}

/// Waits for the server's end, while sending a byte of `words` now and then; the other one says nothing.
async fn slow(server: SocketAddr, words: &'static [u8]) {
    let (mut reading, mut writing) = TcpStream::connect(server).await.unwrap().into_split();
    let dripping = async {
        for byte in words.iter().cycle() {
            if writing.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let ended = async { while let Ok(1..) = reading.read(&mut [0; 512]).await {} };
    let both = async {
        tokio::select! {
            () = ended => {}
            () = dripping, if !words.is_empty() => {}
        }
    };
    tokio::time::timeout(PATIENCE, both).await.unwrap_or_else(|_| panic!("{words:?} is not cut"));
}

async fn ask(server: SocketAddr) {
    let mut socket = TcpStream::connect(server).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let reading = socket.read_to_end(&mut answer);
    tokio::time::timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("no answer")).unwrap();
    assert!(answer.ends_with(b"hello"), "{}", String::from_utf8_lossy(&answer));
}

fn limits() -> HttpLimits {
    let mut limits = HttpLimits::default();
    limits.first_byte = Duration::from_secs(2);
    limits.header = Duration::from_secs(3);
    limits.tls = Duration::from_secs(3);
    limits
}

/// All are cut, by their time and by nothing else, while others are served.
#[tokio::test]
async fn the_slow_are_cut_and_the_others_served() {
    for certificates in [None, Some(certificates())] {
        let is_tls = certificates.is_some();
        let server = start(limits(), certificates).await;
        let addr = server.local_addr();
        // What an honest client would send, empty lines, and the beginning of HTTP/2 or of TLS.
        let words: &[&'static [u8]] = if is_tls {
            &[b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"]
        } else {
            &[b"GET / HTTP/1.1\r\nHost: p\r\nA: b", b"\r\n", b"PRI * HTTP/2.0\r"]
        };
        let mut crowd = tokio::task::JoinSet::new();
        for _ in 0..SILENT {
            crowd.spawn(slow(addr, b""));
        }
        for n in 0..DRIPPING {
            crowd.spawn(slow(addr, words[n % words.len()]));
        }
        if !is_tls {
            for _ in 0..50 {
                ask(addr).await;
            }
        }
        while let Some(end) = crowd.join_next().await {
            end.unwrap();
        }
    }
}

/// A crowd takes every place, and has all the time of the world: whoever asks for something gets a place.
#[tokio::test]
async fn a_crowd_without_a_word_keeps_nobody_out() {
    let mut limits = HttpLimits::default();
    limits.connections = 50;
    limits.first_byte = Duration::from_secs(3600);
    limits.header = Duration::from_secs(3600);
    limits.idle = Duration::from_secs(3600);
    let server = start(limits, None).await;
    let addr = server.local_addr();
    // One that has asked for something keeps its place.
    let mut settled = TcpStream::connect(addr).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: p\r\n\r\n";
    settled.write_all(request).await.unwrap();
    assert!(settled.read(&mut [0; 512]).await.unwrap() > 0);
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let mut socket = TcpStream::connect(addr).await.unwrap();
        crowd.spawn(async move {
            let _ = socket.write_all(b"GET / HT").await;
            let _ = socket.read(&mut [0; 16]).await;
        });
    }
    for _ in 0..50 {
        ask(addr).await;
    }
    settled.write_all(request).await.unwrap();
    assert!(settled.read(&mut [0; 512]).await.unwrap() > 0, "it is still there");
    assert!(server.open_connections().count() <= 50);
    // The places that the last ones took were those of the crowd.
    let cut = async {
        for _ in 0..100 {
            crowd.join_next().await.unwrap().unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, cut).await.unwrap_or_else(|_| panic!("the crowd keeps its places"));
}
