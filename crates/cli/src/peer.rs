//! `landbridge peer`: one party behind JSON lines, so that any program can talk with this implementation.
//!
//! The line protocol is described in `peers/signal-peer/README.md`. One request a line on standard input, one reply a
//! line on standard output, in order. A request may carry the keys to be drawn (`base_private`, `new_ratchet`); then
//! whatever it answers is determined, and recorded conversations replay byte by byte.

mod commands;
mod groups;
mod party;
mod request;
mod state;
mod tools;

use std::io::{self, BufRead, Write};

use clap::{Args, Subcommand};

use party::Party;

/// Plays one party of a protocol, driven by JSON lines on standard input.
#[derive(Debug, Args)]
pub(crate) struct PeerArgs {
    #[command(subcommand)]
    protocol: PeerProtocol,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum PeerProtocol {
    /// The Signal protocol: keys, bundles, sessions, sender keys, safety numbers.
    Signal,
}

/// Answers requests until standard input ends.
///
/// # Errors
/// Only if standard input or output fails; a request that fails gets a reply that says so.
pub(crate) fn run(args: &PeerArgs) -> io::Result<()> {
    match args.protocol {
        PeerProtocol::Signal => serve(io::stdin().lock(), io::stdout().lock()),
    }
}

fn serve(mut requests: impl BufRead, mut replies: impl Write) -> io::Result<()> {
    let mut party = Party::default();
    let mut line = Vec::new();
    while requests.read_until(b'\n', &mut line)? > 0 {
        if !line.trim_ascii().is_empty() {
            serde_json::to_writer(&mut replies, &party.answer(&line))?;
            replies.write_all(b"\n")?;
            replies.flush()?;
        }
        line.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests;
