//! From the first byte of an upload to an object, and to its end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::StreamExt as _;
use thiserror::Error;
use tokio::sync::Notify;

use super::blobs::Blobs;
use super::{LEASE_MS, MediaConfig, UPLOAD_LIFE_MS, name_of, new_reference};
use crate::clock::Clock;
use crate::store::{Begun, Committed, Complete, Garbage, MediaRow, Resumable, Store, StoreError, UploadRow};

/// How often garbage is looked for without a reason.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Pieces of garbage that are removed in one step.
const SWEEP: u32 = 100;

/// Why an upload does not become an object.
#[derive(Debug, Error)]
pub(crate) enum UploadError {
    #[error("the rows of media cannot be read or written")]
    Store(#[from] StoreError),
    #[error("the bytes of media cannot be read or written")]
    Blobs(#[from] io::Error),
    #[error("the bytes are not those that were announced")]
    Digest,
    #[error("the upload was taken back")]
    Gone,
}

/// Rows and bytes together.
pub(crate) struct Hosting {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) config: MediaConfig,
    clock: Clock,
    /// Whether something has become garbage since an upload was last given back: it may have been held until then.
    held_back: AtomicBool,
    litter: Notify,
}

/// How an upload starts.
pub(crate) enum Start {
    New(UploadRow),
    Existing(MediaRow),
    OverQuota,
}

impl Hosting {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        blobs: Arc<dyn Blobs>,
        config: MediaConfig,
        clock: Clock,
    ) -> Arc<Self> {
        let (held_back, litter) = (AtomicBool::new(false), Notify::new());
        Arc::new(Self { store, blobs, config, clock, held_back, litter })
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.millis()
    }

    /// Begins an upload of `size` bytes with this digest.
    pub(crate) async fn begin(
        &self,
        user_id: &str,
        sha256: &str,
        size: u64,
        resumable: Resumable,
    ) -> Result<Start, StoreError> {
        let (now, reference) = (self.now(), new_reference());
        let media =
            MediaRow { name: name_of(&reference), reference, sha256: sha256.to_owned(), size, expires_at: 0 };
        let life = match resumable {
            Resumable::Yes => UPLOAD_LIFE_MS,
            // Its request claims it next, and from then on it lives as long as that.
            Resumable::No => LEASE_MS,
        };
        let (id, expires_at) = (crate::wake::new_wake_id(), now + life);
        let user_id = user_id.to_owned();
        let mut upload = UploadRow { id, user_id, media, resumable, complete: Complete::No, expires_at };
        match self.store.begin_upload(&upload, self.config.quota(), now).await? {
            Begun::New => Ok(Start::New(upload)),
            Begun::OverQuota => Ok(Start::OverQuota),
            Begun::Existing(row) if resumable == Resumable::No => Ok(Start::Existing(row)),
            Begun::Existing(row) => {
                // Whoever sends by id wants an id.
                upload.media = row;
                upload.complete = Complete::Yes;
                self.store.note_upload(&upload, now).await?;
                Ok(Start::New(upload))
            }
        }
    }

    /// Makes an upload whose bytes are all there and durable an object, and says which one counts.
    pub(crate) async fn finish(&self, upload: &UploadRow) -> Result<MediaRow, UploadError> {
        self.blobs.publish(&upload.id, &upload.media.name).await?;
        match self.store.commit_upload(&upload.id, self.now()).await? {
            Committed::New => {
                let row = self.store.media(&upload.media.name, self.now()).await?;
                row.ok_or(UploadError::Gone)
            }
            Committed::Existing(row) => {
                self.give_up(&upload.id).await;
                Ok(row)
            }
            Committed::Gone => Err(UploadError::Gone),
        }
    }

    /// SHA-256 of an unfinished upload, base64url.
    pub(crate) async fn digest(&self, id: &str) -> io::Result<String> {
        let mut stream = self.blobs.read_upload(id).await?;
        let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
        while let Some(bytes) = stream.next().await {
            digest.update(&bytes?);
        }
        Ok(URL_SAFE_NO_PAD.encode(digest.finish()))
    }

    /// The upload will not be completed; its bytes go soon.
    pub(crate) async fn give_up(&self, id: &str) {
        if let Err(cause) = self.store.abort_upload(id).await {
            // It is dropped when its time is over.
            tracing::warn!(cause = &cause as &dyn std::error::Error, "an upload cannot be given up");
        }
        self.swept_soon();
    }

    /// Something has become garbage.
    pub(crate) fn swept_soon(&self) {
        self.held_back.store(true, Ordering::Relaxed);
        self.litter.notify_one();
    }

    /// An upload was given back: what could not be swept before perhaps can now.
    pub(super) fn given_back(&self) {
        if self.held_back.swap(false, Ordering::Relaxed) {
            self.litter.notify_one();
        }
    }

    /// Removes garbage for as long as the future is polled.
    pub(crate) async fn sweep(self: Arc<Self>) {
        loop {
            match self.sweep_once().await {
                Ok(0) => {
                    let _ = tokio::time::timeout(SWEEP_EVERY, self.litter.notified()).await;
                }
                Ok(n) => tracing::debug!(n, "removed garbage"),
                Err(cause) => {
                    tracing::error!(cause = &cause as &dyn std::error::Error, "garbage cannot be removed");
                    tokio::time::sleep(SWEEP_EVERY).await;
                }
            }
        }
    }

    /// How many pieces went.
    async fn sweep_once(&self) -> Result<usize, UploadError> {
        let garbage = self.store.garbage(self.now(), SWEEP).await?;
        let mut swept = 0;
        for piece in &garbage {
            match piece {
                Garbage::Media { name } => self.blobs.delete(name).await?,
                Garbage::Upload { id, name } => {
                    self.blobs.delete(name).await?;
                    self.blobs.discard(id).await?;
                }
            }
            self.store.swept(piece).await?;
            swept += 1;
        }
        Ok(swept)
    }
}
