//! The media server's socket.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State as Shared};
use axum::http::header::{ALLOW, HeaderValue, RANGE};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use landbridge_media::DownloadPath;
use landbridge_transport::{HttpClient, HttpLimits, ServerHandle};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::answer::{Bodied, hosted, write};
use super::ledger::Ledger;
use super::partner::{Answer, bare, fetch};
use crate::SandboxError;
use crate::faults::Fault;
use crate::state::State;

/// From a request to the first byte of a partner's answer.
const FIRST_BYTE: Duration = Duration::from_secs(10);

#[derive(Clone)]
struct Front {
    state: Arc<State>,
    http: HttpClient,
}

/// Serves files until `stop` changes.
pub(crate) fn serve(
    state: &Arc<State>,
    listener: TcpListener,
    mut stop: watch::Receiver<bool>,
) -> Result<ServerHandle, SandboxError> {
    let http = state.config.http_client().total_timeout(FIRST_BYTE).build().map_err(SandboxError::Http)?;
    let front = Front { state: Arc::clone(state), http };
    let routes = Router::new().fallback(answer).with_state(front);
    let listen = |source| SandboxError::Listen { what: "files", addr: state.config.media_addr, source };
    let server = landbridge_transport::serve(listener, routes, HttpLimits::default(), async move {
        // The sender is gone: the sandbox was dropped.
        let _ = stop.changed().await;
    });
    let server = server.map_err(listen)?;
    state.media.listens_on(server.local_addr());
    Ok(server)
}

async fn answer(Shared(front): Shared<Front>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    if head.method != Method::GET && head.method != Method::HEAD {
        let allow = [(ALLOW, HeaderValue::from_static("GET, HEAD"))];
        return (StatusCode::METHOD_NOT_ALLOWED, allow).into_response();
    }
    let target = head.uri.path_and_query().map(axum::http::uri::PathAndQuery::as_str);
    let Some(path) = target.and_then(|target| target.parse::<DownloadPath>().ok()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let state = &front.state;
    let mut headers = head.headers;
    // What the journal may know of a path: it opens the file to whoever has the rest.
    let shown = format!("{path:?}");
    let integrator = path.partner().map(|(integrator, _)| integrator);
    let part = headers.contains_key(RANGE);
    let mut ledger = Ledger::new(state, shown.clone(), &head.method, part, integrator);
    if state.faults.roll(Fault::MediaGone).is_some() {
        ledger.answers(StatusCode::NOT_FOUND);
        ledger.is_whole();
        state.injected(Fault::MediaGone, None, None, None, format!("{shown}: 404"));
        return StatusCode::NOT_FOUND.into_response();
    }
    if headers.contains_key(RANGE) && state.faults.roll(Fault::MediaWhole).is_some() {
        state.injected(Fault::MediaWhole, None, None, None, format!("{shown}: the part becomes the whole"));
        headers.remove(RANGE);
    }
    let found: Answer = match path.partner() {
        Some((integrator, reference)) => {
            let whose = (integrator, &reference);
            fetch(&front.http, &state.partners, whose, &head.method, &headers).await
        }
        None => match state.media.get(&path) {
            None => bare(StatusCode::NOT_FOUND),
            Some(file) if file.expires_at <= state.now() => bare(StatusCode::FORBIDDEN),
            Some(file) => {
                let (status, headers, bytes) = hosted(&file, &headers);
                (status, headers, Bodied::Here(bytes))
            }
        },
    };
    tracing::info!(path = shown, status = found.0.as_u16(), "a file was asked for");
    ledger.answers(found.0);
    if head.method == Method::HEAD {
        ledger.is_whole();
        let (status, headers, _) = found;
        return (status, headers).into_response();
    }
    write(state, ledger, found)
}
