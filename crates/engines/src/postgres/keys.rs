//! The private keys that all servers share: one row, sealed.

use async_trait::async_trait;
use deadpool_postgres::Object;
use landbridge_partner::store::StoreError;
use landbridge_partner::{Kept, KeyShelf, KeyShelfError, KeyState, Swapped};
use tokio_postgres::Error;

use super::{PostgresStore, execute, int, row_or_none, uint};
use crate::seal::SealKey;

/// Signing keys and Web Push's key in PostgreSQL, for all servers of a partner. What the database holds is sealed with
/// a key that each server has from a file: a copy of the database signs nothing.
///
/// Whoever can write the database can put an earlier state in the place of the current one; such a state is known to be no other
/// partner's, and not to be the latest.
#[derive(Debug)]
pub struct PostgresKeys {
    store: PostgresStore,
    seal: SealKey,
}

impl PostgresKeys {
    /// The keys that are kept beside the rows of `store`.
    pub fn new(store: PostgresStore, seal: SealKey) -> Self {
        Self { store, seal }
    }
}

#[async_trait]
impl KeyShelf for PostgresKeys {
    async fn load(&self) -> Result<Kept, KeyShelfError> {
        let found = self.store.with(find).await.map_err(unavailable)?;
        let Some((version, sealed)) = found else {
            return Ok(Kept { state: KeyState::default(), version: 0 });
        };
        let opened = self.seal.open(&sealed, version).ok_or(KeyShelfError::Sealed)?;
        let state = KeyState::from_bytes(&opened).ok_or(KeyShelfError::Foreign)?;
        Ok(Kept { state, version })
    }

    async fn swap(&self, version: u64, state: &KeyState) -> Result<Swapped, KeyShelfError> {
        let next = version + 1;
        let sealed =
            self.seal.seal(&state.to_bytes(), next).map_err(|cause| unavailable_because(cause.into()))?;
        let (sealed, new) = (sealed.as_slice(), int(next));
        let swapped = self
            .store
            .with(|client| async move {
                let sql = match version {
                    0 => {
                        "INSERT INTO keyring (id, version, sealed) SELECT 1, $1, $2 WHERE $3::bigint = 0
                          ON CONFLICT (id) DO NOTHING"
                    }
                    _ => "UPDATE keyring SET version = $1, sealed = $2 WHERE id = 1 AND version = $3",
                };
                execute(&client, sql, &[&new, &sealed, &int(version)]).await
            })
            .await
            .map_err(unavailable)?;
        Ok(if swapped > 0 { Swapped::Yes(next) } else { Swapped::No })
    }
}

/// Version and sealed state.
async fn find(client: Object) -> Result<Option<(u64, Vec<u8>)>, Error> {
    let found = row_or_none(&client, "SELECT version, sealed FROM keyring WHERE id = 1", &[]).await?;
    found.map(|row| Ok((uint(row.try_get(0)?), row.try_get(1)?))).transpose()
}

fn unavailable(cause: StoreError) -> KeyShelfError {
    unavailable_because(cause.into())
}

fn unavailable_because(cause: Box<dyn std::error::Error + Send + Sync>) -> KeyShelfError {
    KeyShelfError::Unavailable(cause)
}
