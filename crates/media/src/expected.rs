//! What a message says about a file.

use crate::{MediaKey, MediaKind, encrypted_length, refusal::Refusal};

/// The fields of a media message that decide whether a file is the one that was sent, as they came.
#[derive(Clone, Copy, Default)]
#[non_exhaustive]
pub struct Claim<'a> {
    /// `mediaKey`; a secret.
    pub media_key: Option<&'a [u8]>,
    /// `fileEncSHA256`.
    pub file_enc_sha256: Option<&'a [u8]>,
    /// `fileSHA256`.
    pub file_sha256: Option<&'a [u8]>,
    /// `fileLength`, in bytes.
    pub file_length: Option<u64>,
}

impl core::fmt::Debug for Claim<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Claim").field("file_length", &self.file_length).finish_non_exhaustive()
    }
}

/// What a file has to be. Made from what a message says, once that is well formed.
#[derive(Debug, Clone)]
pub struct Expected {
    pub(crate) kind: MediaKind,
    pub(crate) key: MediaKey,
    pub(crate) file_enc_sha256: Option<[u8; 32]>,
    pub(crate) file_sha256: Option<[u8; 32]>,
    pub(crate) file_length: Option<u64>,
    pub(crate) limit: u64,
}

impl Expected {
    /// What the message says, with at most `limit` plain bytes ([`MediaKind::default_limit`] for want of another).
    ///
    /// # Errors
    ///
    /// [`Refusal::BadMediaKey`], [`Refusal::BadHashField`] or [`Refusal::TooLarge`], in this order.
    pub fn of_message(kind: MediaKind, claim: Claim<'_>, limit: u64) -> Result<Self, Refusal> {
        let key = MediaKey::from_bytes(claim.media_key.unwrap_or_default())?;
        let hash = |field, bytes: Option<&[u8]>| {
            bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(Refusal::BadHashField { field })
        };
        let file_enc_sha256 = hash("fileEncSHA256", claim.file_enc_sha256)?;
        let file_sha256 = hash("fileSHA256", claim.file_sha256)?;
        if claim.file_length.is_some_and(|length| length > limit) {
            return Err(Refusal::TooLarge { limit });
        }
        Ok(Self {
            kind,
            key,
            file_enc_sha256: Some(file_enc_sha256),
            file_sha256: Some(file_sha256),
            file_length: claim.file_length,
            limit,
        })
    }

    /// For a file whose message is lost: any that was encrypted with this key. Only tools want this. It does not tell
    /// the file that was sent from another that the same key was used for.
    #[must_use]
    pub const fn by_key_alone(kind: MediaKind, key: MediaKey, limit: u64) -> Self {
        Self { kind, key, file_enc_sha256: None, file_sha256: None, file_length: None, limit }
    }

    /// Adds the SHA-256 of the encrypted file.
    #[must_use]
    pub const fn with_enc_sha256(mut self, hash: [u8; 32]) -> Self {
        self.file_enc_sha256 = Some(hash);
        self
    }

    /// Adds the SHA-256 of the plain file.
    #[must_use]
    pub const fn with_sha256(mut self, hash: [u8; 32]) -> Self {
        self.file_sha256 = Some(hash);
        self
    }

    /// Adds the length of the plain file, in bytes.
    #[must_use]
    pub const fn with_length(mut self, length: u64) -> Self {
        self.file_length = Some(length);
        self
    }

    /// The kind of the file.
    #[must_use]
    pub const fn kind(&self) -> MediaKind {
        self.kind
    }

    /// The SHA-256 of the plain file, if the message says it.
    #[must_use]
    pub const fn file_sha256(&self) -> Option<&[u8; 32]> {
        self.file_sha256.as_ref()
    }

    /// The plain length that the message says, in bytes.
    #[must_use]
    pub const fn file_length(&self) -> Option<u64> {
        self.file_length
    }

    /// Length of the encrypted file in bytes, if the message says the plain one. A server that announces another has
    /// another file.
    #[must_use]
    pub fn encrypted_length(&self) -> Option<u64> {
        self.file_length.and_then(encrypted_length)
    }

    /// Longest plain file that is taken, in bytes.
    #[must_use]
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// Most encrypted bytes that are worth reading.
    #[must_use]
    pub fn encrypted_limit(&self) -> u64 {
        encrypted_length(self.limit).unwrap_or(u64::MAX)
    }
}
