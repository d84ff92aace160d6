//! Answers owed, blocklist and identity events in SQLite.

use landbridge_curve::PublicKey;
use rusqlite::Row;

use super::tx::{SqliteTx, public_key, rows, signed, unsigned};
use crate::identity_events::{Learnt, learn};
use crate::{
    BlockChange, Blocklist, IdentityEvent, IdentityEvents, Noted, Owed, OwedAnswer, OwedClass, OwedEntry,
    Sighting, StoreError,
};

fn owed_entry(row: &Row<'_>) -> rusqlite::Result<Option<OwedEntry>> {
    let Some(class) = OwedClass::from_code(row.get(1)?) else { return Ok(None) };
    let participant: String = row.get(3)?;
    let answer = OwedAnswer {
        class,
        to: row.get(2)?,
        participant: (!participant.is_empty()).then_some(participant),
        id: row.get(4)?,
        stanza: row.get(5)?,
    };
    Ok(Some(OwedEntry { seq: unsigned(row.get(0)?), answer }))
}

impl Owed for SqliteTx<'_> {
    fn owe(&mut self, answer: &OwedAnswer) -> Result<u64, StoreError> {
        let OwedAnswer { class, to, participant, id, stanza } = answer;
        let sql = "INSERT INTO owed (class, addressee, participant, id, stanza) VALUES (?1, ?2, ?3, ?4, ?5) \
                   ON CONFLICT (class, addressee, participant, id) DO UPDATE SET stanza = excluded.stanza \
                   RETURNING seq";
        let columns = (class.code(), to, participant.as_deref().unwrap_or(""), id, stanza);
        let seq = self.one("note an answer", sql, columns, |row| row.get(0))?;
        Ok(seq.map_or(0, unsigned))
    }

    fn owed(&self, limit: usize) -> Result<Vec<OwedEntry>, StoreError> {
        let sql = "SELECT seq, class, addressee, participant, id, stanza FROM owed ORDER BY seq LIMIT ?1";
        let found = self.all("read answers", sql, [rows(limit)], owed_entry)?;
        let known =
            |entry: Option<OwedEntry>| entry.ok_or(StoreError::Record { what: "answer owed", source: None });
        found.into_iter().map(known).collect()
    }

    fn settle(&mut self, seqs: &[u64]) -> Result<(), StoreError> {
        for seq in seqs {
            self.run("forget an answer", "DELETE FROM owed WHERE seq = ?1", [signed(*seq)])?;
        }
        Ok(())
    }
}

impl SqliteTx<'_> {
    fn set_blocklist_hash(&self, dhash: Option<&str>) -> Result<(), StoreError> {
        let sql = match dhash {
            Some(_) => {
                "INSERT INTO blocklist_version (only_row, dhash) VALUES (1, ?1) \
                        ON CONFLICT (only_row) DO UPDATE SET dhash = excluded.dhash"
            }
            None => "DELETE FROM blocklist_version WHERE ?1 IS NULL",
        };
        self.run("note the blocklist's version", sql, [dhash]).map(drop)
    }
}

impl Blocklist for SqliteTx<'_> {
    fn blocked(&self) -> Result<Vec<String>, StoreError> {
        self.all("read the blocklist", "SELECT jid FROM blocked ORDER BY jid", [], |row| row.get(0))
    }

    fn is_blocked(&self, jid: &str) -> Result<bool, StoreError> {
        Ok(self
            .one("read the blocklist", "SELECT 1 FROM blocked WHERE jid = ?1", [jid], |_| Ok(()))?
            .is_some())
    }

    fn blocklist_hash(&self) -> Result<Option<String>, StoreError> {
        self.one("read the blocklist's version", "SELECT dhash FROM blocklist_version", [], |row| row.get(0))
    }

    fn replace_blocklist(&mut self, jids: &[String], dhash: Option<&str>) -> Result<(), StoreError> {
        self.run("empty the blocklist", "DELETE FROM blocked", [])?;
        for jid in jids {
            self.run("fill the blocklist", "INSERT OR IGNORE INTO blocked (jid) VALUES (?1)", [jid])?;
        }
        self.set_blocklist_hash(dhash)
    }

    fn change_block(
        &mut self,
        jid: &str,
        change: BlockChange,
        dhash: Option<&str>,
    ) -> Result<bool, StoreError> {
        let sql = match change {
            BlockChange::Block => "INSERT OR IGNORE INTO blocked (jid) VALUES (?1)",
            BlockChange::Unblock => "DELETE FROM blocked WHERE jid = ?1",
        };
        let changed = self.run("change the blocklist", sql, [jid])? > 0;
        self.set_blocklist_hash(dhash)?;
        Ok(changed)
    }
}

type EventColumns = (i64, String, Option<Vec<u8>>, Option<Vec<u8>>, Option<String>, i64, bool);

fn event(columns: EventColumns) -> Result<IdentityEvent, StoreError> {
    let (seq, peer, old, new, announcement, at, confirmed) = columns;
    let key = |bytes: Option<Vec<u8>>| bytes.map(|bytes| public_key("identity event", &bytes)).transpose();
    Ok(IdentityEvent {
        seq: unsigned(seq),
        peer,
        old: key(old)?,
        new: key(new)?,
        announcement,
        at: unsigned(at),
        confirmed,
    })
}

impl IdentityEvents for SqliteTx<'_> {
    fn note_identity_change(
        &mut self,
        peer: &str,
        old: Option<&PublicKey>,
        sighting: Sighting<'_>,
        at: u64,
    ) -> Result<Noted, StoreError> {
        if let Some(id) = sighting.notification() {
            let sql = "SELECT 1 FROM identity_event WHERE peer = ?1 AND announcement = ?2";
            if self.one("read identity events", sql, [peer, id], |_| Ok(()))?.is_some() {
                return Ok(Noted::Known);
            }
        }
        let sql = "SELECT seq, peer, old_key, new_key, announcement, at, confirmed FROM identity_event WHERE peer = ?1 \
                   ORDER BY seq DESC LIMIT 1";
        let latest = self.one("read identity events", sql, [peer], |row| EventColumns::try_from(row))?;
        match learn(latest.map(event).transpose()?, old, sighting) {
            Learnt::Known => Ok(Noted::Known),
            Learnt::More(IdentityEvent { seq, old, new, announcement, .. }) => {
                let sql = "UPDATE identity_event SET old_key = ?2, new_key = ?3, announced = ?4 IS NOT NULL, announcement = ?4 \
                     WHERE seq = ?1";
                let (old, new) = (old.map(|key| *key.as_bytes()), new.map(|key| *key.as_bytes()));
                self.run("note an identity change", sql, (signed(seq), old, new, announcement))?;
                Ok(Noted::Known)
            }
            Learnt::New => {
                let sql = "INSERT INTO identity_event (peer, old_key, new_key, announced, announcement, at) \
                           VALUES (?1, ?2, ?3, ?4 IS NOT NULL, ?4, ?5)";
                let columns = (
                    peer,
                    old.map(PublicKey::as_bytes),
                    sighting.key().map(PublicKey::as_bytes),
                    sighting.notification(),
                    signed(at),
                );
                self.run("note an identity change", sql, columns)?;
                Ok(Noted::New { seq: self.last_seq() })
            }
        }
    }

    fn unconfirmed_identity_changes(&self, limit: usize) -> Result<Vec<IdentityEvent>, StoreError> {
        let sql = "SELECT seq, peer, old_key, new_key, announcement, at, confirmed FROM identity_event \
                   WHERE confirmed = 0 ORDER BY seq LIMIT ?1";
        let found =
            self.all("read identity events", sql, [rows(limit)], |row| EventColumns::try_from(row))?;
        found.into_iter().map(event).collect()
    }

    fn confirm_identity_change(&mut self, seq: u64) -> Result<(), StoreError> {
        let sql = "UPDATE identity_event SET confirmed = 1 WHERE seq = ?1";
        self.run("confirm an identity change", sql, [signed(seq)]).map(drop)
    }
}
