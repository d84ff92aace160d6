//! The seams to what has sockets: how encrypted files get to a server, and from one.

use std::io;

use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;

use crate::DownloadPath;

/// An encrypted file that is to be uploaded. It can be read again, from anywhere.
#[async_trait]
pub trait EncryptedFile: Send + Sync {
    /// Length in bytes.
    fn length(&self) -> u64;

    /// SHA-256 of the file.
    fn sha256(&self) -> &[u8; 32];

    /// Up to `at_most` bytes from byte `from` on; fewer only at the end of the file.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    async fn read(&self, from: u64, at_most: usize) -> io::Result<Bytes>;

    /// What earlier calls have done with this file, perhaps those of an earlier process.
    fn tried(&self) -> Tried {
        Tried::Never
    }

    /// Keeps where the upload lies, for later calls: it is durable when this returns, if the file is.
    ///
    /// # Errors
    ///
    /// If it cannot be kept.
    async fn note(&self, place: &str) -> io::Result<()> {
        let _forgotten = place;
        Ok(())
    }
}

/// What an uploader knows of a file from before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Tried {
    /// Nothing of it has ever left.
    #[default]
    Never,
    /// It may have: the server may have all of it.
    Before,
    /// An upload was begun, and lies there.
    At(String),
}

/// Brings encrypted files to the partner's server. Called for each file that is sent, and again after each start of the program
/// until it has succeeded or failed for good.
#[async_trait]
pub trait Uploader: Send + Sync {
    /// Stores the file, and says where WhatsApp finds it. `progress` is told how many bytes the server has.
    ///
    /// A second call with the same file goes on where the first one ended, if the server kept what it had.
    ///
    /// # Cancel safety
    ///
    /// The caller may drop the future; a later call must work.
    ///
    /// # Errors
    ///
    /// [`TransferError`], after whatever patience the uploader has.
    async fn upload(
        &self,
        file: &dyn EncryptedFile,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<DownloadPath, TransferError>;
}

/// What is asked of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Span {
    /// The first byte.
    pub from: u64,
    /// The byte behind the last one; the end of the file if absent.
    pub to: Option<u64>,
    /// What an earlier answer called the file. If the server's is another by now, it begins at byte 0.
    pub validator: Option<String>,
}

impl Span {
    /// From this byte to the end.
    #[must_use]
    pub const fn from(from: u64) -> Self {
        Self { from, to: None, validator: None }
    }

    /// Up to this byte, which is not wanted any more.
    #[must_use]
    pub const fn to(mut self, to: u64) -> Self {
        self.to = Some(to);
        self
    }

    /// Of the very file that an earlier answer called this.
    #[must_use]
    pub fn of(mut self, validator: Option<String>) -> Self {
        self.validator = validator;
        self
    }
}

/// Fetches encrypted files. Called once for each try; when to try again is decided by the caller.
#[async_trait]
pub trait Downloader: Send + Sync {
    /// Begins to fetch.
    ///
    /// # Cancel safety
    ///
    /// The caller may drop the future or the answer.
    ///
    /// # Errors
    ///
    /// [`TransferError`] if nothing comes.
    async fn fetch(&self, path: &DownloadPath, span: &Span) -> Result<Box<dyn Fetch>, TransferError>;
}

/// A file that is coming.
#[async_trait]
pub trait Fetch: Send {
    /// The first byte that comes: the one asked for, or 0 if the server gives the file from the beginning.
    fn begins_at(&self) -> u64;

    /// Length of the whole file in bytes, if the server said it.
    fn length(&self) -> Option<u64>;

    /// What the server calls these very bytes, for [`Span::validator`].
    fn validator(&self) -> Option<&str>;

    /// The next piece, or `None` at the end of what was asked for.
    ///
    /// # Errors
    ///
    /// [`TransferError`] if the rest does not come.
    async fn next(&mut self) -> Result<Option<Bytes>, TransferError>;
}

/// Why a file did not get there.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The file is no longer there, or its link has expired. It will not come back.
    #[error("the file is gone (status {status})")]
    Gone {
        /// HTTP status: 403, 404 or 410.
        status: u16,
    },
    /// The server does not know who uploads: the user must sign in there again.
    #[error("the server refused the user's session with status {status}")]
    Denied {
        /// HTTP status, 401 or 403.
        status: u16,
    },
    /// The server takes no file as large as this.
    #[error("the file is too large for the server")]
    TooLarge,
    /// The user has stored or uploaded as much as the server allows.
    #[error("the user's quota at the server is used up")]
    QuotaExceeded,
    /// The server is in trouble or asks to wait.
    #[error("the server cannot do it now (status {status})")]
    Unavailable {
        /// HTTP status.
        status: u16,
        /// Seconds to wait, if the server said so.
        retry_after: Option<u64>,
    },
    /// The server was not reached, or the connection broke or stalled.
    #[error("the connection to the server failed")]
    Network {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer is not what the call is to give.
    #[error("the server's answer is not understood: {what}")]
    Malformed {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The file that is to be sent cannot be read.
    #[error("the encrypted file cannot be read")]
    Source {
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl TransferError {
    /// Whether the same call may succeed a little later.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Network { .. })
    }
}
