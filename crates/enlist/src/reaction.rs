//! What a client does about an answer (table "client rules" of the protocol page), as a pure function.

use std::time::Duration;

use rand_core::CryptoRng;
use thiserror::Error;

use crate::ids::{IntegratorId, Login};
use crate::reply::{EnlistmentReply, Reason, Refusal, ReplyError};

/// Time to establish the connection (ASSUMED).
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the whole exchange (ASSUMED).
pub const TOTAL_TIMEOUT: Duration = Duration::from_secs(30);
/// How often the same request is sent at most when no answer comes (ASSUMED). The server heals repeats.
pub const MAX_TRIES: u32 = 5;
/// Delay when a refusal asks for one without saying how long, in seconds.
const DEFAULT_RETRY_AFTER: u64 = 60;
/// Longest delay that is obeyed, in seconds.
const MAX_RETRY_AFTER: u64 = 60 * 60;

/// An HTTP answer, or that there was none.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_enums, reason = "there is an answer or there is none")]
pub enum Answer<'a> {
    /// Status and body. Redirects are answers too: they are never followed, since the request holds a credential.
    Http {
        /// The status code.
        status: u16,
        /// The body, or as much of it as was read: at most [`MAX_REPLY`](crate::MAX_REPLY) bytes and one more.
        body: &'a [u8],
    },
    /// The connection failed, broke, or timed out.
    None,
}

/// What to do about an answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum Reaction {
    /// Store the login and connect.
    Enlisted(Login),
    /// Send the same request after this many seconds (plus [`with_jitter`]).
    RetryLater {
        /// Seconds, 3600 at most.
        seconds: u64,
        /// What the server said.
        refusal: Refusal,
    },
    /// Fetch a fresh token and send the request again, once. A second such answer is permanent.
    FreshToken(Refusal),
    /// Show it. The same request would fail again.
    Permanent(Refusal),
    /// Send the same request again as [`retry_delay`] says.
    RetrySame,
    /// The other side does not speak this protocol. Nothing is stored, nothing is tried again.
    Protocol(ProtocolFault),
}

/// An answer that is none of this protocol.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProtocolFault {
    /// A status that the protocol does not use.
    #[error("unexpected HTTP status {status}")]
    Status {
        /// The code.
        status: u16,
    },
    /// The body is malformed.
    #[error("the body of the answer is malformed")]
    Body(#[source] ReplyError),
    /// The login is one of another partner.
    #[error("the login is one of integrator {got}, expected {expected}")]
    OtherIntegrator {
        /// Ours.
        expected: IntegratorId,
        /// The login's.
        got: IntegratorId,
    },
}

/// Classifies an answer to a request of `integrator`.
pub fn react(answer: Answer<'_>, integrator: IntegratorId) -> Reaction {
    let body = match answer {
        Answer::None | Answer::Http { status: 429 | 500..=599, .. } => return Reaction::RetrySame,
        Answer::Http { status: 200, body } => body,
        Answer::Http { status, .. } => return Reaction::Protocol(ProtocolFault::Status { status }),
    };
    match EnlistmentReply::parse(body) {
        Err(fault) => Reaction::Protocol(ProtocolFault::Body(fault)),
        Ok(EnlistmentReply::Enlisted(login)) if login.integrator != integrator => {
            Reaction::Protocol(ProtocolFault::OtherIntegrator { expected: integrator, got: login.integrator })
        }
        Ok(EnlistmentReply::Enlisted(login)) => Reaction::Enlisted(login),
        Ok(EnlistmentReply::Refused(refusal)) => match refusal.reason {
            Reason::TooRecent | Reason::TemporarilyUnavailable => Reaction::RetryLater {
                seconds: refusal.retry_after.unwrap_or(DEFAULT_RETRY_AFTER).clamp(1, MAX_RETRY_AFTER),
                refusal,
            },
            Reason::BadToken => Reaction::FreshToken(refusal),
            _ => Reaction::Permanent(refusal),
        },
    }
}

/// The delay before try `tries_made` + 1 of the same request: 1, 2, 4, 8 s plus jitter; `None` after the fifth try.
pub fn retry_delay<R: CryptoRng + ?Sized>(tries_made: u32, rng: &mut R) -> Option<Duration> {
    if tries_made == 0 || tries_made >= MAX_TRIES {
        return None;
    }
    Some(with_jitter(1 << (tries_made - 1), rng))
}

/// `seconds` and 0 to 20 % more, so that clients that failed together do not return together.
pub fn with_jitter<R: CryptoRng + ?Sized>(seconds: u64, rng: &mut R) -> Duration {
    let share = f64::from(rng.next_u32()) / f64::from(u32::MAX);
    Duration::from_secs(seconds).mul_f64(1.0 + 0.2 * share)
}
