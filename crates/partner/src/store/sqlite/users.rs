//! Users and the targets of their devices.

use async_trait::async_trait;
use rusqlite::{OptionalExtension as _, params};

use super::{SqliteStore, int};
use crate::store::{MAX_TARGETS, StoreError, TargetPut, Users, WakeTargets};
use crate::wake::WakeTarget;

#[async_trait]
impl Users for SqliteStore {
    async fn remember_user(&self, user_id: &str, identifier: &str, now: u64) -> Result<(), StoreError> {
        let (user_id, identifier) = (user_id.to_owned(), identifier.to_owned());
        self.writer
            .call(move |db| {
                db.prepare_cached("DELETE FROM users WHERE user_id = ?1 OR identifier = ?2")?
                    .execute(params![user_id, identifier])?;
                db.prepare_cached("INSERT INTO users VALUES (?1, ?2, ?3)")?.execute(params![
                    user_id,
                    identifier,
                    int(now)
                ])?;
                Ok(())
            })
            .await
    }

    async fn find_user(&self, identifier: &str) -> Result<Option<String>, StoreError> {
        let identifier = identifier.to_owned();
        self.writer
            .call(move |db| {
                db.prepare_cached("SELECT user_id FROM users WHERE identifier = ?1")?
                    .query_row([identifier], |row| row.get(0))
                    .optional()
            })
            .await
    }

    /// The file is locked.
    fn is_own(&self) -> bool {
        true
    }

    async fn forget_user(&self, user_id: &str) -> Result<(), StoreError> {
        let user_id = user_id.to_owned();
        self.writer
            .call(move |db| {
                for table in ["users", "wake_targets", "wakes", "deliveries"] {
                    db.execute(&format!("DELETE FROM {table} WHERE user_id = ?1"), [&user_id])?;
                }
                // Their rows go when their bytes are gone.
                for table in ["media", "uploads"] {
                    db.execute(&format!("UPDATE {table} SET expires_at = 0 WHERE user_id = ?1"), [&user_id])?;
                }
                db.set(user_id.into(), None);
                Ok(())
            })
            .await
    }
}

#[async_trait]
impl WakeTargets for SqliteStore {
    async fn put_target(
        &self,
        user_id: &str,
        device: &str,
        target: &WakeTarget,
        now: u64,
    ) -> Result<TargetPut, StoreError> {
        let (user_id, device) = (user_id.to_owned(), device.to_owned());
        let kind = target.kind().as_str();
        let address = target.to_json().map_err(|cause| StoreError::Failed(cause.into()))?;
        self.writer
            .call(move |db| {
                let others: u32 = db
                    .prepare_cached("SELECT count(*) FROM wake_targets WHERE user_id = ?1 AND device <> ?2")?
                    .query_row(params![user_id, device], |row| row.get(0))?;
                if others >= MAX_TARGETS {
                    return Ok(TargetPut::TooMany);
                }
                db.prepare_cached("INSERT OR REPLACE INTO wake_targets VALUES (?1, ?2, ?3, ?4, ?5)")?
                    .execute(params![user_id, device, kind, address, int(now)])?;
                db.prepare_cached("UPDATE deliveries SET kind = ?3 WHERE user_id = ?1 AND device = ?2")?
                    .execute(params![user_id, device, kind])?;
                Ok(TargetPut::Stored)
            })
            .await
    }

    async fn target(&self, user_id: &str, device: &str) -> Result<Option<WakeTarget>, StoreError> {
        let (user_id, device) = (user_id.to_owned(), device.to_owned());
        let address: Option<String> = self
            .writer
            .call(move |db| {
                db.prepare_cached("SELECT address FROM wake_targets WHERE user_id = ?1 AND device = ?2")?
                    .query_row(params![user_id, device], |row| row.get(0))
                    .optional()
            })
            .await?;
        Ok(address.and_then(|address| WakeTarget::from_json(&address)))
    }

    async fn delete_target(&self, user_id: &str, device: &str) -> Result<(), StoreError> {
        let (user_id, device) = (user_id.to_owned(), device.to_owned());
        self.writer
            .call(move |db| {
                for table in ["wake_targets", "deliveries"] {
                    let sql = format!("DELETE FROM {table} WHERE user_id = ?1 AND device = ?2");
                    db.prepare_cached(&sql)?.execute(params![user_id, device])?;
                }
                Ok(())
            })
            .await
    }
}
