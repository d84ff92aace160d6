//! Signing keys in the data directory: made on the first start, kept from then on, readable by nobody else.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use landbridge_enlist::jwt::{KeyError, RsaSigner};
use landbridge_enlist::{GenerateError, generate_rsa_pem};
use thiserror::Error;
use zeroize::Zeroizing;

/// The key in use first, then the one that could replace it at once.
const NAMES: [&str; 2] = ["active", "standby"];
/// A PKCS#8 PEM of 4096 bits has 3.3 kB.
const MAX_FILE: u64 = 64 * 1024;

/// Reads both keys from `<data_dir>/keys`, making those that are not there. Without a directory they are made and not
/// kept. Blocks: 100 ms and more of CPU per new key.
pub(crate) fn load_or_generate(data_dir: Option<&Path>) -> Result<Vec<RsaSigner>, KeyFileError> {
    // Drawing a key is the slow part, so both are drawn at once.
    std::thread::scope(|scope| {
        let loaders = NAMES.map(|name| scope.spawn(move || load_or_generate_one(data_dir, name)));
        loaders
            .into_iter()
            .map(|loader| loader.join().unwrap_or_else(|_| Err(KeyFileError::Panicked)))
            .collect()
    })
}

fn load_or_generate_one(data_dir: Option<&Path>, name: &str) -> Result<RsaSigner, KeyFileError> {
    let Some(data_dir) = data_dir else {
        return signer(Path::new(name), &generate_rsa_pem(&mut rand::rng())?);
    };
    let path = data_dir.join("keys").join(format!("{name}.pem"));
    if let Some(pem) = read(&path)? {
        return signer(&path, &pem);
    }
    let pem = generate_rsa_pem(&mut rand::rng())?;
    write(&path, &pem).map_err(|cause| KeyFileError::Write { path: path.clone(), cause })?;
    tracing::info!(path = %path.display(), "made a signing key");
    signer(&path, &pem)
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
    let temporary = path.with_extension(format!("pem.{}.tmp", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&temporary)?;
    file.write_all(pem.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    // The rename itself lies in the directory. Not every system lets a directory be opened.
    #[cfg(unix)]
    File::open(directory)?.sync_all()?;
    Ok(())
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
