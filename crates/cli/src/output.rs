//! What commands print on standard output.

use std::io::{self, Write};

use serde::Serialize;

use crate::failure::Failure;

/// Prints one line and flushes, so that a reader at the other end of a pipe has it at once.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::runtime("nobody reads the output any more"),
        _ => Failure::runtime(format!("the output cannot be written: {error}")),
    })
}

/// Prints one JSON object on one line.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    line(&serde_json::to_string(value)?)
}
