//! The variable part of a path.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

/// The one variable segment of a route, decoded.
///
/// One that cannot be decoded is empty, which names nothing: who calls is asked first, and the answer is that of the call.
pub(super) struct Segment(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let decoded = Path::<String>::from_request_parts(parts, state).await;
        Ok(Self(decoded.map(|Path(segment)| segment).unwrap_or_default()))
    }
}
