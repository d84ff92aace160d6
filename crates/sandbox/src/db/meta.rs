//! Small values by name: the server's own keys among them.

use rusqlite::OptionalExtension;

use super::Tx;
use crate::SandboxError;

impl Tx<'_> {
    pub(crate) fn meta(&self, name: &str) -> Result<Option<Vec<u8>>, SandboxError> {
        let mut query = self.0.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
        Ok(query.query_row([name], |row| row.get(0)).optional()?)
    }

    pub(crate) fn forget_meta(&self, name: &str) -> Result<(), SandboxError> {
        self.0.prepare_cached("DELETE FROM meta WHERE name = ?1")?.execute([name])?;
        Ok(())
    }

    pub(crate) fn set_meta(&self, name: &str, value: &[u8]) -> Result<(), SandboxError> {
        self.0
            .prepare_cached("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)")?
            .execute((name, value))?;
        Ok(())
    }
}
