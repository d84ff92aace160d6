//! Checks 1 to 3: what is no enlistment at all, and is answered by HTTP.

use std::error::Error as _;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::LengthLimitError;
use landbridge_enlist::EnlistmentRequest;

/// How long a body may take from the end of the header (ASSUMED).
const BODY_TIME: Duration = Duration::from_secs(5);

/// A request that never becomes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// Check 1.
    Method,
    /// Check 2.
    TooLarge,
    /// Check 3.
    MediaType,
    /// The body did not come in time.
    Slow,
    /// The body broke off.
    Broken,
}

impl Refused {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken => StatusCode::BAD_REQUEST,
        }
    }

    /// The rule, for answer and journal.
    pub(super) const fn rule(self) -> &'static str {
        match self {
            Self::Method => "check 1: the method is POST",
            Self::TooLarge => "check 2: the body has at most 16 KiB",
            Self::MediaType => "check 3: the content type is application/x-www-form-urlencoded",
            Self::Slow => "the body arrives within 5 seconds",
            Self::Broken => "the body arrives whole",
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let text = format!("{}\n", self.rule());
        let mut response = (self.status(), [(CACHE_CONTROL, "no-store")], text).into_response();
        let headers = response.headers_mut();
        match self {
            Self::Method => {
                headers.insert(ALLOW, axum::http::HeaderValue::from_static("POST"));
            }
            // What is still to come of the body is not read.
            Self::TooLarge | Self::Slow | Self::Broken => {
                headers.insert(CONNECTION, axum::http::HeaderValue::from_static("close"));
            }
            Self::MediaType => {}
        }
        response
    }
}

/// Reads the body of a request that may be an enlistment.
pub(super) async fn read(head: &Parts, body: Body, max_bytes: usize) -> Result<Bytes, Refused> {
    if head.method != Method::POST {
        return Err(Refused::Method);
    }
    // A length that is announced is refused before a byte of it is read.
    let announced =
        head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > max_bytes) {
        return Err(Refused::TooLarge);
    }
    let bytes = match tokio::time::timeout(BODY_TIME, axum::body::to_bytes(body, max_bytes)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(cause)) if cause.source().is_some_and(|cause| cause.is::<LengthLimitError>()) => {
            return Err(Refused::TooLarge);
        }
        Ok(Err(_)) => return Err(Refused::Broken),
        Err(_) => return Err(Refused::Slow),
    };
    if is_form(&head.headers) { Ok(bytes) } else { Err(Refused::MediaType) }
}

/// Whether the one content type is that of forms; parameters do not matter.
fn is_form(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(EnlistmentRequest::CONTENT_TYPE)
}
