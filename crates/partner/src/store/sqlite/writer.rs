//! One thread that owns the database. What is asked of it at the same time goes into one transaction, so that a hundred
//! pushes cost one synchronisation of the disk and not a hundred.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::store::StoreError;

/// What may wait for the thread.
const QUEUE: usize = 4096;
/// What goes into one transaction at most.
const BATCH: usize = 256;

/// Works inside the batch's transaction and gives what to do once that has ended.
type Job = Box<dyn FnOnce(&Connection) -> Finish + Send>;
/// Told whether the transaction was committed.
type Finish = Box<dyn FnOnce(Result<(), String>) + Send>;

/// The way to the thread. The last clone to go ends it.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    jobs: SyncSender<Job>,
}

impl Writer {
    pub(super) fn start(connection: Connection) -> std::io::Result<Self> {
        let (jobs, waiting) = sync_channel(QUEUE);
        std::thread::Builder::new()
            .name("partner-store".to_owned())
            .spawn(move || run(&connection, &waiting))?;
        Ok(Self { jobs })
    }

    /// Runs `work` in a transaction. Returns when that is on disk.
    ///
    /// # Cancel safety
    /// Dropping the future does not take the work back.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let result = in_savepoint(connection, work);
            Box::new(move |committed| {
                let result = match (result, committed) {
                    (Err(cause), _) => Err(StoreError::Failed(cause.into())),
                    (Ok(_), Err(cause)) => Err(StoreError::Failed(cause.into())),
                    (Ok(value), Ok(())) => Ok(value),
                };
                // Whoever asked may have left.
                let _ = answer.send(result);
            })
        });
        self.jobs.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => StoreError::Closed,
        })?;
        answered.await.map_err(|_| StoreError::Closed)?
    }
}

/// One job's failure undoes that job and no other.
fn in_savepoint<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.execute_batch("SAVEPOINT job")?;
    let result = work(connection);
    let end = if result.is_ok() { "RELEASE job" } else { "ROLLBACK TO job; RELEASE job" };
    connection.execute_batch(end)?;
    result
}

fn run(connection: &Connection, waiting: &Receiver<Job>) {
    while let Ok(first) = waiting.recv() {
        let begun = connection.execute_batch("BEGIN IMMEDIATE");
        let mut finishes = vec![first(connection)];
        while finishes.len() < BATCH
            && let Ok(job) = waiting.try_recv()
        {
            finishes.push(job(connection));
        }
        let outcome = begun.and_then(|()| connection.execute_batch("COMMIT")).map_err(|cause| {
            tracing::error!(cause = &cause as &dyn std::error::Error, "a transaction was not committed");
            cause.to_string()
        });
        if outcome.is_err() && !connection.is_autocommit() {
            // A transaction that neither ends would swallow all that follow.
            let _ = connection.execute_batch("ROLLBACK");
        }
        for finish in finishes {
            finish(outcome.clone());
        }
    }
    // What is in the log belongs into the file; if it fails, the next opening does it.
    let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
}
