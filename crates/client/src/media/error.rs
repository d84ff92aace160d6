//! What can go wrong with a file, by what to do about it.

use std::io;

use landbridge_media::{RangeError, Refusal, TransferError};

/// Why a file was not sent or is not to be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// [`Files`](super::Files) was not given what this needs.
    #[error("the client has no {what}")]
    Setup {
        /// `uploader` or `downloader`.
        what: &'static str,
    },
    /// The file to be sent, or a file on the way, cannot be read or written here.
    #[error("a file on this device cannot be read or written")]
    Disk {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No space is left on this device for the encrypted file. Nothing of it was kept.
    #[error("no space is left on this device for the encrypted file")]
    Full {
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The encrypted file that waited here is gone or cut short, as after the account has moved to this device.
    #[error("the encrypted file is no longer on this device")]
    Lost {
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is longer than the limit for its kind.
    #[error("the file is longer than {limit} bytes")]
    TooLarge {
        /// The limit, in plain bytes.
        limit: u64,
    },
    /// The message of the file would break a rule of its kind, and its receiver not show it as it is: an empty file, a
    /// caption that is too long, a media type that is none. Nothing was sent.
    #[error("the message of the file would break a rule: {what}")]
    Content {
        /// Which.
        what: &'static str,
    },
    /// What the message says about its file is malformed: there is nothing to fetch.
    #[error("the message does not say what its file is")]
    BadMessage {
        /// What is wrong, if it is about keys and hashes.
        #[source]
        source: Option<Refusal>,
    },
    /// The server has the file no longer. Ask the sender to send it again.
    #[error("the file is no longer there")]
    Gone {
        /// What the server said.
        #[source]
        source: TransferError,
    },
    /// What came is not what was sent, twice if that may help. Nothing of it was shown.
    #[error("the file is damaged")]
    Damaged {
        /// Which check failed; for the log.
        #[source]
        source: Refusal,
    },
    /// Another failure of the way; later it may work ([`TransferError::is_temporary`]).
    #[error("the file was not transferred")]
    Transfer {
        /// What failed.
        #[source]
        source: TransferError,
    },
    /// A part of the file cannot be read by itself: its message has no sidecar, or a wrong one, or the part is damaged.
    #[error("this part of the file cannot be read alone")]
    Part {
        /// Why, if there is a sidecar.
        #[source]
        source: Option<RangeError>,
    },
    /// The message of the file cannot be sent, or it could not be stored.
    #[error("the message of the file was not sent")]
    Send {
        /// Why.
        #[source]
        source: crate::Error,
    },
    /// The work was given up because the program ends.
    #[error("the work on the file was given up")]
    GivenUp,
}

impl From<TransferError> for MediaError {
    fn from(source: TransferError) -> Self {
        match source {
            TransferError::Gone { .. } => Self::Gone { source },
            source => Self::Transfer { source },
        }
    }
}

impl From<Refusal> for MediaError {
    fn from(source: Refusal) -> Self {
        match source {
            Refusal::TooLarge { limit } => Self::TooLarge { limit },
            source if source.is_damage() => Self::Damaged { source },
            source => Self::BadMessage { source: Some(source) },
        }
    }
}
