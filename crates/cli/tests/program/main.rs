//! The real program, run as a process.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;
#[cfg(unix)]
mod end_to_end;
#[cfg(unix)]
mod files;
#[cfg(unix)]
mod http;
mod media;
#[cfg(unix)]
mod partner;
mod usage;
mod weather;
