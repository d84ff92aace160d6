//! The outbox of files over real servers: what is sent outlives the process, goes once, and leaves nothing behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod ends;
mod gate;
mod kill;
mod restart;
mod world;
