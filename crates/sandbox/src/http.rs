//! One listener for everything that is HTTP.

use axum::Router;
use axum::routing::get;
use landbridge_transport::{HttpLimits, ServerHandle};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::{SandboxHandle, control, enlistment};

pub(crate) fn serve(
    handle: &SandboxHandle,
    listener: TcpListener,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<ServerHandle> {
    let routes = Router::new()
        .route("/healthz", get(async || "ok"))
        .merge(enlistment::routes(handle.clone()))
        .merge(control::routes(handle.clone(), stop.clone()));
    landbridge_transport::serve(listener, routes, HttpLimits::default(), async move {
        // The sender is gone: the sandbox was dropped.
        let _ = stop.changed().await;
    })
}
