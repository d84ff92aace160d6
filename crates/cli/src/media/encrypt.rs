//! `landbridge media encrypt`

use std::path::PathBuf;

use landbridge::media::{Encryptor, MediaKey, MediaKind, Quarantine as _};

use super::pipes::{Input, Output};
use super::report::{Facts, Report};
use super::stop::Unfinished;
use super::{KeyArg, parse_kind};
use crate::failure::Failure;

#[derive(clap::Args)]
pub(super) struct Args {
    /// What the file is: image, sticker, video, gif, ptv, audio, ptt, document, …
    #[arg(long, value_parser = parse_kind)]
    kind: MediaKind,
    /// The media key, 64 hexadecimal digits; a new one is made and printed if absent
    #[arg(long, value_name = "HEX", env = "LANDBRIDGE_MEDIA_KEY", hide_env_values = true)]
    key: Option<KeyArg>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// The plain file; - is standard input
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// The encrypted file; - is standard output, and the report then goes to standard error
    #[arg(value_name = "OUT")]
    output: PathBuf,
}

pub(super) fn run(args: Args, unfinished: &Unfinished) -> Result<(), Failure> {
    let (key, made) = match args.key {
        Some(KeyArg(key)) => (key, None),
        None => {
            let key = MediaKey::generate(&mut rand::rng());
            let text = hex::encode(key.as_bytes());
            (key, Some(text))
        }
    };
    let mut input = Input::open(&args.input)?;
    let mut output = Output::open(&args.output, unfinished)?;
    let mut encryptor = Encryptor::new(args.kind, &key);
    let mut ready = Vec::new();
    loop {
        let piece = input.next()?;
        if piece.is_empty() {
            break;
        }
        encryptor.update(piece, &mut ready);
        output.hold(&ready)?;
        ready.clear();
    }
    let sealed = encryptor.finish(&mut ready);
    output.hold(&ready)?;
    output.release()?;
    drop(input);
    let mut report = Report::new(&Facts {
        kind: args.kind,
        file_length: sealed.file_length,
        encrypted_length: sealed.encrypted_length,
        file_sha256: &sealed.file_sha256,
        file_enc_sha256: &sealed.file_enc_sha256,
        sidecar: sealed.sidecar.as_ref(),
    });
    report.media_key = made;
    report.print(&args.output, args.json)
}
