//! The lineage in SQLite.

use landbridge_signal::SessionRecord;

use super::keybook::{NEXT_PREKEY_ID, NEXT_SIGNED_ID};
use super::tx::{SqliteTx, signed, unsigned};
use super::witness::Mark;
use crate::keybook::{KEY_ID_GAP, KEY_ID_JUMP, jump};
use crate::{Lineage, LineageStore, OutState, Rollback, StoreError};

const LOST: StoreError = StoreError::Record { what: "lineage", source: None };

impl SqliteTx<'_> {
    /// What tells this store, and its imported continuation, from all others.
    pub(super) fn store_id(&self) -> Result<[u8; 16], StoreError> {
        self.one("read the store's id", "SELECT store_id FROM lineage", [], |row| row.get(0))?.ok_or(LOST)
    }

    /// What a witness has to remember of this state.
    pub(super) fn mark(&self) -> Result<Mark, StoreError> {
        let next = u32::try_from(self.counter(NEXT_PREKEY_ID)?).unwrap_or(0);
        Ok(Mark { store: self.store_id()?, epoch: self.lineage()?.epoch, next_prekey_id: next })
    }

    /// Renews what may be older than what was sent. Where the witness knows how far the ids of keys had come, they go on there.
    pub(super) fn renew_after(&mut self, mark: Option<Mark>) -> Result<(), StoreError> {
        self.renew_sessions()?;
        match mark {
            Some(mark) => self.number_keys_from(mark.next_prekey_id.into()),
            None => Ok(()),
        }
    }

    /// Lets the ids of keys to come go on behind those that may have been given since `next` was the next one.
    pub(super) fn number_keys_from(&mut self, next: u64) -> Result<(), StoreError> {
        let start = jump(next, KEY_ID_GAP);
        self.set_counter(NEXT_PREKEY_ID, start)?;
        self.set_counter(NEXT_SIGNED_ID, start)
    }
}

impl LineageStore for SqliteTx<'_> {
    fn lineage(&self) -> Result<Lineage, StoreError> {
        let sql = "SELECT epoch, handed_over, found, expected, keys_due FROM lineage";
        let lineage = self.one("read the lineage", sql, [], |row| {
            let (handed_over, found): (Option<i64>, Option<i64>) = (row.get(1)?, row.get(2)?);
            let expected: Option<i64> = row.get(3)?;
            Ok(Lineage {
                epoch: unsigned(row.get(0)?),
                handed_over: handed_over.map(unsigned),
                rollback: found
                    .map(|found| Rollback { found: unsigned(found), expected: expected.map(unsigned) }),
                keys_due: row.get(4)?,
            })
        })?;
        lineage.ok_or(LOST)
    }

    fn set_lineage(&mut self, lineage: &Lineage) -> Result<(), StoreError> {
        let sql = "UPDATE lineage SET epoch = ?1, handed_over = ?2, found = ?3, expected = ?4, keys_due = ?5";
        let Lineage { epoch, handed_over, rollback, keys_due } = lineage;
        let found = rollback.map(|rollback| signed(rollback.found));
        let expected = rollback.and_then(|rollback| rollback.expected).map(signed);
        let columns = (signed(*epoch), handed_over.map(signed), found, expected, keys_due);
        self.run("write the lineage", sql, columns).map(drop)
    }

    fn renew_sessions(&mut self) -> Result<u64, StoreError> {
        const DOING: &str = "renew sessions";
        // One at a time, so that memory does not grow with their number.
        let mut after = 0;
        let mut retired = 0;
        loop {
            let sql = "SELECT rowid, record FROM session WHERE rowid > ?1 ORDER BY rowid LIMIT 1";
            let next = self.one(DOING, sql, [after], |row| {
                let bytes = row.get_ref(1)?.as_blob()?;
                Ok((row.get::<_, i64>(0)?, SessionRecord::from_bytes(bytes)))
            })?;
            let Some((rowid, record)) = next else { break };
            let record = record.and_then(|mut record| record.retire().map(|()| record));
            match record {
                Ok(record) => {
                    let sql = "UPDATE session SET record = ?2 WHERE rowid = ?1";
                    self.run(DOING, sql, (rowid, &record.to_bytes()[..]))?
                }
                // Sessions that do not read can open nothing either.
                Err(_) => self.run(DOING, "DELETE FROM session WHERE rowid = ?1", [rowid])?,
            };
            after = rowid;
            retired += 1;
        }
        self.run(DOING, "UPDATE outbox SET stanza = x'' WHERE state = ?1", [OutState::Pending.code()])?;
        self.run(DOING, "UPDATE prekey SET uploaded = 1", [])?;
        // The same state may be renewed more than once, each time knowing nothing of the others.
        let random = "SELECT random() & 0x7fffffff";
        let random = self.one(DOING, random, [], |row| row.get(0))?.map_or(0, unsigned) % KEY_ID_JUMP;
        self.number_keys_from(jump(self.counter(NEXT_PREKEY_ID)?, random))?;
        Ok(retired)
    }
}
