//! Services that a test starts for itself and that end with it.

mod keeper;
mod nats;
mod postgres;
pub mod s3;

pub use nats::{Nats, NatsServerError};
pub use postgres::{Fsync, Postgres, PostgresError};
