//! The rows of media.

use async_trait::async_trait;
use deadpool_postgres::{GenericClient, Object};
use landbridge_partner::media::RETENTION_MS;
use landbridge_partner::store::{
    Begun, Claimed, Committed, Complete, Deleted, Garbage, MediaIndex, MediaRow, MediaTotals, Quota,
    Resumable, StoreError, UploadRow,
};
use tokio_postgres::{Error, Row};

use crate::seal::{Unsealable, is_sealed};

use super::{PostgresStore, execute, int, lock_user, row, row_or_none, rows, storable, uint};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

#[async_trait]
impl MediaIndex for PostgresStore {
    async fn begin_upload(&self, upload: &UploadRow, quota: Quota, now: u64) -> Result<Begun, StoreError> {
        let upload = &self.sealed(upload)?;
        match self.with(|client| begin(client, upload, quota, now)).await? {
            Begun::Existing(existing) => Ok(Begun::Existing(self.opened(existing)?)),
            other => Ok(other),
        }
    }

    async fn note_upload(&self, upload: &UploadRow, now: u64) -> Result<(), StoreError> {
        let upload = &self.sealed(upload)?;
        self.with(|client| async move { insert_upload(&client, upload, now).await }).await
    }

    async fn upload(&self, user_id: &str, id: &str, now: u64) -> Result<Option<UploadRow>, StoreError> {
        if !storable(id) {
            return Ok(None);
        }
        let found = self.with(|client| async move { find_upload(&client, id, now).await }).await?;
        let own = found.filter(|upload| upload.user_id == user_id);
        own.map(|upload| Ok(UploadRow { media: self.opened(upload.media)?, ..upload })).transpose()
    }

    async fn claim_upload(
        &self,
        id: &str,
        owner: &str,
        now: u64,
        lease_ends: u64,
    ) -> Result<Claimed, StoreError> {
        let (now, lease_ends) = (int(now), int(lease_ends));
        self.with(|client| async move {
            if execute(&client, CLAIM, &[&id, &owner, &now, &lease_ends]).await? > 0 {
                return Ok(Claimed::Yes);
            }
            let unfinished = "SELECT 1 FROM uploads WHERE id = $1 AND NOT complete AND expires_at > $2";
            let there = row_or_none(&client, unfinished, &[&id, &now]).await?;
            Ok(if there.is_some() { Claimed::Taken } else { Claimed::Gone })
        })
        .await
    }

    async fn release_upload(&self, id: &str, owner: &str) -> Result<(), StoreError> {
        self.with(|client| async move {
            let sql = "UPDATE uploads SET leased_until = 0 WHERE id = $1 AND holder = $2";
            execute(&client, sql, &[&id, &owner]).await.map(drop)
        })
        .await
    }

    async fn commit_upload(&self, id: &str, now: u64) -> Result<Committed, StoreError> {
        match self.with(|client| commit(client, id, now)).await? {
            Committed::Existing(existing) => Ok(Committed::Existing(self.opened(existing)?)),
            other => Ok(other),
        }
    }

    async fn abort_upload(&self, id: &str) -> Result<(), StoreError> {
        self.with(|mut client| async move {
            let tx = client.transaction().await?;
            execute(&tx, "UPDATE uploads SET expires_at = 0 WHERE id = $1", &[&id]).await?;
            execute(&tx, "DELETE FROM uploaded WHERE id = $1", &[&id]).await?;
            tx.commit().await
        })
        .await
    }

    async fn media(&self, name: &str, now: u64) -> Result<Option<MediaRow>, StoreError> {
        if !storable(name) {
            return Ok(None);
        }
        let now = int(now);
        let found = self.with(|client| async move {
            let sql = "SELECT name, reference, sha256, size, expires_at FROM media
                       WHERE name = $1 AND expires_at > $2";
            row_or_none(&client, sql, &[&name, &now]).await?.as_ref().map(media_row).transpose()
        });
        found.await?.map(|media| self.opened(media)).transpose()
    }

    async fn media_by_hash(
        &self,
        user_id: &str,
        sha256: &str,
        now: u64,
    ) -> Result<Option<MediaRow>, StoreError> {
        let found = self.with(|client| async move { by_hash(&client, user_id, sha256, now).await });
        found.await?.map(|media| self.opened(media)).transpose()
    }

    async fn delete_media(&self, user_id: &str, name: &str, now: u64) -> Result<Deleted, StoreError> {
        if !storable(name) {
            return Ok(Deleted::No);
        }
        let now = int(now);
        self.with(|client| async move {
            let sql = "UPDATE media SET expires_at = 0 WHERE user_id = $1 AND name = $2 AND expires_at > $3";
            let n = execute(&client, sql, &[&user_id, &name, &now]).await?;
            Ok(if n > 0 { Deleted::Yes } else { Deleted::No })
        })
        .await
    }

    async fn garbage(&self, now: u64, limit: u32) -> Result<Vec<Garbage>, StoreError> {
        self.with(|client| garbage(client, now, limit)).await
    }

    async fn swept(&self, garbage: &Garbage) -> Result<(), StoreError> {
        self.with(|client| async move {
            let (sql, key) = match garbage {
                Garbage::Media { name } => ("DELETE FROM media WHERE name = $1", name),
                Garbage::Upload { id, .. } => ("DELETE FROM uploads WHERE id = $1", id),
            };
            execute(&client, sql, &[key]).await.map(drop)
        })
        .await
    }

    async fn media_totals(&self, now: u64) -> Result<MediaTotals, StoreError> {
        let now = int(now);
        self.with(|client| async move {
            let sql = "SELECT count(*), coalesce(sum(size), 0)::bigint FROM media WHERE expires_at > $1";
            let row = row(&client, sql, &[&now]).await?;
            Ok(MediaTotals { objects: uint(row.try_get(0)?), bytes: uint(row.try_get(1)?) })
        })
        .await
    }
}

impl PostgresStore {
    /// As it is stored.
    fn sealed(&self, upload: &UploadRow) -> Result<UploadRow, StoreError> {
        let mut upload = upload.clone();
        if let Some(key) = &self.seal {
            let MediaRow { name, reference, .. } = &mut upload.media;
            *reference = key.seal_reference(reference, name).map_err(failed)?;
        }
        Ok(upload)
    }

    /// From what is stored.
    fn opened(&self, media: MediaRow) -> Result<MediaRow, StoreError> {
        let reference = match &self.seal {
            Some(key) => key.open_reference(media.reference, &media.name),
            None if is_sealed(&media.reference) => Err(Unsealable),
            None => Ok(media.reference),
        };
        Ok(MediaRow { reference: reference.map_err(failed)?, ..media })
    }
}

fn failed(cause: Unsealable) -> StoreError {
    StoreError::Failed(cause.into())
}

/// From name, reference, digest, size and end.
fn media_row(row: &Row) -> Result<MediaRow, Error> {
    Ok(MediaRow {
        name: row.try_get(0)?,
        reference: row.try_get(1)?,
        sha256: row.try_get(2)?,
        size: uint(row.try_get(3)?),
        expires_at: uint(row.try_get(4)?),
    })
}

async fn by_hash(
    client: &impl GenericClient,
    user_id: &str,
    sha256: &str,
    now: u64,
) -> Result<Option<MediaRow>, Error> {
    let sql = "SELECT name, reference, sha256, size, expires_at FROM media
               WHERE user_id = $1 AND sha256 = $2 AND expires_at > $3";
    row_or_none(client, sql, &[&user_id, &sha256, &int(now)]).await?.as_ref().map(media_row).transpose()
}

/// What a user has begun since a time, has stored, and is sending; and how many of the last.
const USAGE: &str = "
SELECT (SELECT coalesce(sum(size), 0) FROM uploaded WHERE user_id = $1 AND at > $2)::bigint,
       (SELECT coalesce(sum(size), 0) FROM media WHERE user_id = $1 AND expires_at > $3)::bigint,
       coalesce(sum(size), 0)::bigint, count(*)
FROM uploads WHERE user_id = $1 AND NOT complete AND expires_at > $3";

async fn begin(mut client: Object, upload: &UploadRow, quota: Quota, now: u64) -> Result<Begun, Error> {
    let UploadRow { id, user_id, media, .. } = upload;
    let tx = client.transaction().await?;
    lock_user(&tx, user_id).await?;
    if let Some(existing) = by_hash(&tx, user_id, &media.sha256, now).await? {
        return Ok(Begun::Existing(existing));
    }
    let usage = row(&tx, USAGE, &[user_id, &int(now.saturating_sub(DAY_MS)), &int(now)]).await?;
    let figure = |at: usize| usage.try_get(at).map(uint);
    let (today, stored, sending, parallel) = (figure(0)?, figure(1)?, figure(2)?, figure(3)?);
    let fits = today.saturating_add(media.size) <= quota.per_day
        && stored.saturating_add(sending).saturating_add(media.size) <= quota.stored
        && parallel < u64::from(quota.parallel);
    if !fits {
        return Ok(Begun::OverQuota);
    }
    insert_upload(&tx, upload, now).await?;
    let counted = "INSERT INTO uploaded VALUES ($1, $2, $3, $4)";
    execute(&tx, counted, &[id, user_id, &int(media.size), &int(now)]).await?;
    tx.commit().await?;
    Ok(Begun::New)
}

async fn insert_upload(client: &impl GenericClient, upload: &UploadRow, now: u64) -> Result<(), Error> {
    let UploadRow { id, user_id, media, resumable, complete, expires_at } = upload;
    let (resumable, complete) = (*resumable == Resumable::Yes, *complete == Complete::Yes);
    let sql = "INSERT INTO uploads VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    let MediaRow { name, reference, sha256, size, .. } = media;
    execute(
        client,
        sql,
        &[
            id,
            user_id,
            sha256,
            &int(*size),
            reference,
            name,
            &resumable,
            &complete,
            &int(now),
            &int(*expires_at),
        ],
    )
    .await
    .map(drop)
}

const UPLOAD: &str = "
SELECT name, reference, sha256, size, expires_at, user_id, resumable, complete,
       (SELECT expires_at FROM media WHERE media.name = uploads.name)
FROM uploads WHERE id = $1 AND expires_at > $2";

async fn find_upload(client: &impl GenericClient, id: &str, now: u64) -> Result<Option<UploadRow>, Error> {
    let found = row_or_none(client, UPLOAD, &[&id, &int(now)]).await?;
    found.map(|row| upload_row(id, &row)).transpose()
}

fn upload_row(id: &str, row: &Row) -> Result<UploadRow, Error> {
    let mut media = media_row(row)?;
    let expires_at = media.expires_at;
    media.expires_at = row.try_get::<_, Option<i64>>(8)?.map_or(0, uint);
    Ok(UploadRow {
        id: id.to_owned(),
        user_id: row.try_get(5)?,
        media,
        resumable: if row.try_get(6)? { Resumable::Yes } else { Resumable::No },
        complete: if row.try_get(7)? { Complete::Yes } else { Complete::No },
        expires_at,
    })
}

/// Upload, holder, now, end of the lease.
const CLAIM: &str = "
UPDATE uploads SET holder = $2, leased_until = $4, expires_at = CASE WHEN resumable THEN expires_at ELSE $4 END
WHERE id = $1 AND NOT complete AND expires_at > $3 AND (leased_until <= $3 OR holder = $2)";

async fn commit(mut client: Object, id: &str, now: u64) -> Result<Committed, Error> {
    let tx = client.transaction().await?;
    let Some(UploadRow { user_id, .. }) = find_upload(&tx, id, now).await? else {
        return Ok(Committed::Gone);
    };
    lock_user(&tx, &user_id).await?;
    // Now that nobody else counts or commits for this user: whoever takes it for garbage is waited for.
    let held = row_or_none(&tx, &format!("{UPLOAD} FOR UPDATE"), &[&id, &int(now)]).await?;
    let Some(upload) = held.map(|row| upload_row(id, &row)).transpose()? else {
        return Ok(Committed::Gone);
    };
    let UploadRow { media, resumable, .. } = &upload;
    if let Some(existing) = by_hash(&tx, &user_id, &media.sha256, now).await? {
        return Ok(Committed::Existing(existing));
    }
    let MediaRow { name, reference, sha256, size, .. } = media;
    let (created, expires) = (int(now), int(now + RETENTION_MS));
    let sql = "INSERT INTO media VALUES ($1, $2, $3, $4, $5, $6, $7)";
    execute(&tx, sql, &[name, reference, &user_id, sha256, &int(*size), &created, &expires]).await?;
    // A resumable one is asked for by its id for a while.
    let end = match resumable {
        Resumable::Yes => "UPDATE uploads SET complete = true WHERE id = $1",
        Resumable::No => "DELETE FROM uploads WHERE id = $1",
    };
    execute(&tx, end, &[&id]).await?;
    tx.commit().await?;
    Ok(Committed::New)
}

async fn garbage(mut client: Object, now: u64, limit: u32) -> Result<Vec<Garbage>, Error> {
    let (now, day_ago, limit) = (int(now), int(now.saturating_sub(DAY_MS)), i64::from(limit));
    let tx = client.transaction().await?;
    execute(&tx, "DELETE FROM uploaded WHERE at <= $1", &[&day_ago]).await?;
    // The bytes of a complete upload are its object's.
    execute(&tx, "DELETE FROM uploads WHERE expires_at <= $1 AND complete", &[&now]).await?;
    // Condemned first: from here on no server commits or serves them, whatever its clock says.
    for condemned in [
        "UPDATE media SET expires_at = 0 WHERE name IN (
             SELECT name FROM media WHERE expires_at > 0 AND expires_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
        "UPDATE uploads SET expires_at = 0 WHERE id IN (
             SELECT id FROM uploads WHERE expires_at > 0 AND expires_at <= $1 AND leased_until <= $1
             LIMIT $2 FOR UPDATE SKIP LOCKED)",
    ] {
        execute(&tx, condemned, &[&now, &limit]).await?;
    }
    let mut found = Vec::new();
    for row in rows(&tx, "SELECT name FROM media WHERE expires_at = 0 LIMIT $1", &[&limit]).await? {
        found.push(Garbage::Media { name: row.try_get(0)? });
    }
    let uploads = "SELECT id, name FROM uploads WHERE expires_at = 0 AND leased_until <= $1 LIMIT $2";
    for row in rows(&tx, uploads, &[&now, &limit]).await? {
        found.push(Garbage::Upload { id: row.try_get(0)?, name: row.try_get(1)? });
    }
    tx.commit().await?;
    Ok(found)
}
