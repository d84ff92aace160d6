//! Block lists.

use landbridge_stanza::blocklist::{BlockAction, BlockedUser, Blocklist};
use landbridge_wire::Jid;
use ring::digest::{Context, SHA256};

use super::{Tx, UserId, signed, unsigned};
use crate::SandboxError;

/// Bytes of the hash that stand in `dhash`.
const DHASH_BYTES: usize = 6;

impl Tx<'_> {
    /// The list, in the order of addresses, with its hash.
    pub(crate) fn blocklist(&self, user: UserId) -> Result<Blocklist, SandboxError> {
        let mut query = self.0.prepare_cached("SELECT jid, t FROM blocked WHERE user = ?1 ORDER BY jid")?;
        let rows = query.query_map([user.0], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
        let mut context = Context::new(&SHA256);
        let mut items = Vec::new();
        for row in rows {
            let (jid, t) = row?;
            context.update(jid.as_bytes());
            context.update(b"\n");
            let jid: Jid = jid.parse().map_err(|_| SandboxError::Record { what: "address" })?;
            items.push(BlockedUser { jid, t: Some(unsigned(t)) });
        }
        let hash = context.finish();
        let hex = hash
            .as_ref()
            .iter()
            .take(DHASH_BYTES)
            .fold("2:".to_owned(), |text, byte| format!("{text}{byte:02x}"));
        Ok(Blocklist { dhash: Some(hex), items })
    }

    pub(crate) fn block(
        &self,
        user: UserId,
        jid: &Jid,
        action: BlockAction,
        now: u64,
    ) -> Result<(), SandboxError> {
        match action {
            BlockAction::Block => self
                .0
                .prepare_cached("INSERT OR IGNORE INTO blocked (user, jid, t) VALUES (?1, ?2, ?3)")?
                .execute((user.0, jid.to_string(), signed(now)))?,
            BlockAction::Unblock => self
                .0
                .prepare_cached("DELETE FROM blocked WHERE user = ?1 AND jid = ?2")?
                .execute((user.0, jid.to_string()))?,
        };
        Ok(())
    }

    /// Whether `user` has blocked `jid`.
    pub(crate) fn has_blocked(&self, user: UserId, jid: &Jid) -> Result<bool, SandboxError> {
        let mut query = self.0.prepare_cached("SELECT 1 FROM blocked WHERE user = ?1 AND jid = ?2")?;
        Ok(query.exists((user.0, jid.to_string()))?)
    }
}
