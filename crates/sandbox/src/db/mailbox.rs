//! The mailbox: everything that a user must take, in order, until it was taken. What is delivered live passes through
//! here too.

use landbridge_wire::{EncodeOptions, Jid, Limits, Node};
use rusqlite::OptionalExtension;

use super::{Tx, UserId, signed};
use crate::SandboxError;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum MailClass {
    Message,
    Receipt,
    Notification,
}

impl MailClass {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Receipt => "receipt",
            Self::Notification => "notification",
        }
    }

    fn parse(text: &str) -> Result<Self, SandboxError> {
        match text {
            "message" => Ok(Self::Message),
            "receipt" => Ok(Self::Receipt),
            "notification" => Ok(Self::Notification),
            _ => Err(SandboxError::Record { what: "mailbox entry" }),
        }
    }
}

/// An entry.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) seq: i64,
    pub(crate) class: MailClass,
    pub(crate) id: String,
    /// `type` of the stanza, empty if it has none.
    pub(crate) kind: String,
    pub(crate) stanza: Node,
}

/// How much waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) messages: u32,
    pub(crate) receipts: u32,
    pub(crate) notifications: u32,
    /// Position of the last entry.
    pub(crate) last: i64,
}

impl Waiting {
    pub(crate) fn count(&self) -> u32 {
        self.messages.saturating_add(self.receipts).saturating_add(self.notifications)
    }
}

impl Tx<'_> {
    /// Appends a stanza of the server, which names its sender in `from`.
    pub(crate) fn post(
        &self,
        user: UserId,
        class: MailClass,
        stanza: &Node,
        now: u64,
    ) -> Result<(), SandboxError> {
        let view = stanza.view();
        let text = |key| view.attr_str(key).unwrap_or_default();
        let bytes = landbridge_wire::encode(stanza, &EncodeOptions::default())
            .map_err(|_| SandboxError::Record { what: "stanza" })?;
        self.0
            .prepare_cached(
                "INSERT INTO mailbox (user, class, peer, id, kind, t, stanza) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute((user.0, class.as_str(), text("from"), text("id"), text("type"), signed(now), bytes))?;
        Ok(())
    }

    /// Holds back the last entry of a user, and gives how many are held back with it.
    pub(crate) fn hold_last(&self, user: UserId) -> Result<u32, SandboxError> {
        self.0
            .prepare_cached(
                "UPDATE mailbox SET held = 1 WHERE seq = (SELECT max(seq) FROM mailbox WHERE user = ?1)",
            )?
            .execute([user.0])?;
        let mut query = self.0.prepare_cached("SELECT count(*) FROM mailbox WHERE user = ?1 AND held = 1")?;
        Ok(query.query_row([user.0], |row| row.get(0))?)
    }

    /// Appends what is held back for a user, in the order that `arrange` makes of it.
    pub(crate) fn release(
        &self,
        user: UserId,
        arrange: impl FnOnce(&mut Vec<i64>),
    ) -> Result<(), SandboxError> {
        let mut query =
            self.0.prepare_cached("SELECT seq FROM mailbox WHERE user = ?1 AND held = 1 ORDER BY seq")?;
        let mut held = query.query_map([user.0], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
        arrange(&mut held);
        for seq in held {
            self.0
                .prepare_cached(
                    "INSERT INTO mailbox (user, class, peer, id, kind, t, stanza) \
                     SELECT user, class, peer, id, kind, t, stanza FROM mailbox WHERE seq = ?1",
                )?
                .execute([seq])?;
            self.0.prepare_cached("DELETE FROM mailbox WHERE seq = ?1")?.execute([seq])?;
        }
        Ok(())
    }

    /// Lets go of everything that is held back, in the order in which it came.
    pub(crate) fn release_all(&self) -> Result<(), SandboxError> {
        // No push has thought of what lay behind others.
        self.0.execute(
            "UPDATE pushes SET seen = 0 WHERE user IN (SELECT user FROM mailbox WHERE held = 1)",
            [],
        )?;
        self.0.execute("UPDATE mailbox SET held = 0 WHERE held = 1", [])?;
        Ok(())
    }

    /// Entries behind position `after`, in order.
    pub(crate) fn mail(&self, user: UserId, after: i64, limit: u32) -> Result<Vec<Entry>, SandboxError> {
        let mut query = self.0.prepare_cached(
            "SELECT seq, class, id, kind, stanza FROM mailbox WHERE user = ?1 AND seq > ?2 AND held = 0 ORDER BY seq LIMIT ?3",
        )?;
        let mut rows = query.query((user.0, after, limit))?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next()? {
            let bytes: Vec<u8> = row.get(4)?;
            let stanza = landbridge_wire::decode(&bytes, &Limits::default())
                .map_err(|_| SandboxError::Record { what: "stanza" })?;
            entries.push(Entry {
                seq: row.get(0)?,
                class: MailClass::parse(&row.get::<_, String>(1)?)?,
                id: row.get(2)?,
                kind: row.get(3)?,
                stanza,
            });
        }
        Ok(entries)
    }

    /// What waits behind position `after`.
    pub(crate) fn waiting(&self, user: UserId, after: i64) -> Result<Waiting, SandboxError> {
        let mut query = self.0.prepare_cached(
            "SELECT class, count(*), max(seq) FROM mailbox WHERE user = ?1 AND seq > ?2 AND held = 0 GROUP BY class",
        )?;
        let mut rows = query.query((user.0, after))?;
        let mut waiting = Waiting::default();
        while let Some(row) = rows.next()? {
            let count = row.get(1)?;
            match MailClass::parse(&row.get::<_, String>(0)?)? {
                MailClass::Message => waiting.messages = count,
                MailClass::Receipt => waiting.receipts = count,
                MailClass::Notification => waiting.notifications = count,
            }
            waiting.last = waiting.last.max(row.get(2)?);
        }
        Ok(waiting)
    }

    /// Removes the oldest of the entries up to position `last`, of one type if there is one given, and gives its position.
    pub(crate) fn take_oldest_mail(
        &self,
        user: UserId,
        (class, kind): (MailClass, Option<&str>),
        peer: &Jid,
        id: &str,
        last: i64,
    ) -> Result<Vec<i64>, SandboxError> {
        let mut delete = self.0.prepare_cached(
            "DELETE FROM mailbox WHERE seq = (SELECT min(seq) FROM mailbox WHERE user = ?1 AND id = ?2 AND class = ?3 \
             AND peer = ?4 AND seq <= ?5 AND (?6 IS NULL OR kind = ?6)) RETURNING seq",
        )?;
        let columns = (user.0, id, class.as_str(), peer.to_string(), last, kind);
        let rows = delete.query_map(columns, |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Removes what the user has taken and gives the positions.
    pub(crate) fn take_mail(
        &self,
        user: UserId,
        class: MailClass,
        peer: &Jid,
        id: &str,
    ) -> Result<Vec<i64>, SandboxError> {
        let mut delete = self.0.prepare_cached(
            "DELETE FROM mailbox WHERE user = ?1 AND id = ?2 AND class = ?3 AND peer = ?4 RETURNING seq",
        )?;
        let rows = delete.query_map((user.0, id, class.as_str(), peer.to_string()), |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Removes what is older than `before`.
    pub(crate) fn expire_mail(&self, before: u64) -> Result<usize, SandboxError> {
        self.0.execute("DELETE FROM accepted WHERE t < ?1", [signed(before)])?;
        self.0.execute("DELETE FROM passed WHERE t < ?1", [signed(before)])?;
        Ok(self.0.execute("DELETE FROM mailbox WHERE t < ?1", [signed(before)])?)
    }

    /// When a message was accepted, if it was. A copy that answers a retry receipt has a count of its own.
    pub(crate) fn accepted(
        &self,
        sender: &Jid,
        recipient: &Jid,
        id: &str,
        count: u8,
    ) -> Result<Option<u64>, SandboxError> {
        let mut query = self.0.prepare_cached(
            "SELECT t FROM accepted WHERE sender = ?1 AND recipient = ?2 AND id = ?3 AND count = ?4",
        )?;
        let t: Option<i64> = query
            .query_row((sender.to_string(), recipient.to_string(), id, count), |row| row.get(0))
            .optional()?;
        Ok(t.map(super::unsigned))
    }

    pub(crate) fn accept(
        &self,
        sender: &Jid,
        recipient: &Jid,
        id: &str,
        count: u8,
        now: u64,
    ) -> Result<(), SandboxError> {
        self.0
            .prepare_cached(
                "INSERT INTO accepted (sender, recipient, id, count, t) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute((sender.to_string(), recipient.to_string(), id, count, signed(now)))?;
        Ok(())
    }

    /// Whether `sender` has ever sent the message to `recipient`.
    pub(crate) fn was_sent(&self, sender: &Jid, recipient: &Jid, id: &str) -> Result<bool, SandboxError> {
        let mut query = self
            .0
            .prepare_cached("SELECT 1 FROM accepted WHERE sender = ?1 AND recipient = ?2 AND id = ?3")?;
        Ok(query.exists((sender.to_string(), recipient.to_string(), id))?)
    }

    /// Notes that a receipt was passed on to the author of a message; false if it was before.
    pub(crate) fn pass_receipt(
        &self,
        reader: &Jid,
        author: &Jid,
        (kind, id, count): (&str, &str, u8),
        now: u64,
    ) -> Result<bool, SandboxError> {
        let inserted = self
            .0
            .prepare_cached(
                "INSERT OR IGNORE INTO passed (reader, author, kind, id, count, t) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute((reader.to_string(), author.to_string(), kind, id, count, signed(now)))?;
        Ok(inserted > 0)
    }
}
