//! Follows the HTTP/2 frames of a connection from outside: whether they do anything, and whether there are floods of
//! those that cost their sender nothing (RFC 9113, section 10.5).
//!
//! h2 counts resets and the frames of one header block. What it answers or skips for nothing (PING, SETTINGS, empty DATA,
//! PRIORITY, unknown types) it answers and skips without end.

use std::time::Duration;

use tokio::time::Instant;

/// The first bytes of a client, before its first frame.
const PREFACE: usize = 24;
const HEADER: usize = 9;
/// How long is counted before counting begins anew (ASSUMED).
const WINDOW: Duration = Duration::from_secs(30);
/// What may come within a window (ASSUMED).
const RESETS: u32 = 200;
const SETTINGS: u32 = 100;
const PINGS: u32 = 300;
const EMPTY: u32 = 300;
const IDLE: u32 = 1_000;

/// GOAWAY with ENHANCE_YOUR_CALM.
const CALM: u32 = 0xb;

mod kind {
    pub(super) const DATA: u8 = 0x0;
    pub(super) const HEADERS: u8 = 0x1;
    pub(super) const RST_STREAM: u8 = 0x3;
    pub(super) const SETTINGS: u8 = 0x4;
    pub(super) const PING: u8 = 0x6;
    pub(super) const GOAWAY: u8 = 0x7;
    pub(super) const WINDOW_UPDATE: u8 = 0x8;
    pub(super) const CONTINUATION: u8 = 0x9;
}

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// Frames of one kind that came within one window, and more of which may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flood {
    /// RST_STREAM.
    Resets,
    /// SETTINGS.
    Settings,
    /// PING.
    Pings,
    /// DATA that carries nothing and ends nothing, CONTINUATION that continues nothing.
    Empty,
    /// PRIORITY and types that nobody knows.
    Idle,
}

impl Flood {
    /// In a few words, for a log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resets => "flood of resets",
            Self::Settings => "flood of settings",
            Self::Pings => "flood of pings",
            Self::Empty => "flood of empty frames",
            Self::Idle => "flood of frames without a use",
        }
    }
}

/// What bytes were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Some belong to requests, answers or their flow.
    Work,
    /// All are about the connection itself: a peer can go on like this without wanting anything.
    Upkeep,
    /// Too many of them are.
    Flood(Flood),
}

/// One direction of a connection.
#[derive(Debug)]
pub struct FrameScanner {
    /// Bytes of the preface that are still to come.
    preface: usize,
    header: [u8; HEADER],
    filled: usize,
    /// Bytes of the present frame that are still to come, and whether they are work.
    left: usize,
    works: bool,
    since: Option<Instant>,
    counts: Counts,
    last_stream: u32,
    goodbye: bool,
}

#[derive(Debug, Default)]
struct Counts {
    resets: u32,
    settings: u32,
    pings: u32,
    empty: u32,
    idle: u32,
}

impl FrameScanner {
    /// What a client sends.
    #[must_use]
    pub fn of_client() -> Self {
        Self { preface: PREFACE, ..Self::of_server() }
    }

    /// What a server sends.
    #[must_use]
    pub fn of_server() -> Self {
        Self {
            preface: 0,
            header: [0; HEADER],
            filled: 0,
            left: 0,
            works: false,
            since: None,
            counts: Counts::default(),
            last_stream: 0,
            goodbye: false,
        }
    }

    /// Takes the next bytes. After a flood, nothing that is said of the connection means anything.
    pub fn feed(&mut self, mut bytes: &[u8], now: Instant) -> Seen {
        let mut seen = Seen::Upkeep;
        loop {
            let skipped = self.preface.min(bytes.len());
            self.preface -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let inside = self.left.min(bytes.len());
            if inside > 0 && self.works {
                seen = Seen::Work;
            }
            self.left -= inside;
            bytes = bytes.get(inside..).unwrap_or_default();
            let Some((byte, rest)) = bytes.split_first() else { return seen };
            bytes = rest;
            if let Some(slot) = self.header.get_mut(self.filled) {
                *slot = *byte;
            }
            self.filled += 1;
            if self.filled == HEADER {
                self.filled = 0;
                if let Some(flood) = self.frame(now) {
                    return Seen::Flood(flood);
                }
                if self.works {
                    seen = Seen::Work;
                }
            }
        }
    }

    /// A header is complete.
    fn frame(&mut self, now: Instant) -> Option<Flood> {
        let [a, b, c, kind, flags, s0, s1, s2, s3] = self.header;
        let length = u32::from_be_bytes([0, a, b, c]);
        let stream = u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff;
        self.left = usize::try_from(length).unwrap_or(usize::MAX);
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= WINDOW) {
            self.since = Some(now);
            self.counts = Counts::default();
        }
        let counts = &mut self.counts;
        self.works = false;
        let (count, most, flood) = match kind {
            kind::DATA if length == 0 && flags & END_STREAM == 0 => (&mut counts.empty, EMPTY, Flood::Empty),
            kind::CONTINUATION if length == 0 && flags & END_HEADERS == 0 => {
                (&mut counts.empty, EMPTY, Flood::Empty)
            }
            kind::HEADERS => {
                self.last_stream = self.last_stream.max(stream);
                self.works = true;
                return None;
            }
            kind::DATA | kind::WINDOW_UPDATE | kind::CONTINUATION => {
                self.works = true;
                return None;
            }
            kind::RST_STREAM => (&mut counts.resets, RESETS, Flood::Resets),
            kind::SETTINGS => (&mut counts.settings, SETTINGS, Flood::Settings),
            kind::PING => (&mut counts.pings, PINGS, Flood::Pings),
            kind::GOAWAY => {
                self.goodbye = true;
                return None;
            }
            // PRIORITY is deprecated (RFC 9113, 5.3.2), but browsers send some of it.
            _ => (&mut counts.idle, IDLE, Flood::Idle),
        };
        *count += 1;
        (*count > most).then_some(flood)
    }

    /// Whether a frame may begin here.
    #[must_use]
    pub fn at_boundary(&self) -> bool {
        self.preface == 0 && self.filled == 0 && self.left == 0
    }

    /// Whether GOAWAY was among them.
    #[must_use]
    pub fn has_said_goodbye(&self) -> bool {
        self.goodbye
    }

    /// The frame that tells the sender of these frames to calm down; what it sent later was not looked at.
    #[must_use]
    pub fn calm(&self) -> [u8; HEADER + 8] {
        let mut frame = [0; HEADER + 8];
        let parts = [
            &[0, 0, 8, kind::GOAWAY, 0, 0, 0, 0, 0][..],
            &self.last_stream.to_be_bytes(),
            &CALM.to_be_bytes(),
        ];
        for (slot, byte) in frame.iter_mut().zip(parts.concat()) {
            *slot = byte;
        }
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    #[test]
    fn work_is_told_from_upkeep_however_it_is_split() {
        let now = Instant::now();
        let upkeep = [frame(kind::SETTINGS, 0, 0, &[0; 12]), frame(kind::PING, 0, 0, &[7; 8])].concat();
        let work = frame(kind::HEADERS, 5, 3, b"12345");
        for step in 1..30 {
            let mut scanner = FrameScanner::of_client();
            assert_eq!(scanner.feed(&[b'P'; PREFACE], now), Seen::Upkeep);
            for chunk in upkeep.chunks(step) {
                assert_eq!(scanner.feed(chunk, now), Seen::Upkeep, "step {step}");
            }
            assert!(scanner.at_boundary());
            let seen: Vec<Seen> = work.chunks(step).map(|chunk| scanner.feed(chunk, now)).collect();
            assert!(seen.contains(&Seen::Work), "step {step}");
            assert!(scanner.at_boundary());
            assert_eq!(scanner.calm()[9..13], [0, 0, 0, 3]);
        }
    }

    #[test]
    fn floods_have_names_and_end_with_their_window() {
        let start = Instant::now();
        for (bytes, most, flood) in [
            (frame(kind::RST_STREAM, 0, 1, &[0; 4]), RESETS, Flood::Resets),
            (frame(kind::SETTINGS, 0, 0, &[]), SETTINGS, Flood::Settings),
            (frame(kind::SETTINGS, 1, 0, &[]), SETTINGS, Flood::Settings),
            (frame(kind::PING, 0, 0, &[0; 8]), PINGS, Flood::Pings),
            (frame(kind::DATA, 0, 1, &[]), EMPTY, Flood::Empty),
            (frame(kind::CONTINUATION, 0, 1, &[]), EMPTY, Flood::Empty),
            (frame(0x2, 0, 1, &[0; 5]), IDLE, Flood::Idle),
            (frame(0xbe, 0, 0, &[]), IDLE, Flood::Idle),
        ] {
            let mut scanner = FrameScanner::of_server();
            for round in 0..2 {
                let now = start + WINDOW * round;
                for n in 0..most {
                    assert_eq!(scanner.feed(&bytes, now), Seen::Upkeep, "{flood:?} {n}");
                }
            }
            assert_eq!(scanner.feed(&bytes, start + WINDOW), Seen::Flood(flood));
        }
        let mut scanner = FrameScanner::of_server();
        for bytes in [frame(kind::DATA, END_STREAM, 1, &[]), frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])]
        {
            for _ in 0..10_000 {
                assert_eq!(scanner.feed(&bytes, start), Seen::Work);
            }
        }
    }
}
