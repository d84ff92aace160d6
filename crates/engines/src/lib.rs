#![doc = include_str!("../README.md")]

mod nats;
mod objects;
mod postgres;
mod seal;

pub use nats::{NatsConfig, NatsError, NatsSwitchboard};
pub use objects::{MAX_PARTS, ObjectBlobs, ObjectsConfig, ObjectsError, PART_BYTES};
pub use postgres::{PostgresConfig, PostgresError, PostgresKeys, PostgresStore, Trouble};
pub use seal::{SealKey, SealKeyError};
