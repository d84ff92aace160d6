//! Follows the HTTP/1 requests of a connection from outside: where a header block begins and ends, and which requests
//! give their length in two ways.
//!
//! hyper resolves `Content-Length` against `Transfer-Encoding` before a service sees the request, so the service
//! cannot refuse it. This scanner reads the same bytes and does no more than it must: hyper still judges the syntax.

/// Bytes of a line that are kept: enough for the two names and a length.
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

#[derive(Debug)]
pub(super) struct HeadScanner {
    phase: Phase,
    line: Vec<u8>,
    line_len: usize,
    lines: usize,
    length: Option<u64>,
    chunked: bool,
    heads: u64,
    ambiguous: Option<u64>,
}

impl Default for HeadScanner {
    fn default() -> Self {
        Self {
            phase: Phase::Head,
            line: Vec::with_capacity(KEPT),
            line_len: 0,
            lines: 0,
            length: None,
            chunked: false,
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
        matches!(self.phase, Phase::Head) && (self.lines > 0 || self.line_len > 0)
    }

    /// Number (from 0) of the request that has both lengths, if there was one.
    pub(super) fn ambiguous(&self) -> Option<u64> {
        self.ambiguous
    }

    fn head_byte(&mut self, byte: u8) {
        if byte != b'\n' {
            self.line_len += 1;
            if self.line.len() < KEPT {
                self.line.push(byte);
            }
            return;
        }
        if self.line.last() == Some(&b'\r') && self.line.len() == self.line_len {
            self.line.pop();
        }
        let empty = self.line.is_empty();
        if !empty {
            self.lines += 1;
            self.field();
        }
        self.line.clear();
        self.line_len = 0;
        // Empty lines before a request are allowed; one after its first line ends the block.
        if empty && self.lines > 0 {
            self.end_of_head();
        }
    }

    fn field(&mut self) {
        let Some(colon) = self.line.iter().position(|b| *b == b':') else { return };
        let (name, value) = self.line.split_at(colon);
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.chunked = true;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            // What is no number, hyper refuses; then no byte of the body is read as a request.
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            self.length = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok()).or(Some(u64::MAX));
        }
    }

    fn end_of_head(&mut self) {
        let length = self.length.take();
        let chunked = std::mem::take(&mut self.chunked);
        if chunked && length.is_some() && self.ambiguous.is_none() {
            self.ambiguous = Some(self.heads);
        }
        self.heads += 1;
        self.lines = 0;
        self.phase = match length {
            _ if chunked => Phase::Blind,
            Some(left @ 1..) => Phase::Body { left },
            _ => Phase::Head,
        };
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
            b"GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcPOST / HTTP/1.1\r\n\
            transfer-ENCODING: chunked\r\nX: y\r\nCONTENT-LENGTH: 4\r\n\r\n";
        for step in 1..both.len() {
            assert_eq!(scan(both, step).ambiguous(), Some(2), "step {step}");
        }
    }

    #[test]
    fn a_body_that_looks_like_a_header_is_not_one() {
        let body = b"POST / HTTP/1.1\r\nContent-Length: 56\r\n\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0123456";
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
