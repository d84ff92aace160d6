//! Staying connected: one table of what each end of a connection leads to.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use landbridge_noise::HandshakeError;
use landbridge_proto::handshake::client_payload::ConnectReason;
use rand::Rng as _;
use tokio::time::Instant;

use crate::client::Inner;
use crate::connection::{self, ConnectPlan, LOGIN_ANSWER};
use crate::error::{Ending, Error, Reaction};
use crate::event::Event;

/// A stretch of failures and what has been tried against it.
#[derive(Default)]
struct Trouble {
    /// Steps of back-off.
    steps: u32,
    /// Fresh tokens fetched in a row.
    tokens: u32,
    /// Handshakes in a row in which the server's hello was none.
    bad_hellos: u32,
    /// Connections in a row that the server closed instead of answering the login.
    silent_closes: u32,
    /// When the account was last enlisted anew.
    enlisted: Option<Instant>,
}

/// How often the same strange failure is taken for chance.
const IN_A_ROW: u32 = 3;

impl Trouble {
    fn count(&mut self, error: &Error) {
        let bad_hello = matches!(error, Error::Handshake { source } if !matches!(source, HandshakeError::Certificate { .. }));
        let silent = matches!(error, Error::ClosedEarly { before } | Error::Io { before, .. } if *before == LOGIN_ANSWER);
        self.bad_hellos = if bad_hello { self.bad_hellos + 1 } else { 0 };
        self.silent_closes = if silent { self.silent_closes + 1 } else { 0 };
    }
}

/// What to do next.
enum Next {
    /// Connect after this time, with this plan.
    Connect { after: Duration, plan: ConnectPlan },
    /// Enlist anew, then connect.
    Enlist,
    /// There is no point.
    Stop,
}

pub(crate) async fn run(inner: &Arc<Inner>) -> Error {
    let mut trouble = Trouble::default();
    let mut plan = ConnectPlan::default();
    loop {
        let error = match connection::connect(inner, plan).await {
            Ok(()) => {
                let since = Instant::now();
                let ending = inner.closed().await.unwrap_or_else(|| Arc::new(Ending::Closed));
                if since.elapsed() >= Duration::from_secs(inner.profile.connection.stable_after_s) {
                    trouble = Trouble { enlisted: trouble.enlisted, ..Trouble::default() };
                }
                Error::Disconnected { ending }
            }
            Err(error) => error,
        };
        match next(inner, &error, &mut trouble) {
            Next::Stop => return error,
            Next::Enlist => {
                trouble.enlisted = Some(Instant::now());
                if let Err(error) = crate::account::reenlist(inner).await {
                    return error;
                }
                plan = ConnectPlan { reason: ConnectReason::ErrorReconnect };
            }
            Next::Connect { after, plan: next } => {
                plan = next;
                inner.events.push(Event::Reconnecting { after, because: Arc::new(error) });
                tokio::select! {
                    biased;
                    () = tokio::time::sleep(after) => {}
                    () = inner.woken.notified() => trouble.steps = 0,
                }
            }
        }
    }
}

fn next(inner: &Inner, error: &Error, trouble: &mut Trouble) -> Next {
    let login = &inner.profile.login;
    let mut plan = ConnectPlan { reason: ConnectReason::ErrorReconnect };
    trouble.count(error);
    if trouble.bad_hellos >= IN_A_ROW {
        // A man in the middle, or a server of another protocol.
        return Next::Stop;
    }
    if trouble.silent_closes >= IN_A_ROW && trouble.tokens < login.tokens_in_a_row {
        trouble.silent_closes = 0;
        trouble.tokens += 1;
        inner.token_refused.store(true, Ordering::Relaxed);
        return Next::Connect { after: backoff(inner, trouble.steps), plan };
    }
    match error {
        Error::Disconnected { ending } => match &**ending {
            Ending::Requested => return Next::Stop,
            Ending::PingTimeout { .. } => plan.reason = ConnectReason::PingReconnect,
            _ => {}
        },
        // Somebody else's connection is none of ours to look after.
        Error::AlreadyConnected => return Next::Stop,
        _ => {}
    }
    match error.reaction() {
        Reaction::RetryAfter(wait) if wait.is_zero() => Next::Connect { after: wait, plan },
        // The server named a time, or the trouble has one of its own.
        Reaction::RetryAfter(wait)
            if matches!(error, Error::LoginRefused { .. } | Error::Handshake { .. })
                && wait > Duration::from_secs(1) =>
        {
            Next::Connect { after: wait, plan }
        }
        Reaction::RetryAfter(_) => {
            if is_rate_limit(error) {
                trouble.steps += inner.profile.connection.rate_limit_extra_steps;
            }
            let after = backoff(inner, trouble.steps);
            trouble.steps += 1;
            Next::Connect { after, plan }
        }
        Reaction::NewToken if trouble.tokens < login.tokens_in_a_row => {
            trouble.tokens += 1;
            Next::Connect { after: Duration::ZERO, plan }
        }
        Reaction::Reenlist if !matches!(error, Error::NotEnlisted) => {
            let wait = crate::account::between_enlistments(inner);
            match trouble.enlisted {
                Some(at) if at.elapsed() < wait => Next::Stop,
                _ => Next::Enlist,
            }
        }
        _ => Next::Stop,
    }
}

fn is_rate_limit(error: &Error) -> bool {
    use landbridge_stanza::stream::StreamError;
    let Error::Disconnected { ending } = error else { return false };
    matches!(&**ending, Ending::StreamError { error: StreamError::RateLimited })
}

/// Full jitter: a random time up to a bound that doubles with each step.
fn backoff(inner: &Inner, steps: u32) -> Duration {
    let profile = &inner.profile.connection;
    let doubled = 1_u64.checked_shl(steps.min(32)).unwrap_or(u64::MAX);
    let bound = profile.backoff_min_s.saturating_mul(doubled).min(profile.backoff_max_s);
    let millis = bound.saturating_mul(1_000);
    Duration::from_millis(inner.rng.fork().next_u64() % (millis + 1))
}
