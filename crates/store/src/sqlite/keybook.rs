//! Prekey books in SQLite.

use landbridge_curve::PrivateKey;
use landbridge_signal::{PreKey, PreKeyId, SignedPreKey, SignedPreKeyId};

use super::tx::{SqliteTx, number, private_key, rows, signed, unsigned};
use crate::keybook::free_id;
use crate::{PreKeyBook, PreKeyCounts, SignedPreKeyEntry, StoreError};

const PREKEY: &str = "one-time prekey";
const SIGNED: &str = "signed prekey";
pub(super) const NEXT_PREKEY_ID: &str = "next_prekey_id";
/// Where the ids of signed keys go on, if not behind the newest one.
pub(super) const NEXT_SIGNED_ID: &str = "next_signed_prekey_id";
pub(super) const USED_PREKEYS: &str = "used_prekeys";

/// A commit that makes more keys than this counts for several.
const KEYS_PER_COMMIT: usize = 512;

pub(super) fn prekey_id(id: i64) -> Result<PreKeyId, StoreError> {
    PreKeyId::new(number(PREKEY, id)?)
        .map_err(|source| StoreError::Record { what: PREKEY, source: Some(Box::new(source)) })
}

fn signed_prekey_id(id: i64) -> Result<SignedPreKeyId, StoreError> {
    SignedPreKeyId::new(number(SIGNED, id)?)
        .map_err(|source| StoreError::Record { what: SIGNED, source: Some(Box::new(source)) })
}

pub(super) fn signed_prekey(id: i64, key: &[u8], signature: &[u8]) -> Result<SignedPreKey, StoreError> {
    Ok(SignedPreKey {
        id: signed_prekey_id(id)?,
        key: private_key(SIGNED, key)?,
        signature: signature.try_into().map_err(|_| StoreError::Record { what: SIGNED, source: None })?,
    })
}

impl SqliteTx<'_> {
    fn count(&self, sql: &'static str) -> Result<usize, StoreError> {
        let count: Option<i64> = self.one("count keys", sql, [], |row| row.get(0))?;
        Ok(usize::try_from(count.unwrap_or(0)).unwrap_or(usize::MAX))
    }

    fn taken(&self, sql: &'static str, id: u32) -> Result<bool, StoreError> {
        Ok(self.one("look for a key id", sql, [id], |_| Ok(()))?.is_some())
    }
}

impl PreKeyBook for SqliteTx<'_> {
    fn add_prekeys(&mut self, keys: &[PrivateKey]) -> Result<Vec<PreKeyId>, StoreError> {
        let mut next = self.counter(NEXT_PREKEY_ID)?;
        let stored = self.count("SELECT count(*) FROM prekey")?;
        let mut ids = Vec::with_capacity(keys.len());
        for (added, key) in keys.iter().enumerate() {
            let id = free_id(PREKEY, next, stored.saturating_add(added), |id| {
                self.taken("SELECT 1 FROM prekey WHERE id = ?1", id)
            })?;
            let sql = "INSERT INTO prekey (id, private_key) VALUES (?1, ?2)";
            self.run("store a prekey", sql, (id, key.as_bytes()))?;
            let id = prekey_id(id.into())?;
            next = id.next().get().into();
            ids.push(id);
        }
        self.set_counter(NEXT_PREKEY_ID, next)?;
        // The witness must not lag behind by more ids than are passed over after a rollback.
        let weight = u32::try_from(keys.len() / KEYS_PER_COMMIT).unwrap_or(u32::MAX);
        *self.commits = self.commits.saturating_add(weight);
        Ok(ids)
    }

    fn start_prekeys_at(&mut self, id: PreKeyId) -> Result<(), StoreError> {
        self.set_counter(NEXT_PREKEY_ID, id.get().into())
    }

    fn prekeys_to_upload(&self, limit: usize) -> Result<Vec<PreKey>, StoreError> {
        let sql = "SELECT id, private_key FROM prekey WHERE uploaded = 0 ORDER BY seq LIMIT ?1";
        let found = self.all("read prekeys", sql, [rows(limit)], |row| <(i64, Vec<u8>)>::try_from(row))?;
        found
            .into_iter()
            .map(|(id, key)| Ok(PreKey { id: prekey_id(id)?, key: private_key(PREKEY, &key)? }))
            .collect()
    }

    fn mark_uploaded(&mut self, ids: &[PreKeyId]) -> Result<(), StoreError> {
        for id in ids {
            self.run("mark a prekey", "UPDATE prekey SET uploaded = 1 WHERE id = ?1", [id.get()])?;
        }
        Ok(())
    }

    fn prune_prekeys(&mut self, keep: usize) -> Result<(), StoreError> {
        let sql = "DELETE FROM prekey WHERE seq IN (SELECT seq FROM prekey WHERE uploaded = 1 ORDER BY seq \
                   LIMIT max(0, (SELECT count(*) FROM prekey) - ?1))";
        self.run("delete old prekeys", sql, [rows(keep)]).map(drop)
    }

    fn prekey_counts(&self) -> Result<PreKeyCounts, StoreError> {
        let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
        Ok(PreKeyCounts {
            stored: number(self.count("SELECT count(*) FROM prekey")?),
            to_upload: number(self.count("SELECT count(*) FROM prekey WHERE uploaded = 0")?),
            used: self.counter(USED_PREKEYS)?,
        })
    }

    fn next_signed_prekey_id(&self) -> Result<SignedPreKeyId, StoreError> {
        let newest = "SELECT id FROM signed_prekey ORDER BY seq DESC LIMIT 1";
        let newest: Option<i64> = self.one("read signed prekeys", newest, [], |row| row.get(0))?;
        let next = match (self.counter(NEXT_SIGNED_ID)?, newest) {
            (0, Some(id)) => signed_prekey_id(id)?.next().get().into(),
            (next, _) => next,
        };
        let id = free_id(SIGNED, next, self.count("SELECT count(*) FROM signed_prekey")?, |id| {
            self.taken("SELECT 1 FROM signed_prekey WHERE id = ?1", id)
        })?;
        signed_prekey_id(id.into())
    }

    fn add_signed_prekey(&mut self, key: &SignedPreKey, created_at: u64) -> Result<(), StoreError> {
        let sql = "INSERT INTO signed_prekey (id, private_key, signature, created_at) VALUES (?1, ?2, ?3, ?4) \
                   ON CONFLICT (id) DO NOTHING";
        let columns = (key.id.get(), key.key.as_bytes(), &key.signature[..], signed(created_at));
        match self.run("store a signed prekey", sql, columns)? {
            0 => Err(StoreError::KeyIdInUse { what: SIGNED, id: key.id.get() }),
            _ => self.set_counter(NEXT_SIGNED_ID, 0),
        }
    }

    fn mark_signed_uploaded(&mut self, id: SignedPreKeyId) -> Result<(), StoreError> {
        self.run("mark a signed prekey", "UPDATE signed_prekey SET uploaded = 1 WHERE id = ?1", [id.get()])
            .map(drop)
    }

    fn signed_prekeys(&self) -> Result<Vec<SignedPreKeyEntry>, StoreError> {
        let sql =
            "SELECT id, private_key, signature, created_at, uploaded FROM signed_prekey ORDER BY seq DESC";
        let found = self
            .all("read signed prekeys", sql, [], |row| <(i64, Vec<u8>, Vec<u8>, i64, bool)>::try_from(row))?;
        let entry = |(id, key, signature, at, uploaded): (i64, Vec<u8>, Vec<u8>, i64, bool)| {
            Ok(SignedPreKeyEntry {
                key: signed_prekey(id, &key, &signature)?,
                created_at: unsigned(at),
                uploaded,
            })
        };
        found.into_iter().map(entry).collect()
    }

    fn prune_signed_prekeys(&mut self, keep: usize) -> Result<(), StoreError> {
        let sql = "DELETE FROM signed_prekey \
                   WHERE seq NOT IN (SELECT seq FROM signed_prekey ORDER BY seq DESC LIMIT ?1) \
                   AND seq IS NOT (SELECT max(seq) FROM signed_prekey WHERE uploaded = 1)";
        self.run("delete old signed prekeys", sql, [rows(keep)]).map(drop)
    }
}
