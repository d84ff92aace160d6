//! The handle.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use landbridge_media::{Downloader, EncryptedFile as _, MediaKey, MediaKind, Uploader};
use landbridge_stanza::MessageId;
use landbridge_stanza::profile::MediaProfile;
use landbridge_wire::Jid;
use tokio::sync::Semaphore;

use super::limits::limit;
use super::outgoing::{Fields, Progress, Watcher};
use super::spool::{Order, Spool};
use super::{Attachment, MediaError, OutgoingFile, PreparedFile, Source};
use crate::{Client, ReceivedMessage};

/// Sends and fetches files for a client. A cheap handle; clones are the same one.
///
/// Encrypted files wait in the system's folder for temporary files while they are sent, and have no name there.
#[derive(Clone)]
pub struct Files {
    client: Client,
    uploader: Option<Arc<dyn Uploader>>,
    downloader: Option<Arc<dyn Downloader>>,
    folder: PathBuf,
    profile: Arc<MediaProfile>,
    slots: Arc<Semaphore>,
}

impl Files {
    /// For this client, within the limits of its profile. Without uploader nothing can be sent, without downloader
    /// nothing fetched.
    #[must_use]
    pub fn new(client: Client) -> Self {
        let profile = Arc::new(client.inner.profile.media.clone());
        Self {
            client,
            uploader: None,
            downloader: None,
            folder: std::env::temp_dir(),
            slots: Arc::new(Semaphore::new(profile.parallel)),
            profile,
        }
    }

    /// How files get to the partner's server: [`HttpUploader`](super::HttpUploader), or one of your own.
    #[must_use]
    pub fn uploader(mut self, uploader: impl Uploader + 'static) -> Self {
        self.uploader = Some(Arc::new(uploader));
        self
    }

    /// How files are fetched: [`HttpDownloader`](super::HttpDownloader), or one of your own.
    #[must_use]
    pub fn downloader(mut self, downloader: impl Downloader + 'static) -> Self {
        self.downloader = Some(Arc::new(downloader));
        self
    }

    /// Where encrypted files wait, instead of the system's folder for temporary files.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = folder.into();
        self
    }

    /// Sends a picture. When it returns, the file is at the partner's server and its message is stored, as after
    /// [`Client::send`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future sends nothing, and what waits on this device is removed. To go on later, use
    /// [`prepare`](Self::prepare) and [`send_prepared`](Self::send_prepared).
    ///
    /// # Errors
    ///
    /// [`MediaError`].
    pub async fn send_image(&self, to: &Jid, file: OutgoingFile) -> Result<MessageId, MediaError> {
        self.send(to, MediaKind::Image, file).await
    }

    /// Sends a video. As [`send_image`](Self::send_image).
    ///
    /// # Errors
    ///
    /// [`MediaError`].
    pub async fn send_video(&self, to: &Jid, file: OutgoingFile) -> Result<MessageId, MediaError> {
        self.send(to, MediaKind::Video, file).await
    }

    /// Sends a sound file. As [`send_image`](Self::send_image).
    ///
    /// # Errors
    ///
    /// [`MediaError`].
    pub async fn send_audio(&self, to: &Jid, file: OutgoingFile) -> Result<MessageId, MediaError> {
        self.send(to, MediaKind::Audio, file).await
    }

    /// Sends a voice note. As [`send_image`](Self::send_image).
    ///
    /// # Errors
    ///
    /// [`MediaError`].
    pub async fn send_voice_note(&self, to: &Jid, file: OutgoingFile) -> Result<MessageId, MediaError> {
        self.send(to, MediaKind::Ptt, file).await
    }

    /// Sends a document. As [`send_image`](Self::send_image).
    ///
    /// # Errors
    ///
    /// [`MediaError`].
    pub async fn send_document(&self, to: &Jid, file: OutgoingFile) -> Result<MessageId, MediaError> {
        self.send(to, MediaKind::Document, file).await
    }

    /// Sends a sticker. As [`send_image`](Self::send_image).
    ///
    /// # Errors
    ///
    /// [`MediaError`].
    pub async fn send_sticker(&self, to: &Jid, file: OutgoingFile) -> Result<MessageId, MediaError> {
        self.send(to, MediaKind::Sticker, file).await
    }

    /// Sends a file of any kind that has a message of its own. As [`send_image`](Self::send_image).
    ///
    /// # Errors
    ///
    /// [`MediaError`].
    pub async fn send(&self, to: &Jid, kind: MediaKind, file: OutgoingFile) -> Result<MessageId, MediaError> {
        let prepared = self.prepare(kind, file).await?;
        self.send_prepared(to, &prepared).await
    }

    /// Encrypts a file under a new key. Nothing leaves the device.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future removes what was encrypted so far.
    ///
    /// # Errors
    ///
    /// [`MediaError::Disk`], [`MediaError::TooLarge`], [`MediaError::Content`].
    pub async fn prepare(&self, kind: MediaKind, file: OutgoingFile) -> Result<PreparedFile, MediaError> {
        let inner = &self.client.inner;
        let key = MediaKey::generate(&mut inner.rng.fork());
        let made_at = inner.clock.now();
        let OutgoingFile { source, mut fields, watcher } = file;
        name_after(&source, &mut fields);
        let order = Order { kind, key, limit: limit(&self.profile, kind) };
        let (folder, told) = (self.folder.clone(), Arc::clone(&watcher));
        let given_up = GiveUp::default();
        let flag = Arc::clone(&given_up.0);
        let work = move || {
            let spool = fill(&order, source, &folder, &flag, &told)?;
            Ok::<_, MediaError>((spool, order.key))
        };
        let (spool, key) = tokio::task::spawn_blocking(work).await.map_err(|_| MediaError::GivenUp)??;
        let prepared = PreparedFile { kind, key, made_at, spool, fields, watcher };
        match prepared.fault(&inner.content_limits) {
            Some(what) => Err(MediaError::Content { what }),
            None => Ok(prepared),
        }
    }

    /// Uploads a prepared file and sends its message.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future sends nothing; what the server has of the file is not sent to it again next time.
    ///
    /// # Errors
    ///
    /// [`MediaError`].
    pub async fn send_prepared(&self, to: &Jid, file: &PreparedFile) -> Result<MessageId, MediaError> {
        let uploader = self.uploader.as_ref().ok_or(MediaError::Setup { what: "uploader" })?;
        let path = {
            let _slot = self.slots.acquire().await.map_err(|_| MediaError::GivenUp)?;
            let of = Some(file.spool.length());
            let progress = |bytes| (file.watcher)(Progress::Transferred { bytes, of });
            uploader.upload(&file.spool, &progress).await?
        };
        let message = file.message(&path).ok_or(MediaError::BadMessage { source: None })?;
        self.client.send(to, message).await.map_err(|source| MediaError::Send { source })
    }

    /// The file of a received message; `None` if it has none.
    ///
    /// # Errors
    ///
    /// [`MediaError::BadMessage`], [`MediaError::TooLarge`], [`MediaError::Setup`].
    pub fn attachment(&self, message: &ReceivedMessage) -> Result<Option<Attachment>, MediaError> {
        let Some(media) = message.content.media() else { return Ok(None) };
        let downloader = self.downloader.as_ref().ok_or(MediaError::Setup { what: "downloader" })?;
        let (slots, profile) = (Arc::clone(&self.slots), Arc::clone(&self.profile));
        Attachment::new(message.content.kind(), &media, Arc::clone(downloader), slots, profile).map(Some)
    }
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// Tells the thread that encrypts when nobody waits for it any more.
#[derive(Default)]
struct GiveUp(Arc<AtomicBool>);

impl Drop for GiveUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn name_after(source: &Source, fields: &mut Fields) {
    if let (Source::Path(path), None) = (source, &fields.file_name) {
        fields.file_name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    }
}

fn fill(
    order: &Order,
    source: Source,
    folder: &std::path::Path,
    given_up: &AtomicBool,
    watcher: &Watcher,
) -> Result<Spool, MediaError> {
    let progress = |bytes| watcher(Progress::Encrypted { bytes });
    match source {
        Source::Path(path) => {
            let file = File::open(path).map_err(|source| MediaError::Disk { source })?;
            Spool::fill(order, file, folder, given_up, progress)
        }
        Source::Bytes(bytes) => Spool::fill(order, &bytes[..], folder, given_up, progress),
        Source::Reader(reader) => Spool::fill(order, reader, folder, given_up, progress),
    }
}
