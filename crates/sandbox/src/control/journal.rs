//! The journal, a page at a time and as it grows.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use http_body_util::channel::{Channel, Sender};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;

use super::App;
use super::problem::Problem;
use super::read::Params;
use crate::events::Event;

/// Most events of one page.
pub(super) const MAX_PAGE: usize = 1_000;
/// Events that wait for a listener who does not read; more wait in the journal.
const BUFFER: usize = 64;
/// A comment goes out at least this often, so that neither side takes the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

#[derive(Serialize)]
pub(super) struct Journal {
    events: Vec<Event>,
    /// Position of the last event there is.
    last: u64,
}

pub(super) async fn page(
    State(app): State<Arc<App>>,
    Params(Page { after, limit }): Params<Page>,
) -> Result<Json<Journal>, Problem> {
    let limit = limit.unwrap_or(MAX_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::unusable("bad-limit", format!("a page has 1 to {MAX_PAGE} events")));
    }
    let mut events = app.handle.events(after);
    events.truncate(limit);
    Ok(Json(Journal { events, last: app.handle.last_event() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct From {
    after: Option<u64>,
}

/// Server-sent events. A browser that connects again says in `Last-Event-ID` what it has.
pub(super) async fn stream(
    State(app): State<Arc<App>>,
    Params(From { after }): Params<From>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let known = match headers.get("last-event-id") {
        Some(id) => {
            let id = id.to_str().ok().and_then(|id| id.parse().ok());
            Some(id.ok_or_else(|| Problem::bad_header("Last-Event-ID"))?)
        }
        None => None,
    };
    let after = known.or(after).unwrap_or_else(|| app.handle.last_event());
    let (sender, body) = Channel::<Bytes>::new(BUFFER);
    tokio::spawn(feed(app, after, sender));
    let media_type = HeaderValue::from_static("text/event-stream");
    let headers = [(CONTENT_TYPE, media_type), (CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((headers, Body::new(body)).into_response())
}

/// Writes until the listener has gone or the sandbox stops.
async fn feed(app: Arc<App>, mut after: u64, mut listener: Sender<Bytes>) {
    let mut stop = app.stop.clone();
    let mut alive = tokio::time::interval(KEEP_ALIVE);
    // A listener that falls behind the live events begins again with those that are kept.
    loop {
        let (kept, mut live) = app.handle.follow(after);
        for event in kept {
            after = event.seq;
            if listener.send_data(frame(&event)).await.is_err() {
                return;
            }
        }
        loop {
            let next = tokio::select! {
                event = live.recv() => match event {
                    Ok(event) => {
                        after = event.seq;
                        frame(&event)
                    }
                    Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => return,
                },
                _ = alive.tick() => Bytes::from_static(b": alive\n\n"),
                _ = stop.changed() => return,
            };
            if listener.send_data(next).await.is_err() {
                return;
            }
        }
    }
}

/// An event as the stream has it. JSON has no line breaks outside of its strings, and escapes them inside.
fn frame(event: &Event) -> Bytes {
    let value = serde_json::to_value(event).unwrap_or_default();
    let name = value.get("event").and_then(Value::as_str).unwrap_or("event");
    Bytes::from(format!("id: {}\nevent: {name}\ndata: {value}\n\n", event.seq))
}
