//! Everything with a row, in PostgreSQL, for any number of servers at once.
//!
//! Every statement that says `Ok` has been flushed (`synchronous_commit = on`). Servers do not wait for each other but where
//! they touch the same user: an accepted push is one statement that locks the user's row, senders skip what others have
//! taken, and what has to count a user's rows holds the user's advisory lock. A transaction that the database gives up
//! because of others (deadlock, or serialisation on databases that speak PostgreSQL's protocol and serialise) is done again.
//!
//! A connection that breaks while a commit is on its way leaves open whether it took place. Every operation may be repeated
//! then: a push becomes one with the one that was stored, a wake-up too many does no harm.

mod connect;
mod depth;
mod keys;
mod media;
mod migrate;
mod users;
mod wakes;

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{GenericClient, Object, Pool, PoolError};
use landbridge_partner::store::StoreError;
use landbridge_partner::{KeyFileError, read_key_file};
use serde::Deserialize;
use thiserror::Error;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use crate::seal::SealKey;
use depth::Depth;
pub use keys::PostgresKeys;

/// What a statement may take on the server, in milliseconds (ASSUMED).
const STATEMENT_MS: u32 = 5_000;
/// What an operation may take once it has a connection (ASSUMED): a server that has stopped without closing anything says
/// nothing at all.
const OPERATION: Duration = Duration::from_secs(8);
/// How often an operation is begun before somebody else's right of way becomes an error.
const ATTEMPTS: u32 = 8;

/// Settings of a database.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "settings, read from a file or built by hand")]
pub struct PostgresConfig {
    /// `postgresql://user:password@host:port/database?sslmode=…`. Without `sslmode`, TLS is demanded from every host but
    /// this machine; certificates are always verified.
    #[serde(default)]
    pub url: String,
    /// A file with the URL on its first line, mode 0600, in place of [`url`](Self::url).
    #[serde(default)]
    pub url_file: Option<PathBuf>,
    /// Connections at most (ASSUMED: 16).
    #[serde(default = "default_pool")]
    pub pool: usize,
    /// Roots that are believed instead of the system's, in PEM. With it, TLS is demanded from this machine, too, unless the URL
    /// has an `sslmode`.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The key that signing keys are sealed with: 32 bytes in base64, mode 0600.
    #[serde(default)]
    pub seal_key_file: Option<PathBuf>,
}

fn default_pool() -> usize {
    16
}

impl PostgresConfig {
    /// The defaults, for a database.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), url_file: None, pool: default_pool(), ca_file: None, seal_key_file: None }
    }

    /// Whether [`url`](Self::url) has a password in it. One that cannot be read may.
    pub fn has_password(&self) -> bool {
        let parsed = self.url.parse::<tokio_postgres::Config>();
        parsed.map_or(true, |config| config.get_password().is_some())
    }

    /// The URL, wherever it is.
    fn resolved(mut self) -> Result<Self, PostgresError> {
        match self.url_file.take() {
            Some(_) if !self.url.is_empty() => Err(PostgresError::TwoUrls),
            Some(path) => {
                let text = read_key_file(&path).map_err(PostgresError::UrlFile)?;
                self.url = text.lines().next().unwrap_or_default().trim().to_owned();
                Ok(self)
            }
            None => Ok(self),
        }
    }
}

impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url: _, url_file, pool, ca_file, seal_key_file } = self;
        f.debug_struct("PostgresConfig")
            .field("url", &format_args!("[redacted]"))
            .field("url_file", url_file)
            .field("pool", pool)
            .field("ca_file", ca_file)
            .field("seal_key_file", seal_key_file)
            .finish()
    }
}

/// A database cannot be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PostgresError {
    /// The URL.
    #[error("the URL of the database cannot be read")]
    Url(#[source] tokio_postgres::Error),
    /// The file with the URL.
    #[error("the file with the URL of the database cannot be read")]
    UrlFile(#[source] KeyFileError),
    /// A URL here and one in a file.
    #[error("the database has a url and a url_file; one of them says where it is")]
    TwoUrls,
    /// The file of roots.
    #[error("the certificates in {} cannot be read", path.display())]
    Roots {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The settings of TLS or of the pool.
    #[error("connections to the database cannot be set up")]
    SetUp(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No connection.
    #[error("the database cannot be reached")]
    Connect(#[source] Trouble),
    /// The tables.
    #[error("the tables cannot be brought up to date")]
    Migrate(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What a database, or the way to it, does wrong. Says nothing of what is in the rows.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Trouble {
    /// The database refused a statement.
    #[error("the database answered {code}: {message}")]
    Refused {
        /// SQLSTATE.
        code: String,
        /// The first line of what it said.
        message: String,
    },
    /// The way to it.
    #[error("the connection to the database does not work")]
    Connection(#[source] tokio_postgres::Error),
    /// No answer in time.
    #[error("the database does not answer in time")]
    Silent,
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(cause: tokio_postgres::Error) -> Self {
        match cause.as_db_error() {
            // Its details repeat the values of rows.
            Some(refused) => Self::Refused {
                code: refused.code().code().to_owned(),
                message: refused.message().to_owned(),
            },
            None => Self::Connection(cause),
        }
    }
}

/// The store of a partner server that has grown. Clones share it.
///
/// How many rows wait is counted about once a second: several servers together may exceed the bound of the queue by what they
/// accept within that second.
#[derive(Clone)]
pub struct PostgresStore {
    pool: Pool,
    depth: Arc<Depth>,
    seal: Option<SealKey>,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("pool", &self.pool.status()).finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Connects, and brings the tables up to date. They are in the schema `landbridge_partner`. Servers that start at the
    /// same time wait for each other.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub async fn open(config: &PostgresConfig) -> Result<Self, PostgresError> {
        let pool = connect::pool(&config.clone().resolved()?)?;
        migrate::migrate(&pool).await?;
        Ok(Self { pool, depth: Arc::default(), seal: None })
    }

    /// Seals the references of media with this key, the same at all servers: whoever reads the database, or a copy of it, can fetch
    /// nothing then. What was stored without a key stays as it is; what was sealed is not given out without it.
    #[must_use]
    pub fn sealing_references(self, key: SealKey) -> Self {
        Self { seal: Some(key), ..self }
    }

    /// Does `work` on a connection, again if others had the right of way.
    async fn with<T, F>(&self, work: impl Fn(Object) -> F + Send + Sync) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, tokio_postgres::Error>> + Send,
    {
        let mut attempt = 1;
        loop {
            let client = self.pool.get().await.map_err(no_connection)?;
            match tokio::time::timeout(OPERATION, work(client)).await {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(cause)) if attempt < ATTEMPTS && is_right_of_way(&cause) => attempt += 1,
                Ok(Err(cause)) => return Err(StoreError::Failed(Trouble::from(cause).into())),
                Err(_) => return Err(StoreError::Failed(Trouble::Silent.into())),
            }
        }
    }
}

/// Whether the same again may succeed: somebody else's transaction was in the way.
fn is_right_of_way(cause: &tokio_postgres::Error) -> bool {
    let others = [
        &SqlState::T_R_SERIALIZATION_FAILURE,
        &SqlState::T_R_DEADLOCK_DETECTED,
        // Both looked, both inserted; the second one finds the row when it looks again.
        &SqlState::UNIQUE_VIOLATION,
    ];
    cause.code().is_some_and(|code| others.contains(&code))
}

fn no_connection(cause: PoolError) -> StoreError {
    match cause {
        // All connections are in use.
        PoolError::Timeout(deadpool_postgres::TimeoutType::Wait) => StoreError::Busy,
        PoolError::Closed => StoreError::Closed,
        PoolError::Backend(cause) => StoreError::Failed(Trouble::from(cause).into()),
        PoolError::Timeout(_) => StoreError::Failed(Trouble::Silent.into()),
        other => StoreError::Failed(other.into()),
    }
}

type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Runs a statement that is prepared once per connection.
async fn execute(
    client: &impl GenericClient,
    sql: &str,
    params: Params<'_>,
) -> Result<u64, tokio_postgres::Error> {
    let statement = client.prepare_cached(sql).await?;
    client.execute(&statement, params).await
}

async fn rows(
    client: &impl GenericClient,
    sql: &str,
    params: Params<'_>,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let statement = client.prepare_cached(sql).await?;
    client.query(&statement, params).await
}

async fn row(
    client: &impl GenericClient,
    sql: &str,
    params: Params<'_>,
) -> Result<Row, tokio_postgres::Error> {
    let statement = client.prepare_cached(sql).await?;
    client.query_one(&statement, params).await
}

async fn row_or_none(
    client: &impl GenericClient,
    sql: &str,
    params: Params<'_>,
) -> Result<Option<Row>, tokio_postgres::Error> {
    let statement = client.prepare_cached(sql).await?;
    client.query_opt(&statement, params).await
}

/// Until the end of the transaction, nobody else holds this user's lock.
async fn lock_user(tx: &impl GenericClient, user_id: &str) -> Result<(), tokio_postgres::Error> {
    let digest = ring::digest::digest(&ring::digest::SHA256, user_id.as_bytes());
    let mut key = [0; 8];
    key.copy_from_slice(digest.as_ref().split_at(8).0);
    execute(tx, "SELECT pg_advisory_xact_lock($1)", &[&i64::from_be_bytes(key)]).await.map(drop)
}

/// PostgreSQL's integers are signed; the year is not 292 million.
fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn uint(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// PostgreSQL has no texts with a zero in them, so nothing is stored under one.
fn storable(text: &str) -> bool {
    !text.contains('\0')
}
