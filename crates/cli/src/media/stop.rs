//! Being told to stop in the middle of a file.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::failure::Failure;
use crate::shutdown::Shutdown;

/// What has to be removed if the program ends before it is done.
#[derive(Clone, Default)]
pub(super) struct Unfinished(Arc<Mutex<Option<PathBuf>>>);

impl Unfinished {
    /// A file in the making is here.
    pub(super) fn is_at(&self, path: &Path) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(path.to_owned());
    }

    fn remove(&self) {
        if let Some(path) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Not there any more: it is done, or was given up.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Runs work that may wait for a pipe for ever, until it ends or a signal does.
pub(super) async fn until_stopped(
    work: impl FnOnce(&Unfinished) -> Result<(), Failure> + Send + 'static,
) -> Result<(), Failure> {
    let mut shutdown = Shutdown::listen()?;
    let unfinished = Unfinished::default();
    let (sender, ended) = oneshot::channel();
    let theirs = unfinished.clone();
    // A thread of its own: nobody waits for it once the program is told to stop.
    std::thread::spawn(move || drop(sender.send(work(&theirs))));
    tokio::select! {
        ended = ended => ended.unwrap_or_else(|_| Err(Failure::runtime("the command broke down"))),
        () = shutdown.requested() => {
            unfinished.remove();
            Err(Failure::runtime("stopped; nothing was written"))
        }
    }
}
