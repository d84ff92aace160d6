//! `Range` and its conditions (RFC 9110), as far as this server follows them: one range, by bytes.

use axum::http::HeaderMap;
use axum::http::header::{IF_NONE_MATCH, IF_RANGE, RANGE};

/// What of an object is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Whole,
    /// From `start`, `length` bytes: at least one, all of them there.
    Part {
        start: u64,
        length: u64,
    },
    /// A range that begins behind the end.
    Unsatisfiable,
}

/// Whether `If-None-Match` names `etag`, by the weak comparison of RFC 9110 section 13.1.2.
pub(super) fn none_match(headers: &HeaderMap, etag: &str) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    // Our tags hold no comma, so a split inside a foreign tag cannot make one.
    values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// What the headers of a GET ask of an object of `size` bytes.
pub(super) fn wanted(headers: &HeaderMap, etag: &str, size: u64) -> Wanted {
    let mut ranges = headers.get_all(RANGE).iter();
    let (Some(range), None) = (ranges.next(), ranges.next()) else { return Wanted::Whole };
    // Another tag, a weak one or a date: what the client has may be something else.
    if headers.get_all(IF_RANGE).iter().any(|condition| condition.as_bytes() != etag.as_bytes()) {
        return Wanted::Whole;
    }
    range.to_str().ok().and_then(|range| parse(range, size)).unwrap_or(Wanted::Whole)
}

/// `None` for what is ignored: other units, several ranges, bad syntax.
fn parse(range: &str, size: u64) -> Option<Wanted> {
    let (unit, spec) = range.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = spec.trim().split_once('-')?;
    let first = if first.is_empty() { None } else { Some(number(first)?) };
    let last = if last.is_empty() { None } else { Some(number(last)?) };
    let (start, end) = match (first, last) {
        (Some(first), Some(last)) if first > last => return None,
        (Some(first), last) => (first, last.map_or(size, |last| last.saturating_add(1).min(size))),
        (None, Some(0)) => return Some(Wanted::Unsatisfiable),
        (None, Some(suffix)) => (size.saturating_sub(suffix), size),
        (None, None) => return None,
    };
    if start >= size {
        return Some(Wanted::Unsatisfiable);
    }
    Some(Wanted::Part { start, length: end - start })
}

/// Digits only; too large for 64 bits is still a number.
fn number(digits: &str) -> Option<u64> {
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const ETAG: &str = "\"tag\"";

    fn ask(pairs: &[(axum::http::HeaderName, &str)]) -> Wanted {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        wanted(&headers, ETAG, 100)
    }

    #[test]
    fn ranges() {
        let part = |start, length| Wanted::Part { start, length };
        for (range, expected) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=0-99", part(0, 100)),
            ("bytes=0-100", part(0, 100)),
            ("bytes=10-", part(10, 90)),
            ("bytes=99-", part(99, 1)),
            ("bytes=-1", part(99, 1)),
            ("bytes=-100", part(0, 100)),
            ("bytes=-101", part(0, 100)),
            ("Bytes = 1-2", part(1, 2)),
            ("bytes=5-18446744073709551615", part(5, 95)),
            ("bytes=5-99999999999999999999999", part(5, 95)),
            ("bytes=100-", Wanted::Unsatisfiable),
            ("bytes=100-200", Wanted::Unsatisfiable),
            ("bytes=99999999999999999999999-", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=2-1", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=", Wanted::Whole),
            ("bytes", Wanted::Whole),
            ("bytes=0-1,5-6", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=1 - 2", Wanted::Whole),
            ("bytes=0x1-2", Wanted::Whole),
            ("lines=0-1", Wanted::Whole),
        ] {
            assert_eq!(ask(&[(RANGE, range)]), expected, "{range}");
        }
        assert_eq!(ask(&[(RANGE, "bytes=0-1"), (RANGE, "bytes=0-1")]), Wanted::Whole);
        assert_eq!(ask(&[]), Wanted::Whole);
    }

    #[test]
    fn if_range() {
        for (condition, expected) in [
            (ETAG, Wanted::Part { start: 0, length: 2 }),
            ("\"other\"", Wanted::Whole),
            ("W/\"tag\"", Wanted::Whole),
            ("Tue, 24 Nov 2026 10:00:00 GMT", Wanted::Whole),
        ] {
            assert_eq!(ask(&[(RANGE, "bytes=0-1"), (IF_RANGE, condition)]), expected, "{condition}");
        }
    }
}
