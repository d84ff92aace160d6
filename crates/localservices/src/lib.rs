//! Services that a test starts for itself and that end with it.

mod keeper;
mod postgres;

pub use postgres::{Fsync, Postgres, PostgresError};
