//! Finds out that the server is gone.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;

use super::Session;
use crate::error::{Ending, Error};

/// Pings after a random time of silence; a ping without an answer ends the session.
pub(super) async fn run(session: Arc<Session>) -> Result<(), Error> {
    let profile = &session.inner.profile.liveness;
    let (least, most) = (profile.keepalive_min_s, profile.keepalive_max_s.max(profile.keepalive_min_s));
    loop {
        let jitter =
            session.inner.rng.fork().next_u64() % (most - least).saturating_mul(1_000).saturating_add(1);
        let silence = Duration::from_secs(least) + Duration::from_millis(jitter);
        loop {
            let due = session.last_heard() + silence;
            if due <= tokio::time::Instant::now() {
                break;
            }
            tokio::select! {
                biased;
                () = session.probe.notified() => break,
                () = tokio::time::sleep_until(due) => {}
            }
        }
        match session.ping().await {
            // A refusal is an answer.
            Ok(_) | Err(Error::Refused { .. } | Error::BadAnswer { .. }) => {}
            Err(Error::TimedOut { after, .. }) => {
                session.end(Ending::PingTimeout { after });
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
}
