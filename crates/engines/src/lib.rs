#![doc = include_str!("../README.md")]

mod nats;
mod objects;
mod postgres;

pub use nats::{NatsConfig, NatsError, NatsSwitchboard};
pub use objects::{MAX_PARTS, ObjectBlobs, ObjectsConfig, ObjectsError, PART_BYTES};
pub use postgres::{PostgresConfig, PostgresError, PostgresStore, Trouble};
