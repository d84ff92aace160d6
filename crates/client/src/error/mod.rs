//! What can go wrong, and what to do about it.

mod ending;
mod reaction;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use landbridge_enlist::{ProtocolFault, Refusal};
use landbridge_noise::HandshakeError;
use landbridge_signal::{BundleError, EncryptError};
use landbridge_stanza::stream::LoginFailure;
use landbridge_stanza::{IqError, StanzaError};
#[cfg(feature = "export")]
use landbridge_store::ExportError;
use landbridge_store::StoreError;
use landbridge_transport::TransportError;
use landbridge_wire::{EncodeError, Jid};

use crate::token::TokenError;
pub use ending::Ending;
pub use reaction::Reaction;

/// Why an operation of the client did not succeed.
///
/// The message says what happened, [`source`](std::error::Error::source) why, [`code`](Self::code) is for machines, and
/// [`reaction`](Self::reaction) says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The builder was not given something it needs, or was given something unusable.
    #[error("the client cannot be built: {what}")]
    Setup {
        /// What is missing or wrong.
        what: &'static str,
        /// What was refused, if something was.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The account is not enlisted, or no longer.
    #[error("the account is not enlisted")]
    NotEnlisted,
    /// WhatsApp no longer knows the account: it must be enlisted anew, with the same keys.
    #[error("the enlistment of the account has lapsed")]
    EnlistmentLapsed,
    /// The store holds the account of another user.
    #[error("the store belongs to another user or integrator")]
    OtherAccount,
    /// The user identifier or the integrator id is none.
    #[error("the {what} cannot be enlisted")]
    BadIdentity {
        /// Which of the two.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// WhatsApp refused the enlistment.
    #[error("the enlistment was refused: {}", refusal.reason.as_str())]
    EnlistmentRefused {
        /// What it said.
        refusal: Refusal,
        /// Seconds to wait before the same request makes sense, if it ever does.
        retry_after: Option<u64>,
    },
    /// The enlistment endpoint was not reached, or not in a working state, in all tries.
    #[error("the enlistment endpoint did not answer in {tries} tries")]
    EnlistmentUnreachable {
        /// How often it was asked.
        tries: u32,
    },
    /// The enlistment endpoint does not speak the protocol.
    #[error("the enlistment endpoint gave an answer that is none")]
    EnlistmentProtocol {
        /// What is wrong.
        #[source]
        source: ProtocolFault,
    },
    /// There is no token of the partner.
    #[error("no identity token could be had")]
    Token {
        /// Why.
        #[source]
        source: TokenError,
    },
    /// There is no connection, and this needs one.
    #[error("there is no connection")]
    NotConnected,
    /// There is a connection already, or one is being made.
    #[error("there is a connection already")]
    AlreadyConnected,
    /// The server was not reached.
    #[error("the chat server was not reached")]
    Transport {
        /// Why.
        #[source]
        source: TransportError,
    },
    /// The server closed before or inside the handshake.
    #[error("the chat server closed the connection before the {before}")]
    ClosedEarly {
        /// What was waited for.
        before: &'static str,
    },
    /// Reading or writing failed before the login.
    #[error("the connection failed before the {before}")]
    Io {
        /// What was waited for.
        before: &'static str,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The secure channel could not be set up.
    #[error("the handshake failed")]
    Handshake {
        /// Why.
        #[source]
        source: HandshakeError,
    },
    /// Something did not come in time.
    #[error("no {what} within {} s", after.as_secs())]
    TimedOut {
        /// What was waited for.
        what: &'static str,
        /// How long.
        after: Duration,
    },
    /// The server refused the login.
    #[error("the login was refused{}", reason_of(failure))]
    LoginRefused {
        /// What it said.
        failure: Box<LoginFailure>,
        /// What the profile says about it.
        reaction: Reaction,
    },
    /// The connection ended while this was under way.
    #[error("the connection ended")]
    Disconnected {
        /// How.
        #[source]
        ending: Arc<Ending>,
    },
    /// The server refused a request.
    #[error("the server refused the {request}")]
    Refused {
        /// Which request.
        request: &'static str,
        /// What it said.
        #[source]
        source: IqError,
    },
    /// The server's answer does not have the form of one.
    #[error("the answer to the {request} cannot be read")]
    BadAnswer {
        /// Which request.
        request: &'static str,
        /// What is wrong, unless the answer just lacks what was asked for.
        #[source]
        source: Option<StanzaError>,
    },
    /// The address is not one that this can be done with.
    #[error("{jid} cannot be {what}")]
    BadAddress {
        /// The address.
        jid: Jid,
        /// What was to be done.
        what: &'static str,
    },
    /// The peer has no keys at the server: no such user, or one who cannot be reached.
    #[error("{jid} has no keys")]
    NoKeys {
        /// The peer.
        jid: Jid,
        /// What the server said.
        #[source]
        source: IqError,
    },
    /// The peer's keys are not good.
    #[error("the keys of {jid} are refused")]
    BadKeys {
        /// The peer.
        jid: Jid,
        /// Why.
        #[source]
        source: BundleError,
    },
    /// The message cannot be encrypted.
    #[error("the message to {jid} could not be encrypted")]
    Encrypt {
        /// The recipient.
        jid: Jid,
        /// Why.
        #[source]
        source: EncryptError,
    },
    /// Sending to the peer is held until the user accepts the peer's new identity.
    #[error("sending to {jid} is held until the new identity is accepted")]
    SendingHeld {
        /// The peer.
        jid: Jid,
    },
    /// The peer's identity is no longer the one that was compared.
    #[error("the identity of {jid} has changed since it was compared")]
    OtherIdentity {
        /// The peer.
        jid: Jid,
    },
    /// The content breaks a rule.
    #[error("the content cannot be sent: {what}")]
    Content {
        /// Which rule.
        what: &'static str,
    },
    /// The store holds no such message.
    #[error("there is no such message")]
    NoSuchMessage,
    /// A stanza of ours cannot be encoded.
    #[error("the stanza cannot be encoded")]
    Encode {
        /// Why.
        #[source]
        source: EncodeError,
    },
    /// The account was exported and belongs to whoever imports it: this client neither connects nor sends.
    #[error("the account was handed over to another device; go on there, or take it back here")]
    HandedOver {
        /// When, in unix seconds.
        at: u64,
    },
    /// The account could not be exported.
    #[cfg(feature = "export")]
    #[error("the account was not exported")]
    Export {
        /// Why.
        #[source]
        source: ExportError,
    },
    /// The store failed.
    #[error("the store failed")]
    Store {
        /// Why.
        #[source]
        source: StoreError,
    },
}

fn reason_of(failure: &LoginFailure) -> String {
    failure.reason.map(|reason| format!(" with reason {reason}")).unwrap_or_default()
}

impl Error {
    /// A stable name for machines: never changes its meaning.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Setup { .. } => "setup",
            Self::NotEnlisted => "not_enlisted",
            Self::EnlistmentLapsed => "enlistment_lapsed",
            Self::OtherAccount => "other_account",
            Self::BadIdentity { .. } => "bad_identity",
            Self::EnlistmentRefused { .. } => "enlistment_refused",
            Self::EnlistmentUnreachable { .. } => "enlistment_unreachable",
            Self::EnlistmentProtocol { .. } => "enlistment_protocol",
            Self::Token { .. } => "token",
            Self::NotConnected => "not_connected",
            Self::AlreadyConnected => "already_connected",
            Self::Transport { .. } => "transport",
            Self::ClosedEarly { .. } => "closed_early",
            Self::Io { .. } => "io",
            Self::Handshake { .. } => "handshake",
            Self::TimedOut { .. } => "timed_out",
            Self::LoginRefused { .. } => "login_refused",
            Self::Disconnected { .. } => "disconnected",
            Self::Refused { .. } => "refused",
            Self::BadAnswer { .. } => "bad_answer",
            Self::BadAddress { .. } => "bad_address",
            Self::NoKeys { .. } => "no_keys",
            Self::BadKeys { .. } => "bad_keys",
            Self::Encrypt { .. } => "encrypt",
            Self::SendingHeld { .. } => "sending_held",
            Self::OtherIdentity { .. } => "other_identity",
            Self::Content { .. } => "content",
            Self::NoSuchMessage => "no_such_message",
            Self::Encode { .. } => "encode",
            Self::HandedOver { .. } => "handed_over",
            #[cfg(feature = "export")]
            Self::Export { .. } => "export",
            Self::Store { .. } => "store",
        }
    }

    /// How long to wait before the same again makes sense, if it does at all.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.reaction() {
            Reaction::RetryAfter(wait) => Some(wait),
            _ => None,
        }
    }

    /// Whether what was asked for will never work, so that it is done with. A store or a connection that fails says nothing of
    /// that: what they were needed for is still to be done.
    pub(crate) fn is_final(&self) -> bool {
        let of_its_own = !matches!(
            self,
            Self::Store { .. } | Self::HandedOver { .. } | Self::Disconnected { .. } | Self::NotConnected
        );
        of_its_own && matches!(self.reaction(), Reaction::GiveUp | Reaction::FixRequest)
    }

    /// What may stand in a log: as [`chain`](Self::chain), but nothing that names a person.
    pub(crate) fn for_log(&self) -> String {
        match self {
            Self::BadAddress { .. }
            | Self::NoKeys { .. }
            | Self::BadKeys { .. }
            | Self::Encrypt { .. }
            | Self::SendingHeld { .. }
            | Self::OtherIdentity { .. } => self.code().to_owned(),
            _ => self.chain(),
        }
    }

    /// This error with all its causes, one sentence after the other: for terminals. It may name
    /// an address.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

impl From<StoreError> for Error {
    fn from(source: StoreError) -> Self {
        match source {
            StoreError::HandedOver { at } => Self::HandedOver { at },
            source => Self::Store { source },
        }
    }
}

impl From<EncodeError> for Error {
    fn from(source: EncodeError) -> Self {
        Self::Encode { source }
    }
}
