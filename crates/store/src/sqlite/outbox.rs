//! Outbox in SQLite.

use rusqlite::Row;

use super::tx::{SqliteTx, rows, signed, unsigned};
use crate::{
    Advanced, OutState, OutTimes, Outbox, OutboxEntry, OutboxMessage, Progress, Recrypt, StoreError,
};

fn time(value: Option<i64>) -> Option<u64> {
    value.map(unsigned)
}

/// The row, or `None` in place of the state if its number is unknown.
fn entry(row: &Row<'_>) -> rusqlite::Result<Option<OutboxEntry>> {
    let Some(state) = OutState::from_code(row.get(7)?) else { return Ok(None) };
    let message = OutboxMessage {
        recipient: row.get(1)?,
        id: row.get(2)?,
        kind: row.get(3)?,
        plaintext: row.get(4)?,
        stanza: row.get(5)?,
        created_at: unsigned(row.get(6)?),
    };
    let times = OutTimes {
        sent: time(row.get(8)?),
        failed: time(row.get(9)?),
        delivered: time(row.get(10)?),
        read: time(row.get(11)?),
        played: time(row.get(12)?),
    };
    Ok(Some(OutboxEntry {
        seq: unsigned(row.get(0)?),
        message,
        state,
        times,
        failure: row.get(13)?,
        retries: row.get(14)?,
    }))
}

fn known(entry: Option<OutboxEntry>) -> Result<OutboxEntry, StoreError> {
    entry.ok_or(StoreError::Record { what: "state of a message", source: None })
}

/// The columns that [`entry`] reads, and the condition.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT seq, recipient, id, kind, plaintext, stanza, created_at, state, sent_at, failed_at, delivered_at, ",
            "read_at, played_at, failure, retries FROM outbox ",
            $rest
        )
    };
}

impl Outbox for SqliteTx<'_> {
    fn enqueue(&mut self, message: &OutboxMessage) -> Result<u64, StoreError> {
        let OutboxMessage { id, recipient, kind, plaintext, stanza, created_at } = message;
        let sql = "INSERT INTO outbox (recipient, id, kind, plaintext, stanza, created_at) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (recipient, id) DO NOTHING";
        match self.run(
            "store a message",
            sql,
            (recipient, id, kind, plaintext, stanza, signed(*created_at)),
        )? {
            0 => Err(StoreError::DuplicateMessage { id: id.clone() }),
            _ => Ok(self.last_seq()),
        }
    }

    fn pending(&self, after: u64, limit: usize) -> Result<Vec<OutboxEntry>, StoreError> {
        let sql = select!("WHERE state = 0 AND seq > ?1 ORDER BY seq LIMIT ?2");
        let found = self.all("read pending messages", sql, (signed(after), rows(limit)), entry)?;
        found.into_iter().map(known).collect()
    }

    fn has_unsealed(&self, recipient: &str) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM outbox WHERE recipient = ?1 AND state = 0 AND length(stanza) = 0 LIMIT 1";
        Ok(self.one("look for waiting messages", sql, [recipient], |_| Ok(()))?.is_some())
    }

    fn advance(
        &mut self,
        recipient: &str,
        id: &str,
        progress: Progress<'_>,
        at: u64,
    ) -> Result<Advanced, StoreError> {
        let Some(mut entry) = self.outgoing(recipient, id)? else { return Ok(Advanced::Unknown) };
        let before = (entry.times, entry.failure.clone());
        let advanced = entry.apply(progress, at);
        if advanced == Advanced::Unchanged && before == (entry.times, entry.failure.clone()) {
            return Ok(advanced);
        }
        let OutTimes { sent, delivered, read, played, failed } = entry.times;
        let sql = "UPDATE outbox SET state = ?2, sent_at = ?3, failed_at = ?4, delivered_at = ?5, read_at = ?6, \
                   played_at = ?7, failure = ?8 WHERE seq = ?1";
        let columns = (
            signed(entry.seq),
            entry.state.code(),
            sent.map(signed),
            failed.map(signed),
            delivered.map(signed),
            read.map(signed),
            played.map(signed),
            entry.failure,
        );
        self.run("note the state of a message", sql, columns)?;
        Ok(advanced)
    }

    fn replace_stanza(
        &mut self,
        recipient: &str,
        id: &str,
        stanza: &[u8],
        why: Recrypt,
    ) -> Result<Option<u32>, StoreError> {
        let more = i64::from(why == Recrypt::Retry);
        let sql = "UPDATE outbox SET stanza = ?3, retries = retries + ?4 WHERE recipient = ?1 AND id = ?2 \
                   RETURNING retries";
        self.one("store a new ciphertext", sql, (recipient, id, stanza, more), |row| row.get(0))
    }

    fn outgoing(&self, recipient: &str, id: &str) -> Result<Option<OutboxEntry>, StoreError> {
        let sql = select!("WHERE recipient = ?1 AND id = ?2");
        self.one("read a message", sql, (recipient, id), entry)?.map(known).transpose()
    }

    fn forget_sent_content(&mut self, before: u64) -> Result<usize, StoreError> {
        let sql = "UPDATE outbox SET plaintext = x'', stanza = x'' \
                   WHERE (state >= ?1 OR (state <> 0 AND created_at < ?2)) \
                   AND length(plaintext) + length(stanza) > 0";
        self.run("forget contents", sql, (OutState::Read.code(), signed(before)))
    }
}
