//! What is noted about each message on its way, for [`Client::explain`](crate::Client::explain).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use landbridge_store::{OutState, StoreTx, TrailStep};

use crate::error::Error;
use crate::messages::outbox::Moved;
use crate::session::Session;

/// Messages whose writing is remembered until their acks come; that of more is not noted.
const MAX_WRITTEN: usize = 1_024;

/// Messages that were handed to the connection and are not acked yet: (recipient, id) to unix seconds. Noted with the ack, so that
/// writing a message costs no transaction of its own.
#[derive(Default)]
pub(crate) struct Written(Mutex<HashMap<(String, String), u64>>);

impl Written {
    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// Remembers that a message was handed to the connection.
    pub(crate) fn note_written(&self, message: (String, String)) {
        let mut written = self.written.map();
        if written.len() < MAX_WRITTEN {
            written.entry(message).or_insert(self.inner.clock.now());
        }
    }

    /// When a message was handed to the connection, if that is not noted yet.
    pub(crate) fn take_written(&self, recipient: &str, id: &str) -> Option<u64> {
        self.written.map().remove(&(recipient.to_owned(), id.to_owned()))
    }

    /// Notes what was written and not acked when the connection ended.
    pub(crate) async fn keep_written(&self) {
        let mut written: Vec<_> = self.written.map().drain().collect();
        if written.is_empty() {
            return;
        }
        written.sort_unstable();
        let step = move |tx: &mut dyn StoreTx| {
            for ((recipient, id), at) in &written {
                tx.note(recipient, id, *at, &TrailStep::Written)?;
            }
            Ok::<_, Error>(())
        };
        if let Err(error) = self.inner.vault.write(step).await {
            tracing::debug!(error = error.for_log(), "the trail of the connection is not complete");
        }
    }
}

/// Notes that a message of ours moved on.
pub(crate) fn moved(
    tx: &mut dyn StoreTx,
    recipient: &str,
    id: &str,
    now: u64,
    moved: &Moved,
) -> Result<(), Error> {
    let step = match moved {
        Moved::To(OutState::Sent) => TrailStep::Acked,
        Moved::To(state) => TrailStep::Moved { state: *state },
        Moved::Failed(reason) => TrailStep::Failed { reason: reason.clone() },
    };
    Ok(tx.note(recipient, id, now, &step)?)
}
