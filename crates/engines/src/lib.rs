#![doc = include_str!("../README.md")]

mod objects;
mod postgres;

pub use objects::{MAX_PARTS, ObjectBlobs, ObjectsConfig, ObjectsError, PART_BYTES};
pub use postgres::{PostgresConfig, PostgresError, PostgresStore, Trouble};
