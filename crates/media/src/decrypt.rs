//! Decryption of a stream, with every check.

use core::convert::Infallible;

use aes::Aes256Dec;
use cbc::cipher::{Array, BlockModeDecrypt};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    Expected, Sidecar,
    encrypt::CHUNK,
    keys::CIPHER_BLOCK,
    refusal::Refusal,
    sha::{BLOCK, Mac, Sha256},
    sidecar::{MAC, Windows},
};

/// Shortest encrypted file, in bytes: an empty one.
const SHORTEST: usize = CIPHER_BLOCK + MAC;

/// Where plain bytes wait until the whole file is known to be good.
///
/// The MAC stands at the end of a file, so what [`Decryptor`] gives before is not authenticated: it must not be seen by
/// anyone until `release` is called. Dropping a quarantine that was not released destroys what it holds.
pub trait Quarantine: Sized {
    /// What is there for the application once the file is good.
    type Released;
    /// Why bytes cannot be kept or released.
    type Error;

    /// Keeps more bytes, hidden.
    ///
    /// # Errors
    ///
    /// If they cannot be kept. The file is then given up.
    fn hold(&mut self, plain: &[u8]) -> Result<(), Self::Error>;

    /// All bytes are there and good.
    ///
    /// # Errors
    ///
    /// If the file cannot be made visible.
    fn release(self) -> Result<Self::Released, Self::Error>;
}

/// Bytes in memory, for small files.
impl Quarantine for Vec<u8> {
    type Released = Self;
    type Error = Infallible;

    fn hold(&mut self, plain: &[u8]) -> Result<(), Infallible> {
        self.extend_from_slice(plain);
        Ok(())
    }

    fn release(self) -> Result<Self, Infallible> {
        Ok(self)
    }
}

/// Why there is no plain file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DecryptError<E> {
    /// The file is not good.
    #[error("the file is refused")]
    Refused(#[source] Refusal),
    /// The quarantine failed; the file may be good.
    #[error("the plain file cannot be kept")]
    Quarantine(#[source] E),
}

/// A file that passed every check.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened<T> {
    /// What the quarantine released.
    pub file: T,
    /// SHA-256 of the plain file.
    pub file_sha256: [u8; 32],
    /// SHA-256 of the encrypted file.
    pub file_enc_sha256: [u8; 32],
    /// Length of the plain file, in bytes.
    pub file_length: u64,
    /// The sidecar that its sender would make, if [`Decryptor::with_sidecar`] asked for it.
    pub sidecar: Option<Sidecar>,
}

/// Decrypts one file in one pass and constant memory. Plain bytes go to a [`Quarantine`], which releases them when both
/// hashes, the MAC, the padding and the length are right.
///
/// ```
/// use landbridge_media::{Claim, Decryptor, Expected, MediaKey, MediaKind, encrypt};
///
/// let key = MediaKey::generate(&mut rand::rng());
/// let (encrypted, sealed) = encrypt(MediaKind::Document, &key, b"a letter");
/// let mut claim = Claim::default();
/// claim.media_key = Some(key.as_bytes());
/// claim.file_sha256 = Some(&sealed.file_sha256);
/// claim.file_enc_sha256 = Some(&sealed.file_enc_sha256);
/// let expected = Expected::of_message(MediaKind::Document, claim, 1_000_000)?;
///
/// let mut decryptor = Decryptor::new(&expected, Vec::new());
/// for piece in encrypted.chunks(7) {
///     decryptor.update(piece)?;
/// }
/// assert_eq!(decryptor.finish()?.file, b"a letter");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Decryptor<Q> {
    cipher: cbc::Decryptor<Aes256Dec>,
    plain: Sha256,
    mac: Mac,
    file: Sha256,
    windows: Option<Windows>,
    /// The cipher block before, and then `filled` bytes that are not decrypted yet.
    work: Box<[u8]>,
    filled: usize,
    opened: Zeroizing<Vec<u8>>,
    /// Encrypted bytes so far.
    length: u64,
    expected: Expected,
    quarantine: Q,
}

impl<Q: Quarantine> Decryptor<Q> {
    /// Begins a file.
    #[must_use]
    pub fn new(expected: &Expected, quarantine: Q) -> Self {
        let keys = expected.key.expand(expected.kind);
        let mut work = vec![0; CIPHER_BLOCK + CHUNK + BLOCK + SHORTEST];
        work[..CIPHER_BLOCK].copy_from_slice(keys.iv());
        Self {
            cipher: keys.decryptor(keys.iv()),
            plain: Sha256::new(),
            mac: keys.mac_key().begin(),
            file: Sha256::new(),
            windows: None,
            work: work.into_boxed_slice(),
            filled: 0,
            opened: Zeroizing::new(vec![0; CHUNK + BLOCK]),
            length: 0,
            expected: expected.clone(),
            quarantine,
        }
    }

    /// Has the sidecar made, too. To be asked for before the first byte.
    #[must_use]
    pub fn with_sidecar(mut self) -> Self {
        let keys = self.expected.key.expand(self.expected.kind);
        self.windows = Some(Windows::new(keys.mac_key()));
        self
    }

    /// Encrypted bytes taken so far: where to go on after a break.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.length
    }

    /// Takes more of the encrypted file.
    ///
    /// # Errors
    ///
    /// [`Refusal::TooLarge`] as soon as no file within the limit can be that long; what the quarantine says.
    pub fn update(&mut self, mut encrypted: &[u8]) -> Result<(), DecryptError<Q::Error>> {
        self.length += encrypted.len() as u64;
        if self.length > self.expected.encrypted_limit() {
            return Err(DecryptError::Refused(Refusal::TooLarge { limit: self.expected.limit }));
        }
        while !encrypted.is_empty() {
            let from = CIPHER_BLOCK + self.filled;
            let room = encrypted.len().min(self.work.len() - from);
            let (now, later) = encrypted.split_at(room);
            self.work[from..from + room].copy_from_slice(now);
            self.filled += room;
            encrypted = later;
            // The last block and the MAC stay, whatever comes.
            if self.filled >= CHUNK + SHORTEST {
                self.decrypt(CHUNK).map_err(DecryptError::Quarantine)?;
            }
        }
        Ok(())
    }

    /// Decrypts the first `length` bytes that wait, a multiple of 64, and moves what is behind them to the front.
    fn decrypt(&mut self, length: usize) -> Result<(), Q::Error> {
        let Self { cipher, plain, mac, file, windows, work, opened, .. } = self;
        let opened = &mut opened[..length];
        opened.copy_from_slice(&work[CIPHER_BLOCK..CIPHER_BLOCK + length]);
        let (blocks, _) = opened.as_chunks_mut::<CIPHER_BLOCK>();
        cipher.decrypt_blocks(Array::cast_slice_from_core_mut(blocks));
        // Each of these chains waits for itself; in small steps in turn they wait together.
        for (at, opened) in (0..length).step_by(BLOCK).zip(opened.as_chunks::<BLOCK>().0) {
            if let Some(block) = work[at..].first_chunk::<BLOCK>() {
                mac.block(block);
                if let Some(windows) = windows {
                    windows.block(block);
                }
            }
            if let Some(block) = work[CIPHER_BLOCK + at..].first_chunk::<BLOCK>() {
                file.block(block);
            }
            plain.block(opened);
        }
        work.copy_within(length..CIPHER_BLOCK + self.filled, 0);
        self.filled -= length;
        self.quarantine.hold(opened)
    }

    /// The file is at its end: checks it, and has it released if it is good.
    ///
    /// # Errors
    ///
    /// The first check that fails, in the order of [`Refusal`]; what the quarantine says.
    pub fn finish(mut self) -> Result<Opened<Q::Released>, DecryptError<Q::Error>> {
        let refuse = |refusal| Err(DecryptError::Refused(refusal));
        let ciphertext = self.length.wrapping_sub(MAC as u64);
        if self.length < SHORTEST as u64 || !ciphertext.is_multiple_of(CIPHER_BLOCK as u64) {
            return refuse(Refusal::BadEncLength { got: self.length });
        }
        if let Some(ready) = self.filled.checked_sub(SHORTEST) {
            self.decrypt(ready / BLOCK * BLOCK).map_err(DecryptError::Quarantine)?;
        }
        let Self {
            mut cipher,
            plain,
            mac,
            file,
            windows,
            work,
            filled,
            mut opened,
            expected,
            mut quarantine,
            ..
        } = self;
        let (received, signed) =
            (&work[CIPHER_BLOCK..CIPHER_BLOCK + filled], &work[..CIPHER_BLOCK + filled - MAC]);
        let (encrypted, tag) = received.split_at(filled - MAC);
        let file_enc_sha256 = file.finish(received);
        if !agrees(expected.file_enc_sha256.as_ref(), &file_enc_sha256) {
            return refuse(Refusal::EncHashMismatch);
        }
        if !bool::from(mac.finish(signed)[..MAC].ct_eq(tag)) {
            return refuse(Refusal::MacMismatch);
        }
        let opened = &mut opened[..encrypted.len()];
        opened.copy_from_slice(encrypted);
        cipher.decrypt_blocks(Array::cast_slice_from_core_mut(opened.as_chunks_mut::<CIPHER_BLOCK>().0));
        let Some(rest) = unpad(opened) else { return refuse(Refusal::BadPadding) };
        let file_sha256 = plain.finish(rest);
        if !agrees(expected.file_sha256.as_ref(), &file_sha256) {
            return refuse(Refusal::PlainHashMismatch);
        }
        let file_length = ciphertext - (encrypted.len() - rest.len()) as u64;
        if let Some(said) = expected.file_length.filter(|said| *said != file_length) {
            return refuse(Refusal::LengthMismatch { expected: said, got: file_length });
        }
        quarantine.hold(rest).map_err(DecryptError::Quarantine)?;
        let file = quarantine.release().map_err(DecryptError::Quarantine)?;
        let sidecar = windows.map(|windows| windows.finish(&work[..CIPHER_BLOCK + filled]));
        Ok(Opened { file, file_sha256, file_enc_sha256, file_length, sidecar })
    }
}

impl<Q> core::fmt::Debug for Decryptor<Q> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self {
            cipher: _,
            plain: _,
            mac: _,
            file: _,
            windows: _,
            work: _,
            filled: _,
            opened: _,
            length,
            expected,
            quarantine: _,
        } = self;
        f.debug_struct("Decryptor")
            .field("length", length)
            .field("expected", expected)
            .finish_non_exhaustive()
    }
}

fn agrees(expected: Option<&[u8; 32]>, got: &[u8; 32]) -> bool {
    expected.is_none_or(|expected| expected.ct_eq(got).into())
}

/// PKCS#7 (RFC 5652, 6.3): the last byte, 1 to 16, says how many bytes of that value end the block.
pub(crate) fn unpad(plain: &[u8]) -> Option<&[u8]> {
    let padding = *plain.last()?;
    let count = usize::from(padding);
    let (rest, end) = plain.split_at_checked(plain.len().checked_sub(count)?)?;
    ((1..=CIPHER_BLOCK).contains(&count) && end.iter().all(|byte| *byte == padding)).then_some(rest)
}

/// Decrypts a file that is in memory.
///
/// # Errors
///
/// The first check that fails.
pub fn decrypt(expected: &Expected, encrypted: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut decryptor = Decryptor::new(expected, Vec::new());
    let done = decryptor.update(encrypted).and_then(|()| decryptor.finish());
    match done {
        Ok(opened) => Ok(opened.file),
        Err(DecryptError::Refused(refusal)) => Err(refusal),
        Err(DecryptError::Quarantine(never)) => match never {},
    }
}
