//! The control API: HTTP and JSON around [`SandboxHandle`], under `/control`.
//!
//! What there is stands in one table ([`operations`]): the router and the OpenAPI document are both made of it, so that
//! neither has what the other lacks. Errors are problem documents (RFC 9457), unknown members of bodies and queries are
//! refused, bodies are JSON and say so: a web page that is open in a browser cannot post here.

mod faults;
mod files;
mod journal;
mod openapi;
mod phones;
mod problem;
mod pushes;
mod read;
mod schemas;
#[cfg(test)]
mod tests;
mod tricks;
mod world;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{MethodRouter, delete, get, post, put};
use serde_json::Value;
use tokio::sync::watch;

use crate::SandboxHandle;
use problem::Problem;

/// Where the control API begins.
pub(crate) const PATH: &str = "/control";
/// Largest body: the longest text, with room for its escapes.
const MAX_BODY: usize = 512 * 1024;

/// What the calls share.
pub(crate) struct App {
    handle: SandboxHandle,
    /// Changes when the sandbox stops: calls that wait are to end then.
    stop: watch::Receiver<bool>,
}

/// One call of the API.
struct Operation {
    /// `get`, `post`, `put`, `delete`.
    method: &'static str,
    /// Below [`PATH`].
    path: &'static str,
    /// Who answers it.
    handler: MethodRouter<Arc<App>>,
    /// What the document says of it.
    document: Value,
}

/// Everything that there is.
fn operations() -> Vec<Operation> {
    let get_at = |path, handler, document| Operation { method: "get", path, handler, document };
    let post_at = |path, handler, document| Operation { method: "post", path, handler, document };
    let put_at = |path, handler, document| Operation { method: "put", path, handler, document };
    let delete_at = |path, handler, document| Operation { method: "delete", path, handler, document };
    vec![
        get_at("/phones", get(phones::list), openapi::list_phones()),
        post_at("/phones", post(phones::create), openapi::create_phone()),
        get_at("/phones/{number}", get(phones::one), openapi::get_phone()),
        delete_at("/phones/{number}", delete(phones::delete), openapi::delete_phone()),
        get_at("/phones/{number}/messages", get(phones::messages), openapi::get_messages()),
        post_at("/phones/{number}/messages", post(phones::send), openapi::send_message()),
        post_at(
            "/phones/{number}/files",
            post(files::send).layer(DefaultBodyLimit::max(files::MAX_BODY)),
            openapi::send_file(),
        ),
        post_at("/phones/{number}/files/fetch", post(files::fetch), openapi::fetch_file()),
        post_at("/phones/{number}/reply", post(tricks::reply), openapi::reply()),
        post_at("/phones/{number}/react", post(tricks::react), openapi::react()),
        post_at("/phones/{number}/edit", post(tricks::edit), openapi::edit()),
        post_at("/phones/{number}/revoke", post(tricks::revoke), openapi::revoke()),
        post_at("/phones/{number}/type", post(tricks::typing), openapi::typing()),
        post_at("/phones/{number}/read", post(phones::read), openapi::read_messages()),
        post_at("/phones/{number}/played", post(tricks::played), openapi::played()),
        post_at("/phones/{number}/block", post(phones::block), openapi::block_user()),
        post_at("/phones/{number}/unblock", post(phones::unblock), openapi::unblock_user()),
        post_at("/phones/{number}/garbage", post(tricks::garbage), openapi::garbage()),
        post_at("/phones/{number}/ask-again", post(tricks::ask_again), openapi::ask_again()),
        post_at("/phones/{number}/lose-session", post(tricks::lose_session), openapi::lose_session()),
        post_at("/phones/{number}/reinstall", post(tricks::reinstall), openapi::reinstall()),
        post_at("/phones/{number}/offline", post(tricks::offline), openapi::offline()),
        post_at("/phones/{number}/online", post(tricks::online), openapi::online()),
        get_at("/users", get(world::users), openapi::list_users()),
        get_at("/journal", get(journal::page), openapi::get_journal()),
        get_at("/events", get(journal::stream), openapi::stream_events()),
        post_at("/holds", post(world::hold), openapi::hold()),
        post_at("/holds/release", post(world::release), openapi::release()),
        get_at("/pushes", get(pushes::list), openapi::list_pushes()),
        post_at("/pushes", post(pushes::push), openapi::push()),
        get_at("/faults", get(faults::list), openapi::list_faults()),
        put_at("/faults", put(faults::set_all), openapi::set_faults()),
        put_at("/faults/{name}", put(faults::set), openapi::set_fault()),
        get_at("/magic", get(faults::magic), openapi::list_magic()),
        get_at("/clock", get(world::clock), openapi::get_clock()),
        post_at("/clock/advance", post(world::advance), openapi::advance_clock()),
        post_at("/clock/back", post(world::set_back), openapi::set_clock_back()),
        post_at("/push-keys/rotate", post(world::rotate), openapi::rotate_push_keys()),
        get_at("/openapi.json", get(openapi::document), openapi::get_openapi()),
    ]
}

/// The routes of the control API, and `/readyz`.
pub(crate) fn routes(handle: SandboxHandle, stop: watch::Receiver<bool>) -> Router {
    let mut calls: Router<Arc<App>> = Router::new();
    for Operation { path, handler, .. } in operations() {
        calls = calls.route(path, handler);
    }
    let calls = calls
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(DefaultBodyLimit::max(MAX_BODY));
    let app = Arc::new(App { handle, stop });
    Router::new().nest(PATH, calls).route("/readyz", get(world::ready)).with_state(app)
}
