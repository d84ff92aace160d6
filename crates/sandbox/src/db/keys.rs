//! One-time prekeys.

use landbridge_stanza::keys::PreKey;
use rusqlite::OptionalExtension;

use super::{Tx, UserId, array};
use crate::SandboxError;

impl Tx<'_> {
    /// Adds keys; a key whose id is there already stays as it is. Returns how many were new.
    pub(crate) fn add_prekeys(&self, user: UserId, keys: &[PreKey]) -> Result<usize, SandboxError> {
        let mut insert =
            self.0.prepare_cached("INSERT OR IGNORE INTO prekeys (user, id, value) VALUES (?1, ?2, ?3)")?;
        let mut added = 0;
        for key in keys {
            added += insert.execute((user.0, key.id, key.value))?;
        }
        Ok(added)
    }

    /// Takes the oldest key away: nobody gets it a second time.
    pub(crate) fn take_prekey(&self, user: UserId) -> Result<Option<PreKey>, SandboxError> {
        let mut take = self.0.prepare_cached(
            "DELETE FROM prekeys WHERE seq = (SELECT min(seq) FROM prekeys WHERE user = ?1) RETURNING id, value",
        )?;
        let row: Option<(u32, Vec<u8>)> =
            take.query_row([user.0], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        row.map(|(id, value)| Ok(PreKey { id, value: array(value, "prekey")? })).transpose()
    }

    pub(crate) fn count_prekeys(&self, user: UserId) -> Result<u32, SandboxError> {
        let mut query = self.0.prepare_cached("SELECT count(*) FROM prekeys WHERE user = ?1")?;
        Ok(query.query_row([user.0], |row| row.get(0))?)
    }

    /// All keys, oldest first.
    pub(crate) fn prekeys(&self, user: UserId) -> Result<Vec<PreKey>, SandboxError> {
        let mut query =
            self.0.prepare_cached("SELECT id, value FROM prekeys WHERE user = ?1 ORDER BY seq")?;
        let rows = query.query_map([user.0], |row| Ok((row.get::<_, u32>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
        rows.map(|row| {
            let (id, value) = row?;
            Ok(PreKey { id, value: array(value, "prekey")? })
        })
        .collect()
    }
}
