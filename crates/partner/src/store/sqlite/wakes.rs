//! Accepted pushes on their way to devices.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{SqliteStore, int, uint};
use crate::store::{Counted, Due, Pushed, Settlement, StoreError, WAKE_LIFE_MS, WINDOW_MS, WakeQueue};
use crate::wake::{Delivery, WakeKind, WakeTarget, new_wake_id};

#[async_trait]
impl WakeQueue for SqliteStore {
    async fn push(&self, user_id: &str, now: u64, bound: u64) -> Result<Pushed, StoreError> {
        let user_id = user_id.to_owned();
        self.writer.call(move |db| push(db, &user_id, now, bound)).await
    }

    async fn fan_out(&self, now: u64, limit: u32) -> Result<Due<u32>, StoreError> {
        self.writer.call(move |db| fan_out(db, now, limit)).await
    }

    async fn take(
        &self,
        kind: WakeKind,
        now: u64,
        lease_ends: u64,
        limit: u32,
    ) -> Result<Due<Vec<Delivery>>, StoreError> {
        self.writer.call(move |db| take(db, kind, now, lease_ends, limit)).await
    }

    async fn settle(&self, delivery: &Delivery, settlement: Settlement) -> Result<(), StoreError> {
        let delivery = delivery.clone();
        self.writer.call(move |db| settle(db, &delivery, settlement)).await
    }

    async fn hurry(&self, user_id: &str, device: &str, now: u64) -> Result<(), StoreError> {
        let (user_id, device) = (user_id.to_owned(), device.to_owned());
        self.writer
            .call(move |db| {
                db.prepare_cached(
                    "UPDATE deliveries SET due_at = min(due_at, ?3),
                         leased_until = CASE kind WHEN ?4 THEN 0 ELSE leased_until END
                     WHERE user_id = ?1 AND device = ?2",
                )?
                .execute(params![user_id, device, int(now), WakeKind::Socket.as_str()])?;
                Ok(())
            })
            .await
    }

    async fn depth(&self) -> Result<u64, StoreError> {
        self.writer.call(depth).await
    }
}

fn depth(db: &Connection) -> rusqlite::Result<u64> {
    db.prepare_cached("SELECT n FROM depth")?.query_row([], |row| row.get(0)).map(uint)
}

fn push(db: &Connection, user_id: &str, now: u64, bound: u64) -> rusqlite::Result<Pushed> {
    let expires = int(now + WAKE_LIFE_MS);
    let waiting = db
        .prepare_cached("UPDATE wakes SET expires_at = ?2 WHERE user_id = ?1")?
        .execute(params![user_id, expires])?;
    if waiting > 0 {
        return Ok(Pushed::Coalesced);
    }
    if depth(db)? >= bound {
        return Ok(Pushed::Full);
    }
    let window: Option<i64> = db
        .prepare_cached("SELECT ends_at FROM wake_windows WHERE user_id = ?1")?
        .query_row([user_id], |row| row.get(0))
        .optional()?;
    // A window that ends too far ahead is one from before the clock was set back.
    let open = window.map(uint).filter(|end| *end > now && *end <= now + 2 * WINDOW_MS);
    let due = open.unwrap_or(now);
    db.prepare_cached("INSERT INTO wakes VALUES (?1, ?2, ?3)")?.execute(params![
        user_id,
        int(due),
        expires
    ])?;
    db.prepare_cached("INSERT OR REPLACE INTO wake_windows VALUES (?1, ?2)")?
        .execute(params![user_id, int(due + WINDOW_MS)])?;
    Ok(if open.is_some() { Pushed::Coalesced } else { Pushed::Queued })
}

fn fan_out(db: &Connection, now: u64, limit: u32) -> rusqlite::Result<Due<u32>> {
    for expired in [
        "DELETE FROM deliveries WHERE expires_at <= ?1",
        "DELETE FROM wakes WHERE expires_at <= ?1",
        "DELETE FROM wake_windows WHERE ends_at <= ?1",
    ] {
        db.prepare_cached(expired)?.execute([int(now)])?;
    }
    let due: Vec<(String, i64)> = db
        .prepare_cached("SELECT user_id, expires_at FROM wakes WHERE due_at <= ?1 ORDER BY due_at LIMIT ?2")?
        .query_map(params![int(now), limit], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (user_id, expires_at) in &due {
        let targets: Vec<(String, String)> = db
            .prepare_cached("SELECT device, kind FROM wake_targets WHERE user_id = ?1")?
            .query_map([user_id], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let wake_id = new_wake_id();
        for (device, kind) in targets {
            // What already waits for a device, or is just being sent, becomes this one and keeps its place.
            db.prepare_cached(
                "INSERT INTO deliveries VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, 0)
                 ON CONFLICT DO UPDATE SET wake_id = ?4, expires_at = ?6",
            )?
            .execute(params![user_id, device, kind, wake_id, int(now), expires_at])?;
        }
        db.prepare_cached("DELETE FROM wakes WHERE user_id = ?1")?.execute([user_id])?;
    }
    let next: Option<i64> =
        db.prepare_cached("SELECT min(due_at) FROM wakes")?.query_row([], |row| row.get(0))?;
    Ok(Due { items: u32::try_from(due.len()).unwrap_or(u32::MAX), next: next.map(uint) })
}

fn take(
    db: &Connection,
    kind: WakeKind,
    now: u64,
    lease_ends: u64,
    limit: u32,
) -> rusqlite::Result<Due<Vec<Delivery>>> {
    let rows: Vec<(Delivery, String)> = db
        .prepare_cached(
            "SELECT user_id, device, wake_id, attempt, address, updated_at
             FROM deliveries JOIN wake_targets USING (user_id, device)
             WHERE deliveries.kind = ?1 AND due_at <= ?2 AND leased_until <= ?2 AND expires_at > ?2
             ORDER BY due_at LIMIT ?3",
        )?
        .query_map(params![kind.as_str(), int(now), limit], |row| {
            let delivery = Delivery {
                user_id: row.get(0)?,
                device: row.get(1)?,
                wake_id: row.get(2)?,
                attempt: row.get(3)?,
                target: WakeTarget::Socket,
                target_version: uint(row.get(5)?),
                lease_ends,
            };
            Ok((delivery, row.get(4)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut items = Vec::with_capacity(rows.len());
    for (mut delivery, address) in rows {
        let Some(target) = WakeTarget::from_json(&address) else {
            // A later release may have written it; it is of no use to this one.
            db.prepare_cached("DELETE FROM deliveries WHERE user_id = ?1 AND device = ?2")?
                .execute(params![delivery.user_id, delivery.device])?;
            continue;
        };
        db.prepare_cached("UPDATE deliveries SET leased_until = ?3 WHERE user_id = ?1 AND device = ?2")?
            .execute(params![delivery.user_id, delivery.device, int(lease_ends)])?;
        delivery.target = target;
        items.push(delivery);
    }
    let next: Option<i64> = db
        .prepare_cached("SELECT min(max(due_at, leased_until)) FROM deliveries WHERE kind = ?1")?
        .query_row([kind.as_str()], |row| row.get(0))?;
    Ok(Due { items, next: next.map(uint) })
}

fn settle(db: &Connection, delivery: &Delivery, settlement: Settlement) -> rusqlite::Result<()> {
    let Delivery { user_id, device, wake_id, target_version, lease_ends, .. } = delivery;
    if settlement == Settlement::Gone {
        db.prepare_cached("DELETE FROM wake_targets WHERE user_id = ?1 AND device = ?2 AND updated_at = ?3")?
            .execute(params![user_id, device, int(*target_version)])?;
        db.prepare_cached(
            "DELETE FROM deliveries WHERE user_id = ?1 AND device = ?2
             AND NOT EXISTS (SELECT 1 FROM wake_targets WHERE user_id = ?1 AND device = ?2)",
        )?
        .execute(params![user_id, device])?;
    }
    match settlement {
        Settlement::Done => db
            .prepare_cached("DELETE FROM deliveries WHERE user_id = ?1 AND device = ?2 AND wake_id = ?3")?
            .execute(params![user_id, device, wake_id])?,
        // A target that was set anew in the meantime is still to be woken.
        Settlement::Gone => 0,
        Settlement::Retry { at, counted } => db
            .prepare_cached(
                "UPDATE deliveries SET due_at = ?3, attempt = attempt + ?4
                 WHERE user_id = ?1 AND device = ?2 AND leased_until = ?5",
            )?
            .execute(params![
                user_id,
                device,
                int(at),
                u8::from(counted == Counted::Yes),
                int(*lease_ends)
            ])?,
    };
    // If the row is still there, it is a later push's, or waits for its next attempt.
    db.prepare_cached(
        "UPDATE deliveries SET leased_until = 0 WHERE user_id = ?1 AND device = ?2 AND leased_until = ?3",
    )?
    .execute(params![user_id, device, int(*lease_ends)])?;
    Ok(())
}
