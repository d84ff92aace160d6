//! Uploads in SQLite.

use rusqlite::Row;

use super::tx::{SqliteTx, rows, signed, unsigned};
use crate::{Outbox, StoreError, Upload, UploadEntry, Uploads};

/// The columns that [`entry`] reads, and the condition.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT seq, recipient, id, kind, content, spool, length, sha256, place, created_at FROM upload ",
            $rest
        )
    };
}

fn entry(row: &Row<'_>) -> rusqlite::Result<UploadEntry> {
    let upload = Upload {
        recipient: row.get(1)?,
        id: row.get(2)?,
        kind: row.get(3)?,
        content: row.get(4)?,
        spool: row.get(5)?,
        length: unsigned(row.get(6)?),
        // The schema checks the length.
        sha256: row.get(7)?,
        place: row.get(8)?,
        created_at: unsigned(row.get(9)?),
    };
    Ok(UploadEntry { seq: unsigned(row.get(0)?), upload })
}

impl Uploads for SqliteTx<'_> {
    fn begin_upload(&mut self, upload: &Upload) -> Result<u64, StoreError> {
        let Upload { id, recipient, kind, content, spool, length, sha256, place, created_at } = upload;
        let taken = || StoreError::DuplicateMessage { id: id.clone() };
        if self.outgoing(recipient, id)?.is_some() {
            return Err(taken());
        }
        let sql = "INSERT INTO upload (recipient, id, kind, content, spool, length, sha256, place, created_at) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (recipient, id) DO NOTHING";
        let columns = (
            recipient,
            id,
            kind,
            content,
            spool,
            signed(*length),
            sha256.as_slice(),
            place,
            signed(*created_at),
        );
        match self.run("store an upload", sql, columns)? {
            0 => Err(taken()),
            _ => Ok(self.last_seq()),
        }
    }

    fn uploads(&self, after: u64, limit: usize) -> Result<Vec<UploadEntry>, StoreError> {
        let sql = select!("WHERE seq > ?1 ORDER BY seq LIMIT ?2");
        self.all("read uploads", sql, (signed(after), rows(limit)), entry)
    }

    fn upload(&self, recipient: &str, id: &str) -> Result<Option<UploadEntry>, StoreError> {
        self.one("read an upload", select!("WHERE recipient = ?1 AND id = ?2"), (recipient, id), entry)
    }

    fn note_place(&mut self, recipient: &str, id: &str, place: &str) -> Result<(), StoreError> {
        let sql = "UPDATE upload SET place = ?3 WHERE recipient = ?1 AND id = ?2";
        self.run("note where an upload lies", sql, (recipient, id, place)).map(drop)
    }

    fn end_upload(&mut self, recipient: &str, id: &str) -> Result<bool, StoreError> {
        let sql = "DELETE FROM upload WHERE recipient = ?1 AND id = ?2";
        Ok(self.run("end an upload", sql, (recipient, id))? > 0)
    }

    fn fail_upload(&mut self, recipient: &str, id: &str, reason: &str, at: u64) -> Result<bool, StoreError> {
        crate::uploads::fail(self, recipient, id, reason, at)
    }
}
