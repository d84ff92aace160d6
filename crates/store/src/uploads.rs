//! Files that are on their way to the partner's server: encrypted and kept before the first byte leaves, and what is known of the
//! upload afterwards.

use crate::{Outbox, OutboxMessage, Progress, StoreError};

/// A file to be uploaded, and the message that follows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Upload {
    /// The id of the message, unique per recipient, here and in the [`Outbox`].
    pub id: String,
    /// The recipient's address as text.
    pub recipient: String,
    /// What the message is, as text: opaque to the store.
    pub kind: String,
    /// The message but for the place of its file. It holds the file's key, and so it goes when the file is there or given up.
    pub content: Vec<u8>,
    /// The name of the encrypted file in the [store's folder](crate::ClientStore::folder); empty if it lies elsewhere.
    pub spool: String,
    /// Length of the encrypted file, in bytes.
    pub length: u64,
    /// SHA-256 of the encrypted file.
    pub sha256: [u8; 32],
    /// Where the server takes it, once something has been asked there: opaque to the store.
    pub place: Option<String>,
    /// When the file was given to be sent, in unix seconds.
    pub created_at: u64,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, recipient, kind, content, spool, length, sha256: _, place, created_at } = self;
        f.debug_struct("Upload")
            .field("id", id)
            .field("recipient", recipient)
            .field("kind", kind)
            .field("content", &format_args!("[{} bytes redacted]", content.len()))
            .field("spool", spool)
            .field("length", length)
            .field("place", &place.as_ref().map(|_| format_args!("[redacted]")))
            .field("created_at", created_at)
            .finish_non_exhaustive()
    }
}

/// A stored upload with its place in the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadEntry {
    /// Position, from 1, growing, never reused.
    pub seq: u64,
    /// The upload.
    pub upload: Upload,
}

/// Files on their way out. An upload ends in one transaction with what comes of it: its message in the [`Outbox`], or the note
/// that it failed.
pub trait Uploads {
    /// Stores an upload and returns its place in the order. The encrypted file is there, whole and durable.
    ///
    /// # Errors
    /// [`StoreError::DuplicateMessage`] if (recipient, id) is stored already, here or in the outbox.
    fn begin_upload(&mut self, upload: &Upload) -> Result<u64, StoreError>;

    /// Uploads after position `after`, in order, at most `limit`. 0 starts from the beginning.
    ///
    /// # Errors
    /// The backend fails, or a record does not parse.
    fn uploads(&self, after: u64, limit: usize) -> Result<Vec<UploadEntry>, StoreError>;

    /// One upload; `None` if there is none, or it has ended.
    ///
    /// # Errors
    /// The backend fails, or a record does not parse.
    fn upload(&self, recipient: &str, id: &str) -> Result<Option<UploadEntry>, StoreError>;

    /// Notes where the server takes the file. Nothing happens if the upload has ended.
    ///
    /// # Errors
    /// The backend fails.
    fn note_place(&mut self, recipient: &str, id: &str, place: &str) -> Result<(), StoreError>;

    /// Forgets an upload, with its content; whether it was there. The message is to be [enqueued](Outbox::enqueue) in the same
    /// transaction.
    ///
    /// # Errors
    /// The backend fails.
    fn end_upload(&mut self, recipient: &str, id: &str) -> Result<bool, StoreError>;

    /// Ends an upload as a failed message without content, at `at` unix seconds; whether it was there.
    ///
    /// # Errors
    /// The backend fails.
    fn fail_upload(&mut self, recipient: &str, id: &str, reason: &str, at: u64) -> Result<bool, StoreError>;
}

/// What [`Uploads::fail_upload`] does, for every backend.
pub(crate) fn fail<T: Outbox + Uploads>(
    tx: &mut T,
    recipient: &str,
    id: &str,
    reason: &str,
    at: u64,
) -> Result<bool, StoreError> {
    let Some(UploadEntry { upload, .. }) = tx.upload(recipient, id)? else { return Ok(false) };
    tx.end_upload(recipient, id)?;
    let Upload { id, recipient, kind, created_at, .. } = upload;
    let (plaintext, stanza) = (Vec::new(), Vec::new());
    let message = OutboxMessage { id, recipient, kind, plaintext, stanza, created_at };
    tx.enqueue(&message)?;
    tx.advance(&message.recipient, &message.id, Progress::Failed { reason }, at)?;
    Ok(true)
}
