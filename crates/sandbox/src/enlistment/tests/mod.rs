//! Enlistment over real HTTP.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests may stop the test"
)]

mod http;
mod key_sets;
mod reasons;
mod repeats;
mod world;
