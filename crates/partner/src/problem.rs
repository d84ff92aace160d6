//! Errors on the wire: `application/problem+json` (RFC 9457).

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// What `type` begins with; the rest is the slug.
pub const PROBLEM_BASE: &str = "https://landbridge.invalid/problems/";

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Everything that this server answers with a problem document. The slugs are a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Problem {
    /// No valid session.
    Unauthorized,
    /// A bearer that is not believed.
    InvalidToken,
    /// A session, but its user does not want to be reachable.
    NotOptedIn,
    /// A body that is not what the call takes.
    BadRequest(&'static str),
    /// A body that did not arrive in time.
    Timeout,
    /// A target that is too long.
    TargetTooLong,
    /// An expectation that nobody here can meet.
    Expectation,
    /// Another version of HTTP.
    HttpVersion,
    /// Header fields that are too many or too long.
    FieldsTooLarge,
    UnsupportedMediaType,
    TooLarge,
    /// A body whose length has to be known beforehand.
    LengthRequired,
    /// A body that is not what it was announced as.
    DigestMismatch(&'static str),
    /// Not in the state that the request takes for granted.
    Conflict(&'static str),
    /// Not yet, with the seconds after which it is.
    TooSoon {
        retry_after: u64,
        detail: &'static str,
    },
    /// Another version of the upload protocol.
    TusVersion,
    RangeNotSatisfiable,
    /// More than a user may have.
    QuotaExceeded(&'static str),
    NotFound,
    MethodNotAllowed,
    /// Too many, with the seconds after which one more is allowed.
    RateLimited {
        retry_after: u64,
    },
    /// Something this server depends on does not answer.
    Unavailable(&'static str),
}

impl Problem {
    fn parts(self) -> (StatusCode, &'static str, &'static str, Option<&'static str>) {
        match self {
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", "No valid session", None),
            Self::InvalidToken => {
                (StatusCode::UNAUTHORIZED, "invalid-token", "The bearer token is not accepted", None)
            }
            Self::NotOptedIn => {
                (StatusCode::FORBIDDEN, "not-opted-in", "The user has not opted in to be reachable", None)
            }
            Self::BadRequest(detail) => (StatusCode::BAD_REQUEST, "bad-request", "Bad request", Some(detail)),
            Self::Timeout => (
                StatusCode::REQUEST_TIMEOUT,
                "bad-request",
                "Bad request",
                Some("the body did not arrive in time"),
            ),
            Self::TargetTooLong => {
                (StatusCode::URI_TOO_LONG, "bad-request", "Bad request", Some("the target is too long"))
            }
            Self::Expectation => (
                StatusCode::EXPECTATION_FAILED,
                "bad-request",
                "Bad request",
                Some("nothing is expected of this server but 100-continue"),
            ),
            Self::HttpVersion => (
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                "bad-request",
                "Bad request",
                Some("the version of HTTP is none that is spoken here"),
            ),
            Self::FieldsTooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "bad-request",
                "Bad request",
                Some("the header fields are too many or too long"),
            ),
            Self::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "The body is not of the media type of this call",
                None,
            ),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large", None),
            Self::LengthRequired => {
                (StatusCode::LENGTH_REQUIRED, "length-required", "The length of the body is not given", None)
            }
            Self::DigestMismatch(detail) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "digest-mismatch",
                "The body is not what it was announced as",
                Some(detail),
            ),
            Self::Conflict(detail) | Self::TooSoon { detail, .. } => {
                (StatusCode::CONFLICT, "bad-request", "Bad request", Some(detail))
            }
            Self::TusVersion => (
                StatusCode::PRECONDITION_FAILED,
                "bad-request",
                "Bad request",
                Some("Tus-Resumable is not 1.0.0"),
            ),
            Self::RangeNotSatisfiable => (
                StatusCode::RANGE_NOT_SATISFIABLE,
                "range-not-satisfiable",
                "The range begins behind the end",
                None,
            ),
            Self::QuotaExceeded(detail) => (
                StatusCode::INSUFFICIENT_STORAGE,
                "quota-exceeded",
                "There is no room for more",
                Some(detail),
            ),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "There is nothing here", None),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Not with this method", None)
            }
            Self::RateLimited { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "rate-limited", "Too many requests", None)
            }
            Self::Unavailable(detail) => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Temporarily unavailable", Some(detail))
            }
        }
    }
}

impl IntoResponse for Problem {
    /// The body is written by [`finish`], which knows the request's id.
    fn into_response(self) -> Response {
        let mut response = self.parts().0.into_response();
        let headers = response.headers_mut();
        match self {
            Self::Unauthorized => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::InvalidToken => {
                let value = HeaderValue::from_static("Bearer error=\"invalid_token\"");
                headers.insert(WWW_AUTHENTICATE, value);
            }
            Self::RateLimited { retry_after } | Self::TooSoon { retry_after, .. } => {
                headers.insert(RETRY_AFTER, HeaderValue::from(retry_after));
            }
            Self::TusVersion => {
                headers.insert("tus-version", HeaderValue::from_static("1.0.0"));
            }
            Self::Unavailable(_) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(30_u64));
            }
            _ => {}
        }
        response.extensions_mut().insert(self);
        response
    }
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    instance: &'a str,
}

impl Problem {
    fn document(self, instance: &str) -> Vec<u8> {
        let (status, slug, title, detail) = self.parts();
        // Who is told an id by a client finds out what was wrong here.
        if status.is_server_error() {
            tracing::warn!(request_id = %instance, status = status.as_u16(), slug, detail, "answered with a problem");
        } else {
            tracing::debug!(request_id = %instance, status = status.as_u16(), slug, detail, "answered with a problem");
        }
        let kind = format!("{PROBLEM_BASE}{slug}");
        let document = Document { kind, title, status: status.as_u16(), detail, instance };
        // Strings and a number: there is nothing in it that serde_json can refuse.
        serde_json::to_vec(&document).unwrap_or_default()
    }
}

const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// 128 random bits in hexadecimal.
fn new_id() -> String {
    let digit = |nibble: u8| char::from(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 });
    rand::random::<[u8; 16]>().iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The answer to a request that the transport refuses before any route sees it.
pub(crate) fn refused(status: StatusCode) -> axum::http::Response<Bytes> {
    let problem = match status {
        StatusCode::URI_TOO_LONG => Problem::TargetTooLong,
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Problem::FieldsTooLarge,
        StatusCode::EXPECTATION_FAILED => Problem::Expectation,
        StatusCode::HTTP_VERSION_NOT_SUPPORTED => Problem::HttpVersion,
        _ => Problem::BadRequest("the request is malformed or can be read in two ways"),
    };
    let id = new_id();
    let mut answer = axum::http::Response::new(Bytes::from(problem.document(&id)));
    *answer.status_mut() = problem.parts().0;
    answer.headers_mut().insert(CONTENT_TYPE, MEDIA_TYPE);
    if let Ok(value) = HeaderValue::from_str(&id) {
        answer.headers_mut().insert(REQUEST_ID, value);
    }
    answer
}

/// Gives every answer its `X-Request-Id` and writes the problem documents.
pub(crate) async fn finish(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    finished(&method, next.run(request).await)
}

/// What [`finish`] does with an answer.
pub(crate) fn finished(method: &Method, mut response: Response) -> Response {
    let id = new_id();
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let document = problem.document(&id);
        response.headers_mut().insert(CONTENT_TYPE, MEDIA_TYPE);
        // Of HEAD, too, it is the length of the document (RFC 9110 section 8.6).
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(document.len()));
        if method != Method::HEAD {
            *response.body_mut() = Body::from(document);
        }
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}
