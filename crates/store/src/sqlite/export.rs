//! Everything of an SQLite store into one encrypted file, and back.

use std::io::{BufRead, Write};
use std::path::Path;

use rand_core::CryptoRng;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{OptionalExtension, ToSql, Transaction, params_from_iter};

use super::epoch::{Verdict, judge};
use super::tx::SqliteTx;
use super::witness::{Mark, with_suffix};
use super::{APPLICATION_ID, EpochWitness, FileWitness, MIGRATIONS, SqliteStore, failed};
use crate::export::{ExportError, ExportSecret, Field, Item, Opener, Portable, Reader, Sealer, Writer};
use crate::{AccountStore, LineageStore, StoreError};

/// The positions of AUTOINCREMENT tables. SQLite makes it, and fills it when rows come.
const POSITIONS: &str = "sqlite_sequence";
/// The one table with a row in an empty store.
const LINEAGE: &str = "lineage";

impl Portable for SqliteStore {
    fn export(
        &mut self,
        out: &mut dyn Write,
        secret: &ExportSecret,
        at: u64,
        rng: &mut dyn CryptoRng,
    ) -> Result<(), ExportError> {
        // First the lock, then the copy: a process that ends in between leaves an account that has to be taken back, and never
        // two that both send.
        let sealer = Sealer::new(out, secret, rng)?;
        self.set_handed_over(Some(at))?;
        let written = self.write_all(sealer);
        if written.is_err() {
            // What was written does not open, so nobody else has the account.
            self.set_handed_over(None)?;
        }
        written
    }
}

impl SqliteStore {
    fn set_handed_over(&mut self, at: Option<u64>) -> Result<(), StoreError> {
        let mut tx = self.transaction()?;
        let mut lineage = tx.lineage()?;
        match at {
            Some(at) => {
                tx.account()?.ok_or(StoreError::NoAccount)?;
                lineage.hand_over(at)?;
            }
            None => lineage.handed_over = None,
        }
        tx.set_lineage(&lineage)?;
        tx.finish()
    }

    fn write_all(&mut self, sealer: Sealer<'_>) -> Result<(), ExportError> {
        let tx = self.transaction()?;
        let mut writer = Writer::begin(sealer, schema(MIGRATIONS.len()))?;
        for table in tables(&tx)? {
            let columns = columns(&tx, &table)?;
            writer.table(&table, &columns)?;
            let sql = format!("SELECT {} FROM {}", list(&columns), quoted(&table));
            rows(&tx, &sql, columns.len(), &mut writer)?;
        }
        writer.finish()
    }

    /// Makes a store at `path` of an exported account: identity, sessions, messages and all. The store must be new or empty.
    /// Nothing is left of an import that fails. Its witness is a [`FileWitness`] beside it.
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn import(
        path: impl AsRef<Path>,
        input: impl BufRead,
        secret: &ExportSecret,
    ) -> Result<Self, ExportError> {
        let witness = FileWitness::beside(path.as_ref());
        Self::import_with(path, witness, input, secret)
    }

    /// As [`import`](Self::import), with a witness of the caller's. One that remembers a later epoch of the same account shows
    /// that this export was imported before: sessions are renewed then.
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn import_with(
        path: impl AsRef<Path>,
        witness: impl EpochWitness + 'static,
        input: impl BufRead,
        secret: &ExportSecret,
    ) -> Result<Self, ExportError> {
        let path = path.as_ref();
        // The first chunk opens before anything is made, so a wrong secret leaves nothing behind.
        let (reader, found) = Reader::begin(Opener::new(input, secret)?)?;
        let existed = path.exists();
        let mut store = Self::unattested(path, Box::new(witness))?;
        let outcome =
            store.heard().map_err(ExportError::from).and_then(|mark| store.read_all(reader, found, mark));
        match outcome {
            Ok(mark) => {
                store.tell(&mark)?;
                store.attested = true;
                Ok(store)
            }
            Err(error) => {
                drop(store);
                if !existed {
                    // It was made for this import. If it cannot be removed, it stays, and is empty.
                    for suffix in ["", "-wal", "-journal"] {
                        let _left = std::fs::remove_file(with_suffix(path, suffix));
                    }
                }
                Err(error)
            }
        }
    }

    /// One transaction: all or nothing.
    fn read_all(
        &mut self,
        mut reader: Reader<impl BufRead>,
        found: u32,
        mark: Option<Mark>,
    ) -> Result<Mark, ExportError> {
        let mut tx = self.transaction()?;
        empty(&tx)?;
        let known = schema(MIGRATIONS.len());
        if found == 0 || found > known {
            return Err(ExportError::NewerSchema { found, known });
        }
        // The tables as they were at the file's schema; the rest is done as if it were an old store.
        let then = usize::try_from(found).unwrap_or(usize::MAX);
        for table in tables(&tx)?.iter().filter(|table| *table != POSITIONS) {
            batch(&tx, &format!("DROP TABLE {}", quoted(table)))?;
        }
        batch(&tx, "PRAGMA defer_foreign_keys = ON")?;
        MIGRATIONS.iter().take(then).try_for_each(|migration| batch(&tx, migration))?;
        fill(&tx, &mut reader)?;
        MIGRATIONS.iter().skip(then).try_for_each(|migration| batch(&tx, migration))?;
        batch(&tx, &format!("PRAGMA user_version = {known}; PRAGMA application_id = {APPLICATION_ID}"))?;
        let mark = continued(&mut tx, mark)?;
        tx.finish().map_err(|error| match error {
            // Foreign keys are looked at last.
            StoreError::Backend { source, .. } => ExportError::Content { what: source.to_string() },
            other => other.into(),
        })?;
        Ok(mark)
    }
}

/// The imported account speaks for itself from here on, in an epoch of its own.
fn continued(tx: &mut SqliteTx<'_>, mark: Option<Mark>) -> Result<Mark, ExportError> {
    tx.account()?.ok_or_else(|| content("there is no account"))?;
    let (store, mut lineage) = (tx.store_id()?, tx.lineage()?);
    let same = mark.filter(|mark| mark.store == store);
    if let (Some(_), Verdict::Older(rollback)) = (same, judge(store, lineage.epoch, same)) {
        tx.renew_after(same)?;
        lineage.epoch = lineage.epoch.max(rollback.expected.unwrap_or(0));
        lineage.rollback = Some(rollback);
        lineage.keys_due = true;
    }
    lineage.handed_over = None;
    lineage.epoch = lineage.epoch.saturating_add(1);
    tx.set_lineage(&lineage)?;
    Ok(tx.mark()?)
}

fn schema(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn content(what: impl Into<String>) -> ExportError {
    ExportError::Content { what: what.into() }
}

fn trouble(tx: &SqliteTx<'_>, source: rusqlite::Error) -> ExportError {
    failed(tx.path, "move an account", source).into()
}

fn batch(tx: &SqliteTx<'_>, sql: &str) -> Result<(), ExportError> {
    tx.tx.execute_batch(sql).map_err(|source| trouble(tx, source))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn list(columns: &[String]) -> String {
    columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ")
}

/// All tables, by name, the positions last: rows that come in move them.
fn tables(tx: &SqliteTx<'_>) -> Result<Vec<String>, ExportError> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND (name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
               OR name = ?1) ORDER BY name = ?1, name";
    let names = |tx: &Transaction<'_>| {
        let mut statement = tx.prepare(sql)?;
        let rows = statement.query_map([POSITIONS], |row| row.get(0))?;
        rows.collect::<rusqlite::Result<Vec<String>>>()
    };
    names(&tx.tx).map_err(|source| trouble(tx, source))
}

fn columns(tx: &SqliteTx<'_>, table: &str) -> Result<Vec<String>, ExportError> {
    let names = |tx: &Transaction<'_>| {
        let mut statement = tx.prepare("SELECT name FROM pragma_table_info(?1) ORDER BY cid")?;
        let rows = statement.query_map([table], |row| row.get(0))?;
        rows.collect::<rusqlite::Result<Vec<String>>>()
    };
    names(&tx.tx).map_err(|source| trouble(tx, source))
}

fn empty(tx: &SqliteTx<'_>) -> Result<(), ExportError> {
    for table in tables(tx)?.iter().filter(|table| ![LINEAGE, POSITIONS].contains(&table.as_str())) {
        let sql = format!("SELECT 1 FROM {} LIMIT 1", quoted(table));
        let row = tx.tx.query_row(&sql, [], |_| Ok(())).optional().map_err(|source| trouble(tx, source))?;
        if row.is_some() {
            return Err(ExportError::NotEmpty);
        }
    }
    Ok(())
}

fn rows(tx: &SqliteTx<'_>, sql: &str, columns: usize, writer: &mut Writer<'_>) -> Result<(), ExportError> {
    let mut statement = tx.tx.prepare(sql).map_err(|source| trouble(tx, source))?;
    let mut rows = statement.query([]).map_err(|source| trouble(tx, source))?;
    while let Some(row) = rows.next().map_err(|source| trouble(tx, source))? {
        writer.row()?;
        for column in 0..columns {
            match row.get_ref(column).map_err(|source| trouble(tx, source))? {
                ValueRef::Null => writer.null()?,
                ValueRef::Integer(value) => writer.integer(value)?,
                ValueRef::Text(value) => writer.text(value)?,
                ValueRef::Blob(value) => writer.blob(value)?,
                ValueRef::Real(_) => return Err(content("a number with a fraction")),
            }
        }
    }
    Ok(())
}

impl ToSql for Field {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Owned(Value::Null),
            Self::Integer(value) => ToSqlOutput::Owned(Value::Integer(*value)),
            Self::Text(value) => ToSqlOutput::Borrowed(ValueRef::Text(value.as_bytes())),
            Self::Blob(value) => ToSqlOutput::Borrowed(ValueRef::Blob(value)),
        })
    }
}

/// Puts the rows of the file into tables that this release knows, and into no others.
fn fill(tx: &SqliteTx<'_>, reader: &mut Reader<impl BufRead>) -> Result<(), ExportError> {
    let known = tables(tx)?;
    // What the schema itself has put there stands in the file as well.
    for table in &known {
        batch(tx, &format!("DELETE FROM {}", quoted(table)))?;
    }
    let mut seen: Vec<String> = Vec::new();
    let mut into: Option<(String, usize, String)> = None;
    loop {
        match reader.item()? {
            Item::End => return Ok(()),
            Item::Table { name, columns: named } => {
                if !known.contains(&name) || seen.contains(&name) {
                    return Err(content("a table that is unknown or comes twice"));
                }
                if columns(tx, &name)? != named {
                    return Err(content(format!("table {name} has other columns")));
                }
                if name == POSITIONS {
                    batch(tx, "DELETE FROM sqlite_sequence")?;
                }
                let places = vec!["?"; named.len()].join(", ");
                let sql = format!("INSERT INTO {} ({}) VALUES ({places})", quoted(&name), list(&named));
                seen.push(name.clone());
                into = Some((sql, named.len(), name));
            }
            Item::Row => {
                let Some((sql, count, table)) = &into else { return Err(content("a row of no table")) };
                let fields = (0..*count).map(|_| reader.field()).collect::<Result<Vec<_>, _>>()?;
                let inserted =
                    tx.tx.prepare_cached(sql).and_then(|mut row| row.execute(params_from_iter(fields)));
                inserted.map_err(|source| refused(tx, table, source))?;
            }
        }
    }
}

/// A row that breaks a rule of its table is the file's fault; anything else is the store's.
fn refused(tx: &SqliteTx<'_>, table: &str, source: rusqlite::Error) -> ExportError {
    use rusqlite::ErrorCode::{ConstraintViolation, TypeMismatch};
    match source.sqlite_error_code() {
        Some(ConstraintViolation | TypeMismatch) => content(format!("a row of table {table}")),
        _ => trouble(tx, source),
    }
}
