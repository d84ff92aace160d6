//! What users have stored, as rows; the bytes are [`Blobs`](crate::media::Blobs).

use async_trait::async_trait;

use super::StoreError;

/// An object that is complete.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by store backends")]
pub struct MediaRow {
    /// What its bytes are called: SHA-256 of the reference, in hexadecimal.
    pub name: String,
    /// What WhatsApp fetches it by. Whoever has it may read.
    pub reference: String,
    /// SHA-256 of the bytes, base64url.
    pub sha256: String,
    /// In bytes.
    pub size: u64,
    /// Unix milliseconds; from then on it is as if it had never been.
    pub expires_at: u64,
}

impl std::fmt::Debug for MediaRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, reference: _, sha256: _, size, expires_at } = self;
        f.debug_struct("MediaRow")
            .field("name", name)
            .field("size", size)
            .field("expires_at", expires_at)
            .finish_non_exhaustive()
    }
}

/// An object that is being sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by the server and by store backends")]
pub struct UploadRow {
    /// What its bytes are called until they are complete.
    pub id: String,
    /// Whose it is.
    pub user_id: String,
    /// What it will be, and when it expires then.
    pub media: MediaRow,
    /// Whether it may be continued by another request.
    pub resumable: Resumable,
    /// Whether it has been completed.
    pub complete: Complete,
    /// Unix milliseconds; unfinished, it is dropped then.
    pub expires_at: u64,
}

/// Whether an upload may be continued by another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are two")]
pub enum Resumable {
    /// It ends with its request.
    No,
    /// It waits for the next one.
    Yes,
}

/// Whether an upload has been completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are two")]
pub enum Complete {
    /// Bytes are missing.
    No,
    /// The object is there.
    Yes,
}

/// What a user may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "settings, built with struct update syntax")]
pub struct Quota {
    /// Bytes begun within 24 hours.
    pub per_day: u64,
    /// Bytes stored or being sent.
    pub stored: u64,
    /// Uploads at once.
    pub parallel: u32,
}

/// Whether an upload may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers must decide every case")]
pub enum Begun {
    /// It may.
    New,
    /// The user has the object already.
    Existing(MediaRow),
    /// It would be more than the quota.
    OverQuota,
}

/// What was published in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers must decide every case")]
pub enum Committed {
    /// The upload's object.
    New,
    /// Another upload of the same user and bytes was first: its object counts.
    Existing(MediaRow),
    /// The upload was taken back meanwhile.
    Gone,
}

/// Whether an upload may be appended to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers must decide every case")]
pub enum Claimed {
    /// By the one who asked, until the end of the lease.
    Yes,
    /// Somebody else has it.
    Taken,
    /// There is no such upload to append to: it is complete, given up or over.
    Gone,
}

/// Bytes that nobody can reach any more.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "made by store backends")]
pub enum Garbage {
    /// A complete object.
    Media {
        /// What its bytes are called.
        name: String,
    },
    /// An upload, whose bytes may be under either name.
    Upload {
        /// Until they were complete.
        id: String,
        /// From then on.
        name: String,
    },
}

/// The rows of media.
#[async_trait]
pub trait MediaIndex: Send + Sync {
    /// Begins an upload if the user does not have the object and the quota allows it.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn begin_upload(&self, upload: &UploadRow, quota: Quota, now: u64) -> Result<Begun, StoreError>;

    /// Notes an upload of what the user has already, for whoever asks for it by its id.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn note_upload(&self, upload: &UploadRow, now: u64) -> Result<(), StoreError>;

    /// An upload of this user.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn upload(&self, user_id: &str, id: &str, now: u64) -> Result<Option<UploadRow>, StoreError>;

    /// Lets `owner`, and nobody else, append to an upload until `lease_ends`; from the one who has it already, moves the
    /// end. An upload that is held is not [garbage](Self::garbage). One that is not [resumable](Resumable) is over when
    /// its lease is: its `expires_at` moves along.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn claim_upload(
        &self,
        id: &str,
        owner: &str,
        now: u64,
        lease_ends: u64,
    ) -> Result<Claimed, StoreError>;

    /// Gives an upload back before the lease ends, if `owner` has it.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn release_upload(&self, id: &str, owner: &str) -> Result<(), StoreError>;

    /// Makes an upload, whose bytes are published, an object. From here on it is served.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn commit_upload(&self, id: &str, now: u64) -> Result<Committed, StoreError>;

    /// Gives an upload up: its bytes are garbage, and it does not count for the quota.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn abort_upload(&self, id: &str) -> Result<(), StoreError>;

    /// The object whose bytes are called `name`.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn media(&self, name: &str, now: u64) -> Result<Option<MediaRow>, StoreError>;

    /// The user's object with this digest.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn media_by_hash(
        &self,
        user_id: &str,
        sha256: &str,
        now: u64,
    ) -> Result<Option<MediaRow>, StoreError>;

    /// Deletes an object of this user. Whether there was one.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn delete_media(&self, user_id: &str, name: &str, now: u64) -> Result<Deleted, StoreError>;

    /// Up to `limit` pieces of garbage, without the uploads that somebody holds.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn garbage(&self, now: u64, limit: u32) -> Result<Vec<Garbage>, StoreError>;

    /// The bytes of a piece of garbage are gone: its row may go, too.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn swept(&self, garbage: &Garbage) -> Result<(), StoreError>;

    /// Objects and their bytes.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn media_totals(&self, now: u64) -> Result<MediaTotals, StoreError>;
}

/// Whether there was something to delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are two")]
pub enum Deleted {
    /// There was.
    Yes,
    /// There was not.
    No,
}

/// What is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "made by store backends")]
pub struct MediaTotals {
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}
