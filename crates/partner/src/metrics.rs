//! Counters and histograms, as Prometheus reads them.
//!
//! Counters whose labels are known beforehand are there from the start, so that their first increase is one.
//!
//! Labels hold words from closed sets only: never a user, a reference, an address or a token.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Upper ends of the histograms' buckets, in seconds.
const BUCKETS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0, 20.0];

type Labels<'a> = [(&'static str, &'a str)];

/// One series of a counter.
pub(crate) type Counter = Arc<AtomicU64>;

/// One series of a histogram.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    /// How many ended in each bucket and in none before; the last one has no end.
    buckets: [AtomicU64; BUCKETS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Histogram {
    pub(crate) fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let at = BUCKETS.iter().take_while(|end| seconds > **end).count();
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }
}

/// What each family is about.
const HELP: [(&str, &str); 20] = [
    (
        "landbridge_build_info",
        "Version of the program, and the revision of WhatsApp's document that it follows.",
    ),
    ("landbridge_connections", "Connections that are open."),
    ("landbridge_http_request_duration_seconds", "Time from the head of a request to that of its answer."),
    ("landbridge_http_requests_in_flight", "Requests that are being answered."),
    ("landbridge_http_requests_total", "Requests that were answered."),
    ("landbridge_jwks_age_seconds", "Time since a key set was last confirmed by its issuer."),
    ("landbridge_jwks_fetches_total", "Fetches of key sets."),
    ("landbridge_jwks_usable_keys", "Keys that verify now."),
    ("landbridge_media_bytes_total", "Bytes of media that came in and went out."),
    ("landbridge_media_objects", "Objects that are stored."),
    ("landbridge_media_stored_bytes", "Bytes of the objects that are stored."),
    ("landbridge_push_received_total", "Pushes of WhatsApp."),
    ("landbridge_signing_key_age_seconds", "Time that each key has been what it is."),
    ("landbridge_tls_certificate_expiry_timestamp_seconds", "When the certificate ends, unix time."),
    ("landbridge_token_verification_failures_total", "Tokens that were not believed."),
    ("landbridge_tokens_issued_total", "Requests for tokens."),
    ("landbridge_uploads_total", "Uploads that came to an end."),
    ("landbridge_wake_duration_seconds", "Time that an attempt to wake a device took."),
    ("landbridge_wake_queue_depth", "Pushes and wake-ups that are not through."),
    ("landbridge_wake_sent_total", "Attempts to wake devices."),
];

/// Counters with one label, and its values.
const KNOWN: [(&str, &str, &[&str]); 4] = [
    ("landbridge_media_bytes_total", "direction", &["in", "out"]),
    (
        "landbridge_push_received_total",
        "result",
        &["queued", "coalesced", "unknown_user", "connected", "rejected"],
    ),
    (
        "landbridge_tokens_issued_total",
        "result",
        &["ok", "unauthorized", "not_opted_in", "rate_limited", "rejected", "unavailable"],
    ),
    ("landbridge_uploads_total", "result", &["created", "existing", "mismatch", "over_quota", "failed"]),
];

#[derive(Debug)]
struct Families {
    counters: BTreeMap<&'static str, BTreeMap<String, Counter>>,
    histograms: BTreeMap<&'static str, BTreeMap<String, Arc<Histogram>>>,
}

/// Everything that is counted.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    families: Mutex<Families>,
    in_flight: AtomicU64,
}

/// A request that is being answered; dropping it ends that.
#[derive(Debug)]
pub(crate) struct InFlight<'a>(&'a Metrics);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for Families {
    fn default() -> Self {
        let mut counters: BTreeMap<&'static str, BTreeMap<String, Counter>> = BTreeMap::new();
        for (name, label, values) in KNOWN {
            let series = values.iter().map(|value| (written(&[(label, value)]), Counter::default()));
            counters.insert(name, series.collect());
        }
        Self { counters, histograms: BTreeMap::new() }
    }
}

/// The lines that a family begins with.
fn family(text: &mut String, name: &str, kind: &str) {
    if let Some((_, help)) = HELP.iter().find(|(known, _)| *known == name) {
        let _ = writeln!(text, "# HELP {name} {help}");
    }
    let _ = writeln!(text, "# TYPE {name} {kind}");
}

impl Metrics {
    fn families(&self) -> MutexGuard<'_, Families> {
        // A panic elsewhere leaves nothing half done in the tables.
        self.families.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begin(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self)
    }

    /// Requests that are being answered.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// A series to be kept by those who count often. From here on it is written, if only as 0.
    pub(crate) fn counter(&self, name: &'static str, labels: &Labels<'_>) -> Counter {
        let mut families = self.families();
        Arc::clone(families.counters.entry(name).or_default().entry(written(labels)).or_default())
    }

    /// A series to be kept by those who observe often.
    pub(crate) fn histogram(&self, name: &'static str, labels: &Labels<'_>) -> Arc<Histogram> {
        let mut families = self.families();
        Arc::clone(families.histograms.entry(name).or_default().entry(written(labels)).or_default())
    }

    pub(crate) fn count(&self, name: &'static str, labels: &Labels<'_>) {
        self.add(name, labels, 1);
    }

    pub(crate) fn add(&self, name: &'static str, labels: &Labels<'_>, n: u64) {
        self.counter(name, labels).fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn observe(&self, name: &'static str, labels: &Labels<'_>, took: Duration) {
        self.histogram(name, labels).observe(took);
    }

    /// The text form of Prometheus, version 0.0.4.
    pub(crate) fn render(&self) -> String {
        let families = self.families();
        let mut text = String::new();
        for (name, series) in &families.counters {
            family(&mut text, name, "counter");
            for (labels, value) in series {
                let _ = writeln!(text, "{name}{} {}", braced(labels), value.load(Ordering::Relaxed));
            }
        }
        for (name, series) in &families.histograms {
            family(&mut text, name, "histogram");
            for (labels, histogram) in series {
                let comma = if labels.is_empty() { "" } else { "," };
                let mut count = 0;
                let mut buckets = histogram.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
                for (end, bucket) in BUCKETS.iter().zip(buckets.by_ref()) {
                    count += bucket;
                    let _ = writeln!(text, "{name}_bucket{{{labels}{comma}le=\"{end}\"}} {count}");
                }
                count += buckets.sum::<u64>();
                let sum = Duration::from_nanos(histogram.nanoseconds.load(Ordering::Relaxed)).as_secs_f64();
                let _ = writeln!(text, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}");
                let _ = writeln!(text, "{name}_sum{} {sum}", braced(labels));
                let _ = writeln!(text, "{name}_count{} {count}", braced(labels));
            }
        }
        text
    }
}

/// One gauge.
pub(crate) fn gauge(text: &mut String, name: &str, series: &[(String, f64)]) {
    family(text, name, "gauge");
    for (labels, value) in series {
        let _ = writeln!(text, "{name}{} {value}", braced(labels));
    }
}

fn written(labels: &Labels<'_>) -> String {
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    pairs.join(",")
}

fn braced(labels: &str) -> String {
    if labels.is_empty() { String::new() } else { format!("{{{labels}}}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form() {
        let metrics = Metrics::default();
        metrics.count("a_total", &[("result", "ok")]);
        metrics.add("a_total", &[("result", "ok")], 2);
        metrics.count("b_total", &[]);
        metrics.observe("c_seconds", &[("kind", "fcm")], Duration::from_millis(3));
        let text = metrics.render();
        assert!(text.contains("# TYPE a_total counter\na_total{result=\"ok\"} 3\n"), "{text}");
        assert!(text.contains("\nb_total 1\n"));
        for line in [
            "c_seconds_bucket{kind=\"fcm\",le=\"0.0025\"} 0",
            "c_seconds_bucket{kind=\"fcm\",le=\"0.005\"} 1",
            "c_seconds_bucket{kind=\"fcm\",le=\"+Inf\"} 1",
            "c_seconds_sum{kind=\"fcm\"} 0.003",
            "c_seconds_count{kind=\"fcm\"} 1",
            "# HELP landbridge_uploads_total Uploads that came to an end.",
            "landbridge_uploads_total{result=\"created\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in {text}");
        }
    }
}
