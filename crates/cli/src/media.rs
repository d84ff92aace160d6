//! `landbridge media`: encryption and decryption of media files, and what a file tells without its key.

mod decrypt;
mod encrypt;
mod inspect;
mod pipes;
mod report;
mod stop;

use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Subcommand;
use landbridge::media::{MediaKey, MediaKind};

use crate::failure::Failure;

// No `Debug`: keys are among the arguments.
/// Arguments of `landbridge media`
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: MediaCommand,
}

#[derive(Subcommand)]
enum MediaCommand {
    /// Encrypt a file for a message; its hashes and its sidecar are printed
    Encrypt(encrypt::Args),
    /// Decrypt a file; if any check fails, no output is written
    Decrypt(decrypt::Args),
    /// Tell what an encrypted file shows without its key
    Inspect(inspect::Args),
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    stop::until_stopped(move |unfinished| match args.command {
        MediaCommand::Encrypt(args) => encrypt::run(args, unfinished),
        MediaCommand::Decrypt(args) => decrypt::run(args, unfinished),
        MediaCommand::Inspect(args) => inspect::run(args),
    })
    .await
}

fn parse_kind(name: &str) -> Result<MediaKind, String> {
    name.parse().map_err(|_| {
        let known: Vec<_> = MediaKind::ALL.into_iter().map(MediaKind::name).collect();
        format!("known: {}", known.join(", "))
    })
}

/// The 32 bytes of a media key in hex.
#[derive(Clone)]
struct KeyArg(MediaKey);

impl FromStr for KeyArg {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let bytes = hex::decode(text).ok();
        let key = bytes.and_then(|bytes| MediaKey::from_bytes(&bytes).ok());
        key.map(Self).ok_or("a media key is 64 hexadecimal digits")
    }
}

/// A SHA-256, in base64 as reports have it, or in hex.
#[derive(Clone, Copy)]
struct HashArg([u8; 32]);

impl FromStr for HashArg {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let bytes = hex::decode(text).ok().or_else(|| BASE64_STANDARD.decode(text).ok());
        let hash = bytes.and_then(|bytes| bytes.try_into().ok());
        hash.map(Self).ok_or("a SHA-256 is 32 bytes in base64 or hex")
    }
}
