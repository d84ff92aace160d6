//! `POST {base}/push` (SEED).

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::App;
use crate::auth::bearer;
use crate::body;
use crate::problem::Problem;
use crate::push::{UnknownUser, recipient};
use crate::store::{Pushed, StoreError};

/// Longest body, in bytes (ASSUMED).
const MAX_BODY: usize = 4 * 1024;

pub(super) async fn post(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let outcome = accept(&app, request).await;
    let result = match &outcome {
        Ok(result) => result,
        Err(_) => "rejected",
    };
    app.metrics.count("landbridge_push_received_total", &[("result", result)]);
    match outcome? {
        "unknown_user" if app.unknown_user == UnknownUser::NotFound => Err(Problem::NotFound),
        _ => Ok(StatusCode::OK.into_response()),
    }
}

/// Everything up to the wake-up that is stored; gives what became of it, as metrics call it.
async fn accept(app: &App, request: Request) -> Result<&'static str, Problem> {
    let (head, body) = request.into_parts();
    let token = bearer(&head).ok_or(Problem::Unauthorized)?;
    // Without keys the caller is not at fault.
    if !app.bearers.keys.is_live().await {
        return Err(Problem::Unavailable("WhatsApp's keys are not at hand"));
    }
    app.bearers.verify(token, app.clock.seconds()).await.map_err(|_| Problem::InvalidToken)?;
    // Only what WhatsApp asks for counts: nobody else uses up its share.
    app.push_bucket.take(Instant::now()).map_err(|retry_after| Problem::RateLimited { retry_after })?;
    body::check_json(&head.headers)?;
    let body = body::read(&head.headers, body, MAX_BODY).await?;
    let to = recipient(&body).map_err(|wrong| Problem::BadRequest(wrong.sentence()))?;
    wake(app, &to).await
}

async fn wake(app: &App, identifier: &str) -> Result<&'static str, Problem> {
    let user_id = match app.remembered.user(identifier) {
        Some(user_id) => user_id,
        None => match app.store.find_user(identifier).await.map_err(unavailable)? {
            Some(user_id) => {
                app.remembered.note(&user_id, identifier);
                user_id
            }
            None => return Ok("unknown_user"),
        },
    };
    for presence in &app.presence {
        if presence.is_connected(&user_id).await {
            return Ok("connected");
        }
    }
    let pushed = app.store.push(&user_id, app.clock.millis(), app.queue_bound).await.map_err(unavailable)?;
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

pub(super) fn unavailable(cause: StoreError) -> Problem {
    tracing::error!(cause = &cause as &dyn std::error::Error, "the store does not do what it is asked");
    Problem::Unavailable("the store does not answer")
}
