//! Follows the HTTP/1 requests of a connection from outside: where a header block begins and ends, and which requests
//! two readers may take for different ones.
//!
//! hyper is generous with what it takes for a line or a length, and settles contradictions before a service sees the
//! request. That is fine for one reader, and a hole as soon as there is a proxy in front that settles them in another
//! way (RFC 9112, section 11.2). This scanner reads the same bytes and names the requests that must be refused; what is
//! plainly wrong, hyper refuses.

/// Bytes of a line that are kept: enough for the names and values that matter.
const KEPT: usize = 64;

#[derive(Debug)]
enum Phase {
    /// Between requests, or inside a header block once a byte has come.
    Head,
    /// Inside a body of known length.
    Body { left: u64 },
    /// A request after which this connection ends, or bytes of another protocol: nothing to follow any more.
    Blind,
}

/// What the lines of one header block have said so far.
#[derive(Debug, Default)]
struct Head {
    lines: usize,
    lengths: usize,
    length: Option<u64>,
    codings: usize,
    hosts: usize,
    is_http_1_1: bool,
    /// A line that may be taken for another, or a value that has several readings.
    odd: bool,
}

#[derive(Debug)]
pub(super) struct HeadScanner {
    phase: Phase,
    line: Vec<u8>,
    line_len: usize,
    /// The last byte was a carriage return.
    after_cr: bool,
    head: Head,
    heads: u64,
    ambiguous: Option<u64>,
}

impl Default for HeadScanner {
    fn default() -> Self {
        Self {
            phase: Phase::Head,
            line: Vec::with_capacity(KEPT),
            line_len: 0,
            after_cr: false,
            head: Head::default(),
            heads: 0,
            ambiguous: None,
        }
    }
}

impl HeadScanner {
    /// Takes the next bytes of the connection.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            match &mut self.phase {
                Phase::Blind => return,
                Phase::Body { left } => {
                    let n = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= n as u64;
                    if *left == 0 {
                        self.phase = Phase::Head;
                    }
                    bytes = bytes.get(n..).unwrap_or_default();
                }
                Phase::Head => {
                    self.head_byte(byte);
                    bytes = rest;
                }
            }
        }
    }

    /// Whether a header block has begun and not ended.
    pub(super) fn in_head(&self) -> bool {
        matches!(self.phase, Phase::Head) && (self.head.lines > 0 || self.line_len > 0)
    }

    /// Number (from 0) of the first request that has to be refused, if there was one.
    pub(super) fn ambiguous(&self) -> Option<u64> {
        self.ambiguous
    }

    fn head_byte(&mut self, byte: u8) {
        if byte != b'\n' {
            // A lone carriage return is the end of a line for some.
            self.head.odd |= self.after_cr || byte == 0;
            self.after_cr = byte == b'\r';
            self.line_len += 1;
            if self.line.len() < KEPT {
                self.line.push(byte);
            }
            return;
        }
        // A bare line feed is the end of a line for some.
        self.head.odd |= !self.after_cr;
        if self.after_cr && self.line.len() == self.line_len {
            self.line.pop();
        }
        let empty = self.line_len == usize::from(self.after_cr);
        self.after_cr = false;
        if !empty {
            let line = std::mem::take(&mut self.line);
            if self.head.lines == 0 {
                self.head.request_line(&line);
            } else {
                self.head.field(&line);
            }
            self.head.lines += 1;
            self.line = line;
        }
        self.line.clear();
        self.line_len = 0;
        // Empty lines before a request are allowed; one after its first line ends the block.
        if empty && self.head.lines > 0 {
            self.end_of_head();
        }
    }

    fn end_of_head(&mut self) {
        let head = std::mem::take(&mut self.head);
        if head.is_ambiguous() && self.ambiguous.is_none() {
            self.ambiguous = Some(self.heads);
        }
        self.heads += 1;
        self.phase = match head.length {
            _ if head.codings > 0 => Phase::Blind,
            Some(left @ 1..) => Phase::Body { left },
            _ => Phase::Head,
        };
    }
}

impl Head {
    fn request_line(&mut self, line: &[u8]) {
        // The version stands at the end, which a long line does not keep.
        self.is_http_1_1 = !line.ends_with(b"HTTP/1.0");
    }

    fn field(&mut self, line: &[u8]) {
        // A folded line is part of the one before, for some.
        self.odd |= matches!(line.first(), Some(b' ' | b'\t'));
        let Some(colon) = line.iter().position(|b| *b == b':') else { return };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.codings += 1;
            // Other codings, lists and other spellings: what they come to depends on who reads them.
            self.odd |= !value.eq_ignore_ascii_case(b"chunked");
        } else if name.eq_ignore_ascii_case(b"content-length") {
            self.lengths += 1;
            // Digits only: some take a sign, and hyper refuses the rest.
            self.odd |= value.is_empty() || !value.iter().all(u8::is_ascii_digit);
            self.length = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok()).or(Some(u64::MAX));
        } else if name.eq_ignore_ascii_case(b"host") {
            self.hosts += 1;
        }
    }

    fn is_ambiguous(&self) -> bool {
        let lengths = self.lengths + self.codings > 1;
        let coding_before_1_1 = self.codings > 0 && !self.is_http_1_1;
        let hosts = self.hosts > 1 || self.hosts == 0 && self.is_http_1_1;
        self.odd || lengths || coding_before_1_1 || hosts
    }
}

#[cfg(test)]
mod tests {
    use super::HeadScanner;

    fn scan(bytes: &[u8], step: usize) -> HeadScanner {
        let mut scanner = HeadScanner::default();
        bytes.chunks(step).for_each(|chunk| scanner.feed(chunk));
        scanner
    }

    #[test]
    fn both_lengths_are_found_in_any_request_and_split() {
        let both =
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
            POST / HTTP/1.1\r\nHost: a\r\ntransfer-ENCODING: chunked\r\nX: y\r\nCONTENT-LENGTH: 4\r\n\r\n";
        for step in 1..both.len() {
            assert_eq!(scan(both, step).ambiguous(), Some(2), "step {step}");
        }
    }

    #[test]
    fn lines_with_two_readings() {
        for block in [
            "A: b\nHost: a\r\n",
            "Host: a\r\nA: b\r\n c\r\n",
            "Host: a\r\nA: b\r\n\tc\r\n",
            "Host: a\r\nA: b\rC: d\r\n",
            "Host: a\r\nA: b\0\r\n",
            "Host: a\r\nHost: a\r\n",
            "A: b\r\n",
            "Host: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n",
            "Host: a\r\nContent-Length: +1\r\n",
            "Host: a\r\nContent-Length: 1,1\r\n",
            "Host: a\r\nTransfer-Encoding: chunked, identity\r\n",
            "Host: a\r\nTransfer-Encoding: xchunked\r\n",
            "Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        ] {
            let request = format!("POST / HTTP/1.1\r\n{block}\r\n");
            for step in [1, 2, 1000] {
                assert_eq!(scan(request.as_bytes(), step).ambiguous(), Some(0), "{block:?}");
            }
        }
        let old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(scan(old, 1).ambiguous(), Some(0));
        for plain in [
            &b"\r\nGET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked \r\n\r\n"[..],
            b"GET / HTTP/1.0\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost:a\r\ncontent-length:0\r\n\r\n",
        ] {
            assert_eq!(scan(plain, 1).ambiguous(), None);
        }
    }

    #[test]
    fn a_body_that_looks_like_a_header_is_not_one() {
        let body = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 56\r\n\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0123456";
        let scanner = scan(body, 7);
        assert_eq!(scanner.ambiguous(), None);
        assert!(!scanner.in_head());
    }

    #[test]
    fn in_head_only_between_first_and_last_byte() {
        assert!(!scan(b"", 1).in_head());
        assert!(scan(b"G", 1).in_head());
        assert!(scan(b"GET / HTTP/1.1\r\nA: b\r\n", 3).in_head());
        assert!(!scan(b"GET / HTTP/1.1\r\nA: b\r\n\r\n", 3).in_head());
        assert!(!scan(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", 3).in_head());
    }
}
