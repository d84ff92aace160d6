//! Why a phone does not do what it is told.

use thiserror::Error;

/// Why a phone does not do what it is told. Nothing has been changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PhoneError {
    /// The text is no telephone number.
    #[error("a number has 5 to 15 digits and does not begin with 0")]
    Number,
    /// There is a phone with this number.
    #[error("there is a phone with this number already")]
    Exists,
    /// There is no phone with this number.
    #[error("there is no phone with this number")]
    NoSuchPhone,
    /// There is no user with this address or identifier.
    #[error("there is no user with this address or identifier")]
    NoSuchUser,
    /// The message was not accepted by the server.
    #[error("the message {id} was not sent: {reason}")]
    NotSent {
        /// The message, which is on the screen as failed.
        id: String,
        /// Why.
        reason: String,
    },
    /// The block list was not changed.
    #[error("the server refused the change of the block list")]
    NotBlocked,
    /// The address is not one that a phone can write to.
    #[error("{jid} is neither a WhatsApp user nor a partner's user, or is the phone itself")]
    Recipient {
        /// The address.
        jid: String,
    },
    /// The text is empty or too long.
    #[error("a text has 1 to {max} characters, this has {got}")]
    Text {
        /// Its length in characters.
        got: usize,
        /// The longest that is sent.
        max: usize,
    },
    /// The message is not one of this chat on the phone's screen, or not one with which that can be done.
    #[error("the chat with {peer} has no message {id} with which this can be done")]
    NoMessage {
        /// The chat.
        peer: String,
        /// The id.
        id: String,
    },
    /// The message was asked for again as often as anybody answers.
    #[error("the message {id} was asked for {most} times, and is not sent again")]
    AskedOften {
        /// The message.
        id: String,
        /// How often.
        most: u8,
    },
    /// The file of a phone's store could not be removed.
    #[error("the file of the phone's store could not be removed")]
    Remove(#[source] std::io::Error),
    /// The sandbox failed.
    #[error("the sandbox failed")]
    Sandbox(#[source] Box<crate::SandboxError>),
    /// The phone's store failed.
    #[error("the phone's store failed")]
    Store(#[from] landbridge_store::StoreError),
    /// The part of the phone's store that Signal uses failed.
    #[error("the phone's keys could not be read or written")]
    Keys(#[from] landbridge_signal::StoreError),
    /// The store has no signed prekey, or an account of somebody else.
    #[error("the phone's store holds no {what}")]
    Incomplete {
        /// What is missing.
        what: &'static str,
    },
    /// A message could not be encrypted.
    #[error("a message could not be encrypted")]
    Encrypt(#[source] landbridge_signal::EncryptError),
    /// A stanza could not be encoded for the store.
    #[error("a stanza could not be encoded")]
    Encode(#[from] landbridge_wire::EncodeError),
    /// A stored stanza could not be decoded.
    #[error("a stored stanza could not be decoded")]
    Decode(#[from] landbridge_wire::DecodeError),
    /// A stored content could not be decoded.
    #[error("a stored content could not be decoded")]
    Content(#[from] landbridge_proto::ParseError),
}

impl From<crate::SandboxError> for PhoneError {
    fn from(error: crate::SandboxError) -> Self {
        Self::Sandbox(Box::new(error))
    }
}
