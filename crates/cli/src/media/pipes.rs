//! Where the bytes come from and go to: files, or `-` for standard input and output.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use landbridge::media::{HiddenFile, Quarantine};

use super::stop::Unfinished;
use crate::failure::Failure;
use crate::progress;

/// Bytes that are read at once.
const PIECE: usize = 64 * 1024;

/// A file to read; what is read is shown on a terminal.
pub(super) struct Input {
    source: Box<dyn Read>,
    name: String,
    progress: ProgressBar,
    buffer: Vec<u8>,
}

impl Input {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let buffer = vec![0; PIECE];
        if path == Path::new("-") {
            let (name, progress) = ("standard input".to_owned(), progress::bar(None));
            return Ok(Self { source: Box::new(io::stdin()), name, progress, buffer });
        }
        let name = path.display().to_string();
        let unreadable = |error| Failure::runtime(format!("{} cannot be read: {error}", path.display()));
        let file = File::open(path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let progress = progress::bar(Some(length));
        Ok(Self { source: Box::new(file), name, progress, buffer })
    }

    /// The next bytes; none at the end.
    pub(super) fn next(&mut self) -> Result<&[u8], Failure> {
        let count = loop {
            match self.source.read(&mut self.buffer) {
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::runtime(format!("{} cannot be read: {error}", self.name))),
            }
        };
        self.progress.inc(count as u64);
        Ok(self.buffer.get(..count).unwrap_or_default())
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.progress.finish_and_clear();
    }
}

/// Where a file goes once it is whole and good.
pub(super) enum Output {
    /// Takes the place of what is there.
    File(HiddenFile, PathBuf),
    /// Waits in a file without a name, and is copied into a device or pipe, or to standard output.
    Copied(File, Option<PathBuf>),
}

impl Output {
    /// Begins it. What `unfinished` is told is to be removed if the program has to end before.
    pub(super) fn open(path: &Path, unfinished: &Unfinished) -> Result<Self, Failure> {
        let opened = if path == Path::new("-") {
            tempfile::tempfile().map(|file| Self::Copied(file, None))
        } else {
            Self::at(path)
        };
        let opened = opened.map_err(|error| cannot_write(path, &error))?;
        if let Self::File(file, _) = &opened {
            unfinished.is_at(file.hidden_path());
        }
        Ok(opened)
    }

    fn at(path: &Path) -> io::Result<Self> {
        match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            // Another file in its place would be no device any more.
            Ok(found) if !found.is_file() => {
                tempfile::tempfile().map(|file| Self::Copied(file, Some(path.to_owned())))
            }
            // Behind a link is the file that is meant.
            Ok(_) => {
                let target = path.canonicalize()?;
                HiddenFile::beside(&target).map(|file| Self::File(file, target))
            }
            Err(_) => HiddenFile::beside(path).map(|file| Self::File(file, path.to_owned())),
        }
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::runtime(format!("{} cannot be written: {error}", path.display()))
}

impl Quarantine for Output {
    type Released = ();
    type Error = Failure;

    fn hold(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = match self {
            Self::File(file, _) => file.hold(bytes),
            Self::Copied(file, _) => file.write_all(bytes),
        };
        written.map_err(|error| Failure::runtime(format!("the output cannot be written: {error}")))
    }

    fn release(self) -> Result<(), Failure> {
        match self {
            Self::File(file, path) => file.release().map(drop).map_err(|error| cannot_write(&path, &error)),
            Self::Copied(file, None) => copy(file, io::stdout().lock())
                .map_err(|error| Failure::runtime(format!("the output cannot be written: {error}"))),
            Self::Copied(file, Some(path)) => {
                let out = OpenOptions::new().write(true).open(&path);
                out.and_then(|out| copy(file, out)).map_err(|error| cannot_write(&path, &error))
            }
        }
    }
}

fn copy(mut from: File, mut to: impl Write) -> io::Result<()> {
    io::Seek::rewind(&mut from)?;
    io::copy(&mut from, &mut to)?;
    to.flush()
}
