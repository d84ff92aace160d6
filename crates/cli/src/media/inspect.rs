//! `landbridge media inspect`

use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use landbridge::media::encrypted_length;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::pipes::Input;
use super::report::text;
use crate::failure::Failure;
use crate::output;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// The encrypted file; - is standard input
    #[arg(value_name = "IN")]
    input: PathBuf,
}

#[derive(Serialize)]
struct Found {
    encrypted_length: u64,
    file_enc_sha256: String,
    /// Whether an encrypted file can have this length.
    length_is_possible: bool,
    /// Bounds of the plain length.
    #[serde(skip_serializing_if = "Option::is_none")]
    file_length_least: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_length_most: Option<u64>,
    /// The last 10 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    mac: Option<String>,
    /// Entries of a sidecar for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    sidecar_entries: Option<u64>,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    const MAC: usize = 10;
    let mut input = Input::open(&args.input)?;
    let (mut hash, mut length, mut last) = (Sha256::new(), 0_u64, Vec::new());
    loop {
        let piece = input.next()?;
        if piece.is_empty() {
            break;
        }
        hash.update(piece);
        length += piece.len() as u64;
        last.extend_from_slice(piece.get(piece.len().saturating_sub(MAC)..).unwrap_or_default());
        last.drain(..last.len().saturating_sub(MAC));
    }
    drop(input);
    // Padding is 1 to 16 bytes.
    let most = length.checked_sub(MAC as u64 + 1).filter(|most| encrypted_length(*most) == Some(length));
    let found = Found {
        encrypted_length: length,
        file_enc_sha256: BASE64_STANDARD.encode(hash.finalize()),
        length_is_possible: most.is_some(),
        file_length_least: most.map(|most| most - 15),
        file_length_most: most,
        mac: most.map(|_| BASE64_STANDARD.encode(&last)),
        sidecar_entries: most.map(|_| length.div_ceil(65_536)),
    };
    output::line(&text(&found, args.json)?)
}
