//! The chat listener: one task per connection, no thread.

mod connection;
mod delivery;
mod frames;
mod handshake;
mod listener;
mod mischief;

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::events::EventKind;
use crate::router::End;
use crate::state::State;

pub(crate) use listener::Listener;

/// Pause after a failed accept: the system is short of something, and asking again at once would only burn time.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// Accepts connections until `stop` changes, then ends them all and waits for them.
pub(crate) async fn serve(state: Arc<State>, mut listener: Listener, mut stop: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(state.config.chat.connections.clamp(1, Semaphore::MAX_PERMITS)));
    let mut tasks = JoinSet::new();
    loop {
        // A slot is taken before the accept: who finds no slot waits in the system's queue.
        let permit = tokio::select! {
            biased;
            permit = Arc::clone(&slots).acquire_owned() => permit,
            _ = stop.changed() => break,
        };
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            _ = stop.changed() => break,
        };
        while tasks.try_join_next().is_some() {}
        match accepted {
            Some(Ok(guest)) => {
                // Here, so that the journal has them in the order in which they came.
                let id = state.next_connection();
                state.note(Some(id), None, EventKind::Connected { peer: guest.peer.clone() });
                let (state, stop) = (Arc::clone(&state), stop.clone());
                tasks.spawn(async move {
                    connection::run(state, id, guest, stop).await;
                    drop(permit);
                });
            }
            // Nobody can come any more; those who are there stay.
            None => {
                let _ = stop.changed().await;
                break;
            }
            Some(Err(error)) => {
                let detail = format!("a connection could not be accepted: {error}");
                state.note(None, None, EventKind::Internal { detail });
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    state.router.end_all(End::Shutdown);
    let drained = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(state.config.chat.drain, drained).await.is_err() {
        tasks.shutdown().await;
    }
}
