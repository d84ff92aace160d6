//! The trail in SQLite.

use super::tx::{SqliteTx, signed, unsigned};
use crate::trail::{Parts, TRAIL_ENTRIES, TRAIL_PER_MESSAGE, TRAIL_SECONDS, TRAIL_SWEEP, TRAIL_SWEPT};
use crate::{StoreError, Trail, TrailEntry, TrailStep};

impl Trail for SqliteTx<'_> {
    fn note(&mut self, chat: &str, id: &str, at: u64, step: &TrailStep) -> Result<(), StoreError> {
        const DOING: &str = "note a step of a message";
        let Parts { step, number, detail } = step.parts();
        let sql = "INSERT INTO trail (chat, id, at, step, number, detail) SELECT ?1, ?2, ?3, ?4, ?5, ?6 \
                   WHERE (SELECT count(*) FROM trail WHERE id = ?2 AND chat = ?1) < ?7";
        let columns = (chat, id, signed(at), step, number.map(signed), detail, signed(TRAIL_PER_MESSAGE));
        if self.run(DOING, sql, columns)? == 0 {
            return Ok(());
        }
        let seq = self.last_seq();
        if seq.is_multiple_of(TRAIL_SWEEP) {
            let sql = "DELETE FROM trail WHERE seq <= ?1";
            self.run(DOING, sql, [signed(seq.saturating_sub(TRAIL_ENTRIES))])?;
            let sql =
                "DELETE FROM trail WHERE at < ?1 AND seq IN (SELECT seq FROM trail ORDER BY seq LIMIT ?2)";
            self.run(DOING, sql, (signed(at.saturating_sub(TRAIL_SECONDS)), super::tx::rows(TRAIL_SWEPT)))?;
        }
        Ok(())
    }

    fn trail(&self, id: &str) -> Result<Vec<TrailEntry>, StoreError> {
        let sql = "SELECT seq, at, chat, step, number, detail FROM trail WHERE id = ?1 ORDER BY seq";
        let rows = self.all("read the trail of a message", sql, [id], |row| {
            let number: Option<i64> = row.get(4)?;
            let step = TrailStep::from_parts(row.get(3)?, number.map(unsigned), row.get(5)?);
            Ok((unsigned(row.get(0)?), unsigned(row.get(1)?), row.get(2)?, step))
        })?;
        rows.into_iter()
            .map(|(seq, at, chat, step)| {
                let step = step.ok_or(StoreError::Record { what: "step of a message", source: None })?;
                Ok(TrailEntry { seq, at, chat, id: id.to_owned(), step })
            })
            .collect()
    }
}
