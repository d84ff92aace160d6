//! Accepted pushes on their way to devices.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::waiting::{Entry, Wake};
use super::writer::Tx;
use super::{SqliteStore, int, uint};
use crate::store::{Counted, Due, Pushed, Settlement, StoreError, WAKE_LIFE_MS, WINDOW_MS, WakeQueue};
use crate::wake::{Delivery, WakeKind, WakeTarget, new_wake_id};

#[async_trait]
impl WakeQueue for SqliteStore {
    async fn push(&self, user_id: &str, now: u64, bound: u64) -> Result<Pushed, StoreError> {
        if self.is_promised(user_id, now) {
            return Ok(Pushed::Coalesced);
        }
        self.writer.push(user_id, now, bound).await
    }

    fn is_promised(&self, user_id: &str, now: u64) -> bool {
        // Who fans out changes this before anybody can take what came of it, so that a wake-up that is still here is
        // sent after this push.
        let entry = self.writer.waiting().get(user_id);
        entry.and_then(|entry| entry.wake).is_some_and(|wake| wake.stands_for(now))
    }

    async fn fan_out(&self, now: u64, limit: u32) -> Result<Due<u32>, StoreError> {
        self.writer.call(move |tx| fan_out(tx, now, limit)).await
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
                // What another sender has taken stays taken.
                db.prepare_cached(
                    "UPDATE deliveries SET due_at = min(due_at, ?3), leased_until = 0
                     WHERE user_id = ?1 AND device = ?2 AND (leased_until <= ?3 OR kind = ?4)",
                )?
                .execute(params![user_id, device, int(now), WakeKind::Socket.as_str()])?;
                Ok(())
            })
            .await
    }

    async fn depth(&self) -> Result<u64, StoreError> {
        self.writer.call(|tx| tx.depth()).await
    }
}

/// One statement at most, so that a failure changes nothing.
pub(super) fn push(tx: &mut Tx<'_>, user_id: &Arc<str>, now: u64, bound: u64) -> rusqlite::Result<Pushed> {
    let expires_at = now + WAKE_LIFE_MS;
    let known = tx.entry(user_id);
    if let Some(Entry { wake: Some(wake), merged_until }) = known {
        if !wake.stands_for(now) {
            tx.prepare_cached("UPDATE wakes SET expires_at = ?2 WHERE user_id = ?1")?
                .execute(params![user_id, int(expires_at)])?;
            let wake = Wake { expires_at, ..wake };
            tx.set(Arc::clone(user_id), Some(Entry { wake: Some(wake), merged_until }));
        }
        return Ok(Pushed::Coalesced);
    }
    if tx.depth()? >= bound {
        return Ok(Pushed::Full);
    }
    let open = known.and_then(|known| known.window(now));
    let due_at = open.unwrap_or(now);
    tx.prepare_cached("INSERT INTO wakes VALUES (?1, ?2, ?3)")?.execute(params![
        user_id,
        int(due_at),
        int(expires_at)
    ])?;
    let entry = Entry { wake: Some(Wake { due_at, expires_at }), merged_until: due_at + WINDOW_MS };
    tx.set(Arc::clone(user_id), Some(entry));
    Ok(if open.is_some() { Pushed::Coalesced } else { Pushed::Queued })
}

fn fan_out(tx: &mut Tx<'_>, now: u64, limit: u32) -> rusqlite::Result<Due<u32>> {
    tx.prepare_cached("DELETE FROM deliveries WHERE expires_at <= ?1")?.execute([int(now)])?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let due = tx.on_disk().due(now);
    // What this very transaction has changed is not due any more.
    let due = due.filter_map(|user_id| Some((user_id, tx.entry(user_id)?.wake?, tx.entry(user_id)?)));
    let due: Vec<_> =
        due.take(limit).map(|(user_id, wake, entry)| (Arc::clone(user_id), wake, entry)).collect();
    let mut items = 0;
    for (user_id, wake, _) in &due {
        if wake.expires_at > now {
            // What already waits for a device, or is just being sent, becomes this one and keeps its place.
            tx.prepare_cached(
                "INSERT INTO deliveries
                 SELECT user_id, device, kind, ?2, 0, ?3, ?4, 0 FROM wake_targets WHERE user_id = ?1
                 ON CONFLICT DO UPDATE SET wake_id = excluded.wake_id, expires_at = excluded.expires_at",
            )?
            .execute(params![user_id, new_wake_id(), int(now), int(wake.expires_at)])?;
            items += 1;
        }
        tx.prepare_cached("DELETE FROM wakes WHERE user_id = ?1")?.execute([user_id])?;
    }
    let closed = tx.on_disk().closed(now);
    let closed: Vec<_> = closed.filter(|user_id| !tx.is_changed(user_id)).cloned().collect();
    for user_id in closed {
        tx.set(user_id, None);
    }
    for (user_id, _, entry) in due {
        tx.set(user_id, Some(Entry { wake: None, ..entry }));
    }
    Ok(Due { items, next: next_due(tx) })
}

/// When the next push is to be fanned out.
fn next_due(tx: &Tx<'_>) -> Option<u64> {
    let on_disk = tx.on_disk().in_order().find(|(_, user_id)| !tx.is_changed(user_id)).map(|(at, _)| *at);
    let changed = tx.changes().filter_map(|(_, entry)| Some(entry.as_ref()?.wake?.due_at)).min();
    on_disk.into_iter().chain(changed).min()
}

fn take(
    db: &Connection,
    kind: WakeKind,
    now: u64,
    lease_ends: u64,
    limit: u32,
) -> rusqlite::Result<Due<Vec<Delivery>>> {
    db.prepare_cached("DELETE FROM deliveries WHERE expires_at <= ?1")?.execute([int(now)])?;
    let rows: Vec<(Delivery, String)> = db
        .prepare_cached(
            "SELECT user_id, device, wake_id, attempt, address, updated_at
             FROM deliveries JOIN wake_targets USING (user_id, device)
             WHERE deliveries.kind = ?1 AND due_at <= ?2
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
        db.prepare_cached(
            "UPDATE deliveries SET due_at = ?3, leased_until = ?3 WHERE user_id = ?1 AND device = ?2",
        )?
        .execute(params![delivery.user_id, delivery.device, int(lease_ends)])?;
        delivery.target = target;
        items.push(delivery);
    }
    let next: Option<i64> = db
        .prepare_cached("SELECT min(due_at) FROM deliveries WHERE kind = ?1")?
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
                "UPDATE deliveries SET due_at = ?3, leased_until = 0, attempt = attempt + ?4
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
    // If the row is still taken, it is a later push's by now, or its device has another address: due at once.
    db.prepare_cached(
        "UPDATE deliveries SET due_at = 0, leased_until = 0
         WHERE user_id = ?1 AND device = ?2 AND leased_until = ?3",
    )?
    .execute(params![user_id, device, int(*lease_ends)])?;
    Ok(())
}
