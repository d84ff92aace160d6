//! How connections end.

use std::io;
use std::time::Duration;

use landbridge_noise::{FrameError, OpenError, SealError};
use landbridge_stanza::stream::{LoginFailure, StreamError};
use landbridge_store::StoreError;
use landbridge_wire::{DecodeError, EncodeError};

use super::Reaction;

/// How a connection ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Ending {
    /// The application asked for it, or dropped the client.
    #[error("the client closed the connection")]
    Requested,
    /// The server ended the stream in order.
    #[error("the server ended the stream")]
    ServerEnded,
    /// The server closed without a word.
    #[error("the server closed the connection")]
    Closed,
    /// The server gave the stream up.
    #[error("the server gave the stream up: {error:?}")]
    StreamError {
        /// What it said.
        error: StreamError,
    },
    /// The server refused a login that it had accepted before.
    #[error("the server withdrew the login")]
    LoginWithdrawn {
        /// What it said.
        failure: Box<LoginFailure>,
        /// What the profile says about it.
        reaction: Reaction,
    },
    /// An earlier login of this client was late, and its connection took the place of this one.
    #[error("an earlier login of this client took the connection's place")]
    ReplacedByOurselves,
    /// A ping was not answered.
    #[error("the server did not answer a ping within {} s", after.as_secs())]
    PingTimeout {
        /// How long the answer was waited for.
        after: Duration,
    },
    /// Reading failed.
    #[error("reading from the server failed")]
    Read {
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// Writing failed.
    #[error("writing to the server failed")]
    Write {
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A frame is longer than the protocol allows.
    #[error("the server sent a frame that cannot be")]
    Frame {
        /// Why.
        #[source]
        source: FrameError,
    },
    /// A frame does not decrypt: broken stream, or somebody in between.
    #[error("the server sent a frame that does not open")]
    Open {
        /// Why.
        #[source]
        source: OpenError,
    },
    /// No more frames can be sealed on this connection.
    #[error("a frame could not be sealed")]
    Seal {
        /// Why.
        #[source]
        source: SealError,
    },
    /// A frame opened and holds no stanza.
    #[error("the server sent a frame that holds no stanza")]
    Decode {
        /// Why, and at which byte.
        #[source]
        source: DecodeError,
    },
    /// The store failed while something that was received had to be kept. It was not acknowledged and comes again.
    #[error("what the server sent could not be stored")]
    Store {
        /// Why.
        #[source]
        source: StoreError,
    },
    /// A stanza of ours could not be encoded.
    #[error("an answer could not be encoded")]
    Encode {
        /// Why.
        #[source]
        source: EncodeError,
    },
}

impl From<StoreError> for Ending {
    fn from(source: StoreError) -> Self {
        Self::Store { source }
    }
}

impl From<EncodeError> for Ending {
    fn from(source: EncodeError) -> Self {
        Self::Encode { source }
    }
}
