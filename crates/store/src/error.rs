//! What can go wrong between a client and its store.

use std::path::PathBuf;

use thiserror::Error;

/// Why a store could not be opened, read or written.
///
/// A failed operation inside a transaction leaves the transaction to be dropped: nothing of it is kept.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process (or another handle of this one) has the store open. One account has one client.
    #[error("the store {} is in use by another process; stop that one first, or choose another directory", path.display())]
    InUse {
        /// The database file.
        path: PathBuf,
    },
    /// The file is no database, or its pages contradict each other.
    #[error("the store {} is damaged or is no Landbridge store; restore it from a backup or move it away", path.display())]
    Corrupt {
        /// The database file.
        path: PathBuf,
        /// What SQLite found.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file was written by a later release.
    #[error("the store {} has schema {found}, this release knows schemas up to {known}; use a newer release", path.display())]
    NewerSchema {
        /// The database file.
        path: PathBuf,
        /// The schema number in the file.
        found: i64,
        /// The newest schema number that this release can read.
        known: i64,
    },
    /// The file cannot be created, read or given its mode.
    #[error("the store {} cannot be opened", path.display())]
    Open {
        /// The database file.
        path: PathBuf,
        /// What the system or SQLite said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The disk is full; nothing of this transaction was kept.
    #[error("no space is left for the store; free some and repeat the step")]
    Full,
    /// The backend refused an operation (I/O error, read-only file, …).
    #[error("the store could not {doing}")]
    Backend {
        /// The operation, as a verb phrase.
        doing: &'static str,
        /// What the backend said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The witness of the store's epoch failed: whether the store is the newest one is not known.
    #[error("the witness of the store's epoch did not {doing}")]
    Witness {
        /// What it was to do: `answer` or `take the new one`.
        doing: &'static str,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The account was exported from this store and belongs to the one that imported it.
    #[error("the account was handed over to another store; go on there, or take it back here")]
    HandedOver {
        /// When, in unix seconds.
        at: u64,
    },
    /// A stored record does not parse.
    #[error("the stored {what} does not parse")]
    Record {
        /// Which kind of record.
        what: &'static str,
        /// Why, if its type says so.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// There is no account yet, or its keys were wiped.
    #[error("the store holds no account; enlist first")]
    NoAccount,
    /// An account is there already; its keys are never overwritten.
    #[error("the store holds an account already; delete it first")]
    AccountExists,
    /// A message with this id to this recipient was stored before.
    #[error("a message {id} to that recipient is stored already")]
    DuplicateMessage {
        /// The message id.
        id: String,
    },
    /// A key with this id is still stored: ids are not reused before their keys are gone.
    #[error("{what} {id} is still stored")]
    KeyIdInUse {
        /// Which kind of key.
        what: &'static str,
        /// Its id.
        id: u32,
    },
    /// Every id of this kind is taken (1 to 16,777,215).
    #[error("every id for a {what} is taken")]
    NoFreeKeyId {
        /// Which kind of key.
        what: &'static str,
    },
}

impl From<StoreError> for landbridge_signal::StoreError {
    fn from(error: StoreError) -> Self {
        Self(Box::new(error))
    }
}
