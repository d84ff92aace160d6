//! Inbox in SQLite.

use rusqlite::Row;

use super::tx::{SqliteTx, rows, signed, unsigned};
use crate::{
    Inbox, InboxEntry, InboxMessage, MessageKey, RelationKind, Seen, StoreError, Stored, Undecryptable,
};

/// The columns that [`entry`] reads, and the condition.
macro_rules! select_inbox {
    ($rest:literal) => {
        concat!(
            "SELECT seq, chat, sender, id, t, kind, plaintext, notify, confirmed, recovered FROM inbox ",
            $rest
        )
    };
}
pub(super) use select_inbox;

pub(super) fn entry(row: &Row<'_>) -> rusqlite::Result<InboxEntry> {
    let key = MessageKey { chat: row.get(1)?, sender: row.get(2)?, id: row.get(3)? };
    let message = InboxMessage {
        key,
        t: unsigned(row.get(4)?),
        kind: row.get(5)?,
        plaintext: row.get(6)?,
        notify: row.get(7)?,
    };
    Ok(InboxEntry { seq: unsigned(row.get(0)?), message, confirmed: row.get(8)?, recovered: row.get(9)? })
}

impl SqliteTx<'_> {
    fn undecryptable(&self, key: &MessageKey) -> Result<Option<Undecryptable>, StoreError> {
        let sql = "SELECT t, failures, last_count, asked, reason FROM undecryptable \
                   WHERE chat = ?1 AND sender = ?2 AND id = ?3";
        self.one("look for an undecryptable message", sql, (&key.chat, &key.sender, &key.id), |row| {
            Ok(Undecryptable {
                key: key.clone(),
                t: unsigned(row.get(0)?),
                failures: row.get(1)?,
                last_count: row.get(2)?,
                asked: row.get(3)?,
                reason: row.get(4)?,
            })
        })
    }

    fn put_undecryptable(&self, record: &Undecryptable) -> Result<(), StoreError> {
        let sql = "INSERT INTO undecryptable (chat, sender, id, t, failures, last_count, asked, reason) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (chat, sender, id) DO UPDATE SET \
                   failures = excluded.failures, last_count = excluded.last_count, asked = excluded.asked, \
                   reason = excluded.reason";
        let Undecryptable { key, t, failures, last_count, asked, reason } = record;
        let columns = (&key.chat, &key.sender, &key.id, signed(*t), failures, last_count, asked, reason);
        self.run("note an undecryptable message", sql, columns).map(drop)
    }
}

impl Inbox for SqliteTx<'_> {
    fn seen(&self, key: &MessageKey) -> Result<Seen, StoreError> {
        let sql = "SELECT 1 FROM inbox WHERE chat = ?1 AND sender = ?2 AND id = ?3";
        if self.one("look for a message", sql, (&key.chat, &key.sender, &key.id), |_| Ok(()))?.is_some() {
            return Ok(Seen::Stored);
        }
        Ok(self.undecryptable(key)?.map_or(Seen::Never, Seen::Undecryptable))
    }

    fn store_message(&mut self, message: &InboxMessage) -> Result<Stored, StoreError> {
        let InboxMessage { key, t, kind, plaintext, notify } = message;
        let sql = "INSERT INTO inbox (chat, sender, id, t, kind, plaintext, notify) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
                   ON CONFLICT (chat, sender, id) DO NOTHING";
        let columns = (&key.chat, &key.sender, &key.id, signed(*t), kind, plaintext, notify);
        if self.run("store a message", sql, columns)? == 0 {
            return Ok(Stored::Duplicate);
        }
        let seq = self.last_seq();
        let sql = "DELETE FROM undecryptable WHERE chat = ?1 AND sender = ?2 AND id = ?3";
        if self.run("fill a placeholder", sql, (&key.chat, &key.sender, &key.id))? == 0 {
            return Ok(Stored::New { seq });
        }
        let sql = "UPDATE inbox SET recovered = 1 WHERE seq = ?1";
        self.run("fill a placeholder", sql, [signed(seq)])?;
        Ok(Stored::Recovered { seq })
    }

    fn record_failure(
        &mut self,
        key: &MessageKey,
        t: u64,
        count: u32,
        reason: &str,
    ) -> Result<Undecryptable, StoreError> {
        let record = match self.undecryptable(key)? {
            Some(old) => match old.clone().again(count, reason) {
                Some(record) => record,
                None => return Ok(old),
            },
            None => Undecryptable::first(key, t, count, reason),
        };
        self.put_undecryptable(&record)?;
        Ok(record)
    }

    fn count_retry(&mut self, key: &MessageKey) -> Result<u32, StoreError> {
        let Some(mut record) = self.undecryptable(key)? else { return Ok(0) };
        record.asked = record.asked.saturating_add(1);
        self.put_undecryptable(&record)?;
        Ok(record.asked)
    }

    fn unconfirmed(&self, after: u64, limit: usize) -> Result<Vec<InboxEntry>, StoreError> {
        let sql = select_inbox!("WHERE confirmed = 0 AND seq > ?1 ORDER BY seq LIMIT ?2");
        self.all("read messages", sql, (signed(after), rows(limit)), entry)
    }

    fn confirm(&mut self, seq: u64) -> Result<(), StoreError> {
        self.run("confirm a message", "UPDATE inbox SET confirmed = 1 WHERE seq = ?1", [signed(seq)])
            .map(drop)
    }

    fn message(&self, key: &MessageKey) -> Result<Option<InboxEntry>, StoreError> {
        let sql = select_inbox!("WHERE chat = ?1 AND sender = ?2 AND id = ?3");
        self.one("read a message", sql, (&key.chat, &key.sender, &key.id), entry)
    }

    fn forget_content(&mut self, before: u64) -> Result<usize, StoreError> {
        let sql = "UPDATE inbox SET plaintext = x'' WHERE confirmed = 1 AND t < ?1 AND length(plaintext) > 0";
        let forgotten = self.run("forget contents", sql, [signed(before)])?;
        let sql = "UPDATE relation SET content = x'' WHERE kind = ?2 AND t < ?1 AND length(content) > 0";
        self.run("forget contents", sql, (signed(before), RelationKind::Edit.code()))?;
        Ok(forgotten)
    }
}
