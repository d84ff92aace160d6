//! Accepted pushes on their way to devices.

use std::time::Instant;

use async_trait::async_trait;
use deadpool_postgres::{GenericClient, Object};
use landbridge_partner::store::{
    Counted, Due, Pushed, Settlement, StoreError, WAKE_LIFE_MS, WINDOW_MS, WakeQueue,
};
use landbridge_partner::wake::{Delivery, WakeKind, WakeTarget, new_wake_id};
use tokio_postgres::{Error, Row};

use super::depth::Room;
use super::{PostgresStore, execute, int, lock_user, row, row_or_none, rows, uint};

/// Rows that are past their time and removed in one step.
const EXPIRED: i64 = 1000;

#[async_trait]
impl WakeQueue for PostgresStore {
    async fn push(&self, user_id: &str, now: u64, bound: u64) -> Result<Pushed, StoreError> {
        let room = self.has_room(bound).await?;
        let (expires, now, window) = (int(now + WAKE_LIFE_MS), int(now), int(WINDOW_MS));
        let pushed = self
            .with(|client| async move {
                if !room {
                    // Whoever waits already takes no more room.
                    let sql = "UPDATE wakes SET expires_at = $2 WHERE user_id = $1 AND due_at IS NOT NULL";
                    let waiting = execute(&client, sql, &[&user_id, &expires]).await?;
                    return Ok(if waiting > 0 { Pushed::Coalesced } else { Pushed::Full });
                }
                let stored = row(&client, PUSH, &[&user_id, &now, &expires, &window]).await?;
                Ok(if stored.try_get(0)? { Pushed::Coalesced } else { Pushed::Queued })
            })
            .await?;
        if pushed == Pushed::Queued {
            self.depth.added();
        }
        Ok(pushed)
    }

    async fn fan_out(&self, now: u64, limit: u32) -> Result<Due<u32>, StoreError> {
        self.with(|client| fan_out(client, int(now), limit)).await
    }

    async fn take(
        &self,
        kind: WakeKind,
        now: u64,
        lease_ends: u64,
        limit: u32,
    ) -> Result<Due<Vec<Delivery>>, StoreError> {
        let (now, lease_ends, limit) = (int(now), int(lease_ends), i64::from(limit));
        self.with(|client| async move {
            let kind = kind.as_str();
            let taken = rows(&client, TAKE, &[&kind, &now, &lease_ends, &limit]).await?;
            let mut items = Vec::with_capacity(taken.len());
            for row in &taken {
                match delivery(row, lease_ends)? {
                    Ok(delivery) => items.push(delivery),
                    // A later release may have written its target; it is of no use to this one.
                    Err((user_id, device)) => {
                        let sql = "DELETE FROM deliveries WHERE user_id = $1 AND device = $2";
                        execute(&client, sql, &[&user_id, &device]).await?;
                    }
                }
            }
            let next = "SELECT min(greatest(due_at, leased_until)) FROM deliveries WHERE kind = $1";
            let next: Option<i64> = row(&client, next, &[&kind]).await?.try_get(0)?;
            Ok(Due { items, next: next.map(uint) })
        })
        .await
    }

    async fn settle(&self, delivery: &Delivery, settlement: Settlement) -> Result<(), StoreError> {
        let Delivery { user_id, device, wake_id, target_version, lease_ends, .. } = delivery;
        let (version, lease) = (int(*target_version), int(*lease_ends));
        self.with(|client| async move {
            match settlement {
                Settlement::Done => {
                    let done = "DELETE FROM deliveries WHERE user_id = $1 AND device = $2 AND wake_id = $3";
                    if execute(&client, done, &[user_id, device, wake_id]).await? == 0 {
                        free(&client, (user_id, device), lease).await?;
                    }
                    Ok(())
                }
                Settlement::Gone => gone(client, (user_id, device), version, lease).await,
                Settlement::Retry { at, counted } => {
                    let sql = "UPDATE deliveries SET leased_until = 0, due_at = $3, attempt = attempt + $4
                               WHERE user_id = $1 AND device = $2 AND leased_until = $5";
                    let more = i64::from(counted == Counted::Yes);
                    execute(&client, sql, &[user_id, device, &int(at), &more, &lease]).await.map(drop)
                }
            }
        })
        .await
    }

    async fn hurry(&self, user_id: &str, device: &str, now: u64) -> Result<(), StoreError> {
        let now = int(now);
        self.with(|client| async move {
            let sql = "UPDATE deliveries SET due_at = least(due_at, $3),
                           leased_until = CASE kind WHEN $4 THEN 0 ELSE leased_until END
                       WHERE user_id = $1 AND device = $2";
            let socket = WakeKind::Socket.as_str();
            execute(&client, sql, &[&user_id, &device, &now, &socket]).await.map(drop)
        })
        .await
    }

    async fn depth(&self) -> Result<u64, StoreError> {
        let depth = "SELECT (SELECT count(*) FROM wakes WHERE due_at IS NOT NULL)
                          + (SELECT count(*) FROM deliveries)";
        self.with(|client| async move { row(&client, depth, &[]).await?.try_get(0).map(uint) }).await
    }
}

impl PostgresStore {
    /// Whether the queue may become longer.
    async fn has_room(&self, bound: u64) -> Result<bool, StoreError> {
        match self.depth.room(bound, Instant::now()) {
            Room::Yes => Ok(true),
            Room::No => Ok(false),
            Room::YesAndCount => {
                // No push waits for it.
                let store = self.clone();
                tokio::spawn(async move {
                    match store.depth().await {
                        Ok(count) => store.depth.counted(count, Instant::now()),
                        Err(_) => store.depth.not_counted(),
                    }
                });
                Ok(true)
            }
            Room::Unknown => {
                let count = self.depth().await?;
                self.depth.counted(count, Instant::now());
                Ok(count < bound)
            }
        }
    }
}

/// User, now, end of the wake-up, length of the window. Gives whether the push is one with another.
///
/// A window that ends too far ahead is one from before the clock was set back.
const PUSH: &str = "
INSERT INTO wakes AS w (user_id, due_at, expires_at, window_ends, merged)
VALUES ($1, $2, $3, $2::bigint + $4::bigint, false)
ON CONFLICT (user_id) DO UPDATE SET
    merged = w.due_at IS NOT NULL OR w.window_ends BETWEEN $2 + 1 AND $2 + 2 * $4,
    due_at = CASE
        WHEN w.due_at IS NOT NULL THEN w.due_at
        WHEN w.window_ends BETWEEN $2 + 1 AND $2 + 2 * $4 THEN w.window_ends
        ELSE $2 END,
    window_ends = CASE
        WHEN w.due_at IS NOT NULL THEN w.window_ends
        WHEN w.window_ends BETWEEN $2 + 1 AND $2 + 2 * $4 THEN w.window_ends + $4
        ELSE $2 + $4 END,
    expires_at = $3
RETURNING merged";

/// Kind, now, end of the lease, limit. Deliveries that another server is just taking are passed over.
const TAKE: &str = "
WITH free AS (
    SELECT d.user_id, d.device, t.address, t.updated_at
    FROM deliveries d JOIN wake_targets t ON t.user_id = d.user_id AND t.device = d.device
    WHERE d.kind = $1 AND greatest(d.due_at, d.leased_until) <= $2 AND d.expires_at > $2
    ORDER BY greatest(d.due_at, d.leased_until) LIMIT $4
    FOR UPDATE OF d SKIP LOCKED)
UPDATE deliveries d SET leased_until = $3 FROM free
WHERE d.user_id = free.user_id AND d.device = free.device
RETURNING d.user_id, d.device, d.wake_id, d.attempt, free.address, free.updated_at";

/// What was taken; if its address cannot be read, whose it is.
fn delivery(row: &Row, lease_ends: i64) -> Result<Result<Delivery, (String, String)>, Error> {
    let (user_id, device) = (row.try_get(0)?, row.try_get(1)?);
    let Some(target) = WakeTarget::from_json(row.try_get(4)?) else { return Ok(Err((user_id, device))) };
    Ok(Ok(Delivery {
        user_id,
        device,
        wake_id: row.try_get(2)?,
        attempt: u32::try_from(row.try_get::<_, i64>(3)?).unwrap_or(u32::MAX),
        target,
        target_version: uint(row.try_get(5)?),
        lease_ends: uint(lease_ends),
    }))
}

async fn fan_out(mut client: Object, now: i64, limit: u32) -> Result<Due<u32>, Error> {
    // What another server holds is passed over everywhere: it does the same.
    for expired in [
        "DELETE FROM deliveries WHERE (user_id, device) IN (
             SELECT user_id, device FROM deliveries WHERE expires_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
        "DELETE FROM wakes WHERE user_id IN (
             SELECT user_id FROM wakes WHERE due_at IS NULL AND window_ends <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
    ] {
        execute(&client, expired, &[&now, &EXPIRED]).await?;
    }
    let tx = client.transaction().await?;
    let due = "SELECT user_id, expires_at FROM wakes WHERE due_at <= $1
               ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED";
    let due = rows(&tx, due, &[&now, &i64::from(limit)]).await?;
    let (mut users, mut expiries, mut ids, mut all) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in &due {
        let (user_id, expires_at): (&str, i64) = (row.try_get(0)?, row.try_get(1)?);
        all.push(user_id);
        if expires_at > now {
            users.push(user_id);
            expiries.push(expires_at);
            ids.push(new_wake_id());
        }
    }
    if !users.is_empty() {
        execute(&tx, FAN_OUT, &[&users, &ids, &expiries, &now]).await?;
    }
    if !all.is_empty() {
        execute(&tx, "UPDATE wakes SET due_at = NULL WHERE user_id = ANY($1)", &[&all]).await?;
    }
    let next = "SELECT min(due_at) FROM wakes WHERE due_at IS NOT NULL";
    let next: Option<i64> = row(&tx, next, &[]).await?.try_get(0)?;
    let items = u32::try_from(users.len()).unwrap_or(u32::MAX);
    tx.commit().await?;
    Ok(Due { items, next: next.map(uint) })
}

/// Users, ids and ends of their wake-ups, now.
///
/// What already waits for a device, or is just being sent, becomes this one and keeps its place. A target that is just being
/// set is waited for, so that no delivery is of another kind than its target.
const FAN_OUT: &str = "
INSERT INTO deliveries AS d
SELECT t.user_id, t.device, t.kind, f.wake_id, 0, $4, f.expires_at, 0
FROM unnest($1::text[], $2::text[], $3::bigint[]) AS f (user_id, wake_id, expires_at)
JOIN wake_targets t ON t.user_id = f.user_id
FOR SHARE OF t
ON CONFLICT (user_id, device) DO UPDATE SET wake_id = excluded.wake_id, expires_at = excluded.expires_at";

/// The address is no longer one.
async fn gone(
    mut client: Object,
    (user_id, device): (&str, &str),
    version: i64,
    lease: i64,
) -> Result<(), Error> {
    let tx = client.transaction().await?;
    lock_user(&tx, user_id).await?;
    let target = "DELETE FROM wake_targets WHERE user_id = $1 AND device = $2 AND updated_at = $3";
    execute(&tx, target, &[&user_id, &device, &version]).await?;
    let left = "SELECT 1 FROM wake_targets WHERE user_id = $1 AND device = $2";
    if row_or_none(&tx, left, &[&user_id, &device]).await?.is_some() {
        // It was set anew in the meantime, and is still to be woken.
        free(&tx, (user_id, device), lease).await?;
    } else {
        let sql = "DELETE FROM deliveries WHERE user_id = $1 AND device = $2";
        execute(&tx, sql, &[&user_id, &device]).await?;
    }
    tx.commit().await
}

/// If the delivery is still there and this lease's, it is a later push's.
async fn free(client: &impl GenericClient, (user_id, device): (&str, &str), lease: i64) -> Result<(), Error> {
    let sql =
        "UPDATE deliveries SET leased_until = 0 WHERE user_id = $1 AND device = $2 AND leased_until = $3";
    execute(client, sql, &[&user_id, &device, &lease]).await.map(drop)
}
