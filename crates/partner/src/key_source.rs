//! Somebody else's key set, kept fresh in the background.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use landbridge_enlist::jwks::{Cache, CachePolicy, FetchReport, FetchRequest, Fetched, Lookup, VerifyingKey};
use landbridge_enlist::jwt::RejectReason;
use landbridge_transport::{HttpClient, HttpError};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::metrics::Metrics;

/// How long a request waits for a fetch that may bring its key.
const WAIT: Duration = Duration::from_secs(3);
/// How long the task that fetches sleeps at most, since the clock may be set.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// A key set, and who fetches it.
pub(crate) struct KeySource {
    /// A word for metrics: whose keys these are.
    issuer: &'static str,
    url: Option<String>,
    cache: Mutex<Cache>,
    wanted: Notify,
    changed: watch::Sender<u64>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl KeySource {
    /// Without a URL there is never a key.
    pub(crate) fn new(
        issuer: &'static str,
        url: Option<String>,
        clock: &Clock,
        metrics: &Arc<Metrics>,
    ) -> Arc<Self> {
        Arc::new(Self {
            issuer,
            url,
            cache: Mutex::new(Cache::new(CachePolicy::default())),
            wanted: Notify::new(),
            changed: watch::Sender::new(0),
            clock: clock.clone(),
            metrics: Arc::clone(metrics),
        })
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches for as long as the future is polled.
    pub(crate) async fn poll(self: Arc<Self>, http: HttpClient) {
        let Some(url) = self.url.clone() else { return };
        loop {
            let now = self.clock.seconds();
            let due = self.cache().poll(now);
            if let Some(request) = due {
                self.fetch(&http, &url, &request).await;
                continue;
            }
            let next = self.cache().next_fetch().unwrap_or(now);
            let wait = Duration::from_secs(next.saturating_sub(now).max(1)).min(LOOK_EVERY);
            let _ = tokio::time::timeout(wait, self.wanted.notified()).await;
        }
    }

    async fn fetch(&self, http: &HttpClient, url: &str, request: &FetchRequest) {
        let condition = request.if_none_match.as_deref().map(|tag| ("if-none-match", tag));
        let answer = http.get(url, condition.as_slice()).await;
        let outcome = match &answer {
            Ok(answer) => Fetched::Response {
                status: answer.status.as_u16(),
                etag: answer.etag(),
                cache_control: answer.header("cache-control"),
                body: &answer.body,
            },
            Err(_) => Fetched::Failed,
        };
        let report = self.cache().fetched(outcome, self.clock.seconds());
        self.changed.send_modify(|generation| *generation += 1);
        let result = match &report {
            FetchReport::Replaced { added, removed, dropped } => {
                tracing::info!(
                    issuer = self.issuer,
                    ?added,
                    ?removed,
                    dropped = dropped.len(),
                    "new key set"
                );
                "replaced"
            }
            FetchReport::Unchanged => "unchanged",
            FetchReport::Refused(cause) => {
                tracing::warn!(
                    issuer = self.issuer,
                    cause = cause as &dyn std::error::Error,
                    "key set refused"
                );
                "refused"
            }
            _ => {
                let cause = answer.as_ref().err().map(|cause: &HttpError| cause as &dyn std::error::Error);
                tracing::warn!(issuer = self.issuer, cause, "key set not fetched");
                "failed"
            }
        };
        self.metrics.count("landbridge_jwks_fetches_total", &[("issuer", self.issuer), ("result", result)]);
    }

    /// Whether a set counts now. If one is being fetched or is due to be, waits for it.
    pub(crate) async fn is_live(&self) -> bool {
        let mut changed = self.changed.subscribe();
        let now = self.clock.seconds();
        let coming = {
            let cache = self.cache();
            if cache.live(now).is_some() {
                return true;
            }
            cache.next_fetch().is_none_or(|at| at <= now)
        };
        if coming && self.url.is_some() {
            self.wanted.notify_one();
            let _ = tokio::time::timeout(WAIT, changed.changed()).await;
        }
        self.cache().live(self.clock.seconds()).is_some()
    }

    /// Whether `key` is in a set that counts now.
    pub(crate) fn holds(&self, key: &VerifyingKey, now: u64) -> bool {
        self.cache().live(now).and_then(|set| set.get(key.kid())).is_some_and(|held| held == key)
    }

    /// The key called `kid`, for which one fetch may be made and waited for.
    pub(crate) async fn key(&self, kid: &str) -> Result<Arc<VerifyingKey>, RejectReason> {
        let deadline = Instant::now() + WAIT;
        let mut changed = self.changed.subscribe();
        loop {
            let looked_up = self.cache().lookup(kid, self.clock.seconds());
            match looked_up {
                Lookup::Key(key) => return Ok(key),
                Lookup::Unknown => return Err(RejectReason::KidUnknown),
                Lookup::NoSet => return Err(RejectReason::KeysUnavailable),
                Lookup::Wait => self.wanted.notify_one(),
            }
            if !matches!(tokio::time::timeout_at(deadline, changed.changed()).await, Ok(Ok(()))) {
                // With a set at hand, a key that does not turn up in time is a key that is not there.
                let held = self.cache().live(self.clock.seconds()).is_some();
                return Err(if held { RejectReason::KidUnknown } else { RejectReason::KeysUnavailable });
            }
        }
    }

    /// Seconds since the set was last confirmed.
    pub(crate) fn age(&self) -> Option<u64> {
        self.cache().age(self.clock.seconds())
    }

    /// How many keys count now.
    pub(crate) fn usable(&self) -> usize {
        self.cache().live(self.clock.seconds()).map_or(0, |set| set.kids().count())
    }

    /// Whose keys these are, for metrics.
    pub(crate) fn issuer(&self) -> &'static str {
        self.issuer
    }
}
