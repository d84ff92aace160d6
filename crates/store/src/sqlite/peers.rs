//! What is remembered of peers, in SQLite.

use landbridge_curve::PublicKey;

use super::tx::{SqliteTx, number, public_key, rows, signed, unsigned};
use crate::{HeldRetry, PeerBook, PeerRecord, StoreError};

const WHAT: &str = "record of a peer";

type Columns = (Option<Vec<u8>>, Option<Vec<u8>>, Option<i64>, bool, Option<i64>);

fn record(columns: Columns) -> Result<PeerRecord, StoreError> {
    let (verified, was_verified, held_since, awaits_identity, rebuilt_at) = columns;
    let key = |bytes: Option<Vec<u8>>| bytes.map(|bytes| public_key(WHAT, &bytes)).transpose();
    Ok(PeerRecord {
        verified: key(verified)?,
        was_verified: key(was_verified)?,
        held_since: held_since.map(unsigned),
        awaits_identity,
        rebuilt_at: rebuilt_at.map(unsigned),
    })
}

impl PeerBook for SqliteTx<'_> {
    fn peer(&self, peer: &str) -> Result<PeerRecord, StoreError> {
        let sql =
            "SELECT verified, was_verified, held_since, awaits_identity, rebuilt_at FROM peer WHERE jid = ?1";
        let found = self.one("read about a peer", sql, [peer], |row| Columns::try_from(row))?;
        found.map_or_else(|| Ok(PeerRecord::default()), record)
    }

    fn set_peer(&mut self, peer: &str, record: &PeerRecord) -> Result<(), StoreError> {
        if *record == PeerRecord::default() {
            return self.run("forget a peer", "DELETE FROM peer WHERE jid = ?1", [peer]).map(drop);
        }
        let PeerRecord { verified, was_verified, held_since, awaits_identity, rebuilt_at } = record;
        let sql = "INSERT INTO peer (jid, verified, was_verified, held_since, awaits_identity, rebuilt_at) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (jid) DO UPDATE SET verified = excluded.verified, \
                   was_verified = excluded.was_verified, held_since = excluded.held_since, \
                   awaits_identity = excluded.awaits_identity, rebuilt_at = excluded.rebuilt_at";
        let columns = (
            peer,
            verified.as_ref().map(PublicKey::as_bytes),
            was_verified.as_ref().map(PublicKey::as_bytes),
            held_since.map(signed),
            awaits_identity,
            rebuilt_at.map(signed),
        );
        self.run("note about a peer", sql, columns).map(drop)
    }

    fn peers(&self) -> Result<Vec<(String, PeerRecord)>, StoreError> {
        let sql = "SELECT verified, was_verified, held_since, awaits_identity, rebuilt_at, jid FROM peer ORDER BY jid";
        let found = self.all("read about peers", sql, [], |row| {
            let columns: Columns = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
            Ok((row.get::<_, String>(5)?, columns))
        })?;
        found.into_iter().map(|(jid, columns)| Ok((jid, record(columns)?))).collect()
    }

    fn hold_retry(&mut self, peer: &str, retry: &HeldRetry) -> Result<(), StoreError> {
        let HeldRetry { id, count, t } = retry;
        let sql = "INSERT INTO held_retry (peer, id, count, t) VALUES (?1, ?2, ?3, ?4) \
                   ON CONFLICT (peer, id) DO UPDATE SET count = excluded.count, t = excluded.t";
        self.run("keep a retry request", sql, (peer, id, count, signed(*t))).map(drop)
    }

    fn held_retries(&self, peer: &str, limit: usize) -> Result<Vec<HeldRetry>, StoreError> {
        let sql = "SELECT id, count, t FROM held_retry WHERE peer = ?1 ORDER BY t, id LIMIT ?2";
        let found = self.all("read retry requests", sql, (peer, rows(limit)), |row| {
            <(String, i64, i64)>::try_from(row)
        })?;
        let retry =
            |(id, count, t)| Ok(HeldRetry { id, count: number("retry request", count)?, t: unsigned(t) });
        found.into_iter().map(retry).collect()
    }

    fn peers_with_held_retries(&self) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT DISTINCT peer FROM held_retry ORDER BY peer";
        self.all("read retry requests", sql, [], |row| row.get(0))
    }

    fn settle_retry(&mut self, peer: &str, id: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM held_retry WHERE peer = ?1 AND id = ?2";
        self.run("forget a retry request", sql, (peer, id)).map(drop)
    }
}
