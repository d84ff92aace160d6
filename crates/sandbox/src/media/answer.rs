//! Answers with a file: whole or a part, and what goes wrong with them on purpose.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE, RANGE,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::channel::Channel;
use landbridge_transport::http_client::Streaming;

use super::host::Hosted;
use super::ledger::Ledger;
use crate::faults::Fault;
use crate::state::State;

/// Pieces that wait for a slow reader: with a connection's buffers, 256 KiB at most.
const AHEAD: usize = 4;
/// Bytes of a piece of what lies here.
const PIECE: usize = 16 * 1024;
/// Bytes a second of a slow answer.
const SLOW: usize = 1024;

/// Where the bytes of a body come from.
pub(super) enum Bodied {
    /// They are here.
    Here(Bytes),
    /// They come from a partner.
    Coming(Streaming),
}

/// A file that phones have uploaded.
pub(super) fn hosted(file: &Hosted, headers: &HeaderMap) -> (StatusCode, HeaderMap, Bytes) {
    let mut out = HeaderMap::new();
    out.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    out.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if let Ok(etag) = HeaderValue::from_str(&file.etag) {
        out.insert(ETAG, etag);
    }
    if headers.get_all(IF_NONE_MATCH).iter().any(|known| names(known, &file.etag)) {
        return (StatusCode::NOT_MODIFIED, out, Bytes::new());
    }
    let length = file.bytes.len();
    let is_same = text(IF_RANGE).is_none_or(|known| known == file.etag);
    let range = text(RANGE).filter(|_| is_same).and_then(|range| parse(range, length));
    let (status, bytes) = match range {
        None => (StatusCode::OK, file.bytes.clone()),
        Some(Wanted::Nothing) => {
            if let Ok(place) = HeaderValue::from_str(&format!("bytes */{length}")) {
                out.insert(CONTENT_RANGE, place);
            }
            return (StatusCode::RANGE_NOT_SATISFIABLE, out, Bytes::new());
        }
        Some(Wanted::Part { first, last }) => {
            if let Ok(place) = HeaderValue::from_str(&format!("bytes {first}-{last}/{length}")) {
                out.insert(CONTENT_RANGE, place);
            }
            (StatusCode::PARTIAL_CONTENT, file.bytes.slice(first..=last))
        }
    };
    out.insert(CONTENT_LENGTH, bytes.len().into());
    (status, out, bytes)
}

/// Whether `If-None-Match` names a tag: one of several, a weak form of it, or any (RFC 9110, 13.1.2).
fn names(known: &HeaderValue, etag: &str) -> bool {
    let known = known.to_str().unwrap_or_default();
    known.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Part { first: usize, last: usize },
    Nothing,
}

/// One range (RFC 9110, 14.1.2); several, or none, are the whole file.
fn parse(text: &str, length: usize) -> Option<Wanted> {
    let (unit, range) = text.split_once('=')?;
    let (first, last) = range.split_once('-').filter(|_| unit.eq_ignore_ascii_case("bytes"))?;
    if [first, last].into_iter().any(|number| !number.bytes().all(|byte| byte.is_ascii_digit())) {
        return None;
    }
    let (first, last) = match (first, last) {
        ("", suffix) => (length.saturating_sub(suffix.parse().ok()?), length.checked_sub(1)?),
        (first, "") => (first.parse().ok()?, length.checked_sub(1)?),
        (first, last) => {
            let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
            if first > last {
                return None;
            }
            (first, last.min(length.checked_sub(1)?))
        }
    };
    Some(if first <= last { Wanted::Part { first, last } } else { Wanted::Nothing })
}

/// What is done to one answer.
#[derive(Default)]
pub(super) struct Mischief {
    /// The connection breaks after so many bytes.
    cut: Option<u64>,
    /// One bit of this byte is another.
    flip: Option<u64>,
    /// So many bytes are missing at the end, and are not announced.
    missing: u64,
    slow: bool,
}

impl Mischief {
    /// Decides about an answer of `length` bytes.
    pub(super) fn decide(state: &State, path: &str, length: u64) -> Self {
        let mut mischief = Self::default();
        let say =
            |fault, detail: String| state.injected(fault, None, None, None, format!("{path}: {detail}"));
        if length == 0 {
            return mischief;
        }
        if let Some(mut dice) = state.faults.roll(Fault::MediaShort) {
            let at = dice.below(length);
            say(Fault::MediaShort, format!("breaks after {at} of {length} bytes"));
            mischief.cut = Some(at);
        }
        if let Some(mut dice) = state.faults.roll(Fault::MediaDamaged) {
            let at = dice.below(length);
            say(Fault::MediaDamaged, format!("byte {at} is damaged"));
            mischief.flip = Some(at);
        }
        if length > 16 && state.faults.roll(Fault::MediaLength).is_some() {
            say(Fault::MediaLength, format!("{} instead of {length} bytes", length - 16));
            mischief.missing = 16;
        }
        if state.faults.roll(Fault::MediaSlow).is_some() {
            say(Fault::MediaSlow, format!("{SLOW} bytes a second"));
            mischief.slow = true;
        }
        mischief
    }
}

/// Writes the answer, piece by piece, with whatever is done to it.
pub(super) fn write(
    state: &Arc<State>,
    ledger: Ledger,
    (status, mut headers, body): (StatusCode, HeaderMap, Bodied),
) -> Response {
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let is_file = matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT);
    let mischief = match announced.filter(|_| is_file) {
        Some(length) => Mischief::decide(state, ledger.path(), length),
        None => Mischief::default(),
    };
    let length = announced.map(|length| length - mischief.missing);
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    let (sender, out) = Channel::<Bytes, io::Error>::new(AHEAD);
    tokio::spawn(pump(sender, body, mischief, length, ledger));
    (status, headers, Body::new(out)).into_response()
}

type Sender = http_body_util::channel::Sender<Bytes, io::Error>;

/// Ends when the file does, when its source fails, or when nobody reads any more.
async fn pump(
    mut sender: Sender,
    mut body: Bodied,
    mischief: Mischief,
    length: Option<u64>,
    mut ledger: Ledger,
) {
    let mut at = 0_u64;
    let most = if mischief.slow { SLOW } else { PIECE };
    loop {
        let piece = match &mut body {
            Bodied::Here(bytes) if bytes.is_empty() => return ledger.is_whole(),
            Bodied::Here(bytes) => bytes.split_to(bytes.len().min(most)),
            Bodied::Coming(coming) => match coming.next().await {
                Ok(Some(piece)) => piece,
                Ok(None) => return ledger.is_whole(),
                Err(error) => return sender.abort(io::Error::other(error)),
            },
        };
        for piece in pieces(piece, most) {
            let Some(piece) = mischief.on(piece, at, length) else {
                if mischief.cut.is_some() {
                    sender.abort(io::ErrorKind::ConnectionReset.into());
                }
                return;
            };
            at += piece.len() as u64;
            ledger.sent(&piece);
            if sender.send_data(piece).await.is_err() {
                return;
            }
            if mischief.slow {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

fn pieces(mut bytes: Bytes, most: usize) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let count = bytes.len().min(most);
        (count > 0).then(|| bytes.split_to(count))
    })
}

impl Mischief {
    /// The piece at byte `at`, as it is sent; `None` if nothing more is.
    fn on(&self, piece: Bytes, at: u64, length: Option<u64>) -> Option<Bytes> {
        let end = at + piece.len() as u64;
        let stop = [self.cut, length].into_iter().flatten().min().unwrap_or(u64::MAX);
        let keep = stop.checked_sub(at).filter(|keep| *keep > 0)?;
        let mut piece = piece;
        piece.truncate(usize::try_from(keep).unwrap_or(usize::MAX));
        match self.flip.filter(|flip| (at..end).contains(flip)) {
            None => Some(piece),
            Some(flip) => {
                let mut damaged = piece.to_vec();
                if let Some(byte) = usize::try_from(flip - at).ok().and_then(|at| damaged.get_mut(at)) {
                    *byte ^= 1;
                }
                Some(damaged.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let part = |first, last| Some(Wanted::Part { first, last });
        for (text, expected) in [
            ("bytes=0-0", part(0, 0)),
            ("bytes=2-", part(2, 9)),
            ("bytes=2-4", part(2, 4)),
            ("bytes=2-99", part(2, 9)),
            ("bytes=-3", part(7, 9)),
            ("bytes=-30", part(0, 9)),
            ("bytes=10-", Some(Wanted::Nothing)),
            ("bytes=10-12", Some(Wanted::Nothing)),
            ("bytes=-0", Some(Wanted::Nothing)),
            ("bytes=5-2", None),
            ("bytes=0-1,3-4", None),
            ("lines=0-1", None),
            ("Bytes=2-4", part(2, 4)),
            ("bytes=+2-4", None),
            ("bytes=2-+4", None),
            ("bytes= 2-4", None),
            ("bytes=", None),
            ("bytes=99999999999999999999-", None),
        ] {
            assert_eq!(parse(text, 10), expected, "{text}");
        }
        assert_eq!(parse("bytes=0-", 0), None);
    }
}
