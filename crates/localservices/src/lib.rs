//! Services that a test starts for itself and that end with it.

mod keeper;
mod postgres;
pub mod s3;

pub use postgres::{Fsync, Postgres, PostgresError};
