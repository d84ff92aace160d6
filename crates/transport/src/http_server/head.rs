//! Reads the heads of HTTP/1 requests before hyper does, and decides which of them hyper gets to see.
//!
//! hyper is generous with what it takes for a line or a length, settles contradictions before a service sees the request,
//! and has no words for what it refuses. That is fine for one reader, and a hole as soon as there is a proxy in front that
//! settles them in another way (RFC 9112, section 11.2). This reader is stricter than hyper in everything, so that what
//! it lets through has one reading, and every refusal is its own.

use http::{StatusCode, Uri};

/// What a head may be.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// Bytes of the whole head.
    pub block: usize,
    /// Header fields.
    pub fields: usize,
    /// Bytes of the request target.
    pub target: usize,
}

/// A request that hyper does not get to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// How many requests came before it on the connection.
    pub number: u64,
    /// Why.
    pub status: StatusCode,
    /// Its answer has no body.
    pub is_head: bool,
}

#[derive(Debug)]
enum Phase {
    /// Between requests, or inside a head.
    Head(Head),
    /// Inside a body of known length.
    Body { left: u64 },
    /// After the last request of a connection, inside its body, or in another protocol: nothing to follow any more.
    Blind,
    /// After a refusal: nothing is read any more.
    Refused,
}

/// Where requests begin and end on one connection.
#[derive(Debug)]
pub struct HeadScanner {
    limits: HeadLimits,
    phase: Phase,
    heads: u64,
    refusal: Option<Refusal>,
}

impl HeadScanner {
    /// At the beginning of a connection.
    #[must_use]
    pub fn new(limits: HeadLimits) -> Self {
        Self { limits, phase: Phase::Head(Head::default()), heads: 0, refusal: None }
    }

    /// Looks at bytes and gives how many of them may go on: bodies, and heads that are whole. What is left is to be given
    /// again, in front of what comes next; it is no more than a head may have. After a refusal nothing goes on.
    pub fn feed(&mut self, bytes: &[u8]) -> usize {
        let mut passed = 0;
        loop {
            let rest = bytes.get(passed..).unwrap_or_default();
            match &mut self.phase {
                Phase::Blind => return bytes.len(),
                Phase::Refused => return passed,
                Phase::Body { left } => {
                    let n = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= n as u64;
                    passed += n;
                    if *left > 0 {
                        return passed;
                    }
                    self.phase = Phase::Head(Head::default());
                }
                Phase::Head(head) => match head.read(rest, &self.limits) {
                    Ok(None) => return passed,
                    Ok(Some(length)) => {
                        passed += length;
                        self.heads += 1;
                        self.phase = head.what_follows();
                    }
                    Err(status) => {
                        let is_head = head.method == Method::Head;
                        self.refusal = Some(Refusal { number: self.heads, status, is_head });
                        self.phase = Phase::Refused;
                    }
                },
            }
        }
    }

    /// The request that is refused, if there is one. It is the last of its connection.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    /// Whether the last byte was the last of a request.
    #[must_use]
    pub fn is_between_requests(&self) -> bool {
        matches!(&self.phase, Phase::Head(head) if head.seen == 0)
    }
}

/// Methods that change what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Method {
    Head,
    Options,
    Connect,
    #[default]
    Other,
}

/// What the lines of one head have said so far.
#[derive(Debug, Default)]
struct Head {
    /// Bytes that belong to whole lines, and bytes that hold no line's end behind these.
    lines_end: usize,
    seen: usize,
    lines: usize,
    method: Method,
    is_http_1_1: bool,
    /// The authority of a target in absolute form.
    authority: Option<String>,
    hosts: usize,
    lengths: usize,
    length: u64,
    codings: usize,
    closes: bool,
}

const BAD: StatusCode = StatusCode::BAD_REQUEST;
/// Longest method, in bytes; all that are registered are shorter.
const METHOD_MAX: usize = 24;

impl Head {
    /// Goes on with a head that begins with these bytes; gives its length once it is whole.
    fn read(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Option<usize>, StatusCode> {
        loop {
            let fresh = bytes.get(self.seen..).unwrap_or_default();
            let Some(end) = memchr::memchr(b'\n', fresh) else {
                self.seen = bytes.len();
                let begun = bytes.get(self.lines_end..).unwrap_or_default();
                return self.check_beginning(begun, limits).map(|()| None);
            };
            let line = bytes.get(self.lines_end..self.seen + end).unwrap_or_default();
            self.seen += end + 1;
            self.lines_end = self.seen;
            self.check_size(line.len(), limits)?;
            // A bare line feed is the end of a line for some.
            let line = line.strip_suffix(b"\r").ok_or(BAD)?;
            match (line.is_empty(), self.lines) {
                // Empty lines before a request are allowed.
                (true, 0) => {}
                (true, _) => return self.check().map(|()| Some(self.lines_end)),
                (false, 0) => {
                    self.request_line(line, limits)?;
                    self.lines = 1;
                }
                (false, fields) if fields > limits.fields => {
                    return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
                }
                (false, _) => {
                    self.field(line)?;
                    self.lines += 1;
                }
            }
        }
    }

    fn check_size(&self, line: usize, limits: &HeadLimits) -> Result<(), StatusCode> {
        if self.lines == 0 && line > limits.target + METHOD_MAX + " HTTP/1.1 \r".len() {
            return Err(StatusCode::URI_TOO_LONG);
        }
        if self.seen > limits.block {
            return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        }
        Ok(())
    }

    /// A line that has no end yet. Nobody waits for the end of what is no request from its first byte on.
    fn check_beginning(&self, line: &[u8], limits: &HeadLimits) -> Result<(), StatusCode> {
        self.check_size(line.len(), limits)?;
        match line.first() {
            Some(first) if self.lines == 0 && *first != b'\r' && !is(TOKEN, *first) => Err(BAD),
            _ => Ok(()),
        }
    }

    /// `method SP target SP version`, with exactly these spaces.
    fn request_line(&mut self, line: &[u8], limits: &HeadLimits) -> Result<(), StatusCode> {
        let mut parts = line.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(BAD);
        };
        if method.is_empty() || method.len() > METHOD_MAX || !all(TOKEN, method) {
            return Err(BAD);
        }
        self.method = match method {
            b"HEAD" => Method::Head,
            b"OPTIONS" => Method::Options,
            b"CONNECT" => Method::Connect,
            _ => Method::Other,
        };
        self.is_http_1_1 = match version {
            b"HTTP/1.1" => true,
            b"HTTP/1.0" => false,
            _ => {
                let other = version.strip_prefix(b"HTTP/").is_some_and(
                    |number| matches!(number, [a, b'.', b] if a.is_ascii_digit() && b.is_ascii_digit()),
                );
                return Err(if other { StatusCode::HTTP_VERSION_NOT_SUPPORTED } else { BAD });
            }
        };
        if target.len() > limits.target {
            return Err(StatusCode::URI_TOO_LONG);
        }
        self.target(target)
    }

    fn target(&mut self, target: &[u8]) -> Result<(), StatusCode> {
        match (self.method, target) {
            // A tunnel to somewhere else; there is none here.
            (Method::Connect, _) => Err(BAD),
            (_, [b'/', ..]) if all(TARGET, target) => Ok(()),
            (Method::Options, b"*") => Ok(()),
            // A proxy's form (RFC 9112, section 3.2.2).
            (_, [b'h' | b'H', ..]) if all(TARGET, target) => {
                let uri = Uri::try_from(target).map_err(|_| BAD)?;
                let authority = uri.authority().ok_or(BAD)?.as_str();
                let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
                if !is_http || !is_host(authority.as_bytes()) {
                    return Err(BAD);
                }
                self.authority = Some(authority.to_owned());
                Ok(())
            }
            _ => Err(BAD),
        }
    }

    /// `name ":" value`, with nothing before the colon that is no name. A folded line begins with none.
    fn field(&mut self, line: &[u8]) -> Result<(), StatusCode> {
        let colon = memchr::memchr(b':', line).ok_or(BAD)?;
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default();
        if name.is_empty() || !all(TOKEN, name) || !all(VALUE, value) {
            return Err(BAD);
        }
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.host(value.trim_ascii()),
            10 if name.eq_ignore_ascii_case(b"connection") => {
                let mut options = value.split(|byte| *byte == b',');
                self.closes |= options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"));
                Ok(())
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => self.length(value.trim_ascii()),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.codings += 1;
                // Other codings, lists and other spellings: what they come to depends on who reads them.
                let is_chunked = value.trim_ascii().eq_ignore_ascii_case(b"chunked");
                if is_chunked { Ok(()) } else { Err(BAD) }
            }
            _ => Ok(()),
        }
    }

    fn host(&mut self, value: &[u8]) -> Result<(), StatusCode> {
        self.hosts += 1;
        let same = |authority: &String| value.eq_ignore_ascii_case(authority.as_bytes());
        if is_host(value) && self.authority.as_ref().is_none_or(same) { Ok(()) } else { Err(BAD) }
    }

    /// Digits only: some take a sign or a list. What is beyond all files is taken for a smaller number by some.
    fn length(&mut self, value: &[u8]) -> Result<(), StatusCode> {
        self.lengths += 1;
        let digits = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
        let length = digits.and_then(|digits| digits.parse::<u64>().ok());
        self.length = length.filter(|length| *length <= u64::MAX >> 1).ok_or(BAD)?;
        Ok(())
    }

    /// What only the whole head can tell.
    fn check(&self) -> Result<(), StatusCode> {
        let two_lengths = self.lengths + self.codings > 1;
        let coding_before_1_1 = self.codings > 0 && !self.is_http_1_1;
        let hosts = self.hosts > 1 || self.hosts == 0 && self.is_http_1_1;
        if two_lengths || coding_before_1_1 || hosts { Err(BAD) } else { Ok(()) }
    }

    fn what_follows(&self) -> Phase {
        match self.length {
            _ if self.codings > 0 || self.closes => Phase::Blind,
            0 => Phase::Head(Self::default()),
            left => Phase::Body { left },
        }
    }
}

/// `host` or `host:port`, of the characters that a name or an address may have (RFC 3986, section 3.2.2).
pub(super) fn is_host(value: &[u8]) -> bool {
    !value.is_empty() && all(HOST, value)
}

const TOKEN: u8 = 1;
const TARGET: u8 = 2;
const VALUE: u8 = 4;
const HOST: u8 = 8;

/// What each byte may stand in.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0_usize;
    while byte < classes.len() {
        #[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "bounded by the loop")]
        {
            classes[byte] = class_of(byte as u8);
        }
        byte += 1;
    }
    classes
};

const fn class_of(byte: u8) -> u8 {
    let alphanumeric = byte.is_ascii_alphanumeric();
    let mut class = 0;
    if alphanumeric
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
    {
        class |= TOKEN;
    }
    // Those of RFC 3986, and some more that people write and hyper takes.
    if matches!(byte, 0x21 | 0x24..=0x3b | 0x3d | 0x3f..=0x5f | 0x61..=0x7e) {
        class |= TARGET;
    }
    // Horizontal tab, printable ASCII, and bytes that HTTP does not interpret (RFC 9110, section 5.5).
    if matches!(byte, b'\t' | 0x20..=0x7e | 0x80..) {
        class |= VALUE;
    }
    if alphanumeric || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':' | b'[' | b']' | b'%') {
        class |= HOST;
    }
    class
}

fn is(class: u8, byte: u8) -> bool {
    CLASSES.get(usize::from(byte)).is_some_and(|classes| classes & class != 0)
}

fn all(class: u8, bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| is(class, *byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { block: 1024, fields: 5, target: 100 };

    /// Gives the bytes in pieces; what went on, and the scanner.
    fn scan(bytes: &[u8], step: usize) -> (Vec<u8>, HeadScanner) {
        let mut scanner = HeadScanner::new(LIMITS);
        let (mut held, mut passed) = (Vec::new(), Vec::new());
        for chunk in bytes.chunks(step) {
            held.extend_from_slice(chunk);
            let n = scanner.feed(&held);
            passed.extend(held.drain(..n));
        }
        (passed, scanner)
    }

    fn status(head: &str) -> Option<u16> {
        let head = head.as_bytes();
        let found: Vec<_> = [1, 2, 7, head.len()]
            .map(|step| {
                let (passed, scanner) = scan(head, step.max(1));
                assert!(scanner.refusal().is_none_or(|_| passed.is_empty()), "{head:?} went on in part");
                scanner.refusal().map(|refusal| refusal.status.as_u16())
            })
            .into();
        assert!(
            found.windows(2).all(|pair| pair[0] == pair[1]),
            "{head:?} depends on how it is cut: {found:?}"
        );
        found[0]
    }

    #[test]
    fn the_third_request_is_refused_however_it_is_cut_and_the_two_before_it_go_on() {
        let good =
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
        let bad =
            b"HEAD / HTTP/1.1\r\nHost: a\r\ntransfer-ENCODING: chunked\r\nX: y\r\nCONTENT-LENGTH: 4\r\n\r\n";
        let both = [&good[..], bad].concat();
        for step in 1..both.len() {
            let (passed, scanner) = scan(&both, step);
            assert_eq!(passed, good, "step {step}");
            let refusal = Refusal { number: 2, status: BAD, is_head: true };
            assert_eq!(scanner.refusal(), Some(refusal), "step {step}");
        }
    }

    #[test]
    fn request_lines() {
        for (line, expected) in [
            ("GET / HTTP/1.1", None),
            ("get /?a=b&c HTTP/1.1", None),
            ("OPTIONS * HTTP/1.1", None),
            ("GET http://h/x HTTP/1.1", None),
            ("GET HTTPS://H HTTP/1.1", None),
            ("M-SEARCH //h HTTP/1.1", None),
            ("GET * HTTP/1.1", Some(400)),
            ("GET http://h2/x HTTP/1.1", Some(400)),
            ("GET http://u@h/x HTTP/1.1", Some(400)),
            ("GET ftp://h/x HTTP/1.1", Some(400)),
            ("GET http:/x HTTP/1.1", Some(400)),
            ("GET http://h:70000000/ HTTP/1.1", Some(400)),
            ("GET h HTTP/1.1", Some(400)),
            ("GET x HTTP/1.1", Some(400)),
            ("CONNECT h:443 HTTP/1.1", Some(400)),
            ("CONNECT / HTTP/1.1", Some(400)),
            ("GET /#f HTTP/1.1", Some(400)),
            ("GET /\u{e4} HTTP/1.1", Some(400)),
            ("GET / HTTP/1.2", Some(505)),
            ("GET / HTTP/2.0", Some(505)),
            ("GET / HTTP/0.9", Some(505)),
            ("GET / HTTP/11", Some(400)),
            ("GET / http/1.1", Some(400)),
            ("GET / HTTP/1.1 ", Some(400)),
            ("GET /  HTTP/1.1", Some(400)),
            ("GET /\tHTTP/1.1", Some(400)),
            (" GET / HTTP/1.1", Some(400)),
            ("GET /", Some(400)),
            ("G(T / HTTP/1.1", Some(400)),
            ("\u{16}\u{3}\u{1}", Some(400)),
            ("ABCDEFGHIJKLMNOPQRSTUVWXYZ / HTTP/1.1", Some(400)),
        ] {
            assert_eq!(status(&format!("{line}\r\nHost: h\r\n\r\n")), expected, "{line}");
        }
        let long = format!("/{}", "a".repeat(100));
        assert_eq!(status(&format!("GET {long} HTTP/1.1\r\nHost: h\r\n\r\n")), Some(414));
        assert_eq!(status(&format!("GET {}", long.repeat(2))), Some(414), "nobody waits for its end");
        assert_eq!(status("\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"), None);
        assert_eq!(status(&"\r\n".repeat(600)), Some(431));
        assert_eq!(status("\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"), Some(400));
        assert_eq!(status("GET / HTTP/1.0\r\n\r\n"), None);
    }

    #[test]
    fn fields() {
        for (block, expected) in [
            ("host:a\r\ncontent-length:0\r\n", None),
            ("Host: [::1]:80\r\nX-Y_z: \u{e4}\tb\r\n", None),
            ("Host: a\r\nTransfer-Encoding: Chunked \r\n", None),
            ("Host: a\r\nExpect: 100-continue\r\n", None),
            ("A: b\nHost: a\r\n", Some(400)),
            ("Host: a\r\nA: b\r\n c\r\n", Some(400)),
            ("Host: a\r\nA: b\r\n\tc\r\n", Some(400)),
            ("Host: a\r\nA: b\rC: d\r\n", Some(400)),
            ("Host: a\r\nA: b\0\r\n", Some(400)),
            ("Host: a\r\nA: b\x7f\r\n", Some(400)),
            ("Host: a\r\nA : b\r\n", Some(400)),
            ("Host: a\r\n: b\r\n", Some(400)),
            ("Host: a\r\nA\r\n", Some(400)),
            ("Host: a\r\n\u{e4}: b\r\n", Some(400)),
            ("Host: a\r\nHost: a\r\n", Some(400)),
            ("Host: a,b\r\n", Some(400)),
            ("Host: a b\r\n", Some(400)),
            ("Host: u@a\r\n", Some(400)),
            ("Host: a/b\r\n", Some(400)),
            ("Host:\r\n", Some(400)),
            ("A: b\r\n", Some(400)),
            ("Host: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n", Some(400)),
            ("Host: a\r\nContent-Length: +1\r\n", Some(400)),
            ("Host: a\r\nContent-Length: 1,1\r\n", Some(400)),
            ("Host: a\r\nContent-Length: 18446744073709551615\r\n", Some(400)),
            ("Host: a\r\nTransfer-Encoding: chunked, identity\r\n", Some(400)),
            ("Host: a\r\nTransfer-Encoding: xchunked\r\n", Some(400)),
            ("Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Some(400)),
            ("Host: a\r\na: b\r\na: b\r\na: b\r\na: b\r\n", None),
            ("Host: a\r\na: b\r\na: b\r\na: b\r\na: b\r\na: b\r\n", Some(431)),
        ] {
            assert_eq!(status(&format!("POST / HTTP/1.1\r\n{block}\r\n")), expected, "{block:?}");
        }
        assert_eq!(status("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), Some(400));
        let large = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}", "a".repeat(1024));
        assert_eq!(status(&large), Some(431), "nobody waits for its end");
    }

    #[test]
    fn a_body_that_looks_like_a_head_is_not_one() {
        let body = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 56\r\n\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0123456";
        let (passed, scanner) = scan(body, 7);
        assert_eq!(scanner.refusal(), None);
        assert_eq!(passed, body);
    }

    #[test]
    fn nothing_is_followed_after_the_last_request() {
        for last in ["Connection: keep-alive, Close", "Transfer-Encoding: chunked"] {
            let bytes = format!("POST / HTTP/1.1\r\nHost: a\r\n{last}\r\n\r\nno request");
            let (passed, scanner) = scan(bytes.as_bytes(), 5);
            assert_eq!((passed, scanner.refusal()), (bytes.into_bytes(), None));
            assert!(!scanner.is_between_requests());
        }
    }

    #[test]
    fn between_requests_only_when_nothing_has_come() {
        for (bytes, between) in [
            ("", true),
            ("G", false),
            ("\r", false),
            ("GET / HTTP/1.1\r\nHost: b\r\n", false),
            ("GET / HTTP/1.1\r\nHost: b\r\n\r\n", true),
            ("POST / HTTP/1.1\r\nHost: b\r\nContent-Length: 2\r\n\r\na", false),
            ("POST / HTTP/1.1\r\nHost: b\r\nContent-Length: 2\r\n\r\nab", true),
        ] {
            assert_eq!(scan(bytes.as_bytes(), 3).1.is_between_requests(), between, "{bytes:?}");
        }
    }
}
