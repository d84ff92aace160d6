//! Who remembers how far a store has come, outside of it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What a witness remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The store.
    pub store: [u8; 16],
    /// Its epoch.
    pub epoch: u64,
    /// The id that its next one-time key would have got, so that a store that is put back gives none twice.
    pub next_prekey_id: u32,
}

/// Why a witness could not be heard or told.
pub type WitnessError = Box<dyn std::error::Error + Send + Sync>;

/// Something that remembers a store's epoch and is *not* put back together with it: what it protects from is exactly what it
/// does not share. A file outside of the backup, a platform's key store, a monotonic counter in hardware.
///
/// Called when the store is opened and closed, and every 64 commits; on the thread that does so.
pub trait EpochWitness: Send {
    /// What was remembered last; `None` if nothing, or nothing that reads.
    ///
    /// # Errors
    /// It cannot be asked. The store then does not open: a store whose age is unknown must not send.
    fn read(&mut self) -> Result<Option<Mark>, WitnessError>;

    /// Remembers. Durable when it returns, or else an older mark must come back.
    ///
    /// # Errors
    /// It cannot be told. What was stored stays stored.
    fn write(&mut self, mark: &Mark) -> Result<(), WitnessError>;
}

/// A witness in a small file. By default it lies beside the database, with `-epoch` behind its name: it then notices a
/// database that was put back alone, and not a directory that was put back whole. Keep it where backups do not reach.
#[derive(Debug)]
pub struct FileWitness {
    path: PathBuf,
}

impl FileWitness {
    /// A witness in the file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The witness beside a database.
    pub fn beside(database: &Path) -> Self {
        Self::new(with_suffix(database, "-epoch"))
    }
}

/// A path with something behind its file name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// What the file begins with.
const TITLE: &str = "landbridge epoch 2";

impl EpochWitness for FileWitness {
    fn read(&mut self) -> Result<Option<Mark>, WitnessError> {
        match std::fs::read_to_string(&self.path) {
            Ok(text) => Ok(parse(&text)),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) => Ok(None),
            Err(error) => Err(Box::new(error)),
        }
    }

    fn write(&mut self, mark: &Mark) -> Result<(), WitnessError> {
        let id: String = mark.store.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!("{TITLE}\n{id} {} {}\n", mark.epoch, mark.next_prekey_id);
        let temporary = with_suffix(&self.path, ".new");
        // Replaced as a whole. Should the power fail before the directory is written, the older mark comes back, which
        // raises no alarm.
        super::write_private(&temporary, text.as_bytes())?;
        std::fs::rename(&temporary, &self.path)?;
        Ok(())
    }
}

fn parse(text: &str) -> Option<Mark> {
    let (id, rest) = text.strip_prefix(TITLE)?.strip_prefix('\n')?.strip_suffix('\n')?.split_once(' ')?;
    let (epoch, next_prekey_id) = rest.split_once(' ')?;
    if id.len() != 32 || !id.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let store = u128::from_str_radix(id, 16).ok()?.to_be_bytes();
    Some(Mark { store, epoch: epoch.parse().ok()?, next_prekey_id: next_prekey_id.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_comes_back_and_anything_else_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("client.db");
        let mut witness = FileWitness::beside(&path);
        assert_eq!(witness.read().unwrap(), None);
        for epoch in [0, 1, u64::MAX] {
            let store = [0xa5, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 0xff];
            let mark = Mark { store, epoch, next_prekey_id: 0xff_ffff };
            witness.write(&mark).unwrap();
            assert_eq!(witness.read().unwrap(), Some(mark));
        }
        let good = std::fs::read(with_suffix(&path, "-epoch")).unwrap();
        for length in 0..good.len() {
            std::fs::write(with_suffix(&path, "-epoch"), &good[..length]).unwrap();
            assert_eq!(witness.read().unwrap(), None, "{length} bytes");
        }
        std::fs::write(with_suffix(&path, "-epoch"), [0xff; 40]).unwrap();
        assert_eq!(witness.read().unwrap(), None, "not even text");
    }
}
