//! The store in an SQLite file.

mod account;
mod epoch;
#[cfg(feature = "export")]
mod export;
mod inbox;
mod keybook;
mod lineage;
mod lists;
mod outbox;
mod peers;
mod relations;
mod signal;
mod trail;
mod tx;
mod uploads;
mod witness;

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use crate::{ClientStore, StoreError, StoreTx};
pub use tx::CommitPoint;
use tx::{Observer, SqliteTx};
pub use witness::{EpochWitness, FileWitness, Mark, WitnessError};

/// Written into the file's header, so that some other program's database is not taken for ours: "LBst".
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"LBst");

/// Schema changes, in order: entry n takes a file from schema n to n + 1.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/0001_initial.sql"),
    include_str!("../../migrations/0002_peers.sql"),
    include_str!("../../migrations/0003_relations.sql"),
    include_str!("../../migrations/0004_trail.sql"),
    include_str!("../../migrations/0005_lineage.sql"),
    include_str!("../../migrations/0006_announcements.sql"),
    include_str!("../../migrations/0007_uploads.sql"),
];

/// How long to wait for another process that is just closing the same store.
const BUSY_WAIT: Duration = Duration::from_millis(500);

/// How many commits may lie in the write-ahead log. Old ratchet keys live on in it until it is emptied, so the number also
/// bounds how long forward secrecy lags behind on disk.
const COMMITS_PER_CHECKPOINT: u32 = 64;

/// A store in one SQLite file, for one process at a time.
///
/// The file is created with mode 0600 (the directory is the caller's affair), locked against other processes for as long as
/// the store is open, journalled with a write-ahead log and synchronised at every commit: what was committed survives the
/// loss of the process and of power. Deleted rows are overwritten, since old keys must vanish (`secure_delete`); the log, which
/// still has them, is emptied every 64 commits, by [`checkpoint`](Self::checkpoint) and on closing.
///
/// # A copy that is put back
///
/// A store that is older than what was sent with it would use keys twice. So it counts its *epochs* (each opening, each closing,
/// every 64 commits), and an [`EpochWitness`] outside of it remembers the last one. A store that is opened with less, or without
/// a witness that knows it, renews every session before it is given to anybody, lets the ids of new keys go on behind the last one that
/// the witness knows of, and its [`Lineage`](crate::Lineage) says so.
///
/// | noticed | not noticed |
/// |---|---|
/// | the database put back without its witness, from any earlier epoch | database and witness put back together |
/// | the database alone moved to another place | a copy made less than 64 commits ago, put back before the store was opened again or closed |
/// | an export imported a second time at the same place | an export imported a second time elsewhere |
///
/// For the right column choose a witness that backups do not reach.
///
/// ```
/// use landbridge_store::{ClientStore, Fact, AccountStore, SqliteStore};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?; let path = dir.path().join("client.db");
/// let mut store = SqliteStore::open(&path)?;
/// let mut tx = store.begin()?;
/// tx.set_fact(Fact::LOGIN_COUNT, Some(b"1"))?;
/// tx.commit()?;
/// # Ok(()) }
/// ```
pub struct SqliteStore {
    connection: Connection,
    path: PathBuf,
    folder: PathBuf,
    /// Commits since the log was last emptied.
    commits: u32,
    witness: Box<dyn EpochWitness>,
    /// The epoch of this opening has begun.
    attested: bool,
    observer: Option<Observer>,
}

impl SqliteStore {
    /// Opens the store at `path`, creating it if there is none, and brings its schema up to date. Its witness is a
    /// [`FileWitness`] beside it.
    ///
    /// # Errors
    /// As [`open_with`](Self::open_with).
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let witness = FileWitness::beside(path.as_ref());
        Self::open_with(path, witness)
    }

    /// As [`open`](Self::open), with a witness of the caller's.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another process has it open, [`StoreError::Corrupt`] if the file is no store,
    /// [`StoreError::NewerSchema`] if a later release wrote it, [`StoreError::Open`] for everything that the system refuses,
    /// [`StoreError::Witness`] if the witness cannot be asked or told.
    pub fn open_with(
        path: impl AsRef<Path>,
        witness: impl EpochWitness + 'static,
    ) -> Result<Self, StoreError> {
        let mut store = Self::unattested(path.as_ref(), Box::new(witness))?;
        let mark = store.heard()?;
        store.attest(mark)?;
        store.attested = true;
        Ok(store)
    }

    fn unattested(path: &Path, witness: Box<dyn EpochWitness>) -> Result<Self, StoreError> {
        let path = path.to_path_buf();
        create_private(&path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection =
            Connection::open_with_flags(&path, flags).map_err(|source| opening(&path, source))?;
        let folder = witness::with_suffix(&path, "-files");
        let mut store =
            Self { connection, path, folder, commits: 0, witness, attested: false, observer: None };
        store.configure().map_err(|source| opening(&store.path, source))?;
        store.migrate()?;
        // What a process left in the log may be there in memory alone, if its last synchronisation failed: a later one does not
        // make up for it, and commits behind it would end with it. So it is written anew, into the database file.
        store.empty_log().map_err(|source| opening(&store.path, source))?;
        Ok(store)
    }

    /// Calls `observer` right before and right after each commit, on the thread that commits. For tests that end the process
    /// there, and for counting.
    pub fn observe_commits(&mut self, observer: impl FnMut(CommitPoint) + Send + 'static) {
        self.observer = Some(Box::new(observer));
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Moves the write-ahead log into the database file and empties it: what was deleted is then in neither. It begins a new
    /// epoch.
    ///
    /// # Errors
    /// The backend or the witness fails; what was committed stays committed.
    pub fn checkpoint(&mut self) -> Result<(), StoreError> {
        self.advance_epoch()?;
        self.commits = 0;
        self.empty_log().map_err(|source| failed(&self.path, "empty its write-ahead log", source))
    }

    fn empty_log(&self) -> rusqlite::Result<()> {
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    }

    /// Reads the whole file and checks that its pages and indexes agree. Takes time in proportion to the file.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] with the first finding.
    pub fn verify(&self) -> Result<(), StoreError> {
        let finding: String = self
            .connection
            .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
            .map_err(|source| failed(&self.path, "check itself", source))?;
        if finding == "ok" {
            Ok(())
        } else {
            Err(StoreError::Corrupt { path: self.path.clone(), source: finding.into() })
        }
    }

    fn configure(&mut self) -> rusqlite::Result<()> {
        let connection = &self.connection;
        connection.busy_timeout(BUSY_WAIT)?;
        // Before the first access: the log's index then lives in this process, and the lock is held until closing.
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.pragma_update(None, "secure_delete", "ON")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        // Spilled sorts would leave secrets in temporary files.
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(())
    }

    fn migrate(&mut self) -> Result<(), StoreError> {
        let path = &self.path;
        let opening = |source| opening(path, source);
        // The transaction also takes the lock, whether or not there is anything to do.
        let tx =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(opening)?;
        let found: i64 = tx.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(opening)?;
        let owner: i32 = tx.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(opening)?;
        let tables: i64 =
            tx.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(opening)?;
        if owner != APPLICATION_ID && (tables > 0 || found != 0) {
            let source = "it belongs to another program".into();
            return Err(StoreError::Corrupt { path: path.clone(), source });
        }
        let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
        let done = usize::try_from(found).map_err(|_| StoreError::NewerSchema {
            path: path.clone(),
            found,
            known,
        })?;
        if found > known {
            return Err(StoreError::NewerSchema { path: path.clone(), found, known });
        }
        for migration in MIGRATIONS.iter().skip(done) {
            tx.execute_batch(migration).map_err(opening)?;
        }
        tx.pragma_update(None, "application_id", APPLICATION_ID).map_err(opening)?;
        tx.pragma_update(None, "user_version", known).map_err(opening)?;
        tx.commit().map_err(opening)
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path).finish_non_exhaustive()
    }
}

impl ClientStore for SqliteStore {
    fn begin(&mut self) -> Result<Box<dyn StoreTx + '_>, StoreError> {
        if self.commits >= COMMITS_PER_CHECKPOINT {
            self.checkpoint()?;
        }
        let Self { connection, path, commits, observer, .. } = self;
        let tx = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|source| failed(path, "begin a transaction", source))?;
        Ok(Box::new(SqliteTx { tx, path, commits, observer: observer.as_mut() }))
    }

    /// Beside the database file, under its name with `-files` behind it.
    fn folder(&self) -> Option<&Path> {
        Some(&self.folder)
    }

    #[cfg(feature = "export")]
    fn portable(&mut self) -> Option<&mut dyn crate::Portable> {
        Some(self)
    }
}

/// Writes a file that only its owner may read, and waits until it is on the disk.
fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_data()
}

/// Makes an empty file that only its owner may read, unless there is one. SQLite gives the log the same mode.
fn create_private(path: &Path) -> Result<(), StoreError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(StoreError::Open { path: path.to_path_buf(), source: Box::new(error) }),
    }
}

/// What an SQLite error means while the store is being opened.
fn opening(path: &Path, source: rusqlite::Error) -> StoreError {
    match failed(path, "be opened", source) {
        StoreError::Backend { source, .. } => StoreError::Open { path: path.to_path_buf(), source },
        other => other,
    }
}

/// What an SQLite error means.
fn failed(path: &Path, doing: &'static str, source: rusqlite::Error) -> StoreError {
    match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            StoreError::InUse { path: path.to_path_buf() }
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Corrupt { path: path.to_path_buf(), source: Box::new(source) }
        }
        Some(ErrorCode::DiskFull) => StoreError::Full,
        _ => StoreError::Backend { doing, source: Box::new(source) },
    }
}
