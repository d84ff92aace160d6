//! One listener for everything that is HTTP.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use landbridge_transport::{HttpLimits, ServerHandle};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::{SandboxHandle, control, enlistment, faults};

pub(crate) fn serve(
    handle: &SandboxHandle,
    listener: TcpListener,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<ServerHandle> {
    // The control API stays out of it: it is there to say what is wrong.
    let disturb = from_fn_with_state(Arc::clone(handle.state()), faults::http::disturb);
    let routes = Router::new()
        .route("/healthz", get(async || "ok"))
        .merge(enlistment::routes(handle.clone()).route_layer(disturb))
        .merge(control::routes(handle.clone(), stop.clone()));
    landbridge_transport::serve(listener, routes, HttpLimits::default(), async move {
        // The sender is gone: the sandbox was dropped.
        let _ = stop.changed().await;
    })
}
