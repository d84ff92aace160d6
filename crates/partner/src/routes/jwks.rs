//! `GET /.well-known/oauth/openid/jwks` (SEED).

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use landbridge_enlist::jwks;

use super::App;

pub(super) async fn get(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let etag = app.keys.etag();
    let validators = [(ETAG, etag), (CACHE_CONTROL, jwks::CACHE_CONTROL)];
    if matches(&headers, etag) {
        return (StatusCode::NOT_MODIFIED, validators).into_response();
    }
    (validators, [(CONTENT_TYPE, jwks::CONTENT_TYPE)], app.keys.document().to_owned()).into_response()
}

/// Whether `If-None-Match` names `etag`, by the weak comparison of RFC 9110 section 13.1.2.
fn matches(headers: &HeaderMap, etag: &str) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    // Our tags hold no comma, so a split inside a foreign tag cannot make one.
    values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}
