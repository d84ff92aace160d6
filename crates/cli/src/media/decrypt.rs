//! `landbridge media decrypt`

use std::path::PathBuf;

use landbridge::media::{DecryptError, Decryptor, Expected, MediaKind};

use super::pipes::{Input, Output};
use super::report::{Facts, Report};
use super::stop::Unfinished;
use super::{HashArg, KeyArg, parse_kind};
use crate::failure::Failure;

#[derive(clap::Args)]
pub(super) struct Args {
    /// What the file is: image, sticker, video, gif, ptv, audio, ptt, document, …
    #[arg(long, value_parser = parse_kind)]
    kind: MediaKind,
    /// The media key of the message, 64 hexadecimal digits
    #[arg(long, value_name = "HEX", env = "LANDBRIDGE_MEDIA_KEY", hide_env_values = true)]
    key: KeyArg,
    /// SHA-256 of the encrypted file that the message names; checked if given
    #[arg(long, value_name = "HASH")]
    file_enc_sha256: Option<HashArg>,
    /// SHA-256 of the plain file that the message names; checked if given
    #[arg(long, value_name = "HASH")]
    file_sha256: Option<HashArg>,
    /// Length of the plain file that the message names, in bytes; checked if given
    #[arg(long, value_name = "BYTES")]
    file_length: Option<u64>,
    /// Longest plain file that is taken, in bytes [default: no limit]
    #[arg(long, value_name = "BYTES")]
    limit: Option<u64>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// The encrypted file; - is standard input
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// The plain file; - is standard output, and the report then goes to standard error
    #[arg(value_name = "OUT")]
    output: PathBuf,
}

impl Args {
    fn expected(&self) -> Expected {
        let KeyArg(key) = &self.key;
        let limit = self.limit.unwrap_or(u64::MAX);
        let mut expected = Expected::by_key_alone(self.kind, key.clone(), limit);
        if let Some(HashArg(hash)) = self.file_enc_sha256 {
            expected = expected.with_enc_sha256(hash);
        }
        if let Some(HashArg(hash)) = self.file_sha256 {
            expected = expected.with_sha256(hash);
        }
        match self.file_length {
            Some(length) => expected.with_length(length),
            None => expected,
        }
    }
}

pub(super) fn run(args: Args, unfinished: &Unfinished) -> Result<(), Failure> {
    let mut input = Input::open(&args.input)?;
    let mut decryptor = Decryptor::new(&args.expected(), Output::open(&args.output, unfinished)?);
    if args.kind.has_sidecar() {
        decryptor = decryptor.with_sidecar();
    }
    loop {
        let piece = input.next()?;
        if piece.is_empty() {
            break;
        }
        decryptor.update(piece).map_err(told)?;
    }
    drop(input);
    let encrypted_length = decryptor.position();
    let opened = decryptor.finish().map_err(told)?;
    let report = Report::new(&Facts {
        kind: args.kind,
        file_length: opened.file_length,
        encrypted_length,
        file_sha256: &opened.file_sha256,
        file_enc_sha256: &opened.file_enc_sha256,
        sidecar: opened.sidecar.as_ref(),
    });
    report.print(&args.output, args.json)
}

fn told(error: DecryptError<Failure>) -> Failure {
    match error {
        DecryptError::Refused(refusal) => {
            Failure::runtime(format!("the file is refused: {refusal} ({})", refusal.code()))
        }
        DecryptError::Quarantine(failure) => failure,
        other => Failure::runtime(other.to_string()),
    }
}
