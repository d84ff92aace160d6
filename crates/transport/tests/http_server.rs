//! The accept loop against clients that misbehave, over real sockets.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use axum::routing::{get, post};
use landbridge_transport::http_server::{HttpLimits, PeerAddr, ServerHandle, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

fn short() -> HttpLimits {
    let mut limits = HttpLimits::default();
    limits.first_byte = Duration::from_millis(150);
    limits.header = Duration::from_millis(300);
    limits.idle = Duration::from_millis(600);
    limits.drain = Duration::from_millis(500);
    limits
}

fn router() -> Router {
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/echo", post(|body: String| async move { body }))
        .route("/peer", get(|Extension(PeerAddr(peer)): Extension<PeerAddr>| async move { peer.to_string() }))
}

async fn start(router: Router, limits: HttpLimits) -> ServerHandle {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    serve(listener, router, limits, std::future::pending()).unwrap()
}

/// Sends `request` and reads until the server closes.
async fn exchange(server: SocketAddr, request: &[u8]) -> String {
    let mut socket = TcpStream::connect(server).await.unwrap();
    socket.write_all(request).await.unwrap();
    read_to_close(&mut socket).await
}

async fn read_to_close(socket: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset is a close, too: the server had bytes of ours unread.
    let mut chunk = [0; 4096];
    while let Ok(n @ 1..) = socket.read(&mut chunk).await {
        answer.extend_from_slice(&chunk[..n]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn answers_and_tells_the_peer_address() {
    let server = start(router(), HttpLimits::default()).await;
    let mut socket = TcpStream::connect(server.local_addr()).await.unwrap();
    socket.write_all(b"GET /peer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let answer = read_to_close(&mut socket).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with(&socket.local_addr().unwrap().to_string()), "{answer}");
}

#[tokio::test]
async fn silence_and_an_undecided_beginning_are_cut() {
    let server = start(router(), short()).await;
    for beginning in ["", "P", "PRI * HTTP/2.0\r\n"] {
        assert_eq!(exchange(server.local_addr(), beginning.as_bytes()).await, "", "{beginning:?}");
    }
}

#[tokio::test]
async fn a_half_header_is_cut_also_when_it_drips() {
    let server = start(router(), short()).await;
    assert_eq!(exchange(server.local_addr(), b"GET / HTTP/1.1\r\nHost: ").await, "");

    let mut limits = short();
    limits.idle = Duration::from_secs(3600);
    let server = start(router(), limits).await;
    let mut socket = TcpStream::connect(server.local_addr()).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let dripped = tokio::time::timeout(Duration::from_secs(20), async {
        // One byte per tick: each moves the connection, none ends the block.
        loop {
            tick.tick().await;
            if socket.write_all(b"a").await.is_err() {
                return;
            }
        }
    });
    assert!(dripped.await.is_ok(), "the server must close");
}

#[tokio::test]
async fn a_second_half_header_on_a_kept_connection_is_cut() {
    let mut limits = short();
    limits.idle = Duration::from_secs(3600);
    let server = start(router(), limits).await;
    let answer = exchange(server.local_addr(), b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HT").await;
    assert_eq!(answer.matches("200 OK").count(), 1, "{answer}");
}

#[tokio::test]
async fn an_idle_connection_outlives_the_header_limit() {
    let mut limits = short();
    limits.header = Duration::from_millis(50);
    let server = start(router(), limits).await;
    let started = tokio::time::Instant::now();
    let answer = exchange(server.local_addr(), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.contains("200 OK"));
    assert!(started.elapsed() >= Duration::from_millis(500), "{:?}", started.elapsed());
}

#[tokio::test]
async fn oversize_heads_are_refused() {
    let server = start(router(), HttpLimits::default()).await;
    let big = format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(17 * 1024));
    assert!(exchange(server.local_addr(), big.as_bytes()).await.starts_with("HTTP/1.1 431"));

    let fields: String = (0..101).map(|n| format!("a{n}: b\r\n")).collect();
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
    assert!(exchange(server.local_addr(), many.as_bytes()).await.starts_with("HTTP/1.1 431"));

    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(9 * 1024));
    assert!(exchange(server.local_addr(), long.as_bytes()).await.starts_with("HTTP/1.1 414"));
}

/// What is refused before the service sees it is answered as the server's owner wants.
#[tokio::test]
async fn refusals_have_the_owners_form() {
    let mut limits = HttpLimits::default();
    limits.refuse =
        |status| http::Response::builder().status(status).header("why", "x").body("why".into()).unwrap();
    let server = start(router(), limits).await;
    let fields: String = (0..101).map(|n| format!("a{n}: b\r\n")).collect();
    for (status, request) in [
        (
            400,
            "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
                .to_owned(),
        ),
        (414, format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(9 * 1024))),
        (431, format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(17 * 1024))),
        (431, format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n")),
    ] {
        let answer = exchange(server.local_addr(), request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains("\r\nwhy: x\r\n") && answer.ends_with("\r\n\r\nwhy"), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn two_lengths_are_refused_and_nothing_behind_them_is_read() {
    let server = start(router(), HttpLimits::default()).await;
    for lengths in
        ["Content-Length: 5\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 5"]
    {
        let request = format!(
            "POST /echo HTTP/1.1\r\nHost: x\r\n{lengths}\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"
        );
        let answer = exchange(server.local_addr(), request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    }
    let differing = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello";
    assert!(exchange(server.local_addr(), differing).await.starts_with("HTTP/1.1 400"));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = start(router(), HttpLimits::default()).await;
    let requests =
        b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nonePOST /echo HTTP/1.1\r\nHost: x\r\n\
        Content-Length: 3\r\n\r\ntwoGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answer = exchange(server.local_addr(), requests).await;
    let order: Vec<_> = ["one", "two", "hello"].iter().map(|text| answer.find(text).unwrap()).collect();
    assert!(order.is_sorted(), "{answer}");
    assert_eq!(answer.matches("200 OK").count(), 3);
}

#[tokio::test]
async fn a_chunked_request_is_the_last_of_its_connection() {
    let server = start(router(), HttpLimits::default()).await;
    let requests =
        b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n\
        GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let answer = exchange(server.local_addr(), requests).await;
    assert!(answer.contains("one") && !answer.contains("hello"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn the_connection_limit_makes_the_next_one_wait() {
    let mut limits = HttpLimits::default();
    limits.connections = 1;
    let server = start(router(), limits).await;
    let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut first = TcpStream::connect(server.local_addr()).await.unwrap();
    first.write_all(request).await.unwrap();
    assert!(first.read(&mut [0; 512]).await.unwrap() > 0);

    let mut second = TcpStream::connect(server.local_addr()).await.unwrap();
    second.write_all(request).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(200), second.read(&mut [0; 512])).await;
    assert!(early.is_err(), "no slot is free");
    drop(first);
    assert!(second.read(&mut [0; 512]).await.unwrap() > 0);
}

#[tokio::test]
async fn drain_lets_a_request_end_and_closes_the_idle() {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (inside, outside) = (Arc::clone(&entered), Arc::clone(&release));
    let slow = router().route(
        "/slow",
        get(move || async move {
            inside.notify_one();
            outside.notified().await;
            "done"
        }),
    );
    let mut limits = HttpLimits::default();
    limits.drain = Duration::from_secs(60);
    let server = start(slow, limits).await;
    let address = server.local_addr();
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(idle.read(&mut [0; 512]).await.unwrap() > 0);
    let mut busy = TcpStream::connect(address).await.unwrap();
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    entered.notified().await;

    server.shutdown();
    assert_eq!(read_to_close(&mut idle).await, "");
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    release.notify_one();
    assert!(read_to_close(&mut busy).await.ends_with("done"));
    assert_eq!(server.wait().await.cut, 0);
}

#[tokio::test]
async fn drain_has_an_end() {
    let entered = Arc::new(Notify::new());
    let inside = Arc::clone(&entered);
    let stuck = Router::new().route(
        "/",
        get(move || async move {
            inside.notify_one();
            std::future::pending::<()>().await;
        }),
    );
    let mut limits = short();
    limits.idle = Duration::from_secs(3600);
    let server = start(stuck, limits).await;
    let mut socket = TcpStream::connect(server.local_addr()).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    entered.notified().await;
    server.shutdown();
    assert_eq!(server.wait().await.cut, 1);
    assert_eq!(read_to_close(&mut socket).await, "");
}

#[tokio::test]
async fn http2_with_prior_knowledge_is_served() {
    let server = start(router(), HttpLimits::default()).await;
    let socket = TcpStream::connect(server.local_addr()).await.unwrap();
    let local = socket.local_addr().unwrap();
    let io = hyper_util::rt::TokioIo::new(socket);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io).await.unwrap();
    let connection = tokio::spawn(connection);
    for _ in 0..2 {
        let request = hyper::Request::get(format!("http://{}/peer", server.local_addr()))
            .body(http_body_util::Empty::<axum::body::Bytes>::new())
            .unwrap();
        let body = sender.send_request(request).await.unwrap().into_body();
        let body = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
        assert_eq!(body, local.to_string());
    }
    // Draining tells the client to go away and ends the connection once it is quiet.
    server.shutdown();
    assert_eq!(server.wait().await.cut, 0);
    connection.await.unwrap().unwrap();
}
