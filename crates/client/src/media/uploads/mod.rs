//! The outbox of files. A file that is given to be sent is encrypted into a file of its own and noted in the store before anything
//! else happens; from there the connection's worker takes it: it uploads what the server does not have yet, and puts the message in
//! the outbox of messages in the transaction that ends the upload. So whatever is killed when, the message goes once.
//!
//! The encrypted files lie in the store's folder. One that no upload owns is left by a process that ended between two steps, and is
//! removed when the next one begins. Nothing but ciphertext is in them: their keys are in the store.

mod end;
mod folder;
mod send;
mod work;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use landbridge_media::Uploader;
use tokio::sync::{Notify, OnceCell, watch};

use super::MediaError;
use super::outgoing::Watcher;
use super::spool::SpoolFile;
pub(super) use end::cancel;
pub(super) use send::{pending, send};
pub(crate) use work::run;

/// Recipient and id of a message.
type Name = (String, String);

/// What the client has of its outbox of files in memory.
pub(crate) struct Uploads {
    /// Where encrypted files lie; `None` if the store ends with the process.
    folder: Option<PathBuf>,
    uploader: watch::Sender<Option<Arc<dyn Uploader>>>,
    /// A file was added.
    news: Notify,
    live: Mutex<HashMap<Name, Live>>,
    /// Files without an owner have been removed.
    swept: OnceCell<()>,
}

/// What of an upload ends with the process.
#[derive(Clone, Default)]
struct Live {
    /// The encrypted file, if it has no name.
    nameless: Option<SpoolFile>,
    watcher: Option<Watcher>,
    /// The upload has ended without the worker.
    stop: Arc<Notify>,
    /// How many bytes the server has.
    transferred: Arc<AtomicU64>,
    /// Why it waits to be tried again, if it does.
    waits: Arc<Mutex<Option<Arc<MediaError>>>>,
}

impl Live {
    fn waits(&self) -> std::sync::MutexGuard<'_, Option<Arc<MediaError>>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Uploads {
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Self {
            folder,
            uploader: watch::Sender::new(None),
            news: Notify::new(),
            live: Mutex::default(),
            swept: OnceCell::new(),
        }
    }

    /// From now on files go this way; those that could not go the way before are tried again.
    pub(super) fn set_uploader(&self, uploader: Arc<dyn Uploader>) {
        self.uploader.send_replace(Some(uploader));
    }

    fn has_uploader(&self) -> bool {
        self.uploader.borrow().is_some()
    }

    fn lives(&self) -> std::sync::MutexGuard<'_, HashMap<Name, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What there is of an upload, of this process or an earlier one.
    fn live(&self, name: &Name) -> Live {
        self.lives().entry(name.clone()).or_default().clone()
    }

    /// How many bytes the server has, as far as this process knows, and why it does not get more now.
    fn standing(&self, name: &Name) -> (u64, Option<Arc<MediaError>>) {
        let live = self.lives().get(name).cloned().unwrap_or_default();
        let waits = live.waits().clone();
        (live.transferred.load(Ordering::Relaxed), waits)
    }

    /// The upload was given up: whoever works on it stops. Not for one that goes on to its message, which has more to do.
    fn stop(&self, name: &Name) {
        if let Some(live) = self.lives().get(name) {
            live.stop.notify_one();
        }
    }

    /// The upload has ended in the store: what was kept for it goes.
    pub(crate) fn ended(&self, name: &Name, spool: &str) {
        self.lives().remove(name);
        self.remove(spool);
    }

    /// All uploads have ended in the store.
    pub(crate) fn all_ended(&self) {
        for (_, live) in self.lives().drain() {
            live.stop.notify_one();
        }
        self.remove_all_but(&[]);
    }
}
