//! Pushes to partners.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

use super::App;
use super::problem::Problem;
use super::read::Body;
use crate::PushReport;

type Shared = State<Arc<App>>;

/// What is planned, and how the last push for each user ended.
pub(super) async fn list(State(app): Shared) -> Json<PushReport> {
    Json(app.handle.pushes())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct To {
    to: String,
}

/// Pushes now. The journal has the exchange.
pub(super) async fn push(State(app): Shared, Body(To { to }): Body<To>) -> Result<StatusCode, Problem> {
    app.handle.push(&to)?;
    Ok(StatusCode::ACCEPTED)
}
