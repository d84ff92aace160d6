//! What is in the outbox of files goes out, as long as there is a connection.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use landbridge_media::{EncryptedFile, TransferError, Tried};
use landbridge_stanza::MessageId;
use landbridge_store::{StoreTx, Upload, UploadEntry};
use landbridge_wire::Jid;
use tokio::task::JoinSet;

use super::{Live, Name, end};
use crate::client::Inner;
use crate::error::Error;
use crate::event::Event;
use crate::media::spool::SpoolFile;
use crate::media::{MediaError, Progress};
use crate::session::Session;

/// Seconds until a file is tried again that the uploader has given up on (ASSUMED); twice as long each time.
const FIRST_WAIT: u64 = 60;
/// But not longer than this.
const LONGEST_WAIT: u64 = 3_600;

pub(crate) async fn run(session: Arc<Session>) -> Result<(), Error> {
    let inner = &session.inner;
    if inner.deleting.load(Ordering::Relaxed) {
        return Ok(());
    }
    inner.uploads.sweep(inner).await?;
    let (mut after, mut under_way) = (0, JoinSet::new());
    loop {
        while under_way.len() < inner.profile.media.parallel.max(1) {
            let Some(entry) = next(inner, after).await? else { break };
            after = entry.seq;
            // Ends with the set, and that with the session.
            under_way.spawn(one(Arc::clone(&session), entry));
        }
        tokio::select! {
            biased;
            Some(done) = under_way.join_next(), if !under_way.is_empty() => match done {
                Ok(Ok(())) => {}
                Ok(Err(error @ (Error::Store { .. } | Error::HandedOver { .. }))) => return Err(error),
                Ok(Err(error)) => tracing::warn!(error = error.for_log(), "a file waits for the next connection"),
                Err(_) => tracing::error!("the task of an upload broke"),
            },
            () = inner.uploads.news.notified() => {}
        }
    }
}

async fn next(inner: &Arc<Inner>, after: u64) -> Result<Option<UploadEntry>, Error> {
    let step = move |tx: &mut dyn StoreTx| Ok::<_, Error>(tx.uploads(after, 1)?.pop());
    inner.vault.read(step).await
}

/// One file, until it is sent, has failed for good, or was taken out of the outbox.
async fn one(session: Arc<Session>, entry: UploadEntry) -> Result<(), Error> {
    let name = (entry.upload.recipient.clone(), entry.upload.id.clone());
    // Only addresses and ids were stored, so they read.
    let (Ok(to), Ok(id)) = (name.0.parse::<Jid>(), MessageId::try_from(name.1.clone())) else {
        return Ok(());
    };
    let live = session.inner.uploads.live(&name);
    let stop = Arc::clone(&live.stop);
    let upload = entry.upload;
    let inner = Arc::clone(&session.inner);
    let job = Job { session, to, id, name: name.clone(), upload, live };
    let done = tokio::select! {
        biased;
        () = stop.notified() => Ok(()),
        done = job.run() => done,
    };
    if done.is_ok() {
        // It may have been taken out of the outbox before this came to it.
        inner.uploads.lives().remove(&name);
    }
    done
}

/// A file that is being uploaded.
pub(super) struct Job {
    pub(super) session: Arc<Session>,
    pub(super) to: Jid,
    pub(super) id: MessageId,
    pub(super) name: Name,
    pub(super) upload: Upload,
    live: Live,
}

impl Job {
    async fn run(self) -> Result<(), Error> {
        let file = match self.file().await {
            Ok(file) => file,
            Err(source) => return end::fail(&self, MediaError::Lost { source }).await,
        };
        let noted = Noted {
            file,
            inner: Arc::clone(&self.session.inner),
            name: self.name.clone(),
            tried: Mutex::new(match &self.upload.place {
                Some(place) => Tried::At(place.clone()),
                None => self.live.tried(),
            }),
        };
        let mut uploaders = self.session.inner.uploads.uploader.subscribe();
        let mut wait = FIRST_WAIT;
        loop {
            let Some(uploader) = uploaders.borrow_and_update().clone() else {
                if uploaders.changed().await.is_err() {
                    return Ok(());
                }
                continue;
            };
            let because = match uploader.upload(&noted, &|bytes| self.progress(bytes)).await {
                Ok(path) => match end::finish(&self, &path).await {
                    Ok(()) => return Ok(()),
                    Err(source) if source.is_final() => {
                        return end::fail(&self, MediaError::Send { source }).await;
                    }
                    Err(
                        error @ (Error::Store { .. }
                        | Error::HandedOver { .. }
                        | Error::Disconnected { .. }
                        | Error::NotConnected),
                    ) => return Err(error),
                    Err(source) => MediaError::Send { source },
                },
                Err(error) if is_final(&error) => return end::fail(&self, error.into()).await,
                Err(error) => error.into(),
            };
            noted.may_be_there();
            self.waits(because);
            tokio::select! {
                changed = uploaders.changed() => if changed.is_err() { return Ok(()) },
                () = tokio::time::sleep(Duration::from_secs(wait)) => {}
            }
            wait = wait.saturating_mul(2).min(LONGEST_WAIT);
        }
    }

    async fn file(&self) -> io::Result<SpoolFile> {
        if let Some(file) = &self.live.nameless {
            return Ok(file.clone());
        }
        let (inner, upload) = (Arc::clone(&self.session.inner), &self.upload);
        let (spool, length, sha256) = (upload.spool.clone(), upload.length, upload.sha256);
        let open = move || inner.uploads.open(&spool, length, sha256);
        tokio::task::spawn_blocking(open).await.map_err(io::Error::other)?
    }

    fn waits(&self, because: MediaError) {
        let because = Arc::new(because);
        *self.live.waits() = Some(Arc::clone(&because));
        if let Some(watcher) = &self.live.watcher {
            watcher(Progress::Waits);
        }
        let (to, id) = (self.to.clone(), self.id.clone());
        self.session.inner.events.push(Event::FileWaits { to, id, because });
    }

    /// Tells the watcher each time, and the application with each hundredth.
    fn progress(&self, bytes: u64) {
        let of = self.upload.length.max(1);
        *self.live.waits() = None;
        let hundredth = |bytes: u64| bytes.saturating_mul(100) / of;
        if let Some(watcher) = &self.live.watcher {
            watcher(Progress::Transferred { bytes, of: Some(of) });
        }
        let before = self.live.transferred.swap(bytes, Ordering::Relaxed);
        if hundredth(before) != hundredth(bytes) || bytes == 0 {
            let (to, id) = (self.to.clone(), self.id.clone());
            self.session.inner.events.push(Event::FileProgress { to, id, bytes, of });
        }
    }
}

impl Live {
    /// One that was given in this process has not left before its worker takes it.
    fn tried(&self) -> Tried {
        match self.watcher {
            Some(_) if self.transferred.load(Ordering::Relaxed) == 0 => Tried::Never,
            _ => Tried::Before,
        }
    }
}

/// Whether the same file will never be taken.
fn is_final(error: &TransferError) -> bool {
    match error {
        // Signed in anew, the user may send it.
        TransferError::Denied { .. } => false,
        error => !error.is_temporary(),
    }
}

/// The encrypted file, with the store behind it.
struct Noted {
    file: SpoolFile,
    inner: Arc<Inner>,
    name: Name,
    tried: Mutex<Tried>,
}

impl Noted {
    fn tried_so_far(&self) -> std::sync::MutexGuard<'_, Tried> {
        self.tried.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn may_be_there(&self) {
        let mut tried = self.tried_so_far();
        if *tried == Tried::Never {
            *tried = Tried::Before;
        }
    }
}

#[async_trait]
impl EncryptedFile for Noted {
    fn length(&self) -> u64 {
        self.file.length()
    }

    fn sha256(&self) -> &[u8; 32] {
        self.file.sha256()
    }

    async fn read(&self, from: u64, at_most: usize) -> io::Result<bytes::Bytes> {
        self.file.read(from, at_most).await
    }

    fn tried(&self) -> Tried {
        self.tried_so_far().clone()
    }

    async fn note(&self, place: &str) -> io::Result<()> {
        let ((recipient, id), at) = (self.name.clone(), place.to_owned());
        let step = move |tx: &mut dyn StoreTx| tx.note_place(&recipient, &id, &at).map_err(Error::from);
        self.inner.vault.write(step).await.map_err(io::Error::other)?;
        *self.tried_so_far() = Tried::At(place.to_owned());
        Ok(())
    }
}
