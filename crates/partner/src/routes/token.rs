//! `POST /v1/token` (ASSUMED).

use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use http_body_util::LengthLimitError;
use landbridge_enlist::UserIdentifier;
use landbridge_enlist::jwt::{self, Claims, IssueError, TOKEN_LIFE, Token};
use serde::Deserialize;
use serde_json::json;

use super::{App, user};
use crate::problem::Problem;

/// Longest body, in bytes (ASSUMED).
pub(super) const MAX_BODY: usize = 16 * 1024;
/// How long a body may take (ASSUMED).
const BODY_TIME: Duration = Duration::from_secs(5);

/// What a client may say. Unknown members are ignored.
#[derive(Deserialize)]
struct Asked {
    audience: Option<String>,
}

pub(super) async fn post(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let user = user(&app, &head).await?;
    check_asked(&head.headers, &read(&head.headers, body).await?)?;
    app.rate
        .take(&user.user_id, Instant::now())
        .map_err(|retry_after| Problem::RateLimited { retry_after })?;
    let token = issue(&app, &user.identifier).await?;
    tracing::debug!("issued a token");
    let body = Json(json!({
        "token": token.as_str(),
        "expires_in": TOKEN_LIFE,
        "identifier": user.identifier.as_str(),
        "integrator_id": app.integrator.to_string(),
    }));
    Ok(([(CACHE_CONTROL, "no-store")], body).into_response())
}

async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    // A length that is announced is refused before a byte of it is read.
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > MAX_BODY as u64) {
        return Err(Problem::TooLarge);
    }
    match tokio::time::timeout(BODY_TIME, axum::body::to_bytes(body, MAX_BODY)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(cause)) if cause.source().is_some_and(|cause| cause.is::<LengthLimitError>()) => {
            Err(Problem::TooLarge)
        }
        Ok(Err(_)) => Err(Problem::BadRequest("the body could not be read")),
        Err(_) => Err(Problem::Timeout),
    }
}

/// Nothing, `{}` and `{"audience":"whatsapp"}` all ask for the one thing there is.
fn check_asked(headers: &HeaderMap, body: &[u8]) -> Result<(), Problem> {
    if body.is_empty() {
        return Ok(());
    }
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Problem::UnsupportedMediaType);
    }
    let asked: Asked = serde_json::from_slice(body)
        .map_err(|_| Problem::BadRequest("the body is not the expected JSON object"))?;
    match asked.audience.as_deref() {
        None | Some("whatsapp") => Ok(()),
        Some(_) => Err(Problem::BadRequest("the only audience is whatsapp")),
    }
}

async fn issue(app: &Arc<App>, identifier: &UserIdentifier) -> Result<Token, Problem> {
    let claims = claims(app.base_url.as_str(), identifier)?;
    let signer = Arc::clone(app.keys.active());
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

fn claims(issuer: &str, identifier: &UserIdentifier) -> Result<Claims, Problem> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_err(|_| Problem::Unavailable("the clock of this server is wrong"))?.as_secs();
    Ok(Claims::user(issuer, identifier, now, &mut rand::rng()))
}
