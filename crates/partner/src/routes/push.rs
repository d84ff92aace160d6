//! `POST {base}/push` (SEED).
//!
//! It is called more often than everything else together, so it goes its own way past the router, and does by itself what
//! the router's layers do for the other calls.

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::ALLOW;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Request};
use axum::response::{IntoResponse, Response};

use super::App;
use crate::auth::bearer;
use crate::body;
use crate::problem::{self, Problem};
use crate::push::{NoBearer, UnknownUser, recipient};
use crate::store::{Pushed, StoreError};

/// Longest body, in bytes (ASSUMED).
const MAX_BODY: usize = 4 * 1024;

/// Whether a request is for [`call`].
pub(super) fn is_push<B>(app: &App, request: &Request<B>) -> bool {
    request.method() == Method::POST && request.uri().path() == app.pushes.path()
}

/// What the router says of other methods.
pub(super) async fn other() -> Response {
    let mut response = Problem::MethodNotAllowed.into_response();
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    response
}

/// Answers a push.
pub(super) async fn call<B>(app: Arc<App>, request: Request<B>) -> Response
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let begun = Instant::now();
    let (head, body) = request.into_parts();
    let answer =
        async { problem::finished(&head.method, answer(&app, &head, body, begun).await.into_response()) };
    app.pushes.request(head.version, begun, answer).await
}

async fn answer<B>(app: &App, head: &Parts, body: B, now: Instant) -> Result<Response, Problem>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let outcome = accept(app, head, body, now).await;
    app.push_results.count(outcome.unwrap_or("rejected"));
    match outcome? {
        "unknown_user" if app.unknown_user == UnknownUser::NotFound => Err(Problem::NotFound),
        _ => Ok(Response::new(Body::empty())),
    }
}

/// Everything up to the wake-up that is stored; gives what became of it, as metrics call it.
async fn accept<B>(app: &App, head: &Parts, body: B, now: Instant) -> Result<&'static str, Problem>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let token = bearer(head).ok_or(Problem::Unauthorized)?;
    app.bearers.verify(token, app.clock.seconds()).await.map_err(|refused| match refused {
        NoBearer::NoKeys => Problem::Unavailable("WhatsApp's keys are not at hand"),
        NoBearer::Refused => Problem::InvalidToken,
    })?;
    // Only what WhatsApp asks for counts: nobody else uses up its share.
    app.push_bucket.take(now).map_err(|retry_after| Problem::RateLimited { retry_after })?;
    body::check_json(&head.headers)?;
    let body = body::read(&head.headers, body, MAX_BODY).await?;
    let to = recipient(&body).map_err(|wrong| Problem::BadRequest(wrong.sentence()))?;
    wake(app, &to, now).await
}

async fn wake(app: &App, identifier: &str, now: Instant) -> Result<&'static str, Problem> {
    let user_id = match app.remembered.user(identifier, now) {
        Some(user_id) => user_id,
        None => match find(app, identifier, now).await? {
            Some(user_id) => user_id,
            None => return Ok("unknown_user"),
        },
    };
    for presence in &app.presence {
        if presence.is_connected(&user_id).await {
            return Ok("connected");
        }
    }
    let millis = app.clock.millis();
    if app.store.is_promised(&user_id, millis) {
        return Ok("coalesced");
    }
    let pushed = app.store.push(&user_id, millis, app.queue_bound).await.map_err(unavailable)?;
    match pushed {
        Pushed::Full => Err(Problem::Unavailable("too many wake-ups wait")),
        Pushed::Queued => {
            app.dispatcher.pushed();
            Ok("queued")
        }
        Pushed::Coalesced => {
            app.dispatcher.pushed();
            Ok("coalesced")
        }
    }
}

async fn find(app: &App, identifier: &str, now: Instant) -> Result<Option<Arc<str>>, Problem> {
    let turn = app.remembered.turn();
    let found = app.store.find_user(identifier).await.map_err(unavailable)?;
    let found: Option<Arc<str>> = found.map(Into::into);
    if let Some(user_id) = &found {
        app.remembered.found(Arc::clone(user_id), identifier, now, turn);
    }
    Ok(found)
}

pub(super) fn unavailable(cause: StoreError) -> Problem {
    tracing::error!(cause = &cause as &dyn Error, "the store does not do what it is asked");
    Problem::Unavailable("the store does not answer")
}
