//! One table: why there is no connection, and what [`Client::run`](crate::Client::run) does about it. `docs/reconnect.md` is
//! the same table for people.

use landbridge_noise::HandshakeError;
use landbridge_stanza::stream::{FailureReason, LoginFailure, StreamError};

use crate::error::{Ending, Error, Reaction};
use crate::token::TokenError;

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Connect again after a random time up to a bound that doubles with each failure.
    BackOff,
    /// The same, some steps further up (`connection.rate_limit_extra_steps` of the profile).
    BackOffFar,
    /// Connect again at once.
    Now,
    /// Fetch a fresh token and connect again at once; `login.tokens_in_a_row` times, then stop.
    FreshToken,
    /// Enlist anew with the same keys and connect again at once; not again within `login.reenlist_every_s`, then stop.
    Enlist,
    /// Connect again after the time that was named.
    WaitAsTold,
    /// Connect again after an hour.
    WaitAnHour,
    /// Connect again with back-off, and stop the third time in a row.
    ThreeTimes,
    /// Do not connect again before the user or a push asks.
    Stop,
}

macro_rules! causes {
    ($($(#[doc = $doc:literal])+ $cause:ident $code:literal $action:ident;)+) => {
        /// Why there is no connection.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Cause {
            $($(#[doc = $doc])+ $cause,)+
        }

        impl Cause {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$cause,)+];

            /// A stable name for machines.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$cause => $code,)+ }
            }

            /// What happened, in one sentence.
            pub const fn what(self) -> &'static str {
                match self { $(Self::$cause => concat!($($doc),+).trim_ascii(),)+ }
            }

            /// What follows.
            pub const fn action(self) -> Action {
                match self { $(Self::$cause => Action::$action,)+ }
            }
        }
    };
}

causes! {
    /// The server was not reached, or closed or fell silent before it answered the login.
    Unreachable "unreachable" BackOff;
    /// The connection broke, or the server closed it without a reason.
    Broken "broken" BackOff;
    /// A ping was not answered.
    PingTimeout "ping_timeout" BackOff;
    /// The server is in trouble or starts anew: login failure 500, 501, 503; stream error 500 to 599 or an unknown one.
    ServerTrouble "server_trouble" BackOff;
    /// The server could not read a stanza of ours: stream error `xml-not-well-formed` or 479.
    StanzaRefused "stanza_refused" BackOff;
    /// Too many connections: stream error 429.
    RateLimited "rate_limited" BackOffFar;
    /// The server asks for it: stream error 515.
    Restart "restart" Now;
    /// The token was refused: 413, 414, or three logins in a row closed without an answer.
    TokenRefused "token_refused" FreshToken;
    /// The partner's server was not reached or gives no token now.
    TokenUnavailable "token_unavailable" BackOff;
    /// The partner's server does not know the user's session, or gives what is no token.
    TokenDenied "token_denied" Stop;
    /// The account is unknown, as after 30 days away: login failure 401 or 415, stream error `device_removed`, 401 or 516.
    AccountUnknown "account_unknown" Enlist;
    /// Enlisting anew got no answer.
    EnlistmentUnreachable "enlistment_unreachable" BackOff;
    /// Enlisting anew was refused for a time.
    EnlistmentTooSoon "enlistment_too_soon" WaitAsTold;
    /// Enlisting anew was refused for good.
    EnlistmentRefused "enlistment_refused" Stop;
    /// Banned for a time: login failure 402 with its end.
    Banned "banned" WaitAsTold;
    /// The server's certificates are outside their dates: a clock is wrong, here or there.
    CertificateDates "certificate_dates" WaitAnHour;
    /// The server's answer to the hello is none.
    StrangeHello "strange_hello" ThreeTimes;
    /// An earlier login of this client, whose answer never came, took the place of the connection.
    ReplacedByOurselves "replaced_by_ourselves" BackOff;
    /// Another connection of the account took its place: stream error `conflict type=replaced` or 409.
    Replaced "replaced" Stop;
    /// The login was refused for any other reason: locked, banned, too old.
    LoginRefused "login_refused" Stop;
    /// The server's certificates lead to another root.
    OtherRoot "other_root" Stop;
    /// The application asked for it.
    Requested "requested" Stop;
    /// The store failed.
    StoreFailed "store_failed" Stop;
    /// The account is not enlisted or was deleted, the client is connected already, or its settings do not do.
    NotPossible "not_possible" Stop;
}

impl Action {
    /// In one sentence.
    pub const fn what(self) -> &'static str {
        match self {
            Self::BackOff => "again after a random time up to 1, 2, 4 … 300 s",
            Self::BackOffFar => "the same, five steps further up",
            Self::Now => "again at once",
            Self::FreshToken => "a fresh token, again at once; twice in a row at most",
            Self::Enlist => "enlisted anew with the same keys, again at once; once an hour at most",
            Self::WaitAsTold => "again after the time that was named",
            Self::WaitAnHour => "again after an hour",
            Self::ThreeTimes => "again after a random time as above; the third time in a row is the end",
            Self::Stop => "the end: only the user or a push may connect again",
        }
    }
}

impl Cause {
    /// Why an attempt to connect failed, or how a connection ended.
    pub fn of(error: &Error) -> Self {
        match error {
            Error::Disconnected { ending } => Self::of_ending(ending),
            Error::LoginRefused { failure, reaction } => of_refusal(failure, *reaction),
            Error::Handshake { source } => match source {
                HandshakeError::Certificate { source } if source.is_about_time() => Self::CertificateDates,
                HandshakeError::Certificate { .. }
                | HandshakeError::TrustMismatch
                | HandshakeError::PayloadTooLarge { .. } => Self::OtherRoot,
                _ => Self::StrangeHello,
            },
            Error::Token { source } => match source {
                TokenError::Denied { .. } | TokenError::Malformed { .. } => Self::TokenDenied,
                _ => Self::TokenUnavailable,
            },
            Error::EnlistmentLapsed => Self::AccountUnknown,
            Error::EnlistmentUnreachable { .. } => Self::EnlistmentUnreachable,
            Error::EnlistmentRefused { retry_after: Some(_), .. } => Self::EnlistmentTooSoon,
            Error::EnlistmentRefused { .. } | Error::EnlistmentProtocol { .. } => Self::EnlistmentRefused,
            Error::Transport { .. }
            | Error::ClosedEarly { .. }
            | Error::Io { .. }
            | Error::TimedOut { .. }
            | Error::NotConnected
            | Error::Refused { .. }
            | Error::BadAnswer { .. } => Self::Unreachable,
            Error::Store { .. } => Self::StoreFailed,
            _ => Self::NotPossible,
        }
    }

    /// How a connection ended.
    pub fn of_ending(ending: &Ending) -> Self {
        match ending {
            Ending::Requested => Self::Requested,
            Ending::PingTimeout { .. } => Self::PingTimeout,
            Ending::ReplacedByOurselves => Self::ReplacedByOurselves,
            Ending::StreamError { error } => match error {
                StreamError::Restart => Self::Restart,
                StreamError::Replaced => Self::Replaced,
                StreamError::Removed { .. } => Self::AccountUnknown,
                StreamError::Token { .. } => Self::TokenRefused,
                StreamError::RateLimited => Self::RateLimited,
                StreamError::NotWellFormed | StreamError::SchemaRefused => Self::StanzaRefused,
                _ => Self::ServerTrouble,
            },
            Ending::LoginWithdrawn { failure, reaction } => of_refusal(failure, *reaction),
            Ending::Store { .. } => Self::StoreFailed,
            _ => Self::Broken,
        }
    }
}

/// What a refusal means is the profile's affair, and in the reaction.
fn of_refusal(failure: &LoginFailure, reaction: Reaction) -> Cause {
    match reaction {
        Reaction::NewToken => Cause::TokenRefused,
        Reaction::Reenlist => Cause::AccountUnknown,
        Reaction::RetryAfter(_) if failure.reason == Some(FailureReason::TemporaryBan) => Cause::Banned,
        Reaction::RetryAfter(_) => Cause::ServerTrouble,
        _ => Cause::LoginRefused,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// `docs/reconnect.md` says what the code does, row for row.
    #[test]
    fn the_page_is_the_table() {
        let page =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reconnect.md")).unwrap();
        let listed: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
        let expected: Vec<String> = Cause::ALL
            .iter()
            .map(|cause| format!("| `{}` | {} | {} |", cause.code(), cause.what(), cause.action().what()))
            .collect();
        assert_eq!(listed, expected);
        let codes: HashSet<_> = Cause::ALL.iter().map(|cause| cause.code()).collect();
        assert_eq!(codes.len(), Cause::ALL.len());
    }
}
