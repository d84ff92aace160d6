//! Relations in SQLite.

use rusqlite::Row;

use super::inbox::{entry, select_inbox};
use super::tx::{SqliteTx, signed, unsigned};
use crate::{InboxEntry, MessageKey, Related, Relation, RelationKind, Relations, StoreError, Target};

/// This account as the columns have it.
fn own(author: Option<&String>) -> &str {
    author.map_or("", String::as_str)
}

fn peer(author: String) -> Option<String> {
    (!author.is_empty()).then_some(author)
}

/// The columns that [`relation`] reads, and the condition.
macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT chat, target, author, kind, sender, id, at_ms, t, content FROM relation ", $rest)
    };
}

/// The row, or `None` if its kind is unknown.
fn relation(row: &Row<'_>) -> rusqlite::Result<Option<Relation>> {
    let Some(kind) = RelationKind::from_code(row.get(3)?) else { return Ok(None) };
    let target = Target { chat: row.get(0)?, id: row.get(1)?, author: peer(row.get(2)?) };
    Ok(Some(Relation {
        target,
        kind,
        sender: peer(row.get(4)?),
        id: row.get(5)?,
        at_ms: row.get(6)?,
        t: unsigned(row.get(7)?),
        content: row.get(8)?,
    }))
}

fn known(found: Option<Relation>) -> Result<Relation, StoreError> {
    found.ok_or(StoreError::Record { what: "relation", source: None })
}

impl SqliteTx<'_> {
    fn confirm_message(&self, key: &MessageKey) -> Result<(), StoreError> {
        let sql =
            "UPDATE inbox SET confirmed = 1, plaintext = x'' WHERE chat = ?1 AND sender = ?2 AND id = ?3";
        self.run("wipe a message", sql, (&key.chat, &key.sender, &key.id)).map(drop)
    }

    /// The stanza of a message that is pending stays: it goes out, and what takes it back follows.
    fn wipe_sent(&self, recipient: &str, id: &str) -> Result<(), StoreError> {
        let sql = "UPDATE outbox SET plaintext = x'', stanza = CASE WHEN state = 0 THEN stanza ELSE x'' END \
                   WHERE recipient = ?1 AND id = ?2";
        self.run("wipe a message", sql, (recipient, id)).map(drop)
    }

    /// A relation counts no longer.
    fn retire(&self, relation: &Relation) -> Result<(), StoreError> {
        match (relation.received(), relation.kind) {
            (Some(key), _) => self.confirm_message(&key),
            (None, RelationKind::Edit) => self.wipe_sent(&relation.target.chat, &relation.id),
            (None, _) => Ok(()),
        }
    }

    fn wipe_target(&self, target: &Target) -> Result<(), StoreError> {
        for relation in self.relations(target)? {
            if relation.kind != RelationKind::Revoke {
                self.retire(&relation)?;
            }
        }
        let Target { chat, author, id } = target;
        let sql = "DELETE FROM relation WHERE chat = ?1 AND target = ?2 AND author = ?3 AND kind <> ?4";
        let revoke = RelationKind::Revoke.code();
        self.run("wipe relations", sql, (chat, id, own(author.as_ref()), revoke))?;
        match target.received() {
            Some(key) => self.confirm_message(&key),
            None => self.wipe_sent(chat, id),
        }
    }
}

impl Relations for SqliteTx<'_> {
    fn set_aside(&mut self, seq: u64, target: &str, most: usize) -> Result<(), StoreError> {
        let sql = "UPDATE inbox SET confirmed = 1, waits_for = ?2 WHERE seq = ?1 RETURNING chat";
        let chat: Option<String> =
            self.one("set a message aside", sql, (signed(seq), target), |row| row.get(0))?;
        let sql = "UPDATE inbox SET plaintext = x'', waits_for = NULL WHERE seq IN (SELECT seq FROM inbox \
                   WHERE chat = ?1 AND waits_for IS NOT NULL ORDER BY seq DESC LIMIT -1 OFFSET ?2)";
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        self.run("discard messages that wait", sql, (chat.unwrap_or_default(), most)).map(drop)
    }

    fn waiting(&self, chat: &str, target: &str) -> Result<Vec<InboxEntry>, StoreError> {
        let sql = select_inbox!("WHERE chat = ?1 AND waits_for = ?2 ORDER BY seq");
        self.all("read messages that wait", sql, (chat, target), entry)
    }

    fn release(&mut self, seq: u64) -> Result<Option<u64>, StoreError> {
        let sql = "UPDATE inbox SET seq = (SELECT max(seq) + 1 FROM inbox), confirmed = 0, waits_for = NULL \
                   WHERE seq = ?1 AND waits_for IS NOT NULL RETURNING seq";
        let moved = self.one("release a message", sql, [signed(seq)], |row| row.get(0))?;
        Ok(moved.map(unsigned))
    }

    fn discard(&mut self, seq: u64) -> Result<(), StoreError> {
        let sql = "UPDATE inbox SET confirmed = 1, plaintext = x'', waits_for = NULL WHERE seq = ?1";
        self.run("discard a message", sql, [signed(seq)]).map(drop)
    }

    fn discard_waiting(&mut self, before: u64) -> Result<usize, StoreError> {
        let sql = "UPDATE inbox SET plaintext = x'', waits_for = NULL WHERE waits_for IS NOT NULL AND t < ?1";
        self.run("discard messages that wait", sql, [signed(before)])
    }

    fn relate(&mut self, relation: &Relation) -> Result<Related, StoreError> {
        let before = self.relations(&relation.target)?;
        let before =
            before.iter().find(|other| (other.kind, &other.sender) == (relation.kind, &relation.sender));
        match before {
            Some(before) if before.at_ms > relation.at_ms => return Ok(Related::Older),
            Some(before) => self.retire(before)?,
            None => {}
        }
        let Relation { target, kind, sender, id, at_ms, t, content } = relation;
        let sql = "INSERT INTO relation (chat, target, author, kind, sender, id, at_ms, t, content) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (chat, target, author, kind, sender) \
                   DO UPDATE SET id = excluded.id, at_ms = excluded.at_ms, t = excluded.t, content = excluded.content";
        let (author, who) = (own(target.author.as_ref()), own(sender.as_ref()));
        let columns = (&target.chat, &target.id, author, kind.code(), who, id, at_ms, signed(*t), content);
        self.run("note a relation", sql, columns)?;
        if *kind == RelationKind::Revoke {
            self.wipe_target(target)?;
        }
        if let Some(MessageKey { chat, sender, id }) = relation.received() {
            let sql = "UPDATE inbox SET plaintext = x'' WHERE chat = ?1 AND sender = ?2 AND id = ?3";
            self.run("move a content", sql, (chat, sender, id))?;
        }
        Ok(Related::Newest)
    }

    fn relations(&self, target: &Target) -> Result<Vec<Relation>, StoreError> {
        let sql = select!("WHERE chat = ?1 AND target = ?2 AND author = ?3 ORDER BY kind, sender");
        let columns = (&target.chat, &target.id, own(target.author.as_ref()));
        self.all("read relations", sql, columns, relation)?.into_iter().map(known).collect()
    }

    fn relation_of(&self, message: &MessageKey) -> Result<Option<Relation>, StoreError> {
        let sql = select!("WHERE chat = ?1 AND sender = ?2 AND id = ?3");
        let columns = (&message.chat, &message.sender, &message.id);
        self.one("read a relation", sql, columns, relation)?.map(known).transpose()
    }
}
