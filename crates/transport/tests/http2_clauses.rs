//! HTTP/2 clause by clause: what RFC 9113 and RFC 7541 forbid or demand, as frames over a real socket, in the order of the
//! RFCs. Each case names its clause, what is sent, and every outcome that the clause allows.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use landbridge_transport::http_server::{HttpLimits, ServerHandle, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const WITH_PRIORITY: u8 = 0x20;
const WHOLE: u8 = END_STREAM | END_HEADERS;

const PROTOCOL: u32 = 1;
const FLOW: u32 = 3;
const CLOSED: u32 = 5;
const SIZE: u32 = 6;
const REFUSED: u32 = 7;
const COMPRESSION: u32 = 9;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const PATIENCE: Duration = Duration::from_secs(30);

/// What a clause allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum May {
    /// The connection ends, with GOAWAY and this code or without a word. Nothing is answered. In the place of every code
    /// PROTOCOL_ERROR may stand (RFC 9113, section 5.4), which is counted.
    End(u32),
    /// The stream ends with this code; so may the connection.
    Reset(u32),
    /// Status 200.
    Serve,
    /// Another status.
    Refuse,
    /// A frame of this kind with ACK.
    Acknowledge(u8),
    /// Nothing but what every connection gets.
    Ignore,
}
use May::{Acknowledge, End, Ignore, Refuse, Reset, Serve};

struct Case {
    clause: &'static str,
    what: &'static str,
    bytes: Vec<u8>,
    allowed: &'static [May],
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// HPACK: a literal field that is not indexed, without Huffman's code.
fn field(name: &str, value: &[u8]) -> Vec<u8> {
    let length = |n: usize| u8::try_from(n).ok().filter(|n| *n < 127).unwrap();
    [&[0, length(name.len())], name.as_bytes(), &[length(value.len())], value].concat()
}

/// `POST http /`, authority p.
fn post_head() -> Vec<u8> {
    [&[0x83, 0x86, 0x84][..], &[0x01, 1, b'p']].concat()
}

fn get_head() -> Vec<u8> {
    [&[0x82, 0x86, 0x84][..], &[0x01, 1, b'p']].concat()
}

fn setting(id: u16, value: u32) -> Vec<u8> {
    [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

/// A whole GET on stream 1 with these fields besides.
fn get_with(more: &[Vec<u8>]) -> Vec<u8> {
    frame(HEADERS, WHOLE, 1, &[get_head(), more.concat()].concat())
}

fn get_1() -> Vec<u8> {
    get_with(&[])
}

/// The beginning of a POST on stream 1.
fn open_1() -> Vec<u8> {
    frame(HEADERS, END_HEADERS, 1, &post_head())
}

async fn start() -> ServerHandle {
    let router = Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/", post(|body: String| async move { body }));
    let mut limits = HttpLimits::default();
    limits.idle = Duration::from_secs(2);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    serve(listener, router, limits, std::future::pending()).unwrap()
}

type Heard = Vec<(u8, u8, u32, Vec<u8>)>;

/// Sends, says goodbye, and listens until the server closes: frames as (kind, flags, stream, payload).
async fn exchange(server: SocketAddr, bytes: &[u8]) -> Heard {
    let (mut reading, mut writing) = TcpStream::connect(server).await.unwrap().into_split();
    let sending = async {
        // The server may close before it has all.
        let _ = writing.write_all(bytes).await;
        let _ = writing.write_all(&frame(GOAWAY, 0, 0, &[0; 8])).await;
    };
    let hearing = async {
        let mut heard = Vec::new();
        let mut header = [0; 9];
        while reading.read_exact(&mut header).await.is_ok() {
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            if reading.read_exact(&mut payload).await.is_err() {
                break;
            }
            heard.push((header[3], header[4], u32::from_be_bytes(header[5..].try_into().unwrap()), payload));
        }
        heard
    };
    let both = async { tokio::join!(sending, hearing).1 };
    tokio::time::timeout(PATIENCE, both).await.unwrap_or_else(|_| panic!("the server never closed"))
}

fn goaway(heard: &Heard) -> Option<u32> {
    heard.iter().filter(|(kind, ..)| *kind == GOAWAY).map(|(.., payload)| code(payload, 4)).max()
}

fn code(payload: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(payload[at..at + 4].try_into().unwrap())
}

/// Whether the first field of a block, behind changes of the table's size, says 200.
fn is_200(block: &[u8]) -> bool {
    block.iter().find(|byte| **byte & 0xe0 != 0x20) == Some(&0x88)
}

fn fits(heard: &Heard, allowed: May) -> bool {
    let answers = || heard.iter().filter(|(kind, _, stream, _)| *kind == HEADERS && *stream > 0);
    let goaway = goaway(heard);
    let ended = |wanted: u32| match goaway {
        Some(code) => code == wanted || code == PROTOCOL,
        // A close without a word is one in which nothing was acknowledged as well.
        None => answers().next().is_none(),
    };
    match allowed {
        End(wanted) => ended(wanted),
        Reset(wanted) => {
            heard.iter().any(|(kind, .., payload)| *kind == RST_STREAM && code(payload, 0) == wanted)
                || goaway.is_some_and(|code| code == wanted || code == PROTOCOL)
        }
        Serve => goaway.unwrap_or(0) == 0 && answers().any(|(.., block)| is_200(block)),
        Refuse => goaway.unwrap_or(0) == 0 && answers().any(|(.., block)| !is_200(block)),
        Acknowledge(kind) => {
            goaway.unwrap_or(0) == 0 && heard.iter().any(|(k, flags, ..)| *k == kind && flags & ACK != 0)
        }
        Ignore => {
            goaway.unwrap_or(0) == 0
                && heard.iter().all(|(kind, ..)| [SETTINGS, GOAWAY, WINDOW_UPDATE, PING].contains(kind))
        }
    }
}

macro_rules! cases {
    ($into:ident; $($clause:literal, $what:literal, [$($part:expr),* $(,)?], [$($allowed:expr),*];)*) => {
        $($into.push(Case {
            clause: $clause,
            what: $what,
            bytes: [$($part),*].concat(),
            allowed: const { &[$($allowed),*] },
        });)*
    };
}

/// Behind the preface and SETTINGS.
fn framing() -> Vec<Case> {
    let mut all = Vec::new();
    let max = vec![b'x'; 16_384];
    let over = vec![b'x'; 16_385];
    let padded = [&[4][..], &get_head(), &[0; 4]].concat();
    let with_priority = |on: u32| [&on.to_be_bytes()[..], &[15], &get_head()].concat();
    let head = get_head();
    let (block, rest) = head.split_at(3);
    cases! { all;
        "9113 4.1", "a type that nobody knows is ignored", [frame(0xbe, 0xff, 0, b"x"), get_1()], [Serve];
        "9113 4.1", "a type that nobody knows, on a stream", [open_1(), frame(0xbe, 0, 1, b"x"), frame(DATA, END_STREAM, 1, b"a")], [Serve];
        "9113 4.1", "flags that have no meaning are ignored", [frame(PING, 0x16, 0, &[7; 8])], [Acknowledge(PING)];
        "9113 4.1", "the reserved bit of a stream is ignored", [frame(PING, 0, 1 << 31, &[7; 8])], [Acknowledge(PING)];
        "9113 4.2", "DATA of the largest size", [open_1(), frame(DATA, END_STREAM, 1, &max)], [Serve];
        "9113 4.2", "DATA over the largest size", [open_1(), frame(DATA, END_STREAM, 1, &over)], [End(SIZE), Reset(SIZE)];
        "9113 4.2", "HEADERS over the largest size", [frame(HEADERS, WHOLE, 1, &over)], [End(SIZE)];
        "9113 4.2", "SETTINGS over the largest size", [frame(SETTINGS, 0, 0, &over)], [End(SIZE)];
        "9113 4.3", "a block that cannot be decoded", [frame(HEADERS, WHOLE, 1, &[0x00, 0x7f, 0xff])], [End(COMPRESSION)];
        "9113 4.3", "PRIORITY inside a block", [frame(HEADERS, END_STREAM, 1, block), frame(PRIORITY, 0, 1, &[0; 5]), frame(CONTINUATION, END_HEADERS, 1, rest)], [End(PROTOCOL)];
        "9113 4.3", "another stream's HEADERS inside a block", [frame(HEADERS, END_STREAM, 1, block), frame(HEADERS, WHOLE, 3, &get_head())], [End(PROTOCOL)];
        "9113 5.1", "PRIORITY on an idle stream", [frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9]), get_1()], [Serve];
        "9113 5.1", "DATA on an idle stream", [frame(DATA, END_STREAM, 1, b"x")], [End(PROTOCOL)];
        "9113 5.1", "RST_STREAM on an idle stream", [frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])], [End(PROTOCOL)];
        "9113 5.1", "WINDOW_UPDATE on an idle stream", [frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 8])], [End(PROTOCOL)];
        "9113 5.1", "CONTINUATION on an idle stream", [frame(CONTINUATION, END_HEADERS, 1, &get_head())], [End(PROTOCOL)];
        "9113 5.1", "DATA behind the end of a stream", [get_1(), frame(DATA, END_STREAM, 1, b"x")], [End(CLOSED), Reset(CLOSED)];
        "9113 5.1", "HEADERS behind the end of a stream", [get_1(), get_1()], [End(CLOSED), Reset(CLOSED), End(PROTOCOL)];
        "9113 5.1", "CONTINUATION behind the end of a stream", [get_1(), frame(CONTINUATION, END_HEADERS, 1, &get_head())], [End(CLOSED), End(PROTOCOL)];
        "9113 5.1", "WINDOW_UPDATE, PRIORITY behind the end of a stream", [get_1(), frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1])], [Serve];
        "9113 5.1", "DATA behind a reset", [open_1(), frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]), frame(DATA, END_STREAM, 1, b"x")], [End(CLOSED), Reset(CLOSED), Ignore];
        "9113 5.1", "HEADERS behind a reset", [open_1(), frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]), get_1()], [End(CLOSED), Reset(CLOSED), End(PROTOCOL)];
        "9113 5.1", "CONTINUATION behind a reset", [open_1(), frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]), frame(CONTINUATION, END_HEADERS, 1, &get_head())], [End(CLOSED), End(PROTOCOL)];
        "9113 5.1.1", "a stream with an even number", [frame(HEADERS, WHOLE, 2, &get_head())], [End(PROTOCOL)];
        "9113 5.1.1", "a stream with a smaller number than the last", [frame(HEADERS, WHOLE, 5, &get_head()), frame(HEADERS, WHOLE, 3, &get_head())], [End(PROTOCOL), End(CLOSED)];
        "9113 5.1.2", "more streams than are allowed", [(0..200).flat_map(|n| frame(HEADERS, END_HEADERS, 2 * n + 1, &post_head())).collect::<Vec<_>>()], [Reset(REFUSED), Reset(PROTOCOL), End(PROTOCOL)];
        "9113 5.3.2", "priority signals are deprecated: a stream that depends on itself", [frame(HEADERS, WHOLE | WITH_PRIORITY, 1, &with_priority(1))], [Reset(PROTOCOL), End(PROTOCOL), Serve];
        "9113 5.3.2", "PRIORITY on itself", [frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 9]), get_1()], [Reset(PROTOCOL), End(PROTOCOL), Serve];
        "9113 5.3.2", "HEADERS with a priority", [frame(HEADERS, WHOLE | WITH_PRIORITY, 1, &with_priority(0x8000_0000))], [Serve];
        "9113 5.5", "a frame of an extension inside a block", [frame(HEADERS, END_STREAM, 1, block), frame(0xbe, 0, 0, b"x"), frame(CONTINUATION, END_HEADERS, 1, rest)], [End(PROTOCOL)];
        "9113 6.1", "DATA on stream 0", [frame(DATA, 0, 0, b"x")], [End(PROTOCOL)];
        "9113 6.1", "DATA with padding", [open_1(), frame(DATA, END_STREAM | PADDED, 1, &[2, b'a', 0, 0])], [Serve];
        "9113 6.1", "DATA that is all padding", [open_1(), frame(DATA, PADDED, 1, &[3, 0, 0, 0]), frame(DATA, END_STREAM, 1, b"a")], [Serve];
        "9113 6.1", "DATA with more padding than bytes", [open_1(), frame(DATA, END_STREAM | PADDED, 1, &[4, b'a', 0, 0])], [End(PROTOCOL)];
        "9113 6.1", "padded DATA of no length", [open_1(), frame(DATA, END_STREAM | PADDED, 1, &[])], [End(PROTOCOL), End(SIZE)];
        "9113 6.2", "HEADERS on stream 0", [frame(HEADERS, WHOLE, 0, &get_head())], [End(PROTOCOL)];
        "9113 6.2", "HEADERS with padding", [frame(HEADERS, WHOLE | PADDED, 1, &padded)], [Serve];
        "9113 6.2", "HEADERS with more padding than bytes", [frame(HEADERS, WHOLE | PADDED, 1, &[&[200][..], &get_head()].concat())], [End(PROTOCOL)];
        "9113 6.2", "HEADERS too short for their priority", [frame(HEADERS, WHOLE | WITH_PRIORITY, 1, &[0; 3])], [End(PROTOCOL), End(SIZE), End(COMPRESSION)];
        "9113 6.3", "PRIORITY on stream 0", [frame(PRIORITY, 0, 0, &[0; 5])], [End(PROTOCOL)];
        "9113 6.3", "PRIORITY that is too short", [frame(PRIORITY, 0, 1, &[0; 4])], [End(SIZE), Reset(SIZE)];
        "9113 6.4", "RST_STREAM on stream 0", [frame(RST_STREAM, 0, 0, &[0; 4])], [End(PROTOCOL)];
        "9113 6.4", "RST_STREAM that is too short", [open_1(), frame(RST_STREAM, 0, 1, &[0; 3])], [End(SIZE)];
        "9113 6.4", "RST_STREAM that is too long", [open_1(), frame(RST_STREAM, 0, 1, &[0; 5])], [End(SIZE)];
        "9113 6.5", "SETTINGS", [frame(SETTINGS, 0, 0, &setting(1, 100))], [Acknowledge(SETTINGS)];
        "9113 6.5", "SETTINGS ACK with a payload", [frame(SETTINGS, ACK, 0, &setting(1, 100))], [End(SIZE)];
        "9113 6.5", "SETTINGS on a stream", [frame(SETTINGS, 0, 1, &setting(1, 100))], [End(PROTOCOL)];
        "9113 6.5", "SETTINGS of half a setting", [frame(SETTINGS, 0, 0, &[0; 3])], [End(SIZE)];
        "9113 6.5.2", "ENABLE_PUSH of 2", [frame(SETTINGS, 0, 0, &setting(2, 2))], [End(PROTOCOL)];
        "9113 6.5.2", "INITIAL_WINDOW_SIZE that is too large", [frame(SETTINGS, 0, 0, &setting(4, 1 << 31))], [End(FLOW)];
        "9113 6.5.2", "MAX_FRAME_SIZE that is too small", [frame(SETTINGS, 0, 0, &setting(5, 16_383))], [End(PROTOCOL)];
        "9113 6.5.2", "MAX_FRAME_SIZE that is too large", [frame(SETTINGS, 0, 0, &setting(5, 1 << 24))], [End(PROTOCOL)];
        "9113 6.5.2", "a setting that nobody knows", [frame(SETTINGS, 0, 0, &setting(0xbe, 1)), get_1()], [Serve];
        "9113 6.5.3", "the same setting twice: the last one counts", [frame(SETTINGS, 0, 0, &[setting(4, 0), setting(4, 100)].concat()), get_1()], [Serve];
        "9113 6.6", "PUSH_PROMISE of a client", [open_1(), frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2][..], &get_head()].concat())], [End(PROTOCOL)];
        "9113 6.7", "PING", [frame(PING, 0, 0, b"whatever")], [Acknowledge(PING)];
        "9113 6.7", "PING ACK that answers nothing", [frame(PING, ACK, 0, b"whatever"), get_1()], [Serve];
        "9113 6.7", "PING on a stream", [frame(PING, 0, 1, &[0; 8])], [End(PROTOCOL)];
        "9113 6.7", "PING that is too short", [frame(PING, 0, 0, &[0; 6])], [End(SIZE)];
        "9113 6.7", "PING that is too long", [frame(PING, 0, 0, &[0; 9])], [End(SIZE)];
        "9113 6.8", "GOAWAY on a stream", [frame(GOAWAY, 0, 1, &[0; 8])], [End(PROTOCOL)];
        "9113 6.8", "GOAWAY that is too short", [frame(GOAWAY, 0, 0, &[0; 7])], [End(SIZE), End(PROTOCOL)];
        "9113 6.8", "GOAWAY with words", [get_1(), frame(GOAWAY, 0, 0, &[&[0; 8][..], b"bye"].concat())], [Serve];
        "9113 6.9", "WINDOW_UPDATE of nothing on the connection", [frame(WINDOW_UPDATE, 0, 0, &[0; 4])], [End(PROTOCOL)];
        "9113 6.9", "WINDOW_UPDATE of nothing on a stream", [open_1(), frame(WINDOW_UPDATE, 0, 1, &[0; 4])], [End(PROTOCOL), Reset(PROTOCOL)];
        "9113 6.9", "WINDOW_UPDATE that is too short", [frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1])], [End(SIZE)];
        "9113 6.9", "WINDOW_UPDATE that is too long", [frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1, 0])], [End(SIZE)];
        "9113 6.9.1", "the connection's window overflows", [frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])], [End(FLOW)];
        "9113 6.9.1", "a stream's window overflows", [open_1(), frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff])], [End(FLOW), Reset(FLOW)];
        "9113 6.9.1", "an answer in pieces of one byte", [frame(SETTINGS, 0, 0, &setting(4, 1)), get_1(), frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 4])], [Serve];
        "9113 6.9.2", "a window that grows by SETTINGS", [frame(SETTINGS, 0, 0, &setting(4, 0)), get_1(), frame(SETTINGS, 0, 0, &setting(4, 50))], [Serve];
        "9113 6.9.2", "a window that is less than nothing", [frame(SETTINGS, 0, 0, &setting(4, 3)), get_1(), frame(SETTINGS, 0, 0, &setting(4, 2)), frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 9])], [Serve];
        "9113 6.9.2", "windows that overflow by SETTINGS", [open_1(), frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0, 0]), frame(SETTINGS, 0, 0, &setting(4, 0x7fff_ffff))], [End(FLOW), Reset(FLOW)];
        "9113 6.10", "CONTINUATION", [frame(HEADERS, END_STREAM, 1, block), frame(CONTINUATION, END_HEADERS, 1, rest)], [Serve];
        "9113 6.10", "CONTINUATION of one byte each", [frame(HEADERS, END_STREAM, 1, block), rest.iter().flat_map(|b| frame(CONTINUATION, 0, 1, &[*b])).collect::<Vec<_>>(), frame(CONTINUATION, END_HEADERS, 1, &[])], [Serve];
        "9113 6.10", "DATA inside a block", [frame(HEADERS, 0, 1, &post_head()), frame(DATA, END_STREAM, 1, b"x")], [End(PROTOCOL)];
        "9113 6.10", "CONTINUATION on stream 0", [frame(HEADERS, END_STREAM, 1, block), frame(CONTINUATION, END_HEADERS, 0, rest)], [End(PROTOCOL)];
        "9113 6.10", "CONTINUATION of another stream", [frame(HEADERS, END_STREAM, 1, block), frame(CONTINUATION, END_HEADERS, 3, rest)], [End(PROTOCOL)];
        "9113 6.10", "CONTINUATION behind the end of a block", [open_1(), frame(CONTINUATION, END_HEADERS, 1, rest)], [End(PROTOCOL)];
        "9113 6.10", "CONTINUATION behind DATA", [open_1(), frame(DATA, 0, 1, b"x"), frame(CONTINUATION, END_HEADERS, 1, rest)], [End(PROTOCOL)];
        "9113 7", "RST_STREAM with a code that nobody knows", [open_1(), frame(RST_STREAM, 0, 1, &[0, 0, 0xff, 0xff])], [Ignore];
        "9113 7", "GOAWAY with a code that nobody knows", [get_1(), frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0xff, 0xff])], [Serve];
    }
    all
}

/// A whole GET of these fields and no others.
fn request(fields: &[Vec<u8>]) -> Vec<u8> {
    frame(HEADERS, WHOLE, 1, &fields.concat())
}

fn messages() -> Vec<Case> {
    let mut all = Vec::new();
    let trailers = |fields: &[Vec<u8>]| frame(HEADERS, WHOLE, 1, &fields.concat());
    let length =
        |n: &[u8]| frame(HEADERS, END_HEADERS, 1, &[post_head(), field("content-length", n)].concat());
    let (method, scheme, path, authority) = (vec![0x82], vec![0x86], vec![0x84], vec![0x01, 1, b'p']);
    let or = |parts: [&Vec<u8>; 3]| request(&parts.map(Clone::clone));
    cases! { all;
        "9113 8.1", "a body, and trailers", [open_1(), frame(DATA, 0, 1, b"a"), trailers(&[field("x", b"y")])], [Serve];
        "9113 8.1", "trailers that end nothing", [open_1(), frame(DATA, 0, 1, b"a"), frame(HEADERS, END_HEADERS, 1, &field("x", b"y"))], [Reset(PROTOCOL), End(PROTOCOL)];
        "9113 8.1.1", "less than content-length", [length(b"5"), frame(DATA, END_STREAM, 1, b"abc")], [Reset(PROTOCOL), End(PROTOCOL)];
        "9113 8.1.1", "more than content-length", [length(b"2"), frame(DATA, END_STREAM, 1, b"abc")], [Reset(PROTOCOL), End(PROTOCOL)];
        "9113 8.1.1", "more than content-length, in pieces", [length(b"2"), frame(DATA, 0, 1, b"ab"), frame(DATA, END_STREAM, 1, b"c")], [Reset(PROTOCOL), End(PROTOCOL)];
        "9113 8.1.1", "content-length and nothing", [request(&[post_head(), field("content-length", b"3")])], [Reset(PROTOCOL), End(PROTOCOL)];
        "9113 8.1.1", "two lengths", [frame(HEADERS, END_HEADERS, 1, &[post_head(), field("content-length", b"1"), field("content-length", b"2")].concat()), frame(DATA, END_STREAM, 1, b"a")], [Reset(PROTOCOL), End(PROTOCOL)];
        "9113 8.1.1", "a length that is no number", [length(b"+1"), frame(DATA, END_STREAM, 1, b"a")], [Reset(PROTOCOL), End(PROTOCOL)];
        "9113 8.2.1", "an upper-case name", [get_with(&[field("X-Test", b"y")])], [Reset(PROTOCOL), End(PROTOCOL), End(COMPRESSION)];
        "9113 8.2.1", "a name with a space", [get_with(&[field("x y", b"y")])], [Reset(PROTOCOL), End(PROTOCOL), End(COMPRESSION)];
        "9113 8.2.1", "a name with NUL", [get_with(&[field("x\0", b"y")])], [Reset(PROTOCOL), End(PROTOCOL), End(COMPRESSION)];
        "9113 8.2.1", "a name of no length", [get_with(&[field("", b"y")])], [Reset(PROTOCOL), End(PROTOCOL), End(COMPRESSION)];
        "9113 8.2.1", "a name with a colon", [get_with(&[field("x:y", b"y")])], [Reset(PROTOCOL), End(PROTOCOL), End(COMPRESSION)];
        "9113 8.2.1", "a value with NUL", [get_with(&[field("x", b"y\0")])], [Reset(PROTOCOL), End(PROTOCOL), End(COMPRESSION)];
        "9113 8.2.1", "a value with a line's end", [get_with(&[field("x", b"y\r\nz: a")])], [Reset(PROTOCOL), End(PROTOCOL), End(COMPRESSION)];
        "9113 8.2.2", "connection", [get_with(&[field("connection", b"keep-alive")])], [Reset(PROTOCOL), End(PROTOCOL)];
        "9113 8.2.2", "transfer-encoding", [get_with(&[field("transfer-encoding", b"chunked")])], [Reset(PROTOCOL), End(PROTOCOL)];
        "9113 8.2.2", "upgrade", [get_with(&[field("upgrade", b"h2c")])], [Reset(PROTOCOL), End(PROTOCOL)];
        "9113 8.2.2", "keep-alive", [get_with(&[field("keep-alive", b"1")])], [Reset(PROTOCOL), End(PROTOCOL)];
        "9113 8.2.2", "proxy-connection", [get_with(&[field("proxy-connection", b"x")])], [Reset(PROTOCOL), End(PROTOCOL)];
        "9113 8.2.2", "te: trailers", [get_with(&[field("te", b"trailers")])], [Serve];
        "9113 8.2.2", "te that is more than trailers", [get_with(&[field("te", b"trailers, deflate;q=0.5")])], [Reset(PROTOCOL), End(PROTOCOL)];
        "9113 8.3", "a pseudo-field that nobody knows", [request(&[field(":test", b"x"), get_head()])], [Reset(PROTOCOL), End(PROTOCOL), End(COMPRESSION)];
        "9113 8.3", "a pseudo-field of answers", [request(&[field(":status", b"200"), get_head()])], [Reset(PROTOCOL), End(PROTOCOL)];
        // Not what the clause says: h2 drops the field, and nobody gets to see it.
        "9113 8.3", "a pseudo-field in trailers", [open_1(), trailers(&[field(":method", b"GET")])], [Reset(PROTOCOL), End(PROTOCOL), Serve];
        "9113 8.3", "a pseudo-field behind others", [request(&[method.clone(), scheme.clone(), field("x", b"y"), path.clone()])], [Reset(PROTOCOL), End(PROTOCOL)];
        "9113 8.3.1", "no method", [or([&scheme, &path, &authority])], [Reset(PROTOCOL), End(PROTOCOL)];
        "9113 8.3.1", "no scheme", [or([&method, &path, &authority])], [Reset(PROTOCOL), End(PROTOCOL)];
        "9113 8.3.1", "no path", [or([&method, &scheme, &authority])], [Reset(PROTOCOL), End(PROTOCOL)];
        "9113 8.3.1", "an empty path", [request(&[method.clone(), scheme.clone(), field(":path", b""), authority.clone()])], [Reset(PROTOCOL), End(PROTOCOL)];
        "9113 8.3.1", "two methods", [request(&[method.clone(), get_head()])], [Reset(PROTOCOL), End(PROTOCOL)];
        "9113 8.3.1", "two schemes", [request(&[scheme.clone(), get_head()])], [Reset(PROTOCOL), End(PROTOCOL)];
        "9113 8.3.1", "two paths", [request(&[path.clone(), get_head()])], [Reset(PROTOCOL), End(PROTOCOL)];
        "9113 8.3.1", "two authorities", [request(&[authority.clone(), get_head()])], [Reset(PROTOCOL), End(PROTOCOL)];
        "9113 8.3.1", "no word about the host", [or([&method, &scheme, &path])], [Reset(PROTOCOL), End(PROTOCOL), Refuse];
        "9113 8.3.1", "host in the place of the authority", [request(&[method.clone(), scheme.clone(), path.clone(), field("host", b"p")])], [Serve];
        "9113 8.3.1", "a host that is another than the authority", [get_with(&[field("host", b"q")])], [Reset(PROTOCOL), End(PROTOCOL), Refuse];
        "9113 8.3.1", "two hosts", [get_with(&[field("host", b"p"), field("host", b"p")])], [Reset(PROTOCOL), End(PROTOCOL), Refuse];
        "9113 8.3.1", "a user in the authority", [request(&[method.clone(), scheme.clone(), path.clone(), field(":authority", b"u@p")])], [Reset(PROTOCOL), End(PROTOCOL), Refuse];
        "9113 8.3.1", "a path that is none", [request(&[method, scheme.clone(), field(":path", b"x y"), authority.clone()])], [Reset(PROTOCOL), End(PROTOCOL), Refuse];
        "9113 8.3.1", "HEAD", [request(&[field(":method", b"HEAD"), scheme.clone(), path, authority.clone()])], [Serve];
        "9113 8.3.1", "OPTIONS *", [request(&[field(":method", b"OPTIONS"), scheme, field(":path", b"*"), authority.clone()])], [Refuse];
        "9113 8.5", "CONNECT", [request(&[field(":method", b"CONNECT"), authority])], [Reset(PROTOCOL), End(PROTOCOL), Refuse];
        "9110 10.1.1", "an expectation that nobody knows", [get_with(&[field("expect", b"tea")])], [Refuse];
    }
    all
}

fn compression() -> Vec<Case> {
    let mut all = Vec::new();
    let table = |update: &[u8]| frame(HEADERS, WHOLE, 1, &[update, &get_head()].concat());
    // "p" with incremental indexing, under a name of the static table and under a new one.
    let indexed = [&[0x41, 1, b'p'][..], &[0x40, 1, b'x', 1, b'y'], &[0xbe]].concat();
    // "www.example.com" in Huffman's code (RFC 7541, C.4.1).
    let huffman = [0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
    let get_3 = [0x82, 0x86, 0x84];
    cases! { all;
        "7541 2.3.2", "the dynamic table, and an entry of it", [request(&[get_3.to_vec(), indexed])], [Serve];
        "7541 2.3.3", "an index behind both tables", [get_with(&[vec![0xff, 0x00]])], [End(COMPRESSION)];
        "7541 2.3.3", "a name behind both tables", [get_with(&[vec![0x7f, 0x20, 1, b'x']])], [End(COMPRESSION)];
        "7541 4.2", "a size in front of a block", [table(&[0x20])], [Serve];
        "7541 4.2", "a size behind a block", [get_with(&[vec![0x20]])], [End(COMPRESSION)];
        "7541 5.1", "an integer without end", [get_with(&[vec![0xff; 20]])], [End(COMPRESSION)];
        "7541 5.2", "Huffman's code", [request(&[get_3.to_vec(), vec![0x01], huffman.to_vec()])], [Serve];
        "7541 5.2", "more than seven bits of padding", [get_with(&[vec![0x00, 1, b'x', 0x82, 0x1f, 0xff]])], [End(COMPRESSION)];
        "7541 5.2", "padding that is not ones", [get_with(&[vec![0x00, 1, b'x', 0x81, 0x18]])], [End(COMPRESSION)];
        "7541 5.2", "the end of a string inside of it", [get_with(&[vec![0x00, 1, b'x', 0x84, 0xff, 0xff, 0xff, 0xff]])], [End(COMPRESSION)];
        "7541 5.2", "a string that is longer than its block", [get_with(&[vec![0x00, 1, b'x', 5, b'y']])], [End(COMPRESSION)];
        "7541 6.1", "index 0", [get_with(&[vec![0x80]])], [End(COMPRESSION)];
        "7541 6.2.1", "a literal that is indexed", [get_with(&[vec![0x40, 1, b'x', 1, b'y']])], [Serve];
        "7541 6.2.2", "a literal that is not indexed", [get_with(&[vec![0x0f, 0x0b, 1, b'a']])], [Serve];
        "7541 6.2.3", "a literal that is never indexed", [get_with(&[vec![0x10, 1, b'x', 1, b'y']])], [Serve];
        "7541 6.3", "a table that is larger than agreed on", [table(&[0x3f, 0xe1, 0xff, 0x03])], [End(COMPRESSION)];
    }
    all
}

#[tokio::test]
async fn every_clause_holds() {
    let server = start().await;
    let begin = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    let mut cases: Vec<Case> = [framing(), messages(), compression()].into_iter().flatten().collect();
    for case in &mut cases {
        case.bytes.splice(0..0, begin.iter().copied());
    }
    cases! { cases;
        "9113 3.4", "the preface and SETTINGS", [begin.clone()], [Acknowledge(SETTINGS)];
        "9113 3.4", "a preface with another end", [PREFACE[..20].to_vec(), b"XX\r\n".to_vec(), get_1()], [End(PROTOCOL)];
        "9113 3.4", "no SETTINGS behind the preface", [PREFACE.to_vec(), get_1()], [End(PROTOCOL), Serve];
    }
    let total = cases.len();
    assert!(total >= 140, "{total}");
    let addr = server.local_addr();
    let runs = cases.into_iter().map(|case| async move {
        let heard = exchange(addr, &case.bytes).await;
        let holds = case.allowed.iter().any(|may| fits(&heard, *may));
        let named = case.allowed.iter().any(|may| matches!(may, End(PROTOCOL) | Reset(PROTOCOL)));
        if holds && !named && goaway(&heard) == Some(PROTOCOL) {
            println!("{}, {}: PROTOCOL_ERROR in the place of a code of its own", case.clause, case.what);
        }
        (!holds).then(|| format!("{}, {}: allowed {:?}, got {heard:?}", case.clause, case.what, case.allowed))
    });
    let broken: Vec<String> = futures_util::future::join_all(runs).await.into_iter().flatten().collect();
    println!("{} of {total} clauses hold", total - broken.len());
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
