//! The epoch of a store, and the comparison with what its witness remembers.

use rusqlite::TransactionBehavior;

use super::tx::SqliteTx;
use super::witness::{Mark, WitnessError};
use super::{SqliteStore, failed};
use crate::{AccountStore, LineageStore, Rollback, StoreError};

/// What a store's witness says of it.
pub(super) enum Verdict {
    /// Nothing is missing, as far as it knows.
    Continues,
    /// The store is older than it should be, or unknown to its witness.
    Older(Rollback),
}

/// Compares. The store commits its new epoch before it tells the witness, so a mark that is behind only shows that the process
/// ended between the two, before anything was done.
pub(super) fn judge(store: [u8; 16], epoch: u64, mark: Option<Mark>) -> Verdict {
    match mark {
        _ if epoch == 0 => Verdict::Continues,
        Some(mark) if mark.store == store && mark.epoch <= epoch => Verdict::Continues,
        Some(mark) if mark.store == store => {
            Verdict::Older(Rollback { found: epoch, expected: Some(mark.epoch) })
        }
        _ => Verdict::Older(Rollback { found: epoch, expected: None }),
    }
}

impl SqliteStore {
    /// Asks the witness, renews what has to be renewed, and begins a new epoch: before the store is given to anybody.
    pub(super) fn attest(&mut self, mark: Option<Mark>) -> Result<(), StoreError> {
        let mut tx = self.transaction()?;
        let (store, mut lineage) = (tx.store_id()?, tx.lineage()?);
        let mut epoch = lineage.epoch;
        if let Verdict::Older(rollback) = judge(store, epoch, mark) {
            epoch = epoch.max(rollback.expected.unwrap_or(0));
            // A store without an account has nothing that could be used twice.
            if tx.account()?.is_some() {
                tx.renew_after(mark.filter(|mark| mark.store == store))?;
                lineage.rollback.get_or_insert(rollback);
                lineage.keys_due = true;
            }
        }
        lineage.epoch = epoch.saturating_add(1);
        tx.set_lineage(&lineage)?;
        let mark = tx.mark()?;
        tx.finish()?;
        self.tell(&mark)
    }

    /// Begins a new epoch, so that a copy made before is an older one from now on.
    pub(super) fn advance_epoch(&mut self) -> Result<(), StoreError> {
        let mut tx = self.transaction()?;
        let mut lineage = tx.lineage()?;
        lineage.epoch = lineage.epoch.saturating_add(1);
        tx.set_lineage(&lineage)?;
        let mark = tx.mark()?;
        tx.finish()?;
        self.tell(&mark)
    }

    pub(super) fn heard(&mut self) -> Result<Option<Mark>, StoreError> {
        self.witness.read().map_err(|source| witness_failed("answer", source))
    }

    pub(super) fn tell(&mut self, mark: &Mark) -> Result<(), StoreError> {
        self.witness.write(mark).map_err(|source| witness_failed("take the new one", source))
    }

    /// A transaction of the store itself, which no observer sees.
    pub(super) fn transaction(&mut self) -> Result<SqliteTx<'_>, StoreError> {
        let Self { connection, path, commits, .. } = self;
        let tx = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|source| failed(path, "begin a transaction", source))?;
        Ok(SqliteTx { tx, path, commits, observer: None })
    }
}

fn witness_failed(doing: &'static str, source: WitnessError) -> StoreError {
    StoreError::Witness { doing, source }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        // A store that could not be opened is left as it is. Nobody is left to be told of a failure here; the next opening
        // begins an epoch in any case.
        if self.attested {
            let _unheard = self.advance_epoch();
        }
    }
}
