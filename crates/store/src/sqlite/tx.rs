//! The transaction, and the few ways in which its parts talk to SQLite.

use std::path::Path;

use landbridge_curve::{PrivateKey, PublicKey};
use landbridge_signal::SignalStore;
use rusqlite::{OptionalExtension, Params, Row, Transaction};

use super::failed;
use crate::{StoreError, StoreTx};

/// Where a commit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitPoint {
    /// All is written, nothing is durable.
    Before,
    /// All is durable.
    After,
}

pub(super) type Observer = Box<dyn FnMut(CommitPoint) + Send>;

pub(super) struct SqliteTx<'a> {
    pub(super) tx: Transaction<'a>,
    pub(super) path: &'a Path,
    pub(super) commits: &'a mut u32,
    pub(super) observer: Option<&'a mut Observer>,
}

impl StoreTx for SqliteTx<'_> {
    fn commit(self: Box<Self>) -> Result<(), StoreError> {
        self.finish()
    }

    fn as_signal_store(&mut self) -> &mut dyn SignalStore {
        self
    }
}

impl SqliteTx<'_> {
    pub(super) fn finish(self) -> Result<(), StoreError> {
        let Self { tx, path, commits, mut observer } = self;
        if let Some(observer) = &mut observer {
            observer(CommitPoint::Before);
        }
        tx.commit().map_err(|source| failed(path, "commit", source))?;
        *commits = commits.saturating_add(1);
        if let Some(observer) = observer {
            observer(CommitPoint::After);
        }
        Ok(())
    }

    /// Runs one statement; how many rows it changed.
    pub(super) fn run(
        &self,
        doing: &'static str,
        sql: &'static str,
        params: impl Params,
    ) -> Result<usize, StoreError> {
        let result = self.tx.prepare_cached(sql).and_then(|mut statement| statement.execute(params));
        result.map_err(|source| failed(self.path, doing, source))
    }

    /// The first row, if any.
    pub(super) fn one<T>(
        &self,
        doing: &'static str,
        sql: &'static str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let result = self
            .tx
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_row(params, read).optional());
        result.map_err(|source| failed(self.path, doing, source))
    }

    /// All rows.
    pub(super) fn all<T>(
        &self,
        doing: &'static str,
        sql: &'static str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let result = self.tx.prepare_cached(sql).and_then(|mut statement| {
            statement.query_map(params, read)?.collect::<rusqlite::Result<Vec<T>>>()
        });
        result.map_err(|source| failed(self.path, doing, source))
    }

    /// The row id of the last insertion.
    pub(super) fn last_seq(&self) -> u64 {
        unsigned(self.tx.last_insert_rowid())
    }

    pub(super) fn counter(&self, name: &'static str) -> Result<u64, StoreError> {
        let value =
            self.one("read a counter", "SELECT value FROM counter WHERE name = ?1", [name], |row| {
                row.get(0)
            })?;
        Ok(value.map_or(0, unsigned))
    }

    pub(super) fn set_counter(&self, name: &'static str, value: u64) -> Result<(), StoreError> {
        let sql = "INSERT INTO counter (name, value) VALUES (?1, ?2) \
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.run("write a counter", sql, (name, signed(value))).map(drop)
    }
}

/// SQLite's integers are signed; times and positions beyond 2^63 do not occur, and would stay at that end.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The way back. Negative values are never written.
pub(super) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// A limit on rows as SQLite takes it.
pub(super) fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A private key column; the schema checks the length, so only a damaged file has another.
pub(super) fn private_key(what: &'static str, bytes: &[u8]) -> Result<PrivateKey, StoreError> {
    let bytes: [u8; 32] = bytes.try_into().map_err(|_| StoreError::Record { what, source: None })?;
    Ok(PrivateKey::from_bytes(bytes))
}

/// A public key column.
pub(super) fn public_key(what: &'static str, bytes: &[u8]) -> Result<PublicKey, StoreError> {
    PublicKey::from_slice(bytes).map_err(|source| StoreError::Record { what, source: Some(Box::new(source)) })
}

/// A number column that has fewer than 64 bits in Rust.
pub(super) fn number<T: TryFrom<i64>>(what: &'static str, value: i64) -> Result<T, StoreError> {
    T::try_from(value).map_err(|_| StoreError::Record { what, source: None })
}
