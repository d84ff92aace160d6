//! What `POST {base}/push` needs: whose keys, which audience, how many.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use landbridge_enlist::jwks::VerifyingKey;
use landbridge_enlist::jwt::{Profile, RejectReason, Verifier};
use ring::digest::SHA256_OUTPUT_LEN;
use serde::Deserialize;
use thiserror::Error;

use crate::key_source::KeySource;
use crate::metrics::{Counter, Metrics};
use crate::wake::{UserKey, WakeHub};

/// WhatsApp's key set (SEED).
pub const WHATSAPP_KEYS_URL: &str = "https://whatsapp.com/.well-known/jwks";

/// Longest identifier in a push, in characters (SEED).
pub const MAX_PUSH_TO: usize = 40;

/// What WhatsApp says. Unknown members are ignored.
#[derive(Deserialize)]
struct Push {
    to: String,
}

/// Why a body is no push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BadPush {
    /// No JSON object, or one without a string `to`.
    #[error("{}", self.sentence())]
    Object,
    /// Nobody, or more characters than an identifier has.
    #[error("{}", self.sentence())]
    To,
}

impl BadPush {
    /// The whole message.
    pub(crate) const fn sentence(&self) -> &'static str {
        match *self {
            Self::Object => "the body is not the expected JSON object",
            Self::To => "to is not a string of 1 to 40 characters",
        }
    }
}

/// Whom a push of WhatsApp is for: reads the body of `POST {base}/push`, `{"to": identifier}` (SEED).
///
/// # Errors
/// [`BadPush`].
pub fn recipient(body: &[u8]) -> Result<String, BadPush> {
    // An array would do for serde as well, and is none.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(BadPush::Object);
    }
    let Push { to } = serde_json::from_slice(body).map_err(|_| BadPush::Object)?;
    if (1..=MAX_PUSH_TO).contains(&to.chars().count()) { Ok(to) } else { Err(BadPush::To) }
}

/// What a push for an identifier that nobody has is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum UnknownUser {
    /// 200: another answer would make the sender try again, or tell it who exists (ASSUMED).
    #[default]
    Accept,
    /// 404.
    NotFound,
}

/// Settings of the push endpoint.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::exhaustive_structs, reason = "settings, built with struct update syntax")]
pub struct PushConfig {
    /// Where WhatsApp publishes the keys of its bearers ([`WHATSAPP_KEYS_URL`]). Without it no push is accepted.
    pub keys_url: Option<String>,
    /// The audience that bearers must name, to the letter; by default the base URL.
    pub audience: Option<String>,
    /// What a push for an identifier that nobody has is answered with.
    pub unknown_user: UnknownUser,
    /// Rows that may wait: accepted pushes and wake-ups that are not through (ASSUMED).
    pub queue_bound: u64,
    /// Pushes per second (ASSUMED).
    pub per_second: u32,
}

impl Default for PushConfig {
    fn default() -> Self {
        Self {
            keys_url: None,
            audience: None,
            unknown_user: UnknownUser::Accept,
            queue_bound: 100_000,
            per_second: 2000,
        }
    }
}

/// Who knows that a user is connected to WhatsApp, so that a push need not wake anybody.
///
/// The server asks its own wake streams and its switchboard first. A gateway is another one to know: implement this over its table of
/// connections.
#[async_trait]
pub trait Presence: Send + Sync {
    /// Whether some device of the user is connected now. When in doubt, `false`: a wake-up too many does no harm.
    async fn is_connected(&self, user_id: &str) -> bool;
}

#[async_trait]
impl Presence for WakeHub {
    async fn is_connected(&self, user_id: &str) -> bool {
        self.is_connected_anywhere(&UserKey::of(user_id))
    }
}

/// Bearers that are kept in mind.
const KNOWN: usize = 16;

type Digest = [u8; SHA256_OUTPUT_LEN];

/// Why a bearer is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoBearer {
    /// It is not known which keys WhatsApp has.
    NoKeys,
    Refused,
}

/// Verifies bearers.
///
/// A caller uses one for most of its life, so the last ones are kept in mind, by digest: the same bytes under the same
/// key need no second look before they expire.
pub(crate) struct Bearers {
    keys: Arc<KeySource>,
    verifier: Verifier,
    known: Mutex<VecDeque<Known>>,
    metrics: Arc<Metrics>,
}

/// A bearer that was verified.
struct Known {
    digest: Digest,
    key: Arc<VerifyingKey>,
    /// When it was, unix seconds. A clock that has been set back behind it counts anew.
    from: u64,
    until: u64,
}

impl Bearers {
    pub(crate) fn new(keys: Arc<KeySource>, audience: String, metrics: &Arc<Metrics>) -> Self {
        let verifier = Verifier::new(Profile::push_bearer(audience));
        Self { keys, verifier, known: Mutex::default(), metrics: Arc::clone(metrics) }
    }

    fn known(&self) -> MutexGuard<'_, VecDeque<Known>> {
        // A panic elsewhere leaves nothing half done in the list.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `token` is WhatsApp's word to us at `now`, unix seconds.
    pub(crate) async fn verify(&self, token: &str, now: u64) -> Result<(), NoBearer> {
        let digest = sha256(token);
        if self.is_known(&digest, now) {
            return Ok(());
        }
        // Without keys the caller is not at fault.
        if !self.keys.is_live().await {
            return Err(NoBearer::NoKeys);
        }
        self.try_verify(token, digest, now).await.map_err(|reason| {
            let labels = [("profile", "push"), ("reason", reason.as_str())];
            self.metrics.count("landbridge_token_verification_failures_total", &labels);
            tracing::debug!(reason = reason.as_str(), "bearer refused");
            NoBearer::Refused
        })
    }

    /// Whether it was verified before, and neither its time is over nor its key withdrawn.
    fn is_known(&self, digest: &Digest, now: u64) -> bool {
        let known = self.known();
        let found =
            known.iter().find(|known| known.digest == *digest && (known.from..known.until).contains(&now));
        found.is_some_and(|known| self.keys.holds(&known.key, now))
    }

    async fn try_verify(&self, token: &str, digest: Digest, now: u64) -> Result<(), RejectReason> {
        let unverified = self.verifier.open(token).map_err(|rejected| rejected.reason())?;
        let key = self.keys.key(unverified.kid()).await?;
        let verified = self.verifier.verify(&unverified, Profile::PUSH_ISSUER, Some(&key), now);
        let until = verified.map_err(|rejected| rejected.reason())?.expires_at;
        let mut known = self.known();
        known.retain(|known| known.digest != digest);
        known.truncate(KNOWN - 1);
        known.push_front(Known { digest, key, from: now, until });
        Ok(())
    }
}

fn sha256(token: &str) -> Digest {
    let digest = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
    digest.as_ref().try_into().unwrap_or_default()
}

/// What becomes of pushes, as metrics call it.
const RESULTS: [&str; 5] = ["queued", "coalesced", "unknown_user", "connected", "rejected"];

/// Counts what becomes of pushes.
#[derive(Debug)]
pub(crate) struct Results([(&'static str, Counter); RESULTS.len()]);

impl Results {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let counter = |result| metrics.counter("landbridge_push_received_total", &[("result", result)]);
        Self(RESULTS.map(|result| (result, counter(result))))
    }

    pub(crate) fn count(&self, result: &str) {
        if let Some((_, counter)) = self.0.iter().find(|(name, _)| *name == result) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// So many per second, with as many in reserve.
#[derive(Debug)]
pub(crate) struct Bucket {
    per_second: f64,
    level: Mutex<(f64, Instant)>,
}

impl Bucket {
    pub(crate) fn new(per_second: u32, now: Instant) -> Self {
        let per_second = f64::from(per_second);
        Self { per_second, level: Mutex::new((per_second, now)) }
    }

    /// Takes one, or says after how many seconds there will be one.
    pub(crate) fn take(&self, now: Instant) -> Result<(), u64> {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let since = now.saturating_duration_since(level.1).min(Duration::from_secs(1));
        level.0 = (level.0 + since.as_secs_f64() * self.per_second).min(self.per_second);
        level.1 = now;
        if level.0 < 1.0 {
            return Err(1);
        }
        level.0 -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_refills() {
        let start = Instant::now();
        let bucket = Bucket::new(2, start);
        let take = |millis| bucket.take(start + Duration::from_millis(millis));
        assert_eq!([take(0), take(0), take(0)], [Ok(()), Ok(()), Err(1)]);
        assert_eq!([take(499), take(500), take(500)], [Err(1), Ok(()), Err(1)]);
        assert_eq!([take(60_000), take(60_000), take(60_000)], [Ok(()), Ok(()), Err(1)]);
    }
}
