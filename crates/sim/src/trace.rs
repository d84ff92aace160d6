//! What happened, in order: a running hash over all of it, and the last lines in full.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ring::digest::{Context, SHA256};
use tokio::time::Instant;

/// Lines that are kept for a failure.
const TAIL: usize = 40_000;

/// Shared by all who have something to say. Clones are the same trace.
#[derive(Clone)]
pub(crate) struct Trace(Arc<Mutex<Lines>>);

struct Lines {
    begun: Instant,
    hash: Context,
    tail: VecDeque<String>,
    violations: Vec<String>,
    oddities: Vec<Oddity>,
}

/// Something that may happen only if a fault or a change explains it. Who sees it does not know yet.
pub(crate) struct Oddity {
    /// The messages that are concerned.
    pub(crate) ids: Vec<String>,
    /// The addresses of the two between whom it is.
    pub(crate) between: (String, String),
    pub(crate) what: String,
}

impl Trace {
    /// Begins now.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Lines {
            begun: Instant::now(),
            hash: Context::new(&SHA256),
            tail: VecDeque::new(),
            violations: Vec::new(),
            oddities: Vec::new(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened to somebody.
    pub(crate) fn note(&self, actor: &str, what: &str) {
        let mut lines = self.lock();
        let line = format!("{:>9.3} {actor}: {what}", lines.begun.elapsed().as_secs_f64());
        lines.hash.update(line.as_bytes());
        lines.hash.update(b"\n");
        if lines.tail.len() == TAIL {
            lines.tail.pop_front();
        }
        lines.tail.push_back(line);
    }

    /// Something happened that must not happen.
    pub(crate) fn violation(&self, what: String) {
        self.note("VIOLATION", &what);
        self.lock().violations.push(what);
    }

    /// Something happened that needs an explanation.
    pub(crate) fn odd(&self, ids: &[&str], between: (&str, &str), what: String) {
        self.note("odd", &what);
        let between = (between.0.to_owned(), between.1.to_owned());
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        self.lock().oddities.push(Oddity { ids, between, what });
    }

    /// What needs an explanation and was not taken yet.
    pub(crate) fn take_oddities(&self) -> Vec<Oddity> {
        std::mem::take(&mut self.lock().oddities)
    }

    /// What must not have happened so far.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.lock().violations.clone()
    }

    /// The hash so far, as 16 hex digits.
    pub(crate) fn hash(&self) -> String {
        let digest = self.lock().hash.clone().finish();
        digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The last lines.
    pub(crate) fn tail(&self) -> Vec<String> {
        self.lock().tail.iter().cloned().collect()
    }

    /// Simulated seconds since the beginning.
    pub(crate) fn seconds(&self) -> f64 {
        self.lock().begun.elapsed().as_secs_f64()
    }
}
