//! A sandbox inside another program: no socket, no thread, and no randomness but its seed's.

use std::sync::Arc;

use landbridge_transport::memory::MemoryListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::chat::{self, Listener};
use crate::sandbox::sweep;
use crate::state::State;
use crate::{SandboxConfig, SandboxError, SandboxHandle};

/// A running sandbox without sockets: clients come over a [`MemoryListener`]. For simulations and for tests that want
/// nothing but this process.
///
/// There is no HTTP, so nobody fetches key sets: give them to
/// [`partners`](SandboxHandle::partners) with [`Partner::fetched`](crate::partners::Partner::fetched), and enlist users
/// with [`enlist_user`](SandboxHandle::enlist_user). On one thread with tokio's time paused,
/// [`Clock::timer`](crate::Clock::timer) and a [`seed`](SandboxConfig::seed), a run can be repeated to the bit.
#[derive(Debug)]
pub struct EmbeddedSandbox {
    handle: SandboxHandle,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl EmbeddedSandbox {
    /// Opens the database and brings back the test phones. The addresses of `config` are not used. Must be called within a
    /// tokio runtime.
    ///
    /// # Errors
    /// [`SandboxError`] if the data cannot be used or a partner is named wrongly.
    pub fn start(config: SandboxConfig, listener: MemoryListener) -> Result<Self, SandboxError> {
        let state = State::new(config)?;
        crate::phones::resume(&state)?;
        let (stop, stopped) = watch::channel(false);
        let tasks = vec![
            tokio::spawn(chat::serve(Arc::clone(&state), Listener::Memory(listener), stopped.clone())),
            tokio::spawn(sweep(Arc::clone(&state), stopped)),
        ];
        Ok(Self { handle: SandboxHandle::new(state), stop, tasks })
    }

    /// What tests do with it.
    pub fn handle(&self) -> &SandboxHandle {
        &self.handle
    }

    /// Stops: takes nobody in any more, ends every stream, waits for what is under way.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            // A task that has panicked is over, too.
            let _ = task.await;
        }
        self.handle.stop_phones().await;
    }
}
