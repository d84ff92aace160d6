//! Why a file is not taken.

use thiserror::Error;

/// Why a file, or what a message says about one, is refused. The variants stand in the order in which they are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The media key does not have 32 bytes.
    #[error("the media key has {got} bytes instead of 32")]
    BadMediaKey {
        /// Bytes it has.
        got: usize,
    },
    /// A hash is missing from the message or does not have 32 bytes.
    #[error("the message's {field} is missing or does not have 32 bytes")]
    BadHashField {
        /// Name of the field.
        field: &'static str,
    },
    /// The file is, or is said to be, longer than the limit.
    #[error("the file is longer than {limit} bytes")]
    TooLarge {
        /// The limit, in plain bytes.
        limit: u64,
    },
    /// No encrypted file has this length.
    #[error("an encrypted file cannot have {got} bytes")]
    BadEncLength {
        /// Bytes it has.
        got: u64,
    },
    /// The SHA-256 of the encrypted file is not that of the message.
    #[error("the encrypted file is not the one that the message names")]
    EncHashMismatch,
    /// The file was not encrypted with this key.
    #[error("the file's MAC does not verify")]
    MacMismatch,
    /// The padding behind the plain file is malformed.
    #[error("the file's padding is malformed")]
    BadPadding,
    /// The SHA-256 of the plain file is not that of the message.
    #[error("the plain file is not the one that the message names")]
    PlainHashMismatch,
    /// The plain file does not have the length that the message says.
    #[error("the file has {got} bytes, the message said {expected}")]
    LengthMismatch {
        /// Bytes that the message said.
        expected: u64,
        /// Bytes it has.
        got: u64,
    },
}

/// Whether fetching a refused file again may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remedy {
    /// What was fetched is not what was sent: fetch it once more, from the beginning.
    FetchOnceMore,
    /// What was sent is bad. Ask the sender.
    AskSender,
}

impl Refusal {
    /// A name that does not change, for reports and counters.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadMediaKey { .. } => "bad_media_key",
            Self::BadHashField { .. } => "bad_hash_field",
            Self::TooLarge { .. } => "too_large",
            Self::BadEncLength { .. } => "bad_enc_length",
            Self::EncHashMismatch => "enc_hash_mismatch",
            Self::MacMismatch => "mac_mismatch",
            Self::BadPadding => "bad_padding",
            Self::PlainHashMismatch => "plain_hash_mismatch",
            Self::LengthMismatch { .. } => "length_mismatch",
        }
    }

    /// Whether fetching the file again may help.
    #[must_use]
    pub const fn remedy(&self) -> Remedy {
        match self {
            Self::BadEncLength { .. } | Self::EncHashMismatch => Remedy::FetchOnceMore,
            _ => Remedy::AskSender,
        }
    }

    /// Whether the bytes of the file are at fault, and not what the message says about it. What differs among these is
    /// nobody's business but the log's.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        !matches!(self, Self::BadMediaKey { .. } | Self::BadHashField { .. } | Self::TooLarge { .. })
    }
}
