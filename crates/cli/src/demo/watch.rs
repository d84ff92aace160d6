//! What passes on the client's connection, kept so that checks can wait for it and say its size.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use landbridge::{Direction, TracedStanza};
use tokio::sync::Notify;

/// How long anything in the demo may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A stanza and when it passed.
#[derive(Clone)]
pub(super) struct Passed {
    pub(super) at: Instant,
    pub(super) stanza: TracedStanza,
}

/// Whether stanzas are printed as they pass.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Echo {
    Silent,
    Printed,
}

/// A recorder; clones record to the same place.
#[derive(Clone)]
pub(super) struct Watch {
    echo: Echo,
    passed: Arc<Mutex<Vec<Passed>>>,
    news: Arc<Notify>,
}

impl Watch {
    pub(super) fn new(echo: Echo) -> Self {
        Self { echo, passed: Arc::default(), news: Arc::default() }
    }

    /// Takes a stanza from the client.
    pub(super) fn record(&self, stanza: TracedStanza) {
        if self.echo == Echo::Printed {
            let (arrow, way) = match stanza.direction {
                Direction::Out => ("──►", "sent"),
                Direction::In => ("◄──", "received"),
            };
            println!("  {arrow} {way} {} B on the wire: {}", stanza.wire_bytes, stanza.xml);
        }
        self.lock().push(Passed { at: Instant::now(), stanza });
        self.news.notify_waiters();
    }

    /// How many stanzas have passed: a position to wait from.
    pub(super) fn position(&self) -> usize {
        self.lock().len()
    }

    /// The first stanza from `position` on that fits, waiting for it.
    pub(super) async fn wait(
        &self,
        position: usize,
        what: &str,
        fits: impl Fn(&TracedStanza) -> bool,
    ) -> Result<Passed, String> {
        let search = async {
            loop {
                let news = self.news.notified();
                tokio::pin!(news);
                news.as_mut().enable();
                if let Some(found) = self.lock().iter().skip(position).find(|passed| fits(&passed.stanza)) {
                    return found.clone();
                }
                news.await;
            }
        };
        patiently(what, search).await
    }

    /// Whether a stanza that fits has passed since `position`.
    pub(super) fn passed(&self, position: usize, fits: impl Fn(&TracedStanza) -> bool) -> bool {
        self.lock().iter().skip(position).any(|passed| fits(&passed.stanza))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Passed>> {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stanza of a kind and id in one direction.
pub(super) fn stanza<'a>(
    direction: Direction,
    tag: &'a str,
    id: &'a str,
) -> impl Fn(&TracedStanza) -> bool + 'a {
    move |stanza| stanza.direction == direction && stanza.tag == tag && stanza.id.as_deref() == Some(id)
}

/// Waits, but not for ever.
pub(super) async fn patiently<T>(what: &str, work: impl Future<Output = T>) -> Result<T, String> {
    tokio::time::timeout(PATIENCE, work)
        .await
        .map_err(|_| format!("no {what} within {} s", PATIENCE.as_secs()))
}
