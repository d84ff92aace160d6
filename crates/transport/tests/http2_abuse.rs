//! The accept loop against clients that turn HTTP/2's own frames against it (RFC 9113, section 10.5). Every frame is
//! written by hand, over real sockets.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::{get, post};
use landbridge_transport::http_server::{HttpLimits, ServerHandle, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const ENHANCE_YOUR_CALM: u32 = 0xb;

/// As long as a test may wait for what has to come.
const PATIENCE: Duration = Duration::from_secs(20);

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// HPACK: GET or POST, http, path, authority "p"; no dynamic table.
fn head(method: &str, path: &str) -> Vec<u8> {
    let literal =
        |index: u8, value: &str| [&[index, u8::try_from(value.len()).unwrap()], value.as_bytes()].concat();
    let method = if method == "GET" { 0x82 } else { 0x83 };
    [vec![method, 0x86], literal(0x04, path), literal(0x01, "p")].concat()
}

async fn start(limits: HttpLimits) -> ServerHandle {
    // Three times the window that a client has by default; at once, and piece by piece.
    let long = || async { Body::from(vec![7; 3 * 65_535]) };
    let pieces = || async {
        let pieces = (0..30).map(|_| Ok::<_, Infallible>(Bytes::from(vec![7; 6_553])));
        Body::from_stream(futures_util::stream::iter(pieces))
    };
    let router = Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/long", get(long))
        .route("/pieces", get(pieces))
        .route("/echo", post(|body: String| async move { body }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    serve(listener, router, limits, std::future::pending()).unwrap()
}

/// A connection with the preface and SETTINGS said.
async fn connect(server: SocketAddr, settings: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect(server).await.unwrap();
    socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    socket.write_all(&frame(SETTINGS, 0, 0, settings)).await.unwrap();
    socket
}

/// What a peer got to hear: frames as (kind, stream, payload), until the server closed.
async fn hear(reading: &mut (impl AsyncReadExt + Unpin)) -> Vec<(u8, u32, Vec<u8>)> {
    let mut heard = Vec::new();
    let all = async {
        loop {
            let mut header = [0; 9];
            if reading.read_exact(&mut header).await.is_err() {
                return;
            }
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            if reading.read_exact(&mut payload).await.is_err() {
                return;
            }
            let stream = u32::from_be_bytes(header[5..].try_into().unwrap());
            heard.push((header[3], stream, payload));
        }
    };
    tokio::time::timeout(PATIENCE, all).await.unwrap_or_else(|_| panic!("the server never closed"));
    heard
}

fn goaway(heard: &[(u8, u32, Vec<u8>)]) -> Option<u32> {
    let (.., payload) = heard.iter().rev().find(|(kind, ..)| *kind == GOAWAY)?;
    Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()))
}

/// Sends the same bytes again and again, while reading, until the server ends the connection or `most` are sent.
/// Returns what was heard and how many were sent.
async fn flood(
    socket: TcpStream,
    mut next: impl FnMut(u32) -> Vec<u8>,
    most: u32,
) -> (Vec<(u8, u32, Vec<u8>)>, u32) {
    let (mut reading, mut writing) = socket.into_split();
    let write = async {
        for n in 0..most {
            if writing.write_all(&next(n)).await.is_err() {
                return n;
            }
        }
        most
    };
    // What was sent after the end is not looked at, so the socket may be reset: the answer is read meanwhile.
    tokio::join!(hear(&mut reading), write)
}

#[tokio::test]
async fn floods_of_frames_that_cost_nothing_end_the_connection() {
    let server = start(HttpLimits::default()).await;
    let floods: [(&str, Vec<u8>); 7] = [
        ("ping", frame(PING, 0, 0, &[1; 8])),
        ("ping answers", frame(PING, 1, 0, &[1; 8])),
        ("settings", frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255])),
        ("empty settings", frame(SETTINGS, 0, 0, &[])),
        ("priority", frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 0])),
        ("unknown", frame(0xbe, 0, 0, b"grease")),
        ("two kinds in turn", [frame(PING, 0, 0, &[1; 8]), frame(0xbe, 0, 0, &[])].concat()),
    ];
    for (what, bytes) in floods {
        let socket = connect(server.local_addr(), &[]).await;
        let (heard, _) = flood(socket, |_| bytes.clone(), 1_000_000).await;
        assert_eq!(goaway(&heard), Some(ENHANCE_YOUR_CALM), "{what}");
    }
    // Others are served as before.
    let mut socket = connect(server.local_addr(), &[]).await;
    socket.write_all(&frame(HEADERS, 5, 1, &head("GET", "/"))).await.unwrap();
    socket.write_all(&frame(GOAWAY, 0, 0, &[0; 8])).await.unwrap();
    let heard = hear(&mut socket).await;
    assert!(heard.iter().any(|(kind, _, payload)| *kind == DATA && payload == b"hello"), "{heard:?}");
}

#[tokio::test]
async fn empty_data_ends_the_connection() {
    let server = start(HttpLimits::default()).await;
    let mut socket = connect(server.local_addr(), &[]).await;
    socket.write_all(&frame(HEADERS, 4, 1, &head("POST", "/echo"))).await.unwrap();
    let (heard, _) = flood(socket, |_| frame(DATA, 0, 1, &[]), 1_000_000).await;
    assert!(matches!(goaway(&heard), Some(code) if code == ENHANCE_YOUR_CALM), "{heard:?}");
}

#[tokio::test]
async fn resets_end_the_connection() {
    let server = start(HttpLimits::default()).await;
    let socket = connect(server.local_addr(), &[]).await;
    let open_and_reset = |n: u32| {
        let stream = 2 * n + 1;
        [frame(HEADERS, 5, stream, &head("GET", "/")), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
    };
    let (heard, _) = flood(socket, open_and_reset, 1_000_000).await;
    assert_eq!(goaway(&heard), Some(ENHANCE_YOUR_CALM));
}

#[tokio::test]
async fn header_blocks_without_end_end_the_connection() {
    let server = start(HttpLimits::default()).await;
    // A field of a kilobyte that goes on and on; and nothing at all that goes on and on.
    let field = [&[0x00, 0x01, b'x', 0x7f, 0x81, 0x07][..], &[b'y'; 1024]].concat();
    for more in [field, vec![]] {
        let mut socket = connect(server.local_addr(), &[]).await;
        socket.write_all(&frame(HEADERS, 1, 1, &head("GET", "/"))).await.unwrap();
        let (heard, sent) = flood(socket, |_| frame(CONTINUATION, 0, 1, &more), 1_000_000).await;
        assert!(sent < 1_000_000, "all of it was taken");
        assert!(goaway(&heard).is_some_and(|code| code != 0), "{heard:?}");
    }
}

/// A small block that unfolds to a large one: an entry of the dynamic table, named thousands of times.
#[tokio::test]
async fn a_block_that_unfolds_is_refused() {
    let server = start(HttpLimits::default()).await;
    let mut socket = connect(server.local_addr(), &[]).await;
    let entry = [&[0x40, 0x01, b'x', 0x7f, 0x81, 0x17][..], &[b'y'; 3072]].concat();
    let bomb = [head("GET", "/"), entry, vec![0xbe; 8000]].concat();
    socket.write_all(&frame(HEADERS, 5, 1, &bomb)).await.unwrap();
    socket.write_all(&frame(GOAWAY, 0, 0, &[0; 8])).await.unwrap();
    let heard = hear(&mut socket).await;
    let body = heard.iter().any(|(kind, _, payload)| *kind == DATA && payload == b"hello");
    assert!(!body, "24 MB of fields were taken");
    // 431 (static table has none: literal), a reset of the stream, or the end of the connection.
    assert!(heard.iter().any(|(kind, ..)| [HEADERS, RST_STREAM, GOAWAY].contains(kind)), "{heard:?}");
}

/// Asks for an answer, opens this window for it, pings, and listens until the end. Returns the bytes of the answer.
async fn ask_and_ping(server: SocketAddr, window: [u8; 2], path: &str) -> usize {
    let settings = [&[0, 4, 0, 0][..], &window].concat();
    let (mut reading, mut writing) = connect(server, &settings).await.into_split();
    writing.write_all(&frame(HEADERS, 5, 1, &head("GET", path))).await.unwrap();
    let pings = async {
        let mut sent = 0;
        while writing.write_all(&frame(PING, 0, 0, &[1; 8])).await.is_ok() {
            sent += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        sent
    };
    let (heard, sent) = tokio::join!(hear(&mut reading), pings);
    assert!(sent < 300, "it was the flood that ended it");
    heard.iter().filter(|(kind, ..)| *kind == DATA).map(|(.., payload)| payload.len()).sum()
}

/// The peer asks for much and opens no window, or only its first one, and pings meanwhile.
#[tokio::test]
async fn answers_that_nobody_takes_end_the_connection() {
    let mut limits = HttpLimits::default();
    limits.stall = Duration::from_millis(400);
    let server = start(limits).await;
    assert_eq!(ask_and_ping(server.local_addr(), [0, 0], "/pieces").await, 0);
    assert_eq!(ask_and_ping(server.local_addr(), [255, 255], "/pieces").await, 65_535);
}

/// The last piece of an answer has left the service for h2's buffer, where nobody sees it wait.
#[tokio::test]
async fn pings_keep_no_buffered_answer() {
    let mut limits = HttpLimits::default();
    limits.idle = Duration::from_millis(400);
    let server = start(limits).await;
    assert_eq!(ask_and_ping(server.local_addr(), [255, 255], "/long").await, 65_535);
}

/// A server on a thread of its own, and what tells how long that thread has been computing.
fn start_apart() -> (SocketAddr, std::path::PathBuf) {
    let (sender, started) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = start(HttpLimits::default()).await;
            let thread = std::fs::canonicalize("/proc/thread-self").unwrap();
            sender.send((server.local_addr(), thread)).unwrap();
            server.wait().await;
        });
    });
    started.recv().unwrap()
}

/// For how long a thread has been on a processor.
fn computed(thread: &std::path::Path) -> Duration {
    let stat = std::fs::read_to_string(thread.join("schedstat")).unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

/// No attack on one connection costs more than a second of one core, however long it goes on sending.
#[tokio::test]
async fn what_an_attack_costs() {
    let (server, thread) = start_apart();
    let reset = |n: u32| {
        [frame(HEADERS, 5, 2 * n + 1, &head("GET", "/")), frame(RST_STREAM, 0, 2 * n + 1, &[0, 0, 0, 8])]
            .concat()
    };
    // A window that overflows: the server resets the stream that it has just begun to answer.
    let made = |n: u32| {
        [frame(HEADERS, 5, 2 * n + 1, &head("GET", "/")), frame(8, 0, 2 * n + 1, &[0x7f, 255, 255, 255])]
            .concat()
    };
    let small = |n: u32| match n {
        0 => frame(HEADERS, 4, 1, &head("POST", "/echo")),
        _ => frame(DATA, 0, 1, b"x"),
    };
    let block = |n: u32| match n {
        0 => frame(HEADERS, 1, 1, &head("GET", "/")),
        _ => frame(CONTINUATION, 0, 1, &[&[0x00, 0x01, b'x', 0x7f, 0x81, 0x07][..], &[b'y'; 1024]].concat()),
    };
    let entry = [&[0x40, 0x01, b'x', 0x7f, 0x81, 0x17][..], &[b'y'; 3072]].concat();
    let bomb =
        |n: u32| frame(HEADERS, 5, 2 * n + 1, &[head("GET", "/"), entry.clone(), vec![0xbe; 8000]].concat());
    type Next<'a> = Box<dyn FnMut(u32) -> Vec<u8> + 'a>;
    let attacks: [(&str, Next<'_>); 9] = [
        ("pings", Box::new(|_| frame(PING, 0, 0, &[1; 8]))),
        ("settings", Box::new(|_| frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255]))),
        ("unknown frames", Box::new(|_| frame(0xbe, 0, 0, b"grease"))),
        ("rapid resets", Box::new(reset)),
        ("resets that the server is made to send", Box::new(made)),
        ("empty DATA", Box::new(|n| if n == 0 { small(0) } else { frame(DATA, 0, 1, &[]) })),
        ("DATA of one byte", Box::new(small)),
        ("CONTINUATION without end", Box::new(block)),
        ("blocks that unfold", Box::new(bomb)),
    ];
    for (what, next) in attacks {
        let before = computed(&thread);
        let socket = connect(server, &[]).await;
        let (heard, sent) = flood(socket, next, 2_000_000).await;
        let cost = computed(&thread) - before;
        println!(
            "{what}: {sent} sent, GOAWAY {:?}, {} µs of the server's processor",
            goaway(&heard),
            cost.as_micros()
        );
        assert!(sent < 2_000_000, "{what}: all was taken");
        assert!(cost < Duration::from_secs(1), "{what}: {cost:?}");
    }
}
