//! One visit to the mailbox: connect, take what waits, leave.

use std::sync::Arc;
use std::time::Duration;

use landbridge_proto::handshake::client_payload::ConnectReason;
use landbridge_store::StoreTx;
use tokio::time::Instant;

use crate::client::Inner;
use crate::connection::{self, ConnectPlan};
use crate::error::{Ending, Error};
use crate::event::EventQueue;
use crate::message::ReceivedMessage;
use crate::session::Session;

/// What one visit to the mailbox has brought.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Fetched {
    /// The messages, in the order of their arrival, the first 1,024 at most. All are stored; the stream of events hands
    /// each of them out as well, and only what is handed out there counts as seen by the application.
    pub messages: Vec<ReceivedMessage>,
    /// Whether the mailbox is empty now and everything that was taken from it is receipted.
    pub caught_up: bool,
}

pub(crate) async fn once(inner: &Arc<Inner>, limit: Duration) -> Result<Fetched, Error> {
    let until = Instant::now() + limit;
    let basket = Basket::begin(&inner.events);
    let plan = ConnectPlan { reason: ConnectReason::Push };
    let connected = tokio::time::timeout_at(until, connection::connect(inner, plan)).await;
    connected.map_err(|_| Error::TimedOut { what: "login", after: limit })??;
    let mut outcome = Ok(false);
    if let Ok(session) = inner.session() {
        // Too late is not an error: what was taken is stored, and the rest comes next time.
        outcome = tokio::time::timeout_at(until, drain(inner, &session)).await.unwrap_or(Ok(false));
        session.end(Ending::Requested);
        session.written_out().await;
    }
    let mut fetched = basket.empty();
    fetched.caught_up = outcome?;
    Ok(fetched)
}

/// Waits until the mailbox is empty and nothing is owed for it; `false` if the connection ends before that.
async fn drain(inner: &Arc<Inner>, session: &Arc<Session>) -> Result<bool, Error> {
    let work = async {
        inner.events.emptied().await;
        session.nothing_owed().await
    };
    tokio::select! {
        biased;
        _ = session.ended() => Ok(false),
        done = work => done.map(|()| true),
    }
}

impl Session {
    /// Waits until every answer that was owed is written.
    pub(crate) async fn nothing_owed(&self) -> Result<(), Error> {
        loop {
            // Registered before looking, so that an answer in between wakes us up.
            let mut settled = std::pin::pin!(self.owed_settled.notified());
            settled.as_mut().enable();
            let owed = self.inner.vault.read(|tx: &mut dyn StoreTx| tx.owed(1).map_err(Error::from)).await?;
            if owed.is_empty() {
                return Ok(());
            }
            settled.await;
        }
    }
}

/// Gathers messages from when it is made until it is dropped.
struct Basket<'a>(&'a EventQueue);

impl<'a> Basket<'a> {
    fn begin(events: &'a EventQueue) -> Self {
        events.gather(Some(Fetched::default()));
        Self(events)
    }

    fn empty(self) -> Fetched {
        self.0.gather(None).unwrap_or_default()
    }
}

impl Drop for Basket<'_> {
    fn drop(&mut self) {
        self.0.gather(None);
    }
}
