//! Pushes to partners.

use serde::{Deserialize, Serialize};

/// Pushes to partners: `POST {base}/push` (SEED).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PushProfile {
    /// Path below the partner's base URL (SEED).
    pub path: String,
    /// Least time between two pushes for one user.
    pub every_s: u64,
    /// While mail waits, a push comes again after each of these times, all counted from the last one for new activity.
    pub again_s: Vec<u64>,
    /// Time for the connection.
    pub connect_timeout_s: u64,
    /// Time for the answer, the connection included.
    pub timeout_s: u64,
    /// Bytes of an answer's body that are read.
    pub max_answer_bytes: usize,
    /// Life of a bearer (SEED, v1.0.3: by its sample).
    pub token_life_s: u64,
    /// A bearer is used again until so much of its life is over.
    pub token_reuse_percent: u64,
    /// Wait after the first failure; it doubles with each further one.
    pub retry_first_s: u64,
    /// Longest wait after a failure.
    pub retry_max_s: u64,
    /// A wait after a failure is shorter or longer by up to so much.
    pub retry_jitter_percent: u64,
    /// Longest `Retry-After` that is obeyed; a longer one counts as this.
    pub retry_after_max_s: u64,
    /// No more tries after this time from the first one.
    pub give_up_s: u64,
    /// Failures in a row after which a partner gets nothing but probes.
    pub breaker_failures: u32,
    /// Time between two probes.
    pub breaker_probe_s: u64,
    /// Requests to one partner at a time.
    pub per_partner: usize,
}

impl Default for PushProfile {
    fn default() -> Self {
        Self {
            path: "/push".to_owned(),
            every_s: 30,
            again_s: vec![3_600, 21_600, 86_400],
            connect_timeout_s: 5,
            timeout_s: 10,
            max_answer_bytes: 4 * 1024,
            token_life_s: 3_600,
            token_reuse_percent: 80,
            retry_first_s: 1,
            retry_max_s: 60,
            retry_jitter_percent: 20,
            retry_after_max_s: 900,
            give_up_s: 900,
            breaker_failures: 50,
            breaker_probe_s: 30,
            per_partner: 64,
        }
    }
}
