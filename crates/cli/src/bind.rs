//! Which addresses a command may listen on.

use std::net::SocketAddr;

use crate::failure::Failure;

/// Refuses to listen where other machines can connect, unless that was asked for.
pub(crate) fn check_loopback(
    what: &str,
    addr: SocketAddr,
    allow_remote: bool,
    why: &str,
) -> Result<(), Failure> {
    if addr.ip().is_loopback() || allow_remote {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{what} would listen on {addr}, where other machines can connect, and {why}; add --allow-remote if that is meant"
    )))
}
