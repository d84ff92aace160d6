//! What is read of HTTP before hyper reads it: heads of HTTP/1 requests, frames of HTTP/2.

use landbridge_transport::http_server::{FrameScanner, HeadLimits, HeadScanner, Refusal, Seen};

const LIMITS: HeadLimits = HeadLimits { block: 1024, fields: 20, target: 256 };

/// Gives the bytes in pieces of a length; what went on, and what was refused.
fn pieces(bytes: &[u8], step: usize) -> (Vec<u8>, Option<Refusal>) {
    let mut scanner = HeadScanner::new(LIMITS);
    let (mut held, mut passed) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(step) {
        held.extend_from_slice(piece);
        let n = scanner.feed(&held);
        passed.extend(held.drain(..n));
        assert!(
            scanner.refusal().is_some() || held.len() <= LIMITS.block,
            "more is held than a head may have"
        );
    }
    (passed, scanner.refusal())
}

/// However the bytes are cut, the same goes on; and in what goes on, hyper's reader finds the same requests.
pub(crate) fn heads(bytes: &[u8]) {
    let (passed, refusal) = pieces(bytes, bytes.len().max(1));
    for step in [1, 2, 7, 64] {
        assert_eq!(pieces(bytes, step), (passed.clone(), refusal), "in pieces of {step}");
    }
    assert!(bytes.starts_with(&passed), "what goes on is what came");
    let (mut rest, mut count) = (&passed[..], 0);
    while !rest.is_empty() {
        let mut fields = [httparse::EMPTY_HEADER; 20];
        let mut request = httparse::Request::new(&mut fields);
        let Ok(httparse::Status::Complete(length)) = request.parse(rest) else {
            panic!("hyper's reader takes no request from {:?}", String::from_utf8_lossy(rest));
        };
        count += 1;
        let find = |name: &'static str| {
            request.headers.iter().filter(move |field| field.name.eq_ignore_ascii_case(name))
        };
        let (lengths, codings) = (find("content-length").count(), find("transfer-encoding").count());
        let hosts = find("host").count();
        assert!(lengths + codings <= 1 && hosts <= 1, "a request with two readings");
        assert!(request.version == Some(1) && hosts == 1 || request.version == Some(0) && codings == 0);
        let closes = find("connection").any(|field| {
            field
                .value
                .split(|byte| *byte == b',')
                .any(|word| word.trim_ascii().eq_ignore_ascii_case(b"close"))
        });
        if codings > 0 || closes {
            return;
        }
        let body = find("content-length").next().map_or(0, |field| {
            std::str::from_utf8(field.value).unwrap().trim().parse::<u64>().expect("a length is a number")
        });
        let body = usize::try_from(body).unwrap_or(usize::MAX);
        rest = rest.get(length.saturating_add(body)..).unwrap_or_default();
    }
    if let Some(refusal) = refusal {
        assert_eq!(refusal.number, count, "the refused request has its place behind the others");
        assert!(matches!(refusal.status.as_u16(), 400 | 414 | 431 | 505));
    }
}

pub(crate) fn head_seeds() -> Vec<Vec<u8>> {
    [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /whatsapp/push HTTP/1.1\r\nHost: p:80\r\nContent-Length: 5\r\n\r\nhelloGET /x HTTP/1.1\r\nhost: p\r\n\r\n",
        "\r\nHEAD http://[::1]:80/a?b=c HTTP/1.1\r\nHost: [::1]:80\r\nConnection: keep-alive, close\r\n\r\nxyz",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "OPTIONS * HTTP/1.0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

/// However the bytes are cut, the frames are the same; and a plain reading finds the same boundaries.
pub(crate) fn frames(bytes: &[u8]) {
    let now = tokio::time::Instant::now();
    let whole = |step: usize| {
        let mut scanner = FrameScanner::of_server();
        let mut worked = false;
        for piece in bytes.chunks(step) {
            match scanner.feed(piece, now) {
                Seen::Work => worked = true,
                Seen::Upkeep => {}
                Seen::Flood(flood) => return Err(flood),
            }
        }
        Ok((worked, scanner.at_boundary(), scanner.has_said_goodbye(), scanner.calm()))
    };
    let first = whole(bytes.len().max(1));
    for step in [1, 3, 9, 64] {
        assert_eq!(whole(step), first, "in pieces of {step}");
    }
    let Ok((worked, at_boundary, goodbye, _)) = first else { return };
    let (mut rest, mut said, mut works) = (bytes, false, false);
    while let Some((header, more)) = rest.split_at_checked(9) {
        let length = usize::from(header[0]) << 16 | usize::from(header[1]) << 8 | usize::from(header[2]);
        said |= header[3] == 7;
        // HEADERS, WINDOW_UPDATE and whatever carries something are about requests.
        works |= matches!(header[3], 1 | 8) || matches!(header[3], 0 | 9) && length > 0;
        rest = more.get(length..).unwrap_or(&[0]);
        if more.len() < length {
            break;
        }
    }
    assert_eq!((at_boundary, goodbye), (rest.is_empty(), said));
    assert!(worked || !works, "work was not seen");
}

pub(crate) fn frame_seeds() -> Vec<Vec<u8>> {
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        [&[0, 0, u8::try_from(payload.len()).unwrap(), kind, flags, 0, 0, 0, stream], payload].concat()
    };
    vec![
        frame(4, 0, 0, &[0, 4, 0, 0, 255, 255]),
        [frame(1, 5, 1, &[0x82, 0x86, 0x84]), frame(3, 0, 1, &[0, 0, 0, 8])].concat(),
        [frame(1, 0, 1, &[0x82]), frame(9, 4, 1, &[0x86, 0x84]), frame(0, 1, 1, b"body")].concat(),
        [frame(6, 0, 0, &[1; 8]), frame(8, 0, 0, &[0, 0, 1, 0]), frame(7, 0, 0, &[0; 8])].concat(),
        frame(6, 1, 0, &[1; 8]).repeat(301),
        frame(0, 0, 1, b"").repeat(301),
        vec![0xff; 40],
    ]
}
