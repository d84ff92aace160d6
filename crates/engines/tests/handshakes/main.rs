//! Real handshakes with the three engines: who is believed, who is refused, and what the refusal says.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may stop the test")]

mod authority;
mod nats;
mod objects;
mod postgres;

use std::error::Error;

/// Everything that an error says, its causes included.
fn whole(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text += &format!(": {cause} {cause:?}");
        next = cause.source();
    }
    text
}
