//! `GET /v1/me` (ASSUMED).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use landbridge_enlist::jwt::{MAX_USER_TOKEN, TOKEN_LIFE};
use serde_json::json;

use super::wake::to_the_end;
use super::{App, JWKS_PATH, token, user};
use crate::problem::Problem;
use crate::wake::UserKey;

/// The revision of WhatsApp's document that this server follows (V103).
pub(crate) const REVISION: &str = "1.0.3";

/// Forgets the caller. What WhatsApp knows is deleted by the client, over the chat channel.
pub(super) async fn delete(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let (head, _) = request.into_parts();
    let user = user(&app, &head).await?;
    to_the_end(async move {
        app.store.forget_user(&user.user_id).await?;
        app.remembered.forget(&user.user_id);
        app.hub.close_user(&UserKey::of(&user.user_id));
        app.hosting.swept_soon();
        Ok(())
    })
    .await?;
    Ok(StatusCode::ACCEPTED.into_response())
}

pub(super) async fn get(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let (head, _) = request.into_parts();
    let user = user(&app, &head).await?;
    let body = Json(json!({
        "identifier": user.identifier.as_str(),
        "integrator_id": app.integrator.to_string(),
        "base_url": app.base_url.as_str(),
        "jwks_url": format!("{}{JWKS_PATH}", app.base_url.origin()),
        "limits": {
            "token_bytes": MAX_USER_TOKEN,
            "token_life_seconds": TOKEN_LIFE,
            "tokens_per_hour": app.tokens_per_hour,
            "request_bytes": token::MAX_BODY,
            "media_bytes": app.hosting.config.max_bytes,
            "media_bytes_per_day": app.hosting.config.quota_per_day,
            "media_bytes_stored": app.hosting.config.quota_stored,
        },
        "media_base_url": app.media_base_url,
        "wake_kinds": app.kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>(),
        "web_push_key": app.web_push_key,
        "revision": REVISION,
    }));
    Ok(([(CACHE_CONTROL, "no-store")], body).into_response())
}
