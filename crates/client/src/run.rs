//! Staying connected, by the [table](crate::reconnect).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use landbridge_proto::handshake::client_payload::ConnectReason;
use rand::Rng as _;
use tokio::time::Instant;

use crate::client::Inner;
use crate::connection::{self, ConnectPlan, LOGIN_ANSWER};
use crate::error::{Ending, Error, Reaction};
use crate::event::Event;
use crate::reconnect::{Action, Cause};

/// How often the same strange failure is taken for chance.
const IN_A_ROW: u32 = 3;
const HOUR: Duration = Duration::from_secs(3_600);

/// A stretch of failures and what has been tried against it.
#[derive(Default)]
struct Trouble {
    /// Steps of back-off.
    steps: u32,
    /// Fresh tokens fetched in a row.
    tokens: u32,
    /// Handshakes in a row in which the server's hello was none.
    strange_hellos: u32,
    /// Connections in a row that the server closed instead of answering the login.
    silent_closes: u32,
}

impl Trouble {
    /// The cause of a failure, in the light of those before.
    fn judge(&mut self, inner: &Inner, error: &Error) -> Cause {
        let cause = Cause::of(error);
        let silent = matches!(error, Error::ClosedEarly { before } | Error::Io { before, .. } if *before == LOGIN_ANSWER);
        self.strange_hellos = if cause == Cause::StrangeHello { self.strange_hellos + 1 } else { 0 };
        self.silent_closes = if silent { self.silent_closes + 1 } else { 0 };
        if self.silent_closes >= IN_A_ROW && self.tokens < inner.profile.login.tokens_in_a_row {
            self.silent_closes = 0;
            inner.token_refused.store(true, Ordering::Relaxed);
            return Cause::TokenRefused;
        }
        cause
    }
}

/// What to do next.
enum Next {
    /// Connect after this time, with this plan.
    Connect(Duration, ConnectPlan),
    /// Enlist anew, then connect.
    Enlist,
    /// There is no point.
    Stop,
}

/// The mark that the client connects again by itself.
struct Running<'a>(&'a Inner);

impl<'a> Running<'a> {
    fn begin(inner: &'a Inner) -> Self {
        inner.running.fetch_add(1, Ordering::Relaxed);
        Self(inner)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(crate) async fn run(inner: &Arc<Inner>) -> Error {
    let _running = Running::begin(inner);
    let mut trouble = Trouble::default();
    let mut plan = ConnectPlan::default();
    loop {
        let mut error = once(inner, plan, &mut trouble).await;
        loop {
            let cause = trouble.judge(inner, &error);
            match next(inner, cause, &error, &mut trouble) {
                Next::Stop => return error,
                Next::Enlist => match crate::account::reenlist_by_itself(inner).await {
                    Ok(true) => plan = ConnectPlan { reason: ConnectReason::ErrorReconnect },
                    Ok(false) => return error,
                    Err(failed) => {
                        error = failed;
                        continue;
                    }
                },
                Next::Connect(after, next) => {
                    plan = next;
                    inner.events.push(Event::Reconnecting { after, because: Arc::new(error) });
                    tokio::select! {
                        biased;
                        () = tokio::time::sleep(after) => {}
                        () = inner.woken.notified() => trouble.steps = 0,
                    }
                }
            }
            break;
        }
    }
}

/// One connection, to its end.
async fn once(inner: &Arc<Inner>, plan: ConnectPlan, trouble: &mut Trouble) -> Error {
    if let Err(error) = connection::connect(inner, plan).await {
        return error;
    }
    let since = Instant::now();
    let ending = inner.closed().await.unwrap_or_else(|| Arc::new(Ending::Closed));
    if since.elapsed() >= Duration::from_secs(inner.profile.connection.stable_after_s) {
        *trouble = Trouble::default();
    }
    Error::Disconnected { ending }
}

fn next(inner: &Inner, cause: Cause, error: &Error, trouble: &mut Trouble) -> Next {
    let profile = &inner.profile;
    let reason = match cause {
        Cause::PingTimeout => ConnectReason::PingReconnect,
        _ => ConnectReason::ErrorReconnect,
    };
    let plan = ConnectPlan { reason };
    let told = match error.reaction() {
        Reaction::RetryAfter(wait) => wait,
        _ => Duration::ZERO,
    };
    match cause.action() {
        Action::Now => Next::Connect(Duration::ZERO, plan),
        Action::WaitAsTold => Next::Connect(told, plan),
        Action::WaitAnHour => Next::Connect(HOUR, plan),
        Action::FreshToken if trouble.tokens < profile.login.tokens_in_a_row => {
            trouble.tokens += 1;
            Next::Connect(Duration::ZERO, plan)
        }
        Action::Enlist => Next::Enlist,
        Action::ThreeTimes if trouble.strange_hellos >= IN_A_ROW => Next::Stop,
        Action::BackOffFar => {
            trouble.steps = trouble.steps.saturating_add(profile.connection.rate_limit_extra_steps);
            back_off(inner, trouble, Duration::ZERO, plan)
        }
        Action::BackOff | Action::ThreeTimes => {
            // The partner's server may have named a time.
            let least = if cause == Cause::TokenUnavailable { told } else { Duration::ZERO };
            back_off(inner, trouble, least, plan)
        }
        Action::FreshToken | Action::Stop => Next::Stop,
    }
}

/// Full jitter: a random time up to a bound that doubles with each step.
fn back_off(inner: &Inner, trouble: &mut Trouble, least: Duration, plan: ConnectPlan) -> Next {
    let profile = &inner.profile.connection;
    let doubled = 1_u64.checked_shl(trouble.steps.min(32)).unwrap_or(u64::MAX);
    let bound = profile.backoff_min_s.saturating_mul(doubled).min(profile.backoff_max_s);
    trouble.steps = trouble.steps.saturating_add(1);
    let millis = bound.saturating_mul(1_000);
    let wait = Duration::from_millis(inner.rng.fork().next_u64() % (millis + 1));
    Next::Connect(wait.max(least), plan)
}
