//! The store in an SQLite file, or in memory.

mod media;
mod users;
mod waiting;
mod wakes;
mod writer;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use thiserror::Error;

use waiting::Waiting;
use writer::Writer;

/// Written into the file's header, so that some other program's database is not taken for ours: "LBpt".
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"LBpt");

/// Schema changes, in order: entry n takes a file from schema n to n + 1.
const MIGRATIONS: &[&str] = &[
    include_str!("../../../migrations/0001_wakes.sql"),
    include_str!("../../../migrations/0002_media.sql"),
    include_str!("../../../migrations/0003_upload_leases.sql"),
    include_str!("../../../migrations/0004_waiting.sql"),
];

/// How long to wait for another process that is just closing the same file.
const BUSY_WAIT: Duration = Duration::from_millis(500);

/// Everything with a row, in one SQLite file, for one process at a time. Clones share it.
///
/// The file is created with mode 0600 and locked against other processes; every answer waits for the disk.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    writer: Writer,
}

/// A database that cannot be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The system or SQLite refuses.
    #[error("the database {} cannot be opened", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another process has it.
    #[error("the database {} is in use by another server", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A later release wrote it, or some other program.
    #[error("the database {} is not one of this release (schema {found})", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its schema number.
        found: i64,
    },
}

impl SqliteStore {
    /// Opens the file at `path`, making it if there is none, and brings its schema up to date. Blocks.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let failed = |cause| OpenError::Open { path: path.to_owned(), cause };
        create_private(path).map_err(|cause| failed(cause.into()))?;
        let connection = Connection::open(path).map_err(|cause| failed(cause.into()))?;
        Self::of(connection, path)
    }

    /// A store that lives as long as its clones.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn in_memory() -> Result<Self, OpenError> {
        let path = Path::new(":memory:");
        let connection = Connection::open_in_memory()
            .map_err(|cause| OpenError::Open { path: path.to_owned(), cause: cause.into() })?;
        Self::of(connection, path)
    }

    fn of(mut connection: Connection, path: &Path) -> Result<Self, OpenError> {
        let failed = |cause| OpenError::Open { path: path.to_owned(), cause };
        configure(&connection).map_err(|cause| match cause.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseBusy) => OpenError::InUse { path: path.to_owned() },
            _ => failed(cause.into()),
        })?;
        migrate(&mut connection, path)?;
        // What a predecessor had taken and not settled is nobody's any more, and the requests that it served are over:
        // the file was locked just now.
        connection
            .execute_batch(
                "UPDATE deliveries SET due_at = 0, leased_until = 0 WHERE leased_until > 0;
                 UPDATE uploads SET leased_until = 0 WHERE leased_until > 0;
                 UPDATE uploads SET expires_at = 0 WHERE resumable = 0;",
            )
            .map_err(|cause| failed(cause.into()))?;
        let waiting = Waiting::load(&connection).map_err(|cause| failed(cause.into()))?;
        let writer = Writer::start(connection, waiting).map_err(|cause| failed(cause.into()))?;
        Ok(Self { writer })
    }
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_WAIT)?;
    // Before the first access: the lock is then held until closing.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "secure_delete", "ON")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |cause: rusqlite::Error| OpenError::Open { path: path.to_owned(), cause: cause.into() };
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let found: i64 = tx.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
    let owner: i32 = tx.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(failed)?;
    let tables: i64 =
        tx.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    let foreign = owner != APPLICATION_ID && (tables > 0 || found != 0);
    let done = usize::try_from(found).ok().filter(|done| !foreign && *done <= MIGRATIONS.len());
    let Some(done) = done else { return Err(OpenError::Foreign { path: path.to_owned(), found }) };
    for migration in MIGRATIONS.iter().skip(done) {
        tx.execute_batch(migration).map_err(failed)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
    tx.pragma_update(None, "user_version", i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX))
        .map_err(failed)?;
    tx.commit().map_err(failed)
}

/// Makes the file with mode 0600 if there is none, so that SQLite does not make it with a wider one.
fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// SQLite's integers are signed; the year is not 292 million.
fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn uint(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
