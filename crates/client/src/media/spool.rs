//! An encrypted file that waits on this device to be uploaded. It has no name, and goes with its last handle.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use landbridge_media::{EncryptedFile, Encryptor, MediaKey, MediaKind, Sealed};

use super::MediaError;

/// Bytes that are encrypted at once.
const PIECE: usize = 64 * 1024;

/// The file and what its message says about it.
pub(super) struct Spool {
    file: Arc<Mutex<File>>,
    pub(super) sealed: Sealed,
}

/// What to encrypt, and within which bounds.
pub(super) struct Order {
    pub(super) kind: MediaKind,
    pub(super) key: MediaKey,
    pub(super) limit: u64,
}

impl Spool {
    /// Encrypts to a file in `folder`. Ends early when `given_up` is set.
    pub(super) fn fill(
        order: &Order,
        mut source: impl io::Read,
        folder: &Path,
        given_up: &AtomicBool,
        progress: impl Fn(u64),
    ) -> Result<Self, MediaError> {
        let disk = |source| MediaError::Disk { source };
        let mut file = tempfile::tempfile_in(folder).map_err(disk)?;
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
                Err(error) => return Err(disk(error)),
            };
            length += count as u64;
            if length > order.limit {
                return Err(MediaError::TooLarge { limit: order.limit });
            }
            encryptor.update(buffer.get(..count).unwrap_or_default(), &mut ready);
            file.write_all(&ready).map_err(disk)?;
            ready.clear();
            progress(length);
        }
        let sealed = encryptor.finish(&mut ready);
        file.write_all(&ready).map_err(disk)?;
        Ok(Self { file: Arc::new(Mutex::new(file)), sealed })
    }
}

#[async_trait]
impl EncryptedFile for Spool {
    fn length(&self) -> u64 {
        self.sealed.encrypted_length
    }

    fn sha256(&self) -> &[u8; 32] {
        &self.sealed.file_enc_sha256
    }

    async fn read(&self, from: u64, at_most: usize) -> io::Result<bytes::Bytes> {
        let (file, left) = (Arc::clone(&self.file), self.length().saturating_sub(from));
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
