//! `export`, `import` and `take-back`: the account moves to another device, or comes back.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use landbridge::store::{ClientStore, ExportError, ExportSecret, Portable, SqliteStore};
use serde_json::json;

use super::Style;
use super::open::{Opener, store_failure};
use crate::failure::Failure;
use crate::output;

/// What locks the file. Never typed on the command line, where other users of the machine could read it.
#[derive(Debug, clap::Args)]
struct Lock {
    /// A file whose first line is the passphrase
    #[arg(long, value_name = "FILE", conflicts_with = "key_file", required_unless_present = "key_file")]
    passphrase_file: Option<PathBuf>,
    /// A file with a key of 32 random bytes as 64 hex digits
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// `export`
#[derive(Debug, clap::Args)]
pub(super) struct Export {
    /// The file to be written; it must not exist
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    lock: Lock,
}

/// `import`
#[derive(Debug, clap::Args)]
pub(super) struct Import {
    /// The exported file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    lock: Lock,
}

impl Lock {
    fn secret(&self) -> Result<ExportSecret, Failure> {
        let (path, is_key) = match (&self.passphrase_file, &self.key_file) {
            (Some(path), None) => (path, false),
            (None, Some(path)) => (path, true),
            _ => return Err(Failure::usage("one of --passphrase-file and --key-file is needed")),
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::runtime(format!("{} cannot be read: {error}", path.display())))?;
        let line = text.lines().next().unwrap_or_default();
        if !is_key {
            return match line {
                "" => Err(Failure::usage(format!("{} holds no passphrase", path.display()))),
                line => Ok(ExportSecret::passphrase(line)),
            };
        }
        let key = hex::decode(line.trim()).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        key.map(ExportSecret::key)
            .ok_or_else(|| Failure::usage(format!("{} does not hold 64 hex digits", path.display())))
    }
}

fn failed(error: &ExportError) -> Failure {
    let failure = Failure::from_error(error);
    match error {
        ExportError::NotEmpty => failure.hint("choose another --data"),
        ExportError::Sealed { .. } => failure.hint("check the passphrase, or export again"),
        _ => failure,
    }
}

pub(super) fn export(export: &Export, opener: &Opener, style: Style) -> Result<(), Failure> {
    let secret = export.lock.secret()?;
    let mut store = opener.enlisted_store()?;
    let path = &export.file;
    let written =
        |error: std::io::Error| Failure::runtime(format!("{} cannot be written: {error}", path.display()));
    let file = create_private(path).map_err(written)?;
    let mut out = BufWriter::new(&file);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let outcome = store.export(&mut out, &secret, now, &mut rand::rng());
    drop(out);
    if let Err(error) = outcome {
        // It is of no use to anybody.
        let _left = std::fs::remove_file(path);
        return Err(failed(&error));
    }
    file.sync_all().map_err(written)?;
    match style {
        Style::Json => output::json(&json!({ "exported": path.display().to_string() })),
        Style::Text => output::line(&format!(
            "the account is in {}; this directory does not connect any more, unless it is taken back",
            path.display()
        )),
    }
}

pub(super) fn import(import: &Import, opener: &Opener, style: Style) -> Result<(), Failure> {
    let secret = import.lock.secret()?;
    let path = &import.file;
    let file = File::open(path)
        .map_err(|error| Failure::runtime(format!("{} cannot be read: {error}", path.display())))?;
    opener.settings.make_directory()?;
    let mut store = SqliteStore::import(opener.database(), BufReader::new(file), &secret)
        .map_err(|error| failed(&error))?;
    let account = store.begin().and_then(|tx| tx.account()).map_err(|error| store_failure(&error))?;
    // What was given with this command is what later ones use.
    opener.settings.remember()?;
    let login = account.and_then(|account| account.enlistment.login().map(str::to_owned));
    match style {
        Style::Json => output::json(&json!({ "imported": login })),
        Style::Text => output::line(&format!(
            "{} is here now; the device that it came from must not be used any more",
            login.as_deref().unwrap_or("the account")
        )),
    }
}

pub(super) fn take_back(opener: &Opener, style: Style) -> Result<(), Failure> {
    let mut store = opener.enlisted_store()?;
    let mut work = || {
        let mut tx = store.begin()?;
        tx.take_back()?;
        tx.commit()
    };
    work().map_err(|error| store_failure(&error))?;
    match style {
        Style::Json => output::json(&json!({ "taken_back": true })),
        Style::Text => output::line("the account is used here again; sessions are begun anew"),
    }
}

/// A new file that only its owner may read.
fn create_private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
