//! `GET /.well-known/oauth/openid/jwks` (SEED).

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use landbridge_enlist::jwks;

use super::App;
use super::range::none_match;

pub(super) async fn get(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let keys = app.keys.current();
    let etag = keys.etag();
    let validators = [(ETAG, etag), (CACHE_CONTROL, jwks::CACHE_CONTROL)];
    if none_match(&headers, etag) {
        return (StatusCode::NOT_MODIFIED, validators).into_response();
    }
    (validators, [(CONTENT_TYPE, jwks::CONTENT_TYPE)], keys.document().to_owned()).into_response()
}
