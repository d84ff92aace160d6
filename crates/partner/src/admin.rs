//! What an operator may do, with the token that lies in the data directory.

use std::path::Path;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::auth::bearer;
use crate::body;
use crate::health::Health;
use crate::key_files::{self, KeyFileError};
use crate::key_ring::{RotateError, Rotation};
use crate::problem::Problem;

/// The file with the token.
const TOKEN_FILE: &str = "admin-token";
const MAX_BODY: usize = 1024;

/// The operator's token, made on the first start. Blocks.
pub(crate) fn token(data_dir: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let path = data_dir.join(TOKEN_FILE);
    if let Some(token) = key_files::read(&path)? {
        return Ok(Zeroizing::new(token.trim().to_owned()));
    }
    let token = Zeroizing::new(URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()));
    key_files::write(&path, &token).map_err(|cause| KeyFileError::Write { path, cause })?;
    Ok(token)
}

/// Which rotation is wanted; a planned one if nothing is said.
#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    emergency: bool,
}

/// `POST /admin/keys/rotate`
pub(crate) async fn rotate(State(health): State<Arc<Health>>, request: Request) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let given = bearer(&head).ok_or(Problem::Unauthorized)?;
    // Without a data directory there is no token, and no operator.
    let token = health.admin_token.as_ref().filter(|token| !token.is_empty()).ok_or(Problem::Unauthorized)?;
    if !bool::from(token.as_bytes().ct_eq(given.as_bytes())) {
        return Err(Problem::Unauthorized);
    }
    let body = body::read(&head.headers, body, MAX_BODY).await?;
    let emergency = !body.is_empty() && body::object::<Wanted>(&body)?.emergency;
    let rotation = if emergency { Rotation::Emergency } else { Rotation::Planned };
    // Not cut short by a client that leaves: what was begun is finished.
    let keys = Arc::clone(&health.keys);
    let rotated = tokio::spawn(async move { keys.rotate(rotation).await }).await;
    match rotated.map_err(|_| Problem::Unavailable("the rotation ended early"))? {
        Ok(()) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(RotateError::TooSoon { wait }) => Err(Problem::TooSoon {
            retry_after: wait,
            detail: "the standby key has not been published long enough",
        }),
        Err(RotateError::NotOurs) => {
            Err(Problem::Conflict("the signing keys are not this server's to rotate"))
        }
        Err(cause) => {
            tracing::error!(cause = &cause as &dyn std::error::Error, "keys cannot be rotated");
            Err(Problem::Unavailable("the keys cannot be rotated"))
        }
    }
}
