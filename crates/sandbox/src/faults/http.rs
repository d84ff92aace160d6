//! Faults of enlistment and key set.

use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State as Shared};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, RETRY_AFTER};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::channel::Channel;

use super::Fault;
use crate::state::State;

/// Most seconds of a Retry-After.
const RETRY: u64 = 3;

/// Stands before the handlers.
pub(crate) async fn disturb(Shared(state): Shared<Arc<State>>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let say = |fault, detail: String| state.injected(fault, None, None, None, format!("{path}: {detail}"));
    if let Some(mut dice) = state.faults.roll(Fault::HttpSlow) {
        let delay = dice.up_to(state.config.fault_times.http);
        say(Fault::HttpSlow, format!("{} ms late", delay.as_millis()));
        tokio::time::sleep(delay).await;
    }
    if state.faults.roll(Fault::HttpBrokenBefore).is_some() {
        say(Fault::HttpBrokenBefore, "nothing was done".to_owned());
        return broken();
    }
    if let Some(mut dice) = state.faults.roll(Fault::HttpRefused) {
        let status =
            if dice.below(2) == 0 { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::SERVICE_UNAVAILABLE };
        let after = 1 + dice.below(RETRY);
        say(Fault::HttpRefused, format!("{}, retry after {after} s", status.as_u16()));
        let headers = [(RETRY_AFTER, after.to_string()), (CACHE_CONTROL, "no-store".to_owned())];
        return (status, headers, "a fault of the sandbox\n").into_response();
    }
    let answer = next.run(request).await;
    if state.faults.roll(Fault::HttpBrokenAfter).is_some() {
        say(Fault::HttpBrokenAfter, format!("an answer with {} was lost", answer.status().as_u16()));
        return broken();
    }
    answer
}

/// An answer that cannot be written: the connection ends instead.
fn broken() -> Response {
    let (sender, body) = Channel::<Bytes, io::Error>::new(1);
    sender.abort(io::ErrorKind::ConnectionReset.into());
    Response::new(Body::new(body))
}
