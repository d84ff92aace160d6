//! Errors on the wire: `application/problem+json` (RFC 9457).

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::faults::UnknownFault;
use crate::state::chain;
use crate::{FileError, PhoneError, SandboxError};

/// What `type` begins with; the rest is the slug.
const BASE: &str = "https://landbridge.invalid/problems/sandbox/";

/// An answer that says what is wrong. The slugs are a closed set.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    slug: &'static str,
    detail: String,
}

impl Problem {
    fn new(status: StatusCode, slug: &'static str, detail: impl Into<String>) -> Self {
        Self { status, slug, detail: detail.into() }
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "there is nothing at this path")
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "the path has other methods")
    }

    pub(super) fn no_such_fault(error: &UnknownFault) -> Self {
        Self::new(StatusCode::NOT_FOUND, "no-such-fault", error.to_string())
    }

    /// A value that has the right type and is out of its range.
    pub(super) fn unusable(slug: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, slug, detail)
    }

    pub(super) fn bad_query(rejection: &QueryRejection) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-query", rejection.body_text())
    }

    pub(super) fn bad_body(rejection: &JsonRejection) -> Self {
        let slug = match rejection.status() {
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported-media-type",
            StatusCode::PAYLOAD_TOO_LARGE => "too-large",
            _ => "bad-body",
        };
        // A member that is unknown, missing or of another type is as much a mistake as broken JSON.
        let status = match rejection.status() {
            StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
            other => other,
        };
        Self::new(status, slug, rejection.body_text())
    }

    pub(super) fn bad_header(name: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad-header",
            format!("the header {name} is not what the call takes"),
        )
    }
}

impl From<SandboxError> for Problem {
    fn from(error: SandboxError) -> Self {
        let SandboxError::Phone { source, .. } = &error else {
            return match error {
                SandboxError::NoSuchUser => Self::unusable("no-such-user", error.to_string()),
                SandboxError::NoPushes => Self::unusable("no-pushes", error.to_string()),
                _ => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", chain(&error)),
            };
        };
        let detail = source.to_string();
        match source {
            PhoneError::NoSuchPhone => Self::new(StatusCode::NOT_FOUND, "no-such-phone", detail),
            PhoneError::Number => Self::unusable("bad-number", detail),
            PhoneError::NoSuchUser => Self::unusable("no-such-user", detail),
            PhoneError::Recipient { .. } => Self::unusable("bad-recipient", detail),
            PhoneError::Text { .. } => Self::unusable("bad-text", detail),
            PhoneError::NoMessage { .. } => Self::unusable("no-such-message", detail),
            PhoneError::AskedOften { .. } => Self::new(StatusCode::CONFLICT, "asked-often", detail),
            PhoneError::Exists => Self::new(StatusCode::CONFLICT, "exists", detail),
            PhoneError::NotSent { .. } => Self::new(StatusCode::CONFLICT, "not-sent", detail),
            PhoneError::NotBlocked => Self::new(StatusCode::CONFLICT, "not-blocked", detail),
            _ => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", chain(&error)),
        }
    }
}

impl From<FileError> for Problem {
    fn from(error: FileError) -> Self {
        let detail = chain(&error);
        match error {
            FileError::Sandbox(error) => error.into(),
            FileError::TooLarge { .. } => Self::unusable("file-too-large", detail),
            FileError::Kind { .. } => Self::unusable("bad-kind", detail),
            FileError::NoFile => Self::unusable("no-such-file", detail),
            FileError::Status { .. } | FileError::Http(_) => {
                Self::new(StatusCode::CONFLICT, "not-fetched", detail)
            }
            FileError::Refused(_) => Self::new(StatusCode::CONFLICT, "file-refused", detail),
            FileError::NoServer => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, slug, detail } = self;
        let title = status.canonical_reason().unwrap_or("Problem");
        let body = json!({
            "type": format!("{BASE}{slug}"), "title": title, "status": status.as_u16(), "detail": detail,
        });
        let media_type = HeaderValue::from_static("application/problem+json");
        (status, [(CONTENT_TYPE, media_type)], body.to_string()).into_response()
    }
}
