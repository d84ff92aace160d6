//! The handle.

use std::sync::Arc;

use landbridge_media::{Downloader, MediaKind, Uploader};
use landbridge_stanza::MessageId;
use landbridge_stanza::profile::MediaProfile;
use landbridge_wire::Jid;
use tokio::sync::Semaphore;

use super::{Attachment, MediaError, OutgoingFile, uploads};
use crate::{Client, Error, ReceivedMessage};

/// Sends and fetches files for a client. A cheap handle; clones are the same one.
///
/// # The outbox
///
/// What is sent waits in an outbox, as messages do: it is encrypted and stored when the call returns, and goes out while there is a
/// connection, now or after the next login, also of another process on the same store. What the partner's server has of a file is
/// not sent to it again, and the message goes once, under the id that the call gave. Files go beside each other, so a small one may
/// overtake a large one, and a text overtakes both.
///
/// [`Event::FileProgress`](crate::Event::FileProgress) tells how far a file has got, [`Event::FileWaits`](crate::Event::FileWaits) that
/// it is tried again later, [`Event::FileFailed`](crate::Event::FileFailed) that it will not get there; its message is then one that has
/// failed. Once the file is there, [`Event::MessageState`](crate::Event::MessageState) goes on.
///
/// Encrypted files lie in the [folder of the store](landbridge_store::ClientStore::folder), their keys in the store itself. A store that
/// ends with the process has no folder: the files have no name then and end with it, too.
#[derive(Clone)]
pub struct Files {
    client: Client,
    downloader: Option<Arc<dyn Downloader>>,
    profile: Arc<MediaProfile>,
    slots: Arc<Semaphore>,
}

/// A file in the outbox.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PendingFile {
    /// The recipient.
    pub to: Jid,
    /// The id of its message.
    pub id: MessageId,
    /// Its kind.
    pub kind: MediaKind,
    /// Length of the plain file, in bytes.
    pub file_length: u64,
    /// Length of the encrypted file, in bytes.
    pub encrypted_length: u64,
    /// SHA-256 of the plain file.
    pub file_sha256: [u8; 32],
    /// SHA-256 of the encrypted file.
    pub file_enc_sha256: [u8; 32],
    /// The name that the other side is offered, of documents.
    pub file_name: Option<String>,
    /// The text below it.
    pub caption: Option<String>,
    /// When it was given to be sent, in unix seconds.
    pub created_at: u64,
    /// How many bytes of the encrypted file the server has, as far as this process knows.
    pub transferred: u64,
    /// Why it waits to be tried again, if it does.
    pub waits: Option<Arc<MediaError>>,
}

impl Files {
    /// For this client, within the limits of its profile. Without uploader nothing can be sent, without downloader
    /// nothing fetched.
    #[must_use]
    pub fn new(client: Client) -> Self {
        let profile = Arc::new(client.inner.profile.media.clone());
        Self { client, downloader: None, slots: Arc::new(Semaphore::new(profile.parallel)), profile }
    }

    /// How files get to the partner's server: [`HttpUploader`](super::HttpUploader), or one of your own. It is the client's from
    /// now on: what waits in the outbox goes this way, also what another uploader could not bring there, as after the user has
    /// signed in anew.
    #[must_use]
    pub fn uploader(self, uploader: impl Uploader + 'static) -> Self {
        self.client.inner.uploads.set_uploader(Arc::new(uploader));
        self
    }

    /// How files are fetched: [`HttpDownloader`](super::HttpDownloader), or one of your own.
    #[must_use]
    pub fn downloader(mut self, downloader: impl Downloader + 'static) -> Self {
        self.downloader = Some(Arc::new(downloader));
        self
    }

    /// Sends a picture. When it returns, the file is encrypted and stored, and it goes out by itself; see [the outbox](Self#the-outbox).
    ///
    /// # Cancel safety
    ///
    /// The file is either stored, and then it goes out, or nothing has happened and nothing is left of it.
    ///
    /// # Errors
    ///
    /// [`MediaError::Disk`], [`MediaError::Full`], [`MediaError::TooLarge`], [`MediaError::Content`], [`MediaError::Setup`],
    /// [`MediaError::Send`].
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
    /// As [`send_image`](Self::send_image).
    pub async fn send(&self, to: &Jid, kind: MediaKind, file: OutgoingFile) -> Result<MessageId, MediaError> {
        uploads::send(&self.client.inner, to, kind, file).await
    }

    /// What is in the outbox, oldest first.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing changes.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn pending(&self) -> Result<Vec<PendingFile>, Error> {
        uploads::pending(&self.client.inner).await
    }

    /// Takes a file out of the outbox; whether it was still there. Its message has then failed, and nothing is left of the file here;
    /// what the partner's server has of it, it drops by itself. A message that is sent is taken back with [`Client::revoke`].
    ///
    /// # Cancel safety
    ///
    /// It is taken out or not; call it again.
    ///
    /// # Errors
    ///
    /// [`Error::Store`], [`Error::HandedOver`].
    pub async fn cancel(&self, to: &Jid, id: &MessageId) -> Result<bool, Error> {
        uploads::cancel(&self.client.inner, to, id).await
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
        f.debug_struct("Files").field("client", &self.client).finish_non_exhaustive()
    }
}
