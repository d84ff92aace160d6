//! Private keys in the data directory: made on the first start, kept from then on, readable by nobody else.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use landbridge_enlist::jwt::{KeyError, RsaSigner};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::key_shelf::{Kept, KeyShelf, KeyShelfError, KeyState, PrivatePem, Swapped};

/// The key in use.
pub(crate) const ACTIVE: &str = "active";
/// The key that could replace it at once.
pub(crate) const STANDBY: &str = "standby";
/// The key that was in use last, while its tokens live.
pub(crate) const RETIRING: &str = "retiring";
/// The key of Web Push.
const VAPID: &str = "vapid";
const TIMES: &str = "times.json";
/// A PKCS#8 PEM of 4096 bits has 3.3 kB.
const MAX_FILE: u64 = 64 * 1024;

/// The keys of `<data_dir>/keys`: one file each, and one for the times. One process has the directory, and several
/// tasks of it may ask at once.
#[derive(Debug, Clone)]
pub(crate) struct FileShelf {
    directory: Arc<Path>,
    changing: Arc<Mutex<()>>,
}

impl FileShelf {
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self { directory: data_dir.join("keys").into(), changing: Arc::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.pem"))
    }

    fn read_key(&self, name: &str) -> Result<Option<PrivatePem>, KeyFileError> {
        let path = self.path(name);
        let pem = read(&path)?;
        // What is kept can be used, so that a mistake shows with the name of its file.
        if let Some(pem) = pem.as_ref().filter(|_| name != VAPID) {
            RsaSigner::from_pkcs8_pem(pem).map_err(|cause| KeyFileError::Key { path, cause })?;
        }
        Ok(pem.map(PrivatePem::new))
    }

    /// What the files say, where a change was cut short included: the change is in the new active key, which is written
    /// after the retiring one and before the standby.
    fn read_all(&self) -> Result<KeyState, KeyFileError> {
        let mut state = KeyState {
            active: self.read_key(ACTIVE)?,
            standby: self.read_key(STANDBY)?,
            retiring: self.read_key(RETIRING)?,
            // What cannot be understood is as if it were not there.
            times: read(&self.directory.join(TIMES))?.and_then(|text| serde_json::from_str(&text).ok()),
            web_push: self.read_key(VAPID)?,
        };
        if state.active.is_none() && state.retiring.is_some() {
            state.active = state.standby.take();
        }
        if state.standby == state.active {
            state.standby = None;
        }
        if state.retiring == state.active {
            state.retiring = None;
        }
        Ok(state)
    }

    fn write_all(&self, state: &KeyState) -> Result<(), KeyFileError> {
        self.write_key(RETIRING, state.retiring.as_ref())?;
        self.write_key(ACTIVE, state.active.as_ref())?;
        if let Some(times) = &state.times {
            // Numbers: there is nothing in it that serde_json can refuse.
            let text = Zeroizing::new(serde_json::to_string(times).unwrap_or_default());
            self.write_file(self.directory.join(TIMES), &text)?;
        }
        self.write_key(STANDBY, state.standby.as_ref())?;
        self.write_key(VAPID, state.web_push.as_ref())
    }

    fn write_key(&self, name: &str, pem: Option<&PrivatePem>) -> Result<(), KeyFileError> {
        let path = self.path(name);
        match pem {
            Some(pem) => self.write_file(path, pem.as_str()),
            None => remove(path),
        }
    }

    /// What is there already is left alone.
    fn write_file(&self, path: PathBuf, text: &str) -> Result<(), KeyFileError> {
        if read(&path)?.is_some_and(|there| *there == text) {
            return Ok(());
        }
        write(&path, text).map_err(|cause| KeyFileError::Write { path, cause })
    }

    /// Runs `work` where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, KeyFileError> + Send + 'static,
    ) -> Result<T, KeyShelfError> {
        let shelf = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _one_at_a_time = shelf.changing.lock().unwrap_or_else(PoisonError::into_inner);
            work(&shelf)
        });
        done.await.unwrap_or(Err(KeyFileError::Panicked)).map_err(KeyShelfError::Files)
    }
}

#[async_trait]
impl KeyShelf for FileShelf {
    async fn load(&self) -> Result<Kept, KeyShelfError> {
        let state = self.blocking(Self::read_all).await?;
        Ok(Kept { version: state.fingerprint(), state })
    }

    async fn swap(&self, version: u64, state: &KeyState) -> Result<Swapped, KeyShelfError> {
        let state = state.clone();
        self.blocking(move |shelf| {
            if shelf.read_all()?.fingerprint() != version {
                return Ok(Swapped::No);
            }
            shelf.write_all(&state)?;
            Ok(Swapped::Yes(state.fingerprint()))
        })
        .await
    }
}

/// Removes a file, if it is there.
fn remove(path: PathBuf) -> Result<(), KeyFileError> {
    match fs::remove_file(&path).and_then(|()| sync(&path)) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(KeyFileError::Write { path, cause }),
        _ => Ok(()),
    }
}

/// The rename or removal itself lies in the directory. Not every system lets a directory be opened.
fn sync(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(())
}

/// The text of a file with a secret that has to be there: mode 0600, at most 64 KiB.
///
/// # Errors
/// [`KeyFileError`].
pub fn read_key_file(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    read_existing(path)
}

/// The file's text; `None` if there is no file.
pub(crate) fn read(path: &Path) -> Result<Option<Zeroizing<String>>, KeyFileError> {
    let failed = |cause| KeyFileError::Read { path: path.to_owned(), cause };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(failed(cause)),
    };
    // The open file is checked, so that it cannot be exchanged between the check and the reading.
    let metadata = file.metadata().map_err(failed)?;
    if let Some(mode) = open_mode(&metadata) {
        return Err(KeyFileError::Mode { path: path.to_owned(), mode });
    }
    let mut pem = Zeroizing::new(String::new());
    file.take(MAX_FILE).read_to_string(&mut pem).map_err(failed)?;
    Ok(Some(pem))
}

/// The text of a file that has to be there.
pub(crate) fn read_existing(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let missing = || KeyFileError::Read { path: path.to_owned(), cause: io::ErrorKind::NotFound.into() };
    read(path)?.ok_or_else(missing)
}

/// The permission bits, if others than the owner have any.
#[cfg(unix)]
fn open_mode(metadata: &fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = metadata.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

#[cfg(not(unix))]
fn open_mode(_: &fs::Metadata) -> Option<u32> {
    None
}

/// Writes a new file whole or not at all.
pub(crate) fn write(path: &Path, pem: &str) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    make_directory(directory)?;
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&temporary)?;
    let written = file.write_all(pem.as_bytes()).and_then(|()| file.sync_all());
    if let Err(cause) = written.and_then(|()| fs::rename(&temporary, path)) {
        // Half a key is of no use to us, and none of anybody else's business.
        let _ = fs::remove_file(&temporary);
        return Err(cause);
    }
    sync(path)
}

fn make_directory(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// Trouble with the key files.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// Not readable.
    #[error("the key file {} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// Not writable.
    #[error("the key file {} cannot be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// Others than the owner may read or write it.
    #[error("the key file {} has mode {mode:03o}; set it to 600", path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a signing key.
    #[error("the key file {} holds no usable key", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        cause: KeyError,
    },
    /// The thread that reads and writes them ended early.
    #[error("the thread that has the key files ended early")]
    Panicked,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("active.pem");
        fs::create_dir(&path).unwrap();
        assert!(write(&path, "secret").is_err());
        let left: Vec<_> =
            fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left, [path]);
    }
}
