//! The operator's listener.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Map, Value, json};

use crate::problem::{self, Problem};

/// What readiness depends on.
#[derive(Debug)]
pub(crate) struct Health {
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) shutting_down: AtomicBool,
}

pub(crate) fn router(health: Arc<Health>) -> Router {
    Router::new()
        .route("/health/live", get(|| async { Json(json!({"status": "ok"})) }))
        .route("/health/ready", get(ready))
        .fallback(|| async { Problem::NotFound })
        .method_not_allowed_fallback(|| async { Problem::MethodNotAllowed })
        .layer(axum::middleware::from_fn(problem::finish))
        .with_state(health)
}

async fn ready(State(health): State<Arc<Health>>) -> Response {
    // Keys are checked against what is published before the listeners open, and never change after that.
    let mut checks = Map::from_iter([("signing_key".to_owned(), Value::from("ok"))]);
    let mut check = |name: &str, good: bool| {
        checks.insert(name.to_owned(), Value::from(if good { "ok" } else { "failed" }));
        good
    };
    let mut good = check("accepting", !health.shutting_down.load(Ordering::Relaxed));
    if let Some(data_dir) = health.data_dir.clone() {
        let writable = tokio::task::spawn_blocking(move || is_writable(&data_dir)).await;
        good &= check("store", writable.unwrap_or(false));
    }
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if good { "ok" } else { "failed" };
    (status, Json(json!({"status": word, "checks": checks}))).into_response()
}

fn is_writable(directory: &Path) -> bool {
    let probe = directory.join(".health-probe");
    std::fs::write(&probe, b"probe").and_then(|()| std::fs::remove_file(&probe)).is_ok()
}
