//! What the accept loop says to HTTP/1 that is none, or more than one thing, and how it ends a connection, over real sockets.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use http::StatusCode;
use landbridge_transport::http_server::{HttpLimits, ServerHandle, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// As long as a test may wait for what has to come.
const PATIENCE: Duration = Duration::from_secs(20);

async fn start() -> ServerHandle {
    let router = Router::new()
        .route("/", get(|| async { "hello" }).post(|body: String| async move { body }))
        // Answers without a look at the body.
        .route("/early", post(|_: Body| async { (StatusCode::UNAUTHORIZED, "early") }))
        .fallback(|uri: http::Uri| async move { (StatusCode::NOT_FOUND, format!("nothing at {uri}")) });
    let mut limits = HttpLimits::default();
    limits.refuse = |status| {
        let answer = http::Response::builder().status(status).header("x-request-id", "7");
        answer.header("content-type", "application/problem+json").body("problem".into()).unwrap()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    serve(listener, router, limits, std::future::pending()).unwrap()
}

/// Everything until the server closes.
async fn read_to_close(socket: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let all = async {
        let mut chunk = [0; 4096];
        while let Ok(n @ 1..) = socket.read(&mut chunk).await {
            answer.extend_from_slice(&chunk[..n]);
        }
    };
    tokio::time::timeout(PATIENCE, all).await.unwrap_or_else(|_| panic!("the server never closed"));
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends and keeps its own side open.
async fn exchange(server: SocketAddr, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(server).await.unwrap();
    // The server may close before it has all.
    let _ = socket.write_all(bytes).await;
    read_to_close(&mut socket).await
}

/// Up to the end of the answer's body, whose length is given.
async fn read_answer(socket: &mut TcpStream) -> String {
    let mut answer = String::new();
    let reading = async {
        loop {
            if let Some((head, body)) = answer.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                if body.len() >= length.parse().unwrap() {
                    return;
                }
            }
            let mut chunk = [0; 4096];
            let n = socket.read(&mut chunk).await.unwrap();
            assert_ne!(n, 0, "{answer}");
            answer.push_str(std::str::from_utf8(&chunk[..n]).unwrap());
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("no answer in time"));
    answer
}

/// What stands on the wire, and the status that is the only answer to it.
fn table() -> Vec<(Vec<u8>, u16)> {
    let mut table: Vec<(Vec<u8>, u16)> = Vec::new();
    let mut line =
        |text: &str, status| table.push((format!("{text}\r\nHost: p\r\n\r\n").into_bytes(), status));
    for text in [
        "GET /",
        "GET",
        "/",
        "GET / HTTP/1.1 x",
        "GET  / HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET / HTTP/1",
        "GET / HTTP/x.y",
        "GET / http/1.1",
        "GET / HTTP/1.1\t",
        "GET / ICY/1.1",
        "GET x HTTP/1.1",
        "GET p:80 HTTP/1.1",
        "GET * HTTP/1.1",
        "POST * HTTP/1.1",
        "CONNECT p:443 HTTP/1.1",
        "CONNECT / HTTP/1.1",
        "GET http://q/ HTTP/1.1",
        "GET http://p@p/ HTTP/1.1",
        "GET http:///x HTTP/1.1",
        "GET file://p/x HTTP/1.1",
        "GET /a#b HTTP/1.1",
        "GET /\u{e4} HTTP/1.1",
        "GET /\u{0} HTTP/1.1",
        "GET /\u{7f} HTTP/1.1",
        "GET /a\"b HTTP/1.1",
        "G\u{e4}T / HTTP/1.1",
        "{} / HTTP/1.1",
        "GET:/ HTTP/1.1",
    ] {
        line(text, 400);
    }
    for text in ["GET / HTTP/0.9", "GET / HTTP/1.2", "GET / HTTP/2.0", "GET / HTTP/3.0", "PRI * HTTP/2.0"] {
        line(text, 505);
    }
    let mut fields = |text: &[u8], status| {
        table.push(([b"GET / HTTP/1.1\r\nHost: p\r\n", text, b"\r\n\r\n"].concat(), status));
    };
    for text in [
        &b"Host: p"[..],
        b"Host: q",
        b"a b: c",
        b"a: b\x00",
        b"a: \x01",
        b"a: b\x7f",
        b"\xe4: b",
        b"a\xff: b",
        b": b",
        b"a",
        b"a : b",
        b" a: b",
        b"\ta: b",
        b"a: b\r\n c",
        b"a: b\rc: d",
        b"a: b\nc: d",
        b"a: b\r\r\n",
        b"a(b): c",
        b"a\0: b",
        b"Content-Length: 1\r\nContent-Length: 1",
        b"Content-Length: -1",
        b"Content-Length: 1 1",
        b"Content-Length:",
        b"Content-Length: 9223372036854775808",
        b"Content-Length: 18446744073709551616",
        b"Content-Length: 1\xb2",
        b"Transfer-Encoding: gzip",
        b"Transfer-Encoding: chunked\r\nContent-Length: 1",
        b"Transfer-Encoding:",
        b"Transfer-Encoding: \x0bchunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    ] {
        fields(text, 400);
    }
    for text in
        [&b"Expect: 200-ok"[..], b"Expect: 100-continue, x", b"Expect: 100-continue\r\nExpect: x", b"Expect:"]
    {
        fields(text, 417);
    }
    fields(&[b"a: ", &[b'b'; 16 * 1024][..]].concat(), 431);
    fields(&[b"a: ", &[b'b'; 200 * 1024][..]].concat(), 431);
    fields("a: b\r\n".repeat(101).trim_ascii_end().as_bytes(), 431);
    fields("a: b\r\n".repeat(2001).trim_ascii_end().as_bytes(), 431);
    for host in ["", " ", "a b", "a,b", "a/b", "u@a", "a?b", "\u{e4}"] {
        table.push((format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes(), 400));
    }
    for size in [9 * 1024, 40 * 1024, 200 * 1024] {
        table.push((format!("GET /{} HTTP/1.1\r\nHost: p\r\n\r\n", "a".repeat(size)).into_bytes(), 414));
        table.push((format!("GET /{}", "a".repeat(size)).into_bytes(), 414));
        table.push(("\r\n".repeat(size).into_bytes(), 431));
    }
    table.push((b"GET / HTTP/1.1\r\n\r\n".to_vec(), 400));
    table.push((b"GET / HTTP/1.1\n\n".to_vec(), 400));
    table.push((b"\nGET / HTTP/1.1\r\nHost: p\r\n\r\n".to_vec(), 400));
    // TLS, SSH and SOCKS, which have come to the wrong port; nobody waits for a line's end.
    table.push((b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), 400));
    table.push((b"\x05\x01\x00".to_vec(), 400));
    table.push((b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), 400));
    table.push((b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(), 400));
    table
}

#[tokio::test]
async fn every_refusal_is_the_owners_and_the_last_word() {
    let server = start().await;
    let table = table();
    assert!(table.len() > 90, "{}", table.len());
    for (bytes, status) in table {
        // Behind a good request, it is the second answer.
        let good = b"GET / HTTP/1.1\r\nHost: p\r\n\r\n";
        for first in [&b""[..], good] {
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
            let answer = exchange(server.local_addr(), &[first, &bytes, good].concat()).await;
            let last = answer.rfind("HTTP/1.1 ").unwrap_or_else(|| panic!("{shown:?}: no answer"));
            assert_eq!(
                answer.matches("HTTP/1.1 ").count(),
                1 + usize::from(!first.is_empty()),
                "{shown:?}: {answer}"
            );
            let (before, last) = answer.split_at(last);
            assert_eq!(before.contains("hello"), !first.is_empty(), "{answer}");
            assert!(last.starts_with(&format!("HTTP/1.1 {status} ")), "{shown:?}: {last}");
            for line in ["connection: close", "x-request-id: 7", "content-type: application/problem+json"] {
                assert!(last.contains(&format!("\r\n{line}\r\n")), "{shown:?}: {last}");
            }
            assert!(last.ends_with("\r\n\r\nproblem"), "{shown:?}: {last}");
        }
    }
}

#[tokio::test]
async fn a_refused_head_request_has_no_body() {
    let server = start().await;
    let answer = exchange(server.local_addr(), b"HEAD / HTTP/1.1\r\nHost: p\r\nHost: p\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn odd_but_clear_requests_are_served() {
    let server = start().await;
    let close = "Connection: close\r\n\r\n";
    for (request, status, body) in [
        (format!("GET http://p/ HTTP/1.1\r\nHost: P\r\n{close}"), 200, "hello"),
        (format!("GET HTTP://p:80 HTTP/1.1\r\nHost: p:80\r\n{close}"), 200, "hello"),
        (format!("\r\nGET / HTTP/1.1\r\nHost: [::1]:80\r\nA_b: \t\u{e4} \r\n{close}"), 200, "hello"),
        ("GET / HTTP/1.0\r\n\r\n".to_owned(), 200, "hello"),
        ("GET / HTTP/1.0\r\nHost: p\r\n\r\n".to_owned(), 200, "hello"),
        (format!("OPTIONS * HTTP/1.1\r\nHost: p\r\n{close}"), 404, "nothing at *"),
        (format!("TRACE / HTTP/1.1\r\nHost: p\r\n{close}"), 405, ""),
        (format!("BREW / HTTP/1.1\r\nHost: p\r\n{close}"), 405, ""),
        (format!("GET //p/ HTTP/1.1\r\nHost: p\r\n{close}"), 404, "nothing at //p/"),
        (
            "GET / HTTP/1.1\r\nHost: p\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nConnection: Upgrade, HTTP2-Settings, close\r\n\r\n".to_owned(),
            200,
            "hello",
        ),
        (format!("POST / HTTP/1.1\r\nHost: p\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n{close}ab"), 100, "ab"),
        (
            "POST / HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n2;a=b;c=\"d\"\r\nab\r\n0\r\nx: y\r\n\r\n".to_owned(),
            200,
            "ab",
        ),
        (format!("GET / HTTP/1.1\r\nHost: p\r\n{close}GET / HTTP/1.1\r\nHost: p\r\n\r\n"), 200, "hello"),
    ] {
        let answer = exchange(server.local_addr(), request.as_bytes()).await;
        let answer = answer.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").map_or(answer.clone(), |rest| {
            assert_eq!(status, 100, "{request:?}: {answer}");
            rest.replace("200 OK", "100 OK")
        });
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) || answer.starts_with(&format!("HTTP/1.0 {status} ")), "{request:?}: {answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{request:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.").count(), 1, "{request:?}: {answer}");
    }
}

/// Bodies that end in nothing: an answer at most, and nothing behind it.
#[tokio::test]
async fn broken_chunks_end_the_connection() {
    let server = start().await;
    let trailers = format!("0\r\n{}\r\n", "x: y\r\n".repeat(4000));
    for chunks in [
        "g\r\n",
        "-1\r\n",
        "+1\r\na\r\n0\r\n\r\n",
        "0x1\r\na\r\n0\r\n\r\n",
        "1 1\r\na\r\n",
        "1\na\n0\n\n",
        "\r\n",
        "ffffffffffffffff\r\na",
        "10000000000000000\r\na",
        "1\r\nab\r\n0\r\n\r\n",
        "1;\n\r\na\r\n",
        "0\r\nx y\r\n\r\n",
        &trailers,
        &format!("1;{}\r\na\r\n0\r\n\r\n", "e".repeat(20_000)),
    ] {
        let behind = "GET / HTTP/1.1\r\nHost: p\r\n\r\n";
        let request =
            format!("POST / HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}{behind}");
        // More to come, so that what waits for its end does not wait for this.
        let mut socket = TcpStream::connect(server.local_addr()).await.unwrap();
        let _ = socket.write_all(request.as_bytes()).await;
        let _ = socket.shutdown().await;
        let answer = read_to_close(&mut socket).await;
        assert!(
            answer.matches("HTTP/1.1 ").count() <= 1 && !answer.contains("hello"),
            "{chunks:?}: {answer}"
        );
    }
}

#[tokio::test]
async fn a_thousand_requests_in_one_go_are_answered_in_order() {
    let server = start().await;
    let mut requests = String::new();
    for n in 0..1000 {
        let body = format!("number {n};");
        requests += &format!("POST / HTTP/1.1\r\nHost: p\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    }
    requests += "GET / HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n";
    let (mut reading, mut writing) = TcpStream::connect(server.local_addr()).await.unwrap().into_split();
    let mut answer = String::new();
    let (sent, _) = tokio::join!(writing.write_all(requests.as_bytes()), reading.read_to_string(&mut answer));
    sent.unwrap();
    let mut at = 0;
    for n in 0..1000 {
        let found = answer[at..].find(&format!("\r\n\r\nnumber {n};HTTP/1.1 200 OK\r\n"));
        at += found.unwrap_or_else(|| panic!("number {n} is not behind {}", n - 1));
    }
    assert!(answer.ends_with("\r\n\r\nhello"));
}

/// The answer comes while the body has not, and the connection goes on when it has.
#[tokio::test]
async fn an_early_answer_waits_for_no_body() {
    let server = start().await;
    let mut socket = TcpStream::connect(server.local_addr()).await.unwrap();
    for _ in 0..3 {
        socket.write_all(b"POST /early HTTP/1.1\r\nHost: p\r\nContent-Length: 65536\r\n\r\n").await.unwrap();
        assert!(read_answer(&mut socket).await.starts_with("HTTP/1.1 401 "));
        socket.write_all(&[b'x'; 65_536]).await.unwrap();
    }
    socket.write_all(b"GET / HTTP/1.1\r\nHost: p\r\n\r\n").await.unwrap();
    assert!(read_answer(&mut socket).await.ends_with("hello"));
}

/// A large rest ends the connection, and takes nothing back from a client that only reads when it has sent.
#[tokio::test]
async fn an_early_answer_to_a_large_body_gets_through() {
    let server = start().await;
    for (head, size) in [
        ("Content-Length: 900000", 900_000),
        ("Content-Length: 65537", 65_537),
        ("Transfer-Encoding: chunked", 0),
        ("Expect: 100-continue\r\nContent-Length: 5", 5),
        ("Content-Length: 5\r\nHost: q", 5),
    ] {
        let mut socket = TcpStream::connect(server.local_addr()).await.unwrap();
        socket
            .write_all(format!("POST /early HTTP/1.1\r\nHost: p\r\n{head}\r\n\r\n").as_bytes())
            .await
            .unwrap();
        if size == 0 {
            for _ in 0..900 {
                socket.write_all(format!("3e8\r\n{}\r\n", "x".repeat(1000)).as_bytes()).await.unwrap();
            }
        } else {
            socket.write_all(&vec![b'x'; size]).await.unwrap();
        }
        let answer = read_to_close(&mut socket).await;
        let status = if head.ends_with('q') { 400 } else { 401 };
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {answer:?}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{head}: {answer}");
    }
}

/// One that never sends the rest is not waited for without end, nor is one that sends without end.
#[tokio::test]
async fn who_never_ends_is_left() {
    let server = start().await;
    let head = b"POST /early HTTP/1.1\r\nHost: p\r\nContent-Length: 100000000\r\n\r\n";
    let mut silent = TcpStream::connect(server.local_addr()).await.unwrap();
    silent.write_all(head).await.unwrap();
    assert!(read_to_close(&mut silent).await.starts_with("HTTP/1.1 401 "));

    let (mut reading, mut writing) = TcpStream::connect(server.local_addr()).await.unwrap().into_split();
    writing.write_all(head).await.unwrap();
    let sending = async {
        let mut sent = 0;
        while let Ok(n) = writing.write(&[b'x'; 16 * 1024]).await {
            sent += n;
        }
        sent
    };
    let sent =
        tokio::time::timeout(PATIENCE, sending).await.unwrap_or_else(|_| panic!("everything is taken"));
    assert!(sent < 100_000_000, "{sent}");
    let mut answer = Vec::new();
    let _ = reading.read_to_end(&mut answer).await;
}
