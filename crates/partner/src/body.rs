//! Reading the bodies of requests.

use std::error::Error as _;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::LengthLimitError;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// How long a small body may take (ASSUMED).
const TIME: Duration = Duration::from_secs(5);

/// A body of at most `max` bytes.
pub(crate) async fn read(headers: &HeaderMap, body: Body, max: usize) -> Result<Bytes, Problem> {
    // A length that is announced is refused before a byte of it is read.
    if announced(headers).is_some_and(|length| length > max as u64) {
        return Err(Problem::TooLarge);
    }
    match tokio::time::timeout(TIME, axum::body::to_bytes(body, max)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(cause)) if cause.source().is_some_and(|cause| cause.is::<LengthLimitError>()) => {
            Err(Problem::TooLarge)
        }
        Ok(Err(_)) => Err(Problem::BadRequest("the body could not be read")),
        Err(_) => Err(Problem::Timeout),
    }
}

/// `Content-Length`. The transport has refused what is no number, and lengths that differ.
pub(crate) fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Checks that the body is declared as JSON.
pub(crate) fn check_json(headers: &HeaderMap) -> Result<(), Problem> {
    check_type(headers, "application/json")
}

/// Checks that the body is declared as `wanted`, in any case and with any parameters.
pub(crate) fn check_type(headers: &HeaderMap, wanted: &str) -> Result<(), Problem> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let media_type = values.next().and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(wanted) && values.next().is_none() {
        Ok(())
    } else {
        Err(Problem::UnsupportedMediaType)
    }
}

/// Reads one JSON object. An array would do for serde as well, and is none.
pub(crate) fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let wrong = Problem::BadRequest("the body is not the expected JSON object");
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(wrong);
    }
    serde_json::from_slice(body).map_err(|_| wrong)
}
