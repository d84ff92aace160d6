//! The rows of media.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{SqliteStore, int, uint};
use crate::store::{
    Begun, Claimed, Committed, Complete, Deleted, Garbage, MediaIndex, MediaRow, MediaTotals, Quota,
    Resumable, StoreError, UploadRow,
};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const MEDIA: &str = "name, reference, sha256, size, expires_at";

#[async_trait]
impl MediaIndex for SqliteStore {
    async fn begin_upload(&self, upload: &UploadRow, quota: Quota, now: u64) -> Result<Begun, StoreError> {
        let upload = upload.clone();
        self.writer.call(move |db| begin(db, &upload, quota, now)).await
    }

    async fn note_upload(&self, upload: &UploadRow, now: u64) -> Result<(), StoreError> {
        let upload = upload.clone();
        self.writer.call(move |db| insert_upload(db, &upload, now)).await
    }

    async fn upload(&self, user_id: &str, id: &str, now: u64) -> Result<Option<UploadRow>, StoreError> {
        let (user_id, id) = (user_id.to_owned(), id.to_owned());
        let found = self.writer.call(move |db| find_upload(db, &id, now)).await?;
        Ok(found.map(|(upload, _)| upload).filter(|upload| upload.user_id == user_id))
    }

    async fn claim_upload(
        &self,
        id: &str,
        owner: &str,
        now: u64,
        lease_ends: u64,
    ) -> Result<Claimed, StoreError> {
        let (id, owner) = (id.to_owned(), owner.to_owned());
        self.writer.call(move |db| claim(db, &id, &owner, now, lease_ends)).await
    }

    async fn release_upload(&self, id: &str, owner: &str) -> Result<(), StoreError> {
        let (id, owner) = (id.to_owned(), owner.to_owned());
        self.writer
            .call(move |db| {
                let sql = "UPDATE uploads SET leased_until = 0 WHERE id = ?1 AND holder = ?2";
                db.prepare_cached(sql)?.execute([&id, &owner])?;
                Ok(())
            })
            .await
    }

    async fn commit_upload(&self, id: &str, now: u64) -> Result<Committed, StoreError> {
        let id = id.to_owned();
        self.writer.call(move |db| commit(db, &id, now)).await
    }

    async fn abort_upload(&self, id: &str) -> Result<(), StoreError> {
        let id = id.to_owned();
        self.writer
            .call(move |db| {
                db.prepare_cached("UPDATE uploads SET expires_at = 0 WHERE id = ?1")?.execute([&id])?;
                db.prepare_cached("DELETE FROM uploaded WHERE id = ?1")?.execute([&id])?;
                Ok(())
            })
            .await
    }

    async fn media(&self, name: &str, now: u64) -> Result<Option<MediaRow>, StoreError> {
        let name = name.to_owned();
        self.writer
            .call(move |db| {
                db.prepare_cached(&format!("SELECT {MEDIA} FROM media WHERE name = ?1 AND expires_at > ?2"))?
                    .query_row(params![name, int(now)], media_row)
                    .optional()
            })
            .await
    }

    async fn media_by_hash(
        &self,
        user_id: &str,
        sha256: &str,
        now: u64,
    ) -> Result<Option<MediaRow>, StoreError> {
        let (user_id, sha256) = (user_id.to_owned(), sha256.to_owned());
        self.writer.call(move |db| by_hash(db, &user_id, &sha256, now)).await
    }

    async fn delete_media(&self, user_id: &str, name: &str, now: u64) -> Result<Deleted, StoreError> {
        let (user_id, name) = (user_id.to_owned(), name.to_owned());
        self.writer
            .call(move |db| {
                let sql =
                    "UPDATE media SET expires_at = 0 WHERE user_id = ?1 AND name = ?2 AND expires_at > ?3";
                let n = db.prepare_cached(sql)?.execute(params![user_id, name, int(now)])?;
                Ok(if n > 0 { Deleted::Yes } else { Deleted::No })
            })
            .await
    }

    async fn garbage(&self, now: u64, limit: u32) -> Result<Vec<Garbage>, StoreError> {
        self.writer.call(move |db| garbage(db, now, limit)).await
    }

    async fn swept(&self, garbage: &Garbage) -> Result<(), StoreError> {
        let garbage = garbage.clone();
        self.writer
            .call(move |db| {
                match &garbage {
                    Garbage::Media { name } => {
                        db.prepare_cached("DELETE FROM media WHERE name = ?1")?.execute([name])?
                    }
                    Garbage::Upload { id, .. } => {
                        db.prepare_cached("DELETE FROM uploads WHERE id = ?1")?.execute([id])?
                    }
                };
                Ok(())
            })
            .await
    }

    async fn media_totals(&self, now: u64) -> Result<MediaTotals, StoreError> {
        self.writer
            .call(move |db| {
                let sql = "SELECT count(*), coalesce(sum(size), 0) FROM media WHERE expires_at > ?1";
                db.prepare_cached(sql)?.query_row([int(now)], |row| {
                    Ok(MediaTotals { objects: uint(row.get(0)?), bytes: uint(row.get(1)?) })
                })
            })
            .await
    }
}

fn media_row(row: &Row<'_>) -> rusqlite::Result<MediaRow> {
    Ok(MediaRow {
        name: row.get(0)?,
        reference: row.get(1)?,
        sha256: row.get(2)?,
        size: uint(row.get(3)?),
        expires_at: uint(row.get(4)?),
    })
}

fn by_hash(db: &Connection, user_id: &str, sha256: &str, now: u64) -> rusqlite::Result<Option<MediaRow>> {
    db.prepare_cached(&format!(
        "SELECT {MEDIA} FROM media WHERE user_id = ?1 AND sha256 = ?2 AND expires_at > ?3"
    ))?
    .query_row(params![user_id, sha256, int(now)], media_row)
    .optional()
}

fn sum(db: &Connection, sql: &str, user_id: &str, since: u64) -> rusqlite::Result<u64> {
    db.prepare_cached(sql)?.query_row(params![user_id, int(since)], |row| row.get(0)).map(uint)
}

fn begin(db: &Connection, upload: &UploadRow, quota: Quota, now: u64) -> rusqlite::Result<Begun> {
    let UploadRow { id, user_id, media, .. } = upload;
    if let Some(existing) = by_hash(db, user_id, &media.sha256, now)? {
        return Ok(Begun::Existing(existing));
    }
    db.prepare_cached("DELETE FROM uploaded WHERE at <= ?1")?.execute([int(now.saturating_sub(DAY_MS))])?;
    let today =
        sum(db, "SELECT coalesce(sum(size), 0) FROM uploaded WHERE user_id = ?1 AND at > ?2", user_id, 0)?;
    let stored = sum(
        db,
        "SELECT coalesce(sum(size), 0) FROM media WHERE user_id = ?1 AND expires_at > ?2",
        user_id,
        now,
    )?;
    let coming = "FROM uploads WHERE user_id = ?1 AND complete = 0 AND expires_at > ?2";
    let sending = sum(db, &format!("SELECT coalesce(sum(size), 0) {coming}"), user_id, now)?;
    let parallel = sum(db, &format!("SELECT count(*) {coming}"), user_id, now)?;
    let fits = today.saturating_add(media.size) <= quota.per_day
        && stored.saturating_add(sending).saturating_add(media.size) <= quota.stored
        && parallel < u64::from(quota.parallel);
    if !fits {
        return Ok(Begun::OverQuota);
    }
    insert_upload(db, upload, now)?;
    db.prepare_cached("INSERT INTO uploaded VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        id,
        user_id,
        int(media.size),
        int(now)
    ])?;
    Ok(Begun::New)
}

fn insert_upload(db: &Connection, upload: &UploadRow, now: u64) -> rusqlite::Result<()> {
    let UploadRow { id, user_id, media, resumable, complete, expires_at } = upload;
    let (resumable, complete) = (*resumable == Resumable::Yes, *complete == Complete::Yes);
    let sql = "INSERT INTO uploads
                   (id, user_id, sha256, size, reference, name, resumable, complete, created_at, expires_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    db.prepare_cached(sql)?.execute(params![
        id,
        user_id,
        media.sha256,
        int(media.size),
        media.reference,
        media.name,
        resumable,
        complete,
        int(now),
        int(*expires_at)
    ])?;
    Ok(())
}

/// An upload, and when it began.
fn find_upload(db: &Connection, id: &str, now: u64) -> rusqlite::Result<Option<(UploadRow, u64)>> {
    let sql = "SELECT name, reference, sha256, size, expires_at, user_id, resumable, complete, created_at,
                      (SELECT expires_at FROM media WHERE media.name = uploads.name)
               FROM uploads WHERE id = ?1 AND expires_at > ?2";
    db.prepare_cached(sql)?
        .query_row(params![id, int(now)], |row| {
            let mut media = media_row(row)?;
            let expires_at = media.expires_at;
            media.expires_at = row.get::<_, Option<i64>>(9)?.map_or(0, uint);
            let upload = UploadRow {
                id: id.to_owned(),
                user_id: row.get(5)?,
                media,
                resumable: if row.get(6)? { Resumable::Yes } else { Resumable::No },
                complete: if row.get(7)? { Complete::Yes } else { Complete::No },
                expires_at,
            };
            Ok((upload, uint(row.get(8)?)))
        })
        .optional()
}

fn claim(db: &Connection, id: &str, owner: &str, now: u64, lease_ends: u64) -> rusqlite::Result<Claimed> {
    let sql = "UPDATE uploads SET holder = ?2, leased_until = ?4,
                      expires_at = CASE resumable WHEN 0 THEN ?4 ELSE expires_at END
               WHERE id = ?1 AND complete = 0 AND expires_at > ?3 AND (leased_until <= ?3 OR holder = ?2)";
    if db.prepare_cached(sql)?.execute(params![id, owner, int(now), int(lease_ends)])? > 0 {
        return Ok(Claimed::Yes);
    }
    let unfinished = "SELECT 1 FROM uploads WHERE id = ?1 AND complete = 0 AND expires_at > ?2";
    let there = db.prepare_cached(unfinished)?.exists(params![id, int(now)])?;
    Ok(if there { Claimed::Taken } else { Claimed::Gone })
}

fn commit(db: &Connection, id: &str, now: u64) -> rusqlite::Result<Committed> {
    let Some((upload, _)) = find_upload(db, id, now)? else { return Ok(Committed::Gone) };
    let UploadRow { user_id, media, resumable, .. } = &upload;
    if let Some(existing) = by_hash(db, user_id, &media.sha256, now)? {
        return Ok(Committed::Existing(existing));
    }
    db.prepare_cached("INSERT INTO media VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?.execute(params![
        media.name,
        media.reference,
        user_id,
        media.sha256,
        int(media.size),
        int(now),
        int(now + crate::media::RETENTION_MS)
    ])?;
    // A resumable one is asked for by its id for a while.
    let end = match resumable {
        Resumable::Yes => "UPDATE uploads SET complete = 1 WHERE id = ?1",
        Resumable::No => "DELETE FROM uploads WHERE id = ?1",
    };
    db.prepare_cached(end)?.execute([id])?;
    Ok(Committed::New)
}

fn garbage(db: &Connection, now: u64, limit: u32) -> rusqlite::Result<Vec<Garbage>> {
    let media = db
        .prepare_cached("SELECT name FROM media WHERE expires_at <= ?1 LIMIT ?2")?
        .query_map(params![int(now), limit], |row| Ok(Garbage::Media { name: row.get(0)? }))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    // The bytes of a complete upload are its object's.
    db.prepare_cached("DELETE FROM uploads WHERE expires_at <= ?1 AND complete = 1")?.execute([int(now)])?;
    let uploads = db
        .prepare_cached(
            "SELECT id, name FROM uploads WHERE expires_at <= ?1 AND leased_until <= ?1 LIMIT ?2",
        )?
        .query_map(params![int(now), limit], |row| {
            Ok(Garbage::Upload { id: row.get(0)?, name: row.get(1)? })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(media.into_iter().chain(uploads).collect())
}
