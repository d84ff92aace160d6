//! Users and the targets of their devices.

use async_trait::async_trait;
use landbridge_partner::store::{MAX_TARGETS, StoreError, TargetPut, Users, WakeTargets};
use landbridge_partner::wake::WakeTarget;

use super::{PostgresStore, execute, int, lock_user, row, row_or_none, storable};

#[async_trait]
impl Users for PostgresStore {
    async fn remember_user(&self, user_id: &str, identifier: &str, now: u64) -> Result<(), StoreError> {
        let now = int(now);
        self.with(|mut client| async move {
            // Nearly always it is known already.
            let known = "UPDATE users SET seen_at = $3 WHERE user_id = $1 AND identifier = $2";
            if execute(&client, known, &[&user_id, &identifier, &now]).await? > 0 {
                return Ok(());
            }
            let tx = client.transaction().await?;
            let replaced = "DELETE FROM users WHERE user_id = $1 OR identifier = $2";
            execute(&tx, replaced, &[&user_id, &identifier]).await?;
            execute(&tx, "INSERT INTO users VALUES ($1, $2, $3)", &[&user_id, &identifier, &now]).await?;
            tx.commit().await
        })
        .await
    }

    async fn find_user(&self, identifier: &str) -> Result<Option<String>, StoreError> {
        if !storable(identifier) {
            return Ok(None);
        }
        self.with(|client| async move {
            let sql = "SELECT user_id FROM users WHERE identifier = $1";
            row_or_none(&client, sql, &[&identifier]).await?.map(|row| row.try_get(0)).transpose()
        })
        .await
    }

    async fn forget_user(&self, user_id: &str) -> Result<(), StoreError> {
        self.with(|mut client| async move {
            let tx = client.transaction().await?;
            lock_user(&tx, user_id).await?;
            // The pushes first: a server that is just fanning one out is waited for, and what it made of it goes after.
            for sql in [
                "DELETE FROM wakes WHERE user_id = $1",
                "DELETE FROM wake_targets WHERE user_id = $1",
                "DELETE FROM deliveries WHERE user_id = $1",
                "DELETE FROM users WHERE user_id = $1",
                // Their rows go when their bytes are gone.
                "UPDATE media SET expires_at = 0 WHERE user_id = $1",
                "UPDATE uploads SET expires_at = 0 WHERE user_id = $1",
            ] {
                execute(&tx, sql, &[&user_id]).await?;
            }
            tx.commit().await
        })
        .await
    }
}

#[async_trait]
impl WakeTargets for PostgresStore {
    async fn put_target(
        &self,
        user_id: &str,
        device: &str,
        target: &WakeTarget,
        now: u64,
    ) -> Result<TargetPut, StoreError> {
        let kind = target.kind().as_str();
        let address = target.to_json().map_err(|cause| StoreError::Failed(cause.into()))?;
        let (address, now) = (address.as_str(), int(now));
        self.with(|mut client| async move {
            let tx = client.transaction().await?;
            lock_user(&tx, user_id).await?;
            let others = "SELECT count(*) FROM wake_targets WHERE user_id = $1 AND device <> $2";
            let others: i64 = row(&tx, others, &[&user_id, &device]).await?.try_get(0)?;
            if others >= i64::from(MAX_TARGETS) {
                return Ok(TargetPut::TooMany);
            }
            let put = "INSERT INTO wake_targets AS t VALUES ($1, $2, $3, $4, $5)
                       ON CONFLICT (user_id, device) DO UPDATE
                       SET kind = $3, address = $4, updated_at = greatest($5, t.updated_at + 1)";
            execute(&tx, put, &[&user_id, &device, &kind, &address, &now]).await?;
            let moved = "UPDATE deliveries SET kind = $3 WHERE user_id = $1 AND device = $2";
            execute(&tx, moved, &[&user_id, &device, &kind]).await?;
            tx.commit().await?;
            Ok(TargetPut::Stored)
        })
        .await
    }

    async fn target(&self, user_id: &str, device: &str) -> Result<Option<WakeTarget>, StoreError> {
        if !storable(user_id) || !storable(device) {
            return Ok(None);
        }
        self.with(|client| async move {
            let sql = "SELECT address FROM wake_targets WHERE user_id = $1 AND device = $2";
            let Some(row) = row_or_none(&client, sql, &[&user_id, &device]).await? else { return Ok(None) };
            Ok(WakeTarget::from_json(row.try_get(0)?))
        })
        .await
    }

    async fn delete_target(&self, user_id: &str, device: &str) -> Result<(), StoreError> {
        self.with(|mut client| async move {
            let tx = client.transaction().await?;
            for sql in [
                "DELETE FROM wake_targets WHERE user_id = $1 AND device = $2",
                "DELETE FROM deliveries WHERE user_id = $1 AND device = $2",
            ] {
                execute(&tx, sql, &[&user_id, &device]).await?;
            }
            tx.commit().await
        })
        .await
    }
}
