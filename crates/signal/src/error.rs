//! What can go wrong, one enum per operation.

use landbridge_curve::{KeyError, LowOrderKey};
use thiserror::Error;

use crate::{Address, StoreError};

/// Why no session could be begun from a bundle. Nothing has been stored.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The identity differs from the stored one and the policy forbids it.
    #[error("the identity of {peer} is not trusted")]
    UntrustedIdentity {
        /// Whose bundle it is.
        peer: Address,
    },
    /// The signature of the signed prekey is not by the bundle's identity.
    #[error("the signature of the signed prekey does not verify")]
    BadSignature,
    /// A key of the bundle gives an all-zero agreement.
    #[error("a key of the bundle cannot be agreed with")]
    LowOrderKey(#[source] LowOrderKey),
    /// The store failed.
    #[error("beginning the session needed the store")]
    Store(#[source] StoreError),
}

/// Why nothing was encrypted. Nothing has been stored.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EncryptError {
    /// There is no current session: fetch a bundle first.
    #[error("there is no current session with {peer}")]
    NoSession {
        /// The peer.
        peer: Address,
    },
    /// The session's identity is not one that the policy lets us send to.
    #[error("the identity of {peer} is not trusted")]
    UntrustedIdentity {
        /// The peer.
        peer: Address,
    },
    /// 2^32 messages were sent without any answer: begin a new session.
    #[error("the sending chain is used up")]
    ChainExhausted,
    /// The store failed.
    #[error("encrypting needed the store")]
    Store(#[source] StoreError),
}

/// Why a message did not open. Nothing has been stored; the session is as it was.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DecryptError {
    /// The message version is below 3.
    #[error("message version {got} is no longer spoken")]
    LegacyVersion {
        /// The version in the high nibble.
        got: u8,
    },
    /// The message version is above 3.
    #[error("message version {got} is not known")]
    UnknownVersion {
        /// The version in the high nibble.
        got: u8,
    },
    /// The bytes are no message of this kind.
    #[error("the bytes are no Signal message")]
    Malformed(#[source] MalformedMessage),
    /// A public key in the message is none.
    #[error("the message carries an invalid public key")]
    InvalidKey(#[source] KeyError),
    /// A public key in the message gives an all-zero agreement.
    #[error("the message carries a key that cannot be agreed with")]
    LowOrderKey(#[source] LowOrderKey),
    /// The identity differs from the stored one and the policy forbids it.
    #[error("the identity of {peer} is not trusted")]
    UntrustedIdentity {
        /// The sender.
        peer: Address,
    },
    /// Nothing is known about this sender, and the message begins no session.
    #[error("there is no session with {peer}")]
    NoSession {
        /// The sender.
        peer: Address,
    },
    /// The message names a one-time prekey that is not, or no longer, here.
    #[error("one-time prekey {id} is not here")]
    NoPreKey {
        /// The id as received, any 32-bit number.
        id: u32,
    },
    /// The message names a signed prekey that is not, or no longer, here.
    #[error("signed prekey {id} is not here")]
    NoSignedPreKey {
        /// The id as received, any 32-bit number.
        id: u32,
    },
    /// A message with this ratchet key and counter was opened before, or its kept key was given up.
    #[error("message {counter} of this chain was opened before")]
    Duplicate {
        /// The counter of the message.
        counter: u32,
    },
    /// More messages are missing before this one than [`Limits::max_jump`](crate::Limits::max_jump) allows.
    #[error("the message is {jump} ahead of its chain, the limit is {limit}")]
    TooFar {
        /// How many messages are missing.
        jump: u32,
        /// The limit that was in force.
        limit: u32,
    },
    /// No session authenticates the message.
    #[error("the message authenticates in none of {tried} sessions")]
    NoSessionFits {
        /// How many sessions were tried.
        tried: usize,
    },
    /// The message authenticates but its padding is wrong: the sender is broken.
    #[error("the padding of the decrypted text is wrong")]
    BadPadding,
    /// An archived session in the record cannot be read.
    #[error("an archived session is damaged")]
    DamagedRecord(#[source] RecordError),
    /// The store failed.
    #[error("decrypting needed the store")]
    Store(#[source] StoreError),
}

/// What to do about a message that did not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Advice {
    /// Acknowledge and forget it: its text was delivered before.
    Drop,
    /// Ask the sender to encrypt it again (retry receipt, with fresh keys).
    AskAgain,
    /// The user must approve the sender's new identity first.
    AskUser,
    /// The store is at fault: do not acknowledge, try again when it works.
    Repair,
}

impl DecryptError {
    /// What to do about it.
    pub fn advice(&self) -> Advice {
        match self {
            Self::Duplicate { .. } => Advice::Drop,
            Self::UntrustedIdentity { .. } => Advice::AskUser,
            Self::Store(_) | Self::DamagedRecord(_) => Advice::Repair,
            Self::LegacyVersion { .. }
            | Self::UnknownVersion { .. }
            | Self::Malformed(_)
            | Self::InvalidKey(_)
            | Self::LowOrderKey(_)
            | Self::NoSession { .. }
            | Self::NoPreKey { .. }
            | Self::NoSignedPreKey { .. }
            | Self::TooFar { .. }
            | Self::NoSessionFits { .. }
            | Self::BadPadding => Advice::AskAgain,
        }
    }
}

/// What is wrong with the bytes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MalformedMessage {
    /// Too short for a version byte, or for the MAC or signature at its end.
    #[error("{got} bytes are too few")]
    TooShort {
        /// How many there were.
        got: usize,
    },
    /// The protobuf ends inside a field or has an impossible tag.
    #[error("the protobuf is broken at byte {offset}")]
    Protobuf {
        /// Where, counted from the first byte of the protobuf.
        offset: usize,
    },
    /// A required field is absent.
    #[error("field {number} is missing")]
    MissingField {
        /// Its number.
        number: u32,
    },
    /// A field has a wrong length.
    #[error("field {number} has {got} bytes")]
    FieldLength {
        /// Its number.
        number: u32,
        /// Its length.
        got: usize,
    },
}

/// Why stored bytes are no session record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Written by a later version of this crate, or no record at all.
    #[error("record format {got} is not known")]
    UnknownFormat {
        /// The format byte.
        got: u8,
    },
    /// A session of a message version that this crate does not speak.
    #[error("a session of message version {got}")]
    UnknownVersion {
        /// The version byte.
        got: u8,
    },
    /// The bytes end too early, go on too long or contradict themselves.
    #[error("the record is damaged at byte {offset}")]
    Damaged {
        /// Where.
        offset: usize,
    },
}
