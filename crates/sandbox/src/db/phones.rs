//! Which test phones there are.

use super::Tx;
use crate::SandboxError;

impl Tx<'_> {
    pub(crate) fn add_phone(&self, number: &str, name: &str) -> Result<(), SandboxError> {
        self.0.execute("INSERT OR REPLACE INTO phones (number, name) VALUES (?1, ?2)", (number, name))?;
        Ok(())
    }

    pub(crate) fn forget_phone(&self, number: &str) -> Result<(), SandboxError> {
        self.0.execute("DELETE FROM phones WHERE number = ?1", [number])?;
        Ok(())
    }

    pub(crate) fn phones(&self) -> Result<Vec<(String, String)>, SandboxError> {
        let mut query = self.0.prepare_cached("SELECT number, name FROM phones ORDER BY number")?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
