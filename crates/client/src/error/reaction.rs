//! What to do about what went wrong.

use std::time::Duration;

use landbridge_noise::HandshakeError;
use landbridge_stanza::IqError;
use landbridge_stanza::codes::{IqErrorCode, IqReaction};
use landbridge_stanza::stream::StreamError;
#[cfg(feature = "export")]
use landbridge_store::ExportError;
use landbridge_store::StoreError;

use super::{Ending, Error};
use crate::token::TokenError;

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
