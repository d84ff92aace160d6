//! One thread that owns the database. What is asked of it at the same time goes into one transaction, so that a hundred
//! pushes cost one synchronisation of the disk and not a hundred.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::waiting::{Entry, Waiting};
use super::{uint, wakes};
use crate::store::{Pushed, StoreError};

/// What may wait for the thread.
const QUEUE: usize = 4096;
/// What goes into one transaction at most.
const BATCH: usize = 256;

/// How long to let more come in while there is much to do: one wait for the disk is then for more of it.
const GATHER: Duration = Duration::from_micros(250);

/// The transaction of a batch.
pub(super) struct Tx<'a> {
    db: &'a Connection,
    waiting: &'a Waiting,
    /// What becomes of `waiting` when this is committed.
    changes: HashMap<Arc<str>, Option<Entry>>,
    /// Wake-ups more than on disk.
    more: i64,
    /// Rows of `deliveries`, if they were asked for and no job has run since that may have changed them.
    deliveries: Option<u64>,
}

impl Deref for Tx<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.db
    }
}

impl Tx<'_> {
    /// What is known of a user, this transaction's changes included.
    pub(super) fn entry(&self, user_id: &str) -> Option<Entry> {
        match self.changes.get(user_id) {
            Some(changed) => *changed,
            None => self.waiting.get(user_id),
        }
    }

    /// Changes what is known of a user. To be called last in a job, when nothing can fail any more.
    pub(super) fn set(&mut self, user_id: Arc<str>, entry: Option<Entry>) {
        let wakes = |entry: Option<Entry>| i64::from(entry.is_some_and(|entry| entry.wake.is_some()));
        self.more += wakes(entry) - wakes(self.entry(&user_id));
        self.changes.insert(user_id, entry);
    }

    /// What is on disk.
    pub(super) fn on_disk(&self) -> &Waiting {
        self.waiting
    }

    /// Whether this transaction has changed what is known of a user.
    pub(super) fn is_changed(&self, user_id: &str) -> bool {
        self.changes.contains_key(user_id)
    }

    /// What is not, yet.
    pub(super) fn changes(&self) -> impl Iterator<Item = (&Arc<str>, &Option<Entry>)> {
        self.changes.iter()
    }

    /// How many rows wait.
    pub(super) fn depth(&mut self) -> rusqlite::Result<u64> {
        let deliveries = match self.deliveries {
            Some(deliveries) => deliveries,
            None => {
                let n = self.db.prepare_cached("SELECT n FROM depth")?.query_row([], |row| row.get(0))?;
                *self.deliveries.insert(uint(n))
            }
        };
        Ok((self.waiting.count() + deliveries).saturating_add_signed(self.more))
    }
}

/// Works inside the batch's transaction, if there is one, and gives what to do once that has ended.
type Work = Box<dyn FnOnce(Option<&mut Tx<'_>>) -> Finish + Send>;
/// Who waits to hear of a push.
type Pusher = oneshot::Sender<Result<Pushed, StoreError>>;
/// Told whether the transaction was committed.
type Finish = Box<dyn FnOnce(&Result<(), String>) + Send>;

enum Job {
    Any(Work),
    /// The one that there are many of: a single statement, that needs no savepoint.
    Push {
        user_id: Arc<str>,
        now: u64,
        bound: u64,
        answer: Pusher,
    },
}

/// The way to the thread. The last clone to go ends it.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    jobs: SyncSender<Job>,
    waiting: Arc<RwLock<Waiting>>,
}

impl Writer {
    pub(super) fn start(connection: Connection, waiting: Waiting) -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel(QUEUE);
        let waiting = Arc::new(RwLock::new(waiting));
        let known = Arc::clone(&waiting);
        std::thread::Builder::new()
            .name("partner-store".to_owned())
            .spawn(move || run(&connection, &queue, &known))?;
        Ok(Self { jobs, waiting })
    }

    /// What waits, as it is on disk.
    pub(super) fn waiting(&self) -> RwLockReadGuard<'_, Waiting> {
        // The only writer panics nowhere between two changes that belong together.
        self.waiting.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` in a transaction. Returns when that is on disk.
    ///
    /// # Cancel safety
    /// Dropping the future does not take the work back.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let work: Work = Box::new(move |tx| {
            let result = tx.map(|tx| in_savepoint(tx, work));
            Box::new(move |committed| {
                let result = match result {
                    Some(result) => ended(result, committed),
                    None => Err(StoreError::Failed(committed.clone().err().unwrap_or_default().into())),
                };
                // Whoever asked may have left.
                let _ = answer.send(result);
            })
        });
        self.send(Job::Any(work))?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// Accepts a push. Returns when it is on disk.
    ///
    /// # Cancel safety
    /// Dropping the future does not take it back.
    pub(super) async fn push(&self, user_id: &str, now: u64, bound: u64) -> Result<Pushed, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.send(Job::Push { user_id: user_id.into(), now, bound, answer })?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    fn send(&self, job: Job) -> Result<(), StoreError> {
        self.jobs.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => StoreError::Closed,
        })
    }
}

/// What a job's result is worth once its transaction has ended.
fn ended<T>(result: rusqlite::Result<T>, committed: &Result<(), String>) -> Result<T, StoreError> {
    let value = result.map_err(|cause| StoreError::Failed(cause.into()))?;
    match committed {
        Ok(()) => Ok(value),
        Err(cause) => Err(StoreError::Failed(cause.clone().into())),
    }
}

/// One job's failure undoes that job and no other.
fn in_savepoint<T>(
    tx: &mut Tx<'_>,
    work: impl FnOnce(&mut Tx<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    tx.db.execute_batch("SAVEPOINT job")?;
    let result = work(tx);
    tx.deliveries = None;
    let end = if result.is_ok() { "RELEASE job" } else { "ROLLBACK TO job; RELEASE job" };
    tx.db.execute_batch(end)?;
    result
}

fn run(connection: &Connection, queue: &Receiver<Job>, waiting: &RwLock<Waiting>) {
    let mut busy = false;
    while let Ok(first) = queue.recv() {
        if busy {
            std::thread::sleep(GATHER);
        }
        busy = batch(connection, first, queue, waiting) > 1;
    }
    // What is in the log belongs into the file; if it fails, the next opening does it.
    let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
}

/// What has been done in a transaction and not been told.
#[derive(Default)]
struct Done {
    finishes: Vec<Finish>,
    pushes: Vec<(Pusher, rusqlite::Result<Pushed>)>,
}

impl Done {
    fn job(&mut self, job: Job, tx: &mut Tx<'_>) {
        match job {
            Job::Any(work) => self.finishes.push(work(Some(tx))),
            Job::Push { user_id, now, bound, answer } => {
                self.pushes.push((answer, wakes::push(tx, &user_id, now, bound)));
            }
        }
    }

    fn len(&self) -> usize {
        self.finishes.len() + self.pushes.len()
    }

    fn tell(self, committed: &Result<(), String>) {
        for (answer, result) in self.pushes {
            // Whoever asked may have left.
            let _ = answer.send(ended(result, committed));
        }
        for finish in self.finishes {
            finish(committed);
        }
    }
}

/// Everything in the queue in one transaction. Tells those who asked whether that was committed, and gives their number.
fn batch(connection: &Connection, first: Job, queue: &Receiver<Job>, waiting: &RwLock<Waiting>) -> usize {
    if let Err(cause) = begin(connection) {
        let outcome = Err(cause);
        match first {
            Job::Any(work) => work(None)(&outcome),
            Job::Push { answer, .. } => drop(answer.send(ended(Ok(Pushed::Full), &outcome))),
        }
        return 1;
    }
    let mut done = Done::default();
    // Only this thread writes, so nobody waits for this lock.
    let on_disk = waiting.read().unwrap_or_else(PoisonError::into_inner);
    let mut tx = Tx { db: connection, waiting: &on_disk, changes: HashMap::new(), more: 0, deliveries: None };
    done.job(first, &mut tx);
    // A full disk may end the transaction by itself; nothing may run outside of one.
    while done.len() < BATCH
        && !connection.is_autocommit()
        && let Ok(job) = queue.try_recv()
    {
        done.job(job, &mut tx);
    }
    let changes = tx.changes;
    drop(on_disk);
    let outcome = commit(connection);
    if outcome.is_ok() && !changes.is_empty() {
        let mut waiting = waiting.write().unwrap_or_else(PoisonError::into_inner);
        for (user_id, entry) in changes {
            waiting.set(user_id, entry);
        }
    }
    let count = done.len();
    done.tell(&outcome);
    count
}

fn begin(connection: &Connection) -> Result<(), String> {
    connection.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([])).map(drop).map_err(
        |cause| {
            tracing::error!(cause = &cause as &dyn std::error::Error, "no transaction can be begun");
            cause.to_string()
        },
    )
}

fn commit(connection: &Connection) -> Result<(), String> {
    let outcome = connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
    let outcome = outcome.map(drop).map_err(|cause| {
        tracing::error!(cause = &cause as &dyn std::error::Error, "a transaction was not committed");
        cause.to_string()
    });
    if outcome.is_err() && !connection.is_autocommit() {
        // A transaction that neither ends would swallow all that follow.
        let _ = connection.execute_batch("ROLLBACK");
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk that is full: who asks is told, what was there stays, and it goes on when there is room.
    #[tokio::test]
    async fn a_full_disk_loses_nothing_that_was_promised() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (x BLOB)").unwrap();
        let writer = Writer::start(connection, Waiting::default()).unwrap();
        let pages = async |n: u32| {
            let set = move |db: &mut Tx<'_>| db.pragma_update(None, "max_page_count", n);
            writer.call(set).await.unwrap();
        };
        let insert = async |bytes: u32| {
            let work = move |db: &mut Tx<'_>| db.execute("INSERT INTO t VALUES (zeroblob(?1))", [bytes]);
            writer.call(work).await
        };
        let count = async || {
            let work =
                |db: &mut Tx<'_>| db.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, u32>(0));
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
        let writer = Writer::start(connection, Waiting::default()).unwrap();
        let insert = |n: i64| {
            writer.call(move |db| {
                db.execute("INSERT INTO t VALUES (?1)", [n])?;
                db.execute("INSERT INTO t VALUES (?1)", [n / 2])
            })
        };
        let (first, second, third) = tokio::join!(insert(2), insert(1), insert(8));
        assert!(first.is_ok() && second.is_err() && third.is_ok());
        let sum = |db: &mut Tx<'_>| db.query_row("SELECT sum(x) FROM t", [], |row| row.get::<_, i64>(0));
        assert_eq!(writer.call(sum).await.unwrap(), 2 + 1 + 8 + 4);
    }
}
