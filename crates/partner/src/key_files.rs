//! Signing keys in the data directory: made on the first start, kept from then on, readable by nobody else.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use landbridge_enlist::jwt::{KeyError, RsaSigner};
use landbridge_enlist::{GenerateError, generate_rsa_pem};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::key_ring::Rotation;

/// The key in use.
pub(crate) const ACTIVE: &str = "active";
/// The key that could replace it at once.
pub(crate) const STANDBY: &str = "standby";
/// The key that was in use last, while its tokens live.
pub(crate) const RETIRING: &str = "retiring";
const TIMES: &str = "times.json";
/// A PKCS#8 PEM of 4096 bits has 3.3 kB.
const MAX_FILE: u64 = 64 * 1024;

/// The keys of a directory.
pub(crate) struct Loaded {
    pub(crate) active: RsaSigner,
    pub(crate) standby: RsaSigner,
    /// Whether the standby was made just now.
    pub(crate) standby_is_new: bool,
    pub(crate) retiring: Option<RsaSigner>,
}

fn path(data_dir: &Path, name: &str) -> PathBuf {
    data_dir.join("keys").join(format!("{name}.pem"))
}

/// Reads the keys from `<data_dir>/keys`, making those that are not there. Without a directory they are made and not
/// kept. Blocks: 100 ms and more of CPU per new key.
pub(crate) fn load_or_generate(data_dir: Option<&Path>) -> Result<Loaded, KeyFileError> {
    let mut retiring = None;
    if let Some(data_dir) = data_dir {
        let (active, standby) = (path(data_dir, ACTIVE), path(data_dir, STANDBY));
        retiring = load(&path(data_dir, RETIRING))?;
        // A rotation was cut short after its first step: the next one is to be done.
        if retiring.is_some() && !active.exists() && standby.exists() {
            fs::rename(&standby, &active).map_err(|cause| KeyFileError::Write { path: active, cause })?;
        }
    }
    let standby_is_new = data_dir.is_none_or(|data_dir| !path(data_dir, STANDBY).exists());
    // Drawing a key is the slow part, so both are drawn at once.
    let (active, standby) = std::thread::scope(|scope| {
        let [active, standby] =
            [ACTIVE, STANDBY].map(|name| scope.spawn(move || load_or_generate_one(data_dir, name)));
        let join = |loader: std::thread::ScopedJoinHandle<'_, _>| {
            loader.join().unwrap_or_else(|_| Err(KeyFileError::Panicked))
        };
        (join(active), join(standby))
    });
    Ok(Loaded { active: active?, standby: standby?, standby_is_new, retiring })
}

fn load(path: &Path) -> Result<Option<RsaSigner>, KeyFileError> {
    read(path)?.map(|pem| signer(path, &pem)).transpose()
}

fn load_or_generate_one(data_dir: Option<&Path>, name: &str) -> Result<RsaSigner, KeyFileError> {
    let Some(data_dir) = data_dir else {
        return signer(Path::new(name), &generate_rsa_pem(&mut rand::rng())?);
    };
    let path = path(data_dir, name);
    if let Some(signer) = load(&path)? {
        return Ok(signer);
    }
    let pem = generate_rsa_pem(&mut rand::rng())?;
    write(&path, &pem).map_err(|cause| KeyFileError::Write { path: path.clone(), cause })?;
    tracing::info!(path = %path.display(), "made a signing key");
    signer(&path, &pem)
}

/// Makes the standby the active key, and a new one the standby. Gives the new one. Killed in between, the files are such
/// that [`load_or_generate`] goes on with it.
pub(crate) fn rotate(data_dir: Option<&Path>, rotation: Rotation) -> Result<RsaSigner, KeyFileError> {
    let pem = generate_rsa_pem(&mut rand::rng())?;
    let Some(data_dir) = data_dir else { return signer(Path::new(STANDBY), &pem) };
    let [active, standby, retiring] = [ACTIVE, STANDBY, RETIRING].map(|name| path(data_dir, name));
    let rename = |from: &Path, to: &Path| {
        fs::rename(from, to)
            .and_then(|()| sync(to))
            .map_err(|cause| KeyFileError::Write { path: to.to_owned(), cause })
    };
    match rotation {
        Rotation::Planned => rename(&active, &retiring)?,
        Rotation::Emergency => remove(Some(data_dir), RETIRING)?,
    }
    rename(&standby, &active)?;
    write(&standby, &pem).map_err(|cause| KeyFileError::Write { path: standby.clone(), cause })?;
    signer(&standby, &pem)
}

/// Removes a key, if it is there.
pub(crate) fn remove(data_dir: Option<&Path>, name: &str) -> Result<(), KeyFileError> {
    let Some(data_dir) = data_dir else { return Ok(()) };
    let path = path(data_dir, name);
    match fs::remove_file(&path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(KeyFileError::Write { path, cause }),
        _ => sync(&path).map_err(|cause| KeyFileError::Write { path: path.clone(), cause }),
    }
}

/// Since when the keys are what they are. What cannot be understood is as if it were not there.
pub(crate) fn read_times<T: DeserializeOwned>(data_dir: Option<&Path>) -> Result<Option<T>, KeyFileError> {
    let Some(data_dir) = data_dir else { return Ok(None) };
    let text = read(&data_dir.join("keys").join(TIMES))?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

pub(crate) fn write_times<T: Serialize>(data_dir: Option<&Path>, times: &T) -> Result<(), KeyFileError> {
    let Some(data_dir) = data_dir else { return Ok(()) };
    let path = data_dir.join("keys").join(TIMES);
    // Numbers: there is nothing in it that serde_json can refuse.
    let text = serde_json::to_string(times).unwrap_or_default();
    write(&path, &text).map_err(|cause| KeyFileError::Write { path, cause })
}

/// The rename or removal itself lies in the directory. Not every system lets a directory be opened.
fn sync(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(())
}

fn signer(path: &Path, pem: &str) -> Result<RsaSigner, KeyFileError> {
    RsaSigner::from_pkcs8_pem(pem).map_err(|cause| KeyFileError::Key { path: path.to_owned(), cause })
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
    file.write_all(pem.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
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
    /// No key came out of the generator.
    #[error("no signing key could be made")]
    Generate(#[from] GenerateError),
    /// The thread that made a key ended early.
    #[error("the thread that makes a signing key ended early")]
    Panicked,
}
