//! What can go wrong in a handshake.

use thiserror::Error;

use crate::CertificateError;

/// One of the three messages of a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Message {
    /// The first, from the client.
    ClientHello,
    /// The second, from the server.
    ServerHello,
    /// The third, from the client; IK does without.
    ClientFinish,
}

impl std::fmt::Display for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ClientHello => "ClientHello",
            Self::ServerHello => "ServerHello",
            Self::ClientFinish => "ClientFinish",
        })
    }
}

/// A field of a handshake message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The sender's ephemeral public key, 32 bytes in clear.
    Ephemeral,
    /// The sender's static public key, sealed: 48 bytes.
    Static,
    /// What the message carries, sealed: at least 16 bytes.
    Payload,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ephemeral => "ephemeral",
            Self::Static => "static",
            Self::Payload => "payload",
        })
    }
}

/// Why a handshake ended. The connection is to be closed; the state is gone.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The peer's frame is no protobuf.
    #[error("{message} of {length} bytes does not parse")]
    Malformed {
        /// The message that was due.
        message: Message,
        /// Length of the frame's body, in bytes.
        length: usize,
        /// Why.
        source: prost::DecodeError,
    },
    /// The peer's frame is longer than any handshake frame.
    #[error("{message} of {got} bytes, at most {limit} are taken")]
    FrameTooLong {
        /// The message that was due.
        message: Message,
        /// [`MAX_HANDSHAKE_FRAME`](crate::MAX_HANDSHAKE_FRAME).
        limit: usize,
        /// Length of the frame's body, in bytes.
        got: usize,
    },
    /// The peer sent another message, or none.
    #[error("{expected} is missing")]
    MissingMessage {
        /// The message that was due.
        expected: Message,
    },
    /// The peer sent a second message in the same frame.
    #[error("{expected} came together with {got}")]
    ExtraMessage {
        /// The message that was due.
        expected: Message,
        /// The one that was there as well.
        got: Message,
    },
    /// The peer left out a field that the pattern calls for.
    #[error("{message} has no {part}")]
    MissingPart {
        /// The message.
        message: Message,
        /// The field.
        part: Part,
    },
    /// A field of another length, found before anything is computed with it.
    #[error("{part} of {message} has {got} bytes, expected {expected}")]
    BadLength {
        /// The message.
        message: Message,
        /// The field.
        part: Part,
        /// Bytes that it should have; at least, if it is the payload.
        expected: usize,
        /// Bytes that it has.
        got: usize,
    },
    /// A sealed field has a wrong tag: changed on the way, another prologue, another key.
    #[error("{part} of {message} does not decrypt")]
    Decrypt {
        /// The message.
        message: Message,
        /// The field.
        part: Part,
    },
    /// A key of the peer has low order: agreeing with it would give zero.
    #[error("the peer's {part} key in {message} is of low order")]
    WeakKey {
        /// The message that brought the key, or that needs it.
        message: Message,
        /// The field.
        part: Part,
    },
    /// The server is not believed.
    #[error("the server's certificates are refused")]
    Certificate {
        /// Why.
        source: CertificateError,
    },
    /// The caller's [`ServerTrust`](crate::ServerTrust) gave a proof about another key than the server's.
    #[error("the trust decision is about another server key")]
    TrustMismatch,
    /// The caller wants to resume with a key whose certificates do not count at this time.
    #[error("the known server key may not be used for resumption at {now}")]
    KnownServerOutdated {
        /// Unix seconds.
        now: u64,
    },
    /// The caller's payload makes the message longer than any handshake frame.
    #[error("{message} would have {got} bytes, a handshake frame holds {limit}")]
    PayloadTooLarge {
        /// The message.
        message: Message,
        /// [`MAX_HANDSHAKE_FRAME`](crate::MAX_HANDSHAKE_FRAME).
        limit: usize,
        /// Length that the message would have, in bytes.
        got: usize,
    },
}

impl HandshakeError {
    /// The verdict's name, one word for logs and statistics; for a refused server the certificate's verdict.
    pub fn verdict(&self) -> &'static str {
        match self {
            Self::Malformed { .. } | Self::ExtraMessage { .. } => "malformed",
            Self::MissingMessage { .. } | Self::MissingPart { .. } => "missing_part",
            Self::FrameTooLong { .. } | Self::BadLength { .. } => "bad_length",
            Self::Decrypt { .. } => "decrypt_error",
            Self::WeakKey { .. } => "weak_key",
            Self::Certificate { source } => source.verdict(),
            Self::TrustMismatch | Self::KnownServerOutdated { .. } | Self::PayloadTooLarge { .. } => "misuse",
        }
    }
}

/// Why a resumption ended, which decides whether the stored server key is still of use.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// Before the server had answered with anything but a failure of IK: erase the stored key, and use XX from
    /// now on. PEERS.
    #[error("the resumption failed")]
    Resumption {
        /// Why.
        source: HandshakeError,
    },
    /// After the switch to XXfallback: an ordinary failure of a handshake, the stored key is kept. PEERS.
    #[error("the handshake failed that the server put in place of the resumption")]
    Fallback {
        /// Why.
        source: HandshakeError,
    },
}

impl ResumeError {
    /// The failure of the handshake.
    pub const fn handshake(&self) -> &HandshakeError {
        match self {
            Self::Resumption { source } | Self::Fallback { source } => source,
        }
    }

    /// Whether the stored server key is to be erased.
    pub const fn forget_server(&self) -> bool {
        matches!(self, Self::Resumption { .. })
    }
}
