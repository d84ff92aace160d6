//! An encrypted file that waits on this device to be uploaded.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use landbridge_media::{EncryptedFile, Encryptor, MediaKey, MediaKind, Sealed};

use super::MediaError;

/// Bytes that are encrypted at once.
const PIECE: usize = 64 * 1024;

/// What to encrypt, and within which bounds.
pub(super) struct Order {
    pub(super) kind: MediaKind,
    pub(super) key: MediaKey,
    pub(super) limit: u64,
}

/// Where the encrypted file is to lie.
pub(super) enum Berth {
    /// Among the system's temporary files, without a name: it goes with the process.
    Nameless,
    /// There. It goes unless it is [kept](Spool::keep).
    At(PathBuf),
}

/// An encrypted file, whole and durable, that nobody owns yet: it goes with this.
pub(super) struct Spool {
    file: File,
    draft: Option<Draft>,
    pub(super) sealed: Sealed,
}

/// Removes the file, unless it is told not to.
struct Draft(Option<PathBuf>);

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            // What cannot be removed now is found without an owner at the next start.
            let _left = std::fs::remove_file(path);
        }
    }
}

impl Spool {
    /// Encrypts a file. Ends early when `given_up` is set. Nothing is left of what fails.
    pub(super) fn fill(
        order: &Order,
        source: impl io::Read,
        berth: Berth,
        given_up: &AtomicBool,
        progress: impl Fn(u64),
    ) -> Result<Self, MediaError> {
        let (mut file, draft) = match berth {
            Berth::Nameless => (tempfile::tempfile().map_err(disk)?, None),
            Berth::At(path) => (private(&path).map_err(disk)?, Some(Draft(Some(path)))),
        };
        let sealed = encrypt(order, source, &mut file, given_up, progress)?;
        if let Some(Draft(Some(path))) = &draft {
            file.sync_all().map_err(disk)?;
            sync_folder(path.parent()).map_err(disk)?;
        }
        Ok(Self { file, draft, sealed })
    }

    /// The file stays where it is from now on.
    pub(super) fn keep(mut self) -> SpoolFile {
        if let Some(draft) = &mut self.draft {
            draft.0 = None;
        }
        SpoolFile::of(self.file, self.sealed.encrypted_length, self.sealed.file_enc_sha256)
    }
}

/// Encrypts to `sink`.
fn encrypt(
    order: &Order,
    mut source: impl io::Read,
    sink: &mut impl Write,
    given_up: &AtomicBool,
    progress: impl Fn(u64),
) -> Result<Sealed, MediaError> {
    let mut encryptor = Encryptor::new(order.kind, &order.key);
    let (mut buffer, mut ready, mut length) = (vec![0; PIECE], Vec::new(), 0_u64);
    loop {
        if given_up.load(Ordering::Relaxed) {
            return Err(MediaError::GivenUp);
        }
        let count = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(MediaError::Disk { source }),
        };
        length += count as u64;
        if length > order.limit {
            return Err(MediaError::TooLarge { limit: order.limit });
        }
        encryptor.update(buffer.get(..count).unwrap_or_default(), &mut ready);
        sink.write_all(&ready).map_err(disk)?;
        ready.clear();
        progress(length);
    }
    let sealed = encryptor.finish(&mut ready);
    sink.write_all(&ready).map_err(disk)?;
    Ok(sealed)
}

/// What it means that the encrypted file cannot be written.
pub(super) fn disk(source: io::Error) -> MediaError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => MediaError::Full { source },
        _ => MediaError::Disk { source },
    }
}

/// A new file that only its owner may read.
fn private(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes the names in a folder durable, where a folder can be told to.
pub(super) fn sync_folder(folder: Option<&Path>) -> io::Result<()> {
    match folder {
        Some(folder) if cfg!(unix) => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

/// An encrypted file that is read from wherever it lies.
#[derive(Clone)]
pub(super) struct SpoolFile {
    file: Arc<Mutex<File>>,
    length: u64,
    sha256: [u8; 32],
}

impl SpoolFile {
    fn of(file: File, length: u64, sha256: [u8; 32]) -> Self {
        Self { file: Arc::new(Mutex::new(file)), length, sha256 }
    }

    /// The file at `path`, if it has that length. Whether it is the one with that hash, the server sees.
    pub(super) fn open(path: &Path, length: u64, sha256: [u8; 32]) -> io::Result<Self> {
        let file = File::open(path)?;
        if file.metadata()?.len() != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Self::of(file, length, sha256))
    }
}

#[async_trait]
impl EncryptedFile for SpoolFile {
    fn length(&self) -> u64 {
        self.length
    }

    fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    async fn read(&self, from: u64, at_most: usize) -> io::Result<bytes::Bytes> {
        let (file, left) = (Arc::clone(&self.file), self.length.saturating_sub(from));
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(at_most);
        let work = move || {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            let mut bytes = vec![0; count];
            file.seek(SeekFrom::Start(from))?;
            file.read_exact(&mut bytes)?;
            Ok(bytes.into())
        };
        tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with so much room.
    struct Room(usize);

    impl Write for Room {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn order() -> Order {
        let key = MediaKey::from_bytes(&[5; 32]).unwrap();
        Order { kind: MediaKind::Document, key, limit: 1_000_000 }
    }

    #[test]
    fn a_full_disk_is_said_to_be_full() {
        let all = landbridge_media::encrypted_length(200_000).unwrap();
        for room in [0, 1, 65_536, 199_999, usize::try_from(all).unwrap() - 1] {
            let full = encrypt(&order(), &[7; 200_000][..], &mut Room(room), &false.into(), |_| {});
            assert!(matches!(full, Err(MediaError::Full { .. })), "room for {room}: {full:?}");
        }
        let room = usize::try_from(all).unwrap();
        encrypt(&order(), &[7; 200_000][..], &mut Room(room), &false.into(), |_| {}).unwrap();
    }

    #[test]
    fn nothing_is_left_of_what_is_not_kept() {
        /// A file that breaks off.
        struct Broken(usize);

        impl io::Read for Broken {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                self.0 = self.0.checked_sub(1).ok_or(io::ErrorKind::InvalidData)?;
                into.fill(1);
                Ok(into.len())
            }
        }

        let folder = tempfile::tempdir().unwrap();
        let count = || std::fs::read_dir(&folder).unwrap().count();
        let at = |name: &str| Berth::At(folder.path().join(name));
        let (go_on, stop) = (AtomicBool::new(false), AtomicBool::new(true));
        let failed = [
            Spool::fill(&order(), Broken(3), at("broken"), &go_on, |_| {}),
            Spool::fill(&order(), Broken(3), at("stopped"), &stop, |_| {}),
            Spool::fill(&order(), io::repeat(1), at("endless"), &go_on, |_| {}),
        ];
        assert!(failed.iter().all(Result::is_err));
        assert_eq!(count(), 0);
        let spool = Spool::fill(&order(), &b"a file"[..], at("dropped"), &go_on, |_| {}).unwrap();
        assert_eq!(count(), 1);
        drop(spool);
        assert_eq!(count(), 0);
        let spool = Spool::fill(&order(), &b"a file"[..], at("kept"), &go_on, |_| {}).unwrap();
        let (length, hash) = (spool.sealed.encrypted_length, spool.sealed.file_enc_sha256);
        drop(spool.keep());
        let path = folder.path().join("kept");
        assert!(SpoolFile::open(&path, length, hash).is_ok());
        assert!(SpoolFile::open(&path, length + 16, hash).is_err(), "one that was cut short is none");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
