//! The chat listener: one task per connection, no thread.

mod connection;
mod delivery;
mod frames;
mod handshake;

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::events::EventKind;
use crate::router::End;
use crate::state::State;

/// Pause after a failed accept: the system is short of something, and asking again at once would only burn time.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// Accepts connections until `stop` changes, then ends them all and waits for them.
pub(crate) async fn serve(state: Arc<State>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(state.config.chat.connections.clamp(1, Semaphore::MAX_PERMITS)));
    let mut tasks = JoinSet::new();
    loop {
        // A slot is taken before the accept: who finds no slot waits in the system's queue.
        let permit = tokio::select! {
            permit = Arc::clone(&slots).acquire_owned() => permit,
            _ = stop.changed() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => break,
        };
        while tasks.try_join_next().is_some() {}
        match accepted {
            Ok((socket, peer)) => {
                let (state, stop) = (Arc::clone(&state), stop.clone());
                tasks.spawn(async move {
                    connection::run(state, socket, peer, stop).await;
                    drop(permit);
                });
            }
            Err(error) => {
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
