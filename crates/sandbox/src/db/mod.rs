//! One SQLite file. Every public function of a module here is one statement or takes part in the caller's transaction.

mod blocklist;
mod contacts;
mod keys;
mod mailbox;
mod meta;
mod phones;
mod pushes;
mod schema;
mod users;

use std::path::Path;
use std::sync::Mutex;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::SandboxError;
use crate::state::lock;

pub(crate) use mailbox::{Entry, MailClass};
pub(crate) use pushes::{KeptPlan, KeptPushes};
pub use users::{Change, EnlistKeys, Enlisted, UserInfo};
pub(crate) use users::{NewPhone, User, UserId};

/// The database. One connection behind a lock: every step is short, and SQLite has one writer anyway.
#[derive(Debug)]
pub(crate) struct Db {
    connection: Mutex<Connection>,
    /// Whether a step may wait for a disk.
    on_disk: bool,
}

impl Db {
    /// Opens or makes `sandbox.db` in a directory, or a database in memory.
    pub(crate) fn open(data_dir: Option<&Path>) -> Result<Self, SandboxError> {
        let mut connection = match data_dir {
            Some(dir) => Connection::open(dir.join("sandbox.db"))?,
            None => Connection::open_in_memory()?,
        };
        // With a log ahead of writing, a killed process loses nothing that was committed; only a machine that loses its
        // power may, and a sandbox need not survive that.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        connection.set_prepared_statement_cache_capacity(128);
        schema::migrate(&mut connection)?;
        Ok(Self { connection: Mutex::new(connection), on_disk: data_dir.is_some() })
    }

    /// Whether what is written outlives the process.
    pub(crate) fn is_on_disk(&self) -> bool {
        self.on_disk
    }

    /// Runs a step where it may wait: a worker of the runtime hands its other tasks on first. What is in memory does not
    /// wait, and is done in place. A runtime of one thread has nobody to hand them to.
    fn aside<T>(&self, step: impl FnOnce() -> T) -> T {
        let workers = self.on_disk
            && Handle::try_current().is_ok_and(|here| here.runtime_flavor() == RuntimeFlavor::MultiThread);
        if workers { tokio::task::block_in_place(step) } else { step() }
    }

    /// Runs one transaction; an error rolls it back.
    pub(crate) fn write<T>(
        &self,
        step: impl FnOnce(&Tx<'_>) -> Result<T, SandboxError>,
    ) -> Result<T, SandboxError> {
        self.aside(|| {
            let mut connection = lock(&self.connection);
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let tx = Tx(transaction);
            let value = step(&tx)?;
            tx.0.commit()?;
            Ok(value)
        })
    }

    /// Runs reads that see one state.
    pub(crate) fn read<T>(
        &self,
        step: impl FnOnce(&Tx<'_>) -> Result<T, SandboxError>,
    ) -> Result<T, SandboxError> {
        self.aside(|| {
            let mut connection = lock(&self.connection);
            let tx = Tx(connection.transaction()?);
            step(&tx)
        })
    }
}

/// An open transaction.
pub(crate) struct Tx<'c>(Transaction<'c>);

/// Bytes of a fixed size from a column.
fn array<const N: usize>(bytes: Vec<u8>, what: &'static str) -> Result<[u8; N], SandboxError> {
    bytes.try_into().map_err(|_| SandboxError::Record { what })
}

/// SQLite's integers are signed; times and sizes here stay far below 2^63.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
