//! Who has exchanged messages with whom.

use super::{Tx, User, UserId, signed};
use crate::SandboxError;

impl Tx<'_> {
    /// Notes that two users exchanged a message.
    pub(crate) fn met(&self, one: UserId, other: UserId, now: u64) -> Result<(), SandboxError> {
        let mut insert =
            self.0.prepare_cached("INSERT OR REPLACE INTO contacts (user, peer, t) VALUES (?1, ?2, ?3)")?;
        insert.execute((one.0, other.0, signed(now)))?;
        insert.execute((other.0, one.0, signed(now)))?;
        Ok(())
    }

    /// Everybody who exchanged a message with a user since `after`.
    pub(crate) fn contacts(&self, user: UserId, after: u64) -> Result<Vec<User>, SandboxError> {
        let mut query =
            self.0.prepare_cached("SELECT peer FROM contacts WHERE user = ?1 AND t >= ?2 ORDER BY peer")?;
        let peers = query
            .query_map((user.0, signed(after)), |row| Ok(UserId(row.get(0)?)))?
            .collect::<Result<Vec<_>, _>>()?;
        peers.into_iter().filter_map(|peer| self.user_by_id(peer).transpose()).collect()
    }

    /// Whether two users have exchanged a message.
    pub(crate) fn have_met(&self, one: UserId, other: UserId) -> Result<bool, SandboxError> {
        let mut query = self.0.prepare_cached("SELECT 1 FROM contacts WHERE user = ?1 AND peer = ?2")?;
        Ok(query.exists((one.0, other.0))?)
    }
}
