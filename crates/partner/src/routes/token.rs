//! `POST /v1/token` (ASSUMED).

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use landbridge_enlist::UserIdentifier;
use landbridge_enlist::jwt::{self, Claims, IssueError, TOKEN_LIFE, Token};
use serde::Deserialize;
use serde_json::json;

use super::wake::remember;
use super::{App, user};
use crate::body;
use crate::problem::Problem;

/// Longest body, in bytes (ASSUMED).
pub(super) const MAX_BODY: usize = 16 * 1024;

/// What a client may say. Unknown members are ignored.
#[derive(Deserialize)]
struct Asked {
    audience: Option<String>,
}

pub(super) async fn post(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let answer = answer(&app, request).await;
    let result = match &answer {
        Ok(_) => "ok",
        Err(Problem::Unauthorized) => "unauthorized",
        Err(Problem::NotOptedIn) => "not_opted_in",
        Err(Problem::RateLimited { .. }) => "rate_limited",
        Err(Problem::Unavailable(_)) => "unavailable",
        Err(_) => "rejected",
    };
    app.metrics.count("landbridge_tokens_issued_total", &[("result", result)]);
    answer
}

async fn answer(app: &Arc<App>, request: Request) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let user = user(app, &head).await?;
    check_asked(&head.headers, &body::read(&head.headers, body, MAX_BODY).await?)?;
    app.rate
        .take(&user.user_id, Instant::now())
        .map_err(|retry_after| Problem::RateLimited { retry_after })?;
    remember(app, &user).await?;
    let token = issue(app, &user.identifier).await?;
    let body = Json(json!({
        "token": token.as_str(),
        "expires_in": TOKEN_LIFE,
        "identifier": user.identifier.as_str(),
        "integrator_id": app.integrator.to_string(),
    }));
    Ok(([(CACHE_CONTROL, "no-store")], body).into_response())
}

/// Nothing, `{}` and `{"audience":"whatsapp"}` all ask for the one thing there is.
fn check_asked(headers: &HeaderMap, body: &[u8]) -> Result<(), Problem> {
    if body.is_empty() {
        return Ok(());
    }
    body::check_json(headers)?;
    let asked: Asked = body::object(body)?;
    match asked.audience.as_deref() {
        None | Some("whatsapp") => Ok(()),
        Some(_) => Err(Problem::BadRequest("the only audience is whatsapp")),
    }
}

async fn issue(app: &Arc<App>, identifier: &UserIdentifier) -> Result<Token, Problem> {
    let claims = Claims::user(app.base_url.as_str(), identifier, app.clock.seconds(), &mut rand::rng());
    let signer = Arc::clone(app.keys.current().active());
    // Signing takes half a millisecond of CPU, or a round trip to a key service.
    let issued = tokio::task::spawn_blocking(move || jwt::issue(&*signer, &claims)).await;
    match issued {
        Ok(Ok(token)) => Ok(token),
        Ok(Err(cause)) => {
            tracing::error!(cause = &cause as &dyn std::error::Error, "a token could not be issued");
            Err(Problem::Unavailable(match cause {
                IssueError::Sign(_) => "the signing key does not answer",
                _ => "tokens cannot be issued now",
            }))
        }
        Err(_) => Err(Problem::Unavailable("tokens cannot be issued now")),
    }
}
