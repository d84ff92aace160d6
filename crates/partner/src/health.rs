//! The operator's listener.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use landbridge_transport::http_server::{Certificates, OpenConnections};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::admin;
use crate::clock::Clock;
use crate::key_ring::KeyRing;
use crate::key_source::KeySource;
use crate::metrics::{self, Metrics};
use crate::problem::{self, Problem};
use crate::store::Store;
use crate::wake::WakeHub;

/// What readiness depends on, and what is measured.
pub(crate) struct Health {
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) shutting_down: AtomicBool,
    pub(crate) whatsapp: Arc<KeySource>,
    /// The keys of the partner's own issuer, if sessions are its tokens.
    pub(crate) users: Option<Arc<KeySource>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    pub(crate) certificates: Option<Arc<Certificates>>,
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) admin_token: Option<Zeroizing<String>>,
    pub(crate) hub: Arc<WakeHub>,
    pub(crate) connections: OnceLock<[(&'static str, OpenConnections); 2]>,
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Health").field("shutting_down", &self.shutting_down).finish_non_exhaustive()
    }
}

impl Health {
    /// Tells the listeners, once they listen.
    pub(crate) fn watch_connections(&self, listeners: [(&'static str, OpenConnections); 2]) {
        // Told once, by the start.
        let _ = self.connections.set(listeners);
    }
}

/// The share of the disk below which uploads may come to nothing (ASSUMED).
const MIN_FREE: f64 = 0.05;

/// WhatsApp's keys are due for renewal at least this often, in seconds (ASSUMED).
const KEYS_DEGRADED: u64 = 60 * 60;

pub(crate) fn router(health: Arc<Health>) -> Router {
    Router::new()
        .route("/health/live", get(|| async { Json(json!({"status": "ok"})) }))
        .route("/health/ready", get(ready))
        .route("/metrics", get(measured))
        .route("/admin/keys/rotate", post(admin::rotate))
        .fallback(|| async { Problem::NotFound })
        .method_not_allowed_fallback(|| async { Problem::MethodNotAllowed })
        .layer(axum::middleware::from_fn(problem::finish))
        .with_state(health)
}

async fn ready(State(health): State<Arc<Health>>) -> Response {
    // Keys are checked against what is published before they sign.
    let mut checks = Map::from_iter([("signing_key".to_owned(), Value::from("ok"))]);
    let mut check = |name: &str, good: bool| {
        checks.insert(name.to_owned(), Value::from(if good { "ok" } else { "failed" }));
        good
    };
    let mut good = check("accepting", !health.shutting_down.load(Ordering::Relaxed));
    if let Some(data_dir) = health.data_dir.clone() {
        let free = tokio::task::spawn_blocking(move || free_share(&data_dir)).await;
        good &= check("disk", free.ok().flatten().is_none_or(|free| free > MIN_FREE));
    }
    let answers = health.store.depth().await.is_ok();
    let writable = match health.data_dir.clone() {
        Some(data_dir) => tokio::task::spawn_blocking(move || is_writable(&data_dir)).await.unwrap_or(false),
        None => true,
    };
    good &= check("store", answers && writable);
    if let Some(certificates) = &health.certificates {
        let ends = certificates.not_after();
        good &= check("certificate", ends.is_none_or(|ends| ends > health.clock.seconds()));
    }
    // Old keys still verify, so this server is still worth asking.
    let fresh = health.whatsapp.age().is_some_and(|age| age <= KEYS_DEGRADED);
    checks.insert("whatsapp_keys".to_owned(), Value::from(if fresh { "ok" } else { "degraded" }));
    // Rows still lead to wake-ups, only later.
    let linked = if health.hub.is_linked() { "ok" } else { "degraded" };
    checks.insert("switchboard".to_owned(), Value::from(linked));
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if good { "ok" } else { "failed" };
    (status, Json(json!({"status": word, "checks": checks}))).into_response()
}

/// How much of the disk is free for this process; `None` where the system does not say.
#[cfg(unix)]
fn free_share(directory: &Path) -> Option<f64> {
    let disk = rustix::fs::statvfs(directory).ok().filter(|disk| disk.f_blocks > 0)?;
    Some(as_f64(disk.f_bavail) / as_f64(disk.f_blocks))
}

#[cfg(not(unix))]
fn free_share(_: &Path) -> Option<f64> {
    None
}

async fn measured(State(health): State<Arc<Health>>) -> Response {
    let mut text = health.metrics.render();
    let build = format!("version=\"{}\",revision=\"{}\"", env!("CARGO_PKG_VERSION"), crate::routes::REVISION);
    metrics::gauge(&mut text, "landbridge_build_info", &[(build, 1.0)]);
    if let Ok(depth) = health.store.depth().await {
        metrics::gauge(&mut text, "landbridge_wake_queue_depth", &[(String::new(), as_f64(depth))]);
    }
    if let Ok(totals) = health.store.media_totals(health.clock.millis()).await {
        metrics::gauge(&mut text, "landbridge_media_objects", &[(String::new(), as_f64(totals.objects))]);
        metrics::gauge(&mut text, "landbridge_media_stored_bytes", &[(String::new(), as_f64(totals.bytes))]);
    }
    if let Some(ends) = health.certificates.as_ref().and_then(|certificates| certificates.not_after()) {
        let name = "landbridge_tls_certificate_expiry_timestamp_seconds";
        metrics::gauge(&mut text, name, &[(String::new(), as_f64(ends))]);
    }
    let ages = health.keys.ages();
    let ages: Vec<_> =
        ages.into_iter().map(|(state, age)| (format!("state=\"{state}\""), as_f64(age))).collect();
    metrics::gauge(&mut text, "landbridge_signing_key_age_seconds", &ages);
    let listeners = health.connections.get().into_iter().flatten();
    let open: Vec<_> =
        listeners.map(|(name, open)| (format!("listener=\"{name}\""), as_f64(open.count() as u64))).collect();
    metrics::gauge(&mut text, "landbridge_connections", &open);
    let in_flight = [("listener=\"public\"".to_owned(), as_f64(health.metrics.in_flight()))];
    metrics::gauge(&mut text, "landbridge_http_requests_in_flight", &in_flight);
    let sources = [Some(&health.whatsapp), health.users.as_ref()];
    let issuers =
        || sources.into_iter().flatten().map(|keys| (format!("issuer=\"{}\"", keys.issuer()), keys));
    let ages: Vec<_> = issuers().filter_map(|(issuer, keys)| Some((issuer, as_f64(keys.age()?)))).collect();
    metrics::gauge(&mut text, "landbridge_jwks_age_seconds", &ages);
    let usable: Vec<_> = issuers().map(|(issuer, keys)| (issuer, as_f64(keys.usable() as u64))).collect();
    metrics::gauge(&mut text, "landbridge_jwks_usable_keys", &usable);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

#[expect(clippy::cast_precision_loss, reason = "what is measured here is far below 2^53")]
fn as_f64(value: u64) -> f64 {
    value as f64
}

fn is_writable(directory: &Path) -> bool {
    let probe = directory.join(".health-probe");
    std::fs::write(&probe, b"probe").and_then(|()| std::fs::remove_file(&probe)).is_ok()
}
