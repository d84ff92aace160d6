//! When to fetch an issuer's key set, and which keys count meanwhile. A state machine without I/O or clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::parse::{DroppedKey, JwksError, KeySet, VerifyingKey};

/// Longest document that is read, in bytes (ASSUMED).
pub const MAX_BODY: usize = 64 * 1024;

/// The figures of the protocol page, all in seconds but the last (all ASSUMED).
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "settings, built with struct update syntax")]
pub struct CachePolicy {
    /// Refresh no sooner than this after a success.
    pub min_refresh: u64,
    /// Refresh no later than this after a success.
    pub max_refresh: u64,
    /// Refresh after this when the answer says nothing.
    pub default_refresh: u64,
    /// At most one refetch for an unknown kid in this time; unknown kids are remembered as long.
    pub miss_interval: u64,
    /// First delay after a failure; doubles with each further one.
    pub first_retry: u64,
    /// Longest delay after a failure.
    pub max_retry: u64,
    /// A set counts for nothing this long after its last success.
    pub max_age: u64,
    /// How many unknown kids are remembered.
    pub max_misses: usize,
}

impl Default for CachePolicy {
    fn default() -> Self {
        Self {
            min_refresh: 60,
            max_refresh: 60 * 60,
            default_refresh: 10 * 60,
            miss_interval: 30,
            first_retry: 5,
            max_retry: 300,
            max_age: 24 * 60 * 60,
            max_misses: 1024,
        }
    }
}

/// One issuer's key set over time.
///
/// The driver owns clock and network. Times are unix seconds; a clock that is set back delays nothing by more than
/// [`CachePolicy::max_refresh`].
///
/// | input | call |
/// |---|---|
/// | a token names a key | [`lookup`](Self::lookup): answered at once, or [`Lookup::Wait`] |
/// | time passed, or a lookup said `Wait` | [`poll`](Self::poll): a fetch to start, or nothing until [`next_fetch`](Self::next_fetch) |
/// | the fetch ended | [`fetched`](Self::fetched); then look up again for everybody who waits |
///
/// At most one fetch is under way at a time, and everybody waits for that one.
#[derive(Debug)]
pub struct Cache {
    policy: CachePolicy,
    held: Option<Held>,
    next_fetch: u64,
    failures: u32,
    in_flight: Option<FetchRequest>,
    /// When a fetch was last asked for by an unknown kid.
    last_miss_fetch: Option<u64>,
    /// Kids for whom the next fetch is made.
    waiting: BTreeSet<String>,
    /// Kids unknown after a refetch, and since when.
    misses: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct Held {
    set: KeySet,
    etag: Option<String>,
    succeeded_at: u64,
}

/// What a cache knows about a kid.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_enums, reason = "callers must decide every case")]
pub enum Lookup {
    /// The key.
    Key(Arc<VerifyingKey>),
    /// A fetch may bring it: [`Cache::poll`], and look up again when it has ended. Wait 3 s at most, then refuse.
    Wait,
    /// The set has no such key, and it is too soon to ask again.
    Unknown,
    /// No set is held, or it has died, and it is too soon to ask again.
    NoSet,
}

/// A fetch to be made: `GET`, TLS verified, no redirect to another origin or to http, 5 s, [`MAX_BODY`] bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FetchRequest {
    /// Value of `If-None-Match`.
    pub if_none_match: Option<String>,
}

/// How a fetch ended.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_enums, reason = "there is an answer or there is none")]
pub enum Fetched<'a> {
    /// An answer.
    Response {
        /// The status code.
        status: u16,
        /// The `ETag` header.
        etag: Option<&'a str>,
        /// The `Cache-Control` header, several joined with commas.
        cache_control: Option<&'a str>,
        /// The body, or as much of it as was read: at most [`MAX_BODY`] bytes and one more.
        body: &'a [u8],
    },
    /// No answer.
    Failed,
}

/// What a fetch changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum FetchReport {
    /// A new set counts from now on; kids that it lacks have stopped counting.
    Replaced {
        /// Kids that were not there before.
        added: Vec<String>,
        /// Kids that are gone.
        removed: Vec<String>,
        /// Keys that were left out, for a warning each.
        dropped: Vec<DroppedKey>,
    },
    /// 304: the set is good for another term.
    Unchanged,
    /// The answer is refused; the old set stays as long as it lives.
    Refused(JwksError),
    /// There was no answer; the old set stays as long as it lives.
    Failed,
}

impl Cache {
    /// A cache that wants its first fetch at once.
    pub fn new(policy: CachePolicy) -> Self {
        Self {
            policy,
            held: None,
            next_fetch: 0,
            failures: 0,
            in_flight: None,
            last_miss_fetch: None,
            waiting: BTreeSet::new(),
            misses: BTreeMap::new(),
        }
    }

    /// Looks `kid` up. Never does I/O itself; a set that is held answers without waiting.
    pub fn lookup(&mut self, kid: &str, now: u64) -> Lookup {
        let live = self.live(now);
        if let Some(key) = live.and_then(|set| set.get_shared(kid)) {
            return Lookup::Key(key);
        }
        let refused = if live.is_some() { Lookup::Unknown } else { Lookup::NoSet };
        if self.misses.get(kid).is_some_and(|since| self.is_recent(*since, now)) {
            return refused;
        }
        if self.in_flight.is_some() {
            // That answer may be older than the key, so it does not make the kid a remembered miss.
            return Lookup::Wait;
        }
        if self.last_miss_fetch.is_some_and(|last| self.is_recent(last, now)) && !self.is_due(now) {
            return refused;
        }
        self.last_miss_fetch = Some(now);
        self.next_fetch = 0;
        if self.waiting.len() < self.policy.max_misses {
            self.waiting.insert(kid.to_owned());
        }
        Lookup::Wait
    }

    /// The fetch to start now, if there is one. It counts as under way until [`fetched`](Self::fetched).
    pub fn poll(&mut self, now: u64) -> Option<FetchRequest> {
        if self.in_flight.is_some() || !self.is_due(now) {
            return None;
        }
        // A dead set is not worth a 304.
        let etag = self.live(now).and(self.held.as_ref()).and_then(|held| held.etag.clone());
        let request = FetchRequest { if_none_match: etag };
        self.in_flight = Some(request.clone());
        Some(request)
    }

    /// When to [`poll`](Self::poll) next, unix seconds; `None` while a fetch is under way.
    pub fn next_fetch(&self) -> Option<u64> {
        if self.in_flight.is_some() { None } else { Some(self.next_fetch) }
    }

    /// Takes the end of the fetch that [`poll`](Self::poll) started.
    pub fn fetched(&mut self, outcome: Fetched<'_>, now: u64) -> FetchReport {
        let asked = self.in_flight.take();
        let conditional = asked.is_some_and(|request| request.if_none_match.is_some());
        let report = match outcome {
            Fetched::Failed => FetchReport::Failed,
            Fetched::Response { status, etag, cache_control, body } => {
                match self.accept(status, etag, conditional, body, now) {
                    Ok(report) => {
                        self.failures = 0;
                        self.next_fetch = now.saturating_add(self.refresh_after(cache_control));
                        report
                    }
                    Err(refused) => FetchReport::Refused(refused),
                }
            }
        };
        if matches!(report, FetchReport::Failed | FetchReport::Refused(_)) {
            let factor = 1_u64.checked_shl(self.failures).unwrap_or(u64::MAX);
            let delay = self.policy.first_retry.saturating_mul(factor).min(self.policy.max_retry);
            self.failures = self.failures.saturating_add(1);
            self.next_fetch = now.saturating_add(delay);
            self.waiting.clear();
        } else {
            self.remember_misses(now);
        }
        report
    }

    /// Makes the next [`poll`](Self::poll) give a fetch, whatever the schedule says.
    pub fn refresh_soon(&mut self) {
        self.next_fetch = 0;
    }

    /// The set that counts at `now`: the last good one, unless it has died.
    pub fn live(&self, now: u64) -> Option<&KeySet> {
        let held = self.held.as_ref()?;
        let age = now.saturating_sub(held.succeeded_at);
        (age < self.policy.max_age).then_some(&held.set)
    }

    /// Seconds since the last success.
    pub fn age(&self, now: u64) -> Option<u64> {
        self.held.as_ref().map(|held| now.saturating_sub(held.succeeded_at))
    }

    /// Whether it is time. A moment that lies impossibly far ahead means that the clock was set back.
    fn is_due(&self, now: u64) -> bool {
        self.next_fetch <= now || self.next_fetch - now > self.policy.max_refresh.max(self.policy.max_retry)
    }

    fn accept(
        &mut self,
        status: u16,
        etag: Option<&str>,
        conditional: bool,
        body: &[u8],
        now: u64,
    ) -> Result<FetchReport, JwksError> {
        match (status, &mut self.held) {
            // Only an answer to our own condition can be a 304.
            (304, Some(held)) if conditional => {
                held.succeeded_at = now;
                return Ok(FetchReport::Unchanged);
            }
            (200, _) => {}
            (status, _) => return Err(JwksError::Status { status }),
        }
        if body.len() > MAX_BODY {
            return Err(JwksError::TooLarge);
        }
        let parsed = KeySet::parse(body)?;
        let old = self.held.as_ref().map(|held| &held.set);
        let added = parsed.set.kids().filter(|kid| old.is_none_or(|set| set.get(kid).is_none()));
        let removed = old.into_iter().flat_map(KeySet::kids).filter(|kid| parsed.set.get(kid).is_none());
        let report = FetchReport::Replaced {
            added: added.map(str::to_owned).collect(),
            removed: removed.map(str::to_owned).collect(),
            dropped: parsed.dropped,
        };
        let etag = etag.filter(|tag| !tag.is_empty() && tag.len() <= 256).map(str::to_owned);
        self.held = Some(Held { set: parsed.set, etag, succeeded_at: now });
        Ok(report)
    }

    fn refresh_after(&self, cache_control: Option<&str>) -> u64 {
        let said = cache_control.and_then(max_age).unwrap_or(self.policy.default_refresh);
        said.clamp(self.policy.min_refresh, self.policy.max_refresh)
    }

    /// Everybody for whom this fetch was made and who still has no key is refused for a while without a further one.
    fn remember_misses(&mut self, now: u64) {
        let mut misses = std::mem::take(&mut self.misses);
        misses.retain(|_, since| self.is_recent(*since, now));
        for kid in std::mem::take(&mut self.waiting) {
            let known = self.live(now).is_some_and(|set| set.get(&kid).is_some());
            if !known && misses.len() < self.policy.max_misses {
                misses.insert(kid, now);
            }
        }
        self.misses = misses;
    }

    /// Whether `since` is less than one miss interval ago. A moment ahead means that the clock was set back.
    fn is_recent(&self, since: u64, now: u64) -> bool {
        now.checked_sub(since).is_some_and(|ago| ago < self.policy.miss_interval)
    }
}

/// `max-age` of a `Cache-Control` value; 0 for `no-store` and `no-cache`.
fn max_age(cache_control: &str) -> Option<u64> {
    let mut found = None;
    for directive in cache_control.split(',') {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        let name = name.trim();
        if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
            return Some(0);
        }
        if name.eq_ignore_ascii_case("max-age") && found.is_none() {
            let digits = value.trim().trim_matches('"');
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            // Too large for 64 bits is still a number.
            found = is_number.then(|| digits.parse().unwrap_or(u64::MAX));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_max_age() {
        for (header, seconds) in [
            ("public, max-age=300", Some(300)),
            ("Max-Age = \"60\"", Some(60)),
            ("max-age=99999999999999999999999", Some(u64::MAX)),
            ("max-age=300, no-store", Some(0)),
            ("no-cache", Some(0)),
            ("public", None),
            ("max-age=", None),
            ("max-age=-1", None),
            ("s-maxage=5", None),
        ] {
            assert_eq!(max_age(header), seconds, "{header}");
        }
    }
}
