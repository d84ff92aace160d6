//! Uploads in memory.

use super::{Counter, MemoryTx};
use crate::{StoreError, Upload, UploadEntry, Uploads};

fn key(recipient: &str, id: &str) -> (String, String) {
    (recipient.to_owned(), id.to_owned())
}

impl MemoryTx<'_> {
    fn upload_entry(&self, recipient: &str, id: &str) -> Option<UploadEntry> {
        let seq = self.tables.upload_keys.get(&key(recipient, id))?;
        self.tables.uploads.get(seq).cloned()
    }
}

impl Uploads for MemoryTx<'_> {
    fn begin_upload(&mut self, upload: &Upload) -> Result<u64, StoreError> {
        let key = key(&upload.recipient, &upload.id);
        if self.tables.upload_keys.contains(&key) || self.tables.outbox_keys.contains(&key) {
            return Err(StoreError::DuplicateMessage { id: upload.id.clone() });
        }
        let seq = self.tables.counter(Counter::UploadSeq) + 1;
        self.tables.counters.put(Counter::UploadSeq, seq);
        self.tables.uploads.put(seq, UploadEntry { seq, upload: upload.clone() });
        self.tables.upload_keys.put(key, seq);
        Ok(seq)
    }

    fn uploads(&self, after: u64, limit: usize) -> Result<Vec<UploadEntry>, StoreError> {
        Ok(self.tables.uploads.after(after).take(limit).map(|(_, entry)| entry.clone()).collect())
    }

    fn upload(&self, recipient: &str, id: &str) -> Result<Option<UploadEntry>, StoreError> {
        Ok(self.upload_entry(recipient, id))
    }

    fn note_place(&mut self, recipient: &str, id: &str, place: &str) -> Result<(), StoreError> {
        if let Some(mut entry) = self.upload_entry(recipient, id) {
            entry.upload.place = Some(place.to_owned());
            self.tables.uploads.put(entry.seq, entry);
        }
        Ok(())
    }

    fn end_upload(&mut self, recipient: &str, id: &str) -> Result<bool, StoreError> {
        let Some(entry) = self.upload_entry(recipient, id) else { return Ok(false) };
        self.tables.uploads.remove(&entry.seq);
        Ok(self.tables.upload_keys.remove(&key(recipient, id)))
    }

    fn fail_upload(&mut self, recipient: &str, id: &str, reason: &str, at: u64) -> Result<bool, StoreError> {
        crate::uploads::fail(self, recipient, id, reason, at)
    }
}
