//! What can go wrong, and what to do about it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use landbridge_enlist::{ProtocolFault, Refusal};
use landbridge_noise::{FrameError, HandshakeError, OpenError, SealError};
use landbridge_signal::{BundleError, EncryptError};
use landbridge_stanza::codes::{IqErrorCode, IqReaction};
use landbridge_stanza::stream::{LoginFailure, StreamError};
use landbridge_stanza::{IqError, StanzaError};
#[cfg(feature = "export")]
use landbridge_store::ExportError;
use landbridge_store::StoreError;
use landbridge_transport::TransportError;
use landbridge_wire::{DecodeError, EncodeError, Jid};

use crate::token::TokenError;

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

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reaction {
    /// The same again after this time. [`Duration::ZERO`]: at once.
    RetryAfter(Duration),
    /// Fetch a fresh token, then the same again.
    NewToken,
    /// [`Client::enlist`](crate::Client::enlist) again, with the keys that are there, then the same again.
    Reenlist,
    /// Only the user or a push may ask again: the account is in use elsewhere.
    AskUser,
    /// The request itself is wrong: change it.
    FixRequest,
    /// Nothing helps but people: tell the user, or report it.
    GiveUp,
}

const RETRY: Reaction = Reaction::RetryAfter(Duration::from_secs(1));

impl Error {
    /// What to do about it.
    pub fn reaction(&self) -> Reaction {
        match self {
            Self::NotEnlisted | Self::EnlistmentLapsed => Reaction::Reenlist,
            Self::Setup { .. }
            | Self::OtherAccount
            | Self::BadIdentity { .. }
            | Self::BadAddress { .. }
            | Self::Content { .. }
            | Self::NoSuchMessage
            | Self::Encode { .. }
            | Self::AlreadyConnected => Reaction::FixRequest,
            Self::EnlistmentRefused { retry_after: Some(seconds), .. } => {
                Reaction::RetryAfter(Duration::from_secs(*seconds))
            }
            Self::EnlistmentRefused { .. } | Self::EnlistmentProtocol { .. } => Reaction::GiveUp,
            Self::EnlistmentUnreachable { .. } => Reaction::RetryAfter(Duration::from_secs(60)),
            Self::Token { source } => token_reaction(source),
            Self::Handshake { source } => handshake_reaction(source),
            Self::LoginRefused { reaction, .. } => *reaction,
            Self::Disconnected { ending } => ending.reaction(),
            Self::Refused { source, .. } => iq_reaction(source),
            Self::NotConnected
            | Self::Transport { .. }
            | Self::ClosedEarly { .. }
            | Self::Io { .. }
            | Self::TimedOut { .. } => RETRY,
            Self::BadAnswer { .. } | Self::NoKeys { .. } | Self::BadKeys { .. } | Self::Encrypt { .. } => {
                Reaction::GiveUp
            }
            Self::SendingHeld { .. } | Self::OtherIdentity { .. } => Reaction::AskUser,
            Self::HandedOver { .. } => Reaction::AskUser,
            #[cfg(feature = "export")]
            Self::Export { source: ExportError::Store { source } } => store_reaction(source),
            #[cfg(feature = "export")]
            Self::Export { .. } => Reaction::FixRequest,
            Self::Store { source } => store_reaction(source),
        }
    }

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

impl Ending {
    /// What to do about it; the automatic mode does the same.
    pub fn reaction(&self) -> Reaction {
        match self {
            Self::Requested => Reaction::AskUser,
            Self::StreamError { error } => stream_reaction(error),
            Self::LoginWithdrawn { reaction, .. } => *reaction,
            Self::Store { source } => store_reaction(source),
            Self::Encode { .. } => Reaction::GiveUp,
            _ => RETRY,
        }
    }
}

fn stream_reaction(error: &StreamError) -> Reaction {
    match error {
        StreamError::Restart => Reaction::RetryAfter(Duration::ZERO),
        StreamError::Replaced => Reaction::AskUser,
        StreamError::Removed { .. } => Reaction::Reenlist,
        StreamError::Token { .. } => Reaction::NewToken,
        StreamError::RateLimited => Reaction::RetryAfter(Duration::from_secs(32)),
        _ => RETRY,
    }
}

fn token_reaction(error: &TokenError) -> Reaction {
    match error {
        TokenError::Denied { .. } => Reaction::AskUser,
        TokenError::Unavailable { retry_after, .. } => {
            Reaction::RetryAfter(Duration::from_secs(retry_after.unwrap_or(5)))
        }
        TokenError::Unreachable { .. } | TokenError::Other { .. } => RETRY,
        TokenError::Malformed { .. } => Reaction::GiveUp,
    }
}

fn handshake_reaction(error: &HandshakeError) -> Reaction {
    match error {
        // A wrong clock, here or there, is set right some time.
        HandshakeError::Certificate { source } if source.is_about_time() => {
            Reaction::RetryAfter(Duration::from_secs(3_600))
        }
        HandshakeError::Certificate { .. }
        | HandshakeError::TrustMismatch
        | HandshakeError::PayloadTooLarge { .. } => Reaction::GiveUp,
        _ => RETRY,
    }
}

fn iq_reaction(error: &IqError) -> Reaction {
    match error.code.reaction() {
        IqReaction::RetryOnce | IqReaction::RetryThrice | IqReaction::UsePart => RETRY,
        IqReaction::Wait => Reaction::RetryAfter(Duration::from_secs(error.backoff.unwrap_or(5))),
        _ if error.code == IqErrorCode::BadRequest => Reaction::FixRequest,
        _ => Reaction::GiveUp,
    }
}

fn store_reaction(error: &StoreError) -> Reaction {
    match error {
        StoreError::Full | StoreError::InUse { .. } | StoreError::HandedOver { .. } => Reaction::AskUser,
        _ => Reaction::GiveUp,
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

impl From<StoreError> for Ending {
    fn from(source: StoreError) -> Self {
        Self::Store { source }
    }
}

impl From<EncodeError> for Error {
    fn from(source: EncodeError) -> Self {
        Self::Encode { source }
    }
}

impl From<EncodeError> for Ending {
    fn from(source: EncodeError) -> Self {
        Self::Encode { source }
    }
}
