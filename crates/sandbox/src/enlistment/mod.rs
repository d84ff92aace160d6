//! The HTTP side of becoming known: `POST /3p/interop_reg` (SEED), the sandbox's own key set, and the pollers of the
//! partners' key sets.
//!
//! The checks are those of the protocol page in its order; the first failure is the answer, and the journal says which
//! rule it was. What the form alone decides lies in `landbridge-enlist`; here are HTTP, the limits, the token, and the
//! effects.

mod barred;
mod gate;
mod keys;
mod limits;
mod register;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::routing::{any, get};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::jwks::PushKeys;
use crate::state::State;
use crate::{SandboxError, SandboxHandle, jwks};
use limits::Limits;

/// Where to enlist (SEED).
pub(crate) const PATH: &str = "/3p/interop_reg";
/// Where the sandbox's own key set is (SEED).
pub(crate) const JWKS_PATH: &str = "/.well-known/jwks";

/// What the calls share.
struct Desk {
    state: Arc<State>,
    limits: Limits,
}

/// The routes of this module. Must be called within a tokio runtime: the push keys begin to be made.
pub(crate) fn routes(handle: SandboxHandle) -> Router {
    let state = Arc::clone(handle.state());
    let limits = Limits::new(state.config.rate_limits, &state.profile().enlistment);
    PushKeys::begin(&state);
    Router::new()
        // Every method comes in, so that a wrong one can be written to the journal too.
        .route(PATH, any(register::register))
        .route(JWKS_PATH, get(keys::get))
        .with_state(Arc::new(Desk { state, limits }))
}

/// Starts the pollers, one per partner; they end when `stop` changes.
pub(crate) fn spawn(
    state: &Arc<State>,
    stop: &watch::Receiver<bool>,
) -> Result<Vec<JoinHandle<()>>, SandboxError> {
    jwks::spawn(state, stop)
}
