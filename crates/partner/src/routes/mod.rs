//! The public calls.

mod jwks;
mod me;
mod openapi;
mod token;

use std::sync::Arc;

use axum::Router;
use axum::http::request::Parts;
use axum::routing::{get, post};
use landbridge_enlist::IntegratorId;

use crate::auth::{AuthError, UserAuthenticator, UserRecord};
use crate::base_url::BaseUrl;
use crate::keys::SigningKeys;
use crate::problem::{self, Problem};
use crate::rate::RateLimit;

/// Path of the key set (SEED), at the origin and under the base path.
const JWKS_PATH: &str = "/.well-known/oauth/openid/jwks";

/// What the calls share.
pub(crate) struct App {
    pub(crate) base_url: BaseUrl,
    pub(crate) integrator: IntegratorId,
    pub(crate) keys: SigningKeys,
    pub(crate) authenticator: Arc<dyn UserAuthenticator>,
    pub(crate) rate: RateLimit,
    pub(crate) tokens_per_hour: u32,
}

pub(crate) fn router(app: Arc<App>) -> Router {
    let mut router = Router::new()
        .route(JWKS_PATH, get(jwks::get))
        .route("/v1/token", post(token::post))
        .route("/v1/me", get(me::get))
        .route("/openapi.json", get(openapi::get));
    if !app.base_url.path().is_empty() {
        router = router.route(&format!("{}{JWKS_PATH}", app.base_url.path()), get(jwks::get));
    }
    router
        .fallback(|| async { Problem::NotFound })
        .method_not_allowed_fallback(|| async { Problem::MethodNotAllowed })
        .layer(axum::middleware::from_fn(problem::finish))
        .with_state(app)
}

/// Finds the user of a request, who has to have opted in.
async fn user(app: &App, head: &Parts) -> Result<UserRecord, Problem> {
    match app.authenticator.authenticate(head).await {
        Ok(user) if user.opted_in => Ok(user),
        Ok(_) => Err(Problem::NotOptedIn),
        Err(AuthError::Denied) => Err(Problem::Unauthorized),
        Err(AuthError::Unavailable(cause)) => {
            tracing::warn!(cause = &*cause as &dyn std::error::Error, "sessions cannot be checked");
            Err(Problem::Unavailable("sessions cannot be checked now"))
        }
    }
}
