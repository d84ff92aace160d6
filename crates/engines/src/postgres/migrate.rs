//! Brings the tables up to date.

use deadpool_postgres::Pool;

use super::connect::SCHEMA;
use super::{PostgresError, Trouble};

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Who holds this session lock may change the tables: "LBpg" twice.
const LOCK: i64 = i64::from_be_bytes(*b"LBpgLBpg");
/// How long the migrations may take, in milliseconds, waiting for another server's included (ASSUMED).
const MIGRATION_MS: u32 = 300_000;

pub(super) async fn migrate(pool: &Pool) -> Result<(), PostgresError> {
    let client = pool.get().await.map_err(|cause| match cause {
        deadpool_postgres::PoolError::Backend(cause) => PostgresError::Connect(cause.into()),
        deadpool_postgres::PoolError::Timeout(_) => PostgresError::Connect(Trouble::Silent),
        deadpool_postgres::PoolError::PostCreateHook(cause) => PostgresError::SetUp(cause.into()),
        other => PostgresError::SetUp(other.into()),
    })?;
    // It is closed afterwards, and the lock goes with it, whatever happens.
    let mut client = deadpool_postgres::Object::take(client);
    let prepare = format!(
        "SET statement_timeout = {MIGRATION_MS};
         SELECT pg_advisory_lock({LOCK});
         CREATE SCHEMA IF NOT EXISTS {SCHEMA}"
    );
    let prepared = client.batch_execute(&prepare).await;
    prepared.map_err(|cause| PostgresError::Migrate(Trouble::from(cause).into()))?;
    let report = embedded::migrations::runner().run_async(&mut *client).await;
    let report = report.map_err(|cause| PostgresError::Migrate(cause.into()))?;
    for migration in report.applied_migrations() {
        tracing::info!(version = migration.version(), name = migration.name(), "changed the tables");
    }
    Ok(())
}
