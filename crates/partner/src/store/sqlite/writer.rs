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

/// Works inside the batch's transaction, if there is one, and gives what to do once that has ended.
type Job = Box<dyn FnOnce(Option<&Connection>) -> Finish + Send>;
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
            let result = connection.map(|connection| in_savepoint(connection, work));
            Box::new(move |committed| {
                let result = match (result, committed) {
                    (Some(Err(cause)), _) => Err(StoreError::Failed(cause.into())),
                    (_, Err(cause)) => Err(StoreError::Failed(cause.into())),
                    (Some(Ok(value)), Ok(())) => Ok(value),
                    (None, Ok(())) => Err(StoreError::Closed),
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
        let (finishes, outcome) = batch(connection, first, waiting);
        for finish in finishes {
            finish(outcome.clone());
        }
    }
    // What is in the log belongs into the file; if it fails, the next opening does it.
    let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
}

/// Everything that waits in one transaction, and whether that was committed.
fn batch(connection: &Connection, first: Job, waiting: &Receiver<Job>) -> (Vec<Finish>, Result<(), String>) {
    if let Err(cause) = connection.execute_batch("BEGIN IMMEDIATE") {
        tracing::error!(cause = &cause as &dyn std::error::Error, "no transaction can be begun");
        return (vec![first(None)], Err(cause.to_string()));
    }
    let mut finishes = vec![first(Some(connection))];
    // A full disk may end the transaction by itself; nothing may run outside of one.
    while finishes.len() < BATCH
        && !connection.is_autocommit()
        && let Ok(job) = waiting.try_recv()
    {
        finishes.push(job(Some(connection)));
    }
    let outcome = connection.execute_batch("COMMIT").map_err(|cause| {
        tracing::error!(cause = &cause as &dyn std::error::Error, "a transaction was not committed");
        cause.to_string()
    });
    if outcome.is_err() && !connection.is_autocommit() {
        // A transaction that neither ends would swallow all that follow.
        let _ = connection.execute_batch("ROLLBACK");
    }
    (finishes, outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk that is full: who asks is told, what was there stays, and it goes on when there is room.
    #[tokio::test]
    async fn a_full_disk_loses_nothing_that_was_promised() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (x BLOB)").unwrap();
        let writer = Writer::start(connection).unwrap();
        let pages = async |n: u32| {
            let set = move |db: &Connection| db.pragma_update(None, "max_page_count", n);
            writer.call(set).await.unwrap();
        };
        let insert = async |bytes: u32| {
            let work = move |db: &Connection| db.execute("INSERT INTO t VALUES (zeroblob(?1))", [bytes]);
            writer.call(work).await
        };
        let count = async || {
            let work =
                |db: &Connection| db.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, u32>(0));
            writer.call(work).await.unwrap()
        };
        assert_eq!(insert(10).await.unwrap(), 1);
        pages(8).await;
        for _ in 0..3 {
            assert!(matches!(insert(1_000_000).await, Err(StoreError::Failed(_))));
            assert_eq!(count().await, 1);
        }
        assert_eq!(insert(10).await.unwrap(), 1, "a small one still fits");
        pages(10_000).await;
        assert_eq!(insert(1_000_000).await.unwrap(), 1);
        assert_eq!(count().await, 3);
    }

    /// One that fails undoes itself and nobody who happens to be in the same transaction.
    #[tokio::test]
    async fn failures_are_ones_own() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (x INTEGER UNIQUE)").unwrap();
        let writer = Writer::start(connection).unwrap();
        let insert = |n: i64| {
            writer.call(move |db| {
                db.execute("INSERT INTO t VALUES (?1)", [n])?;
                db.execute("INSERT INTO t VALUES (?1)", [n / 2])
            })
        };
        let (first, second, third) = tokio::join!(insert(2), insert(1), insert(8));
        assert!(first.is_ok() && second.is_err() && third.is_ok());
        let sum = |db: &Connection| db.query_row("SELECT sum(x) FROM t", [], |row| row.get::<_, i64>(0));
        assert_eq!(writer.call(sum).await.unwrap(), 2 + 1 + 8 + 4);
    }
}
