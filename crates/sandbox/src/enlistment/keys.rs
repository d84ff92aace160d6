//! `GET /.well-known/jwks` (SEED): the keys that verify the sandbox's pushes.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use landbridge_enlist::jwks;

use super::Desk;
use crate::events::EventKind;
use crate::faults::Fault;
use crate::state::State as Shared;

/// Waits for the keys on the very first start.
pub(super) async fn get(State(desk): State<Arc<Desk>>, headers: HeaderMap) -> Response {
    let keys = match desk.state.push_keys.get(&desk.state).await {
        Ok(keys) => keys,
        Err(error) => {
            desk.state.internal("the push keys cannot be had", &error);
            return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "30")]).into_response();
        }
    };
    if desk.state.faults.roll(Fault::JwksRotated).is_some() {
        tokio::spawn(move_on(Arc::clone(&desk.state)));
    }
    let validators = [(ETAG, keys.etag.as_str()), (CACHE_CONTROL, jwks::CACHE_CONTROL)];
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    // Our tag holds no comma, so a split inside a foreign tag cannot make one.
    let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
    if tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == keys.etag) {
        desk.state.note(None, None, EventKind::KeySetServed { status: 304 });
        return (StatusCode::NOT_MODIFIED, validators).into_response();
    }
    desk.state.note(None, None, EventKind::KeySetServed { status: 200 });
    (validators, [(CONTENT_TYPE, jwks::CONTENT_TYPE)], keys.document.clone()).into_response()
}

/// Moves the keys on behind the answer.
async fn move_on(state: Arc<Shared>) {
    match state.push_keys.rotate(&state).await {
        Ok(keys) => {
            let detail = format!("key {} signs pushes from now on", keys.signer.public_key().kid());
            state.injected(Fault::JwksRotated, None, None, None, detail);
        }
        Err(error) => state.internal("the push keys could not move on", &error),
    }
}
