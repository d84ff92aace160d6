//! Encryption of a stream of unknown length.

use aes::Aes256Enc;
use aes::cipher::{
    Array, BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser, consts::U16,
};
use zeroize::Zeroizing;

use crate::{
    MediaKey, MediaKind, Sidecar,
    keys::CIPHER_BLOCK,
    sha::{BLOCK, Mac, Sha256},
    sidecar::{MAC, Windows},
};

/// Bytes that are collected before they are encrypted: enough to make calls cheap, little enough to stay in the
/// processor's first cache.
pub(crate) const CHUNK: usize = 4096;

/// Length in bytes of the encrypted file of a plain file of `plain` bytes; `None` if it is beyond 64 bits.
#[must_use]
pub const fn encrypted_length(plain: u64) -> Option<u64> {
    match (plain / CIPHER_BLOCK as u64 + 1).checked_mul(CIPHER_BLOCK as u64) {
        Some(padded) => padded.checked_add(MAC as u64),
        None => None,
    }
}

/// What a message says about a file that was encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sealed {
    /// SHA-256 of the plain file: `fileSHA256`.
    pub file_sha256: [u8; 32],
    /// SHA-256 of the encrypted file: `fileEncSHA256`.
    pub file_enc_sha256: [u8; 32],
    /// Length of the plain file, in bytes: `fileLength`.
    pub file_length: u64,
    /// Length of the encrypted file, in bytes.
    pub encrypted_length: u64,
    /// `streamingSidecar`, for kinds that have one.
    pub sidecar: Option<Sidecar>,
}

/// Encrypts one file in one pass, in constant memory but for the sidecar's 10 bytes for each 64 KiB.
///
/// Give the plain file to [`Encryptor::update`] in pieces of any size, then call [`Encryptor::finish`]. What both
/// append to `out` is the encrypted file.
///
/// ```
/// use landbridge_media::{Encryptor, MediaKey, MediaKind};
///
/// let key = MediaKey::generate(&mut rand::rng());
/// let mut encryptor = Encryptor::new(MediaKind::Image, &key);
/// let mut encrypted = Vec::new();
/// encryptor.update(b"a pic", &mut encrypted);
/// encryptor.update(b"ture", &mut encrypted);
/// let sealed = encryptor.finish(&mut encrypted);
/// assert_eq!((sealed.file_length, encrypted.len()), (9, 26));
/// ```
pub struct Encryptor {
    cipher: Aes256Enc,
    chains: Chains,
    /// `filled` plain bytes that are not encrypted yet.
    plain: Zeroizing<Vec<u8>>,
    filled: usize,
    /// The cipher block before, and room for as many bytes as can wait, padding and MAC.
    sealed: Box<[u8]>,
    length: u64,
}

/// Everything that is computed over the file.
struct Chains {
    plain: Sha256,
    mac: Mac,
    file: Sha256,
    windows: Option<Windows>,
}

impl Encryptor {
    /// Begins a file.
    #[must_use]
    pub fn new(kind: MediaKind, key: &MediaKey) -> Self {
        let keys = key.expand(kind);
        let mut sealed = vec![0; CIPHER_BLOCK + CHUNK + CIPHER_BLOCK + MAC].into_boxed_slice();
        sealed[..CIPHER_BLOCK].copy_from_slice(keys.iv());
        Self {
            cipher: keys.encryptor(),
            chains: Chains {
                plain: Sha256::new(),
                mac: keys.mac_key().begin(),
                file: Sha256::new(),
                windows: kind.has_sidecar().then(|| Windows::new(keys.mac_key())),
            },
            plain: Zeroizing::new(vec![0; CHUNK]),
            filled: 0,
            sealed,
            length: 0,
        }
    }

    /// Encrypts more of the file and appends what is ready to `out`.
    pub fn update(&mut self, mut plain: &[u8], out: &mut Vec<u8>) {
        self.length += plain.len() as u64;
        out.reserve(plain.len() + self.filled);
        while !plain.is_empty() {
            let room = plain.len().min(CHUNK - self.filled);
            let (now, later) = plain.split_at(room);
            self.plain[self.filled..self.filled + room].copy_from_slice(now);
            self.filled += room;
            plain = later;
            if self.filled == CHUNK {
                self.encrypt(out);
            }
        }
    }

    /// Encrypts the whole steps that wait. What is behind them moves to the front.
    fn encrypt(&mut self, out: &mut Vec<u8>) {
        let Self { cipher, chains, plain, sealed, filled, .. } = self;
        let (steps, rest) = plain[..*filled].as_chunks::<BLOCK>();
        let (length, rest) = (steps.len() * BLOCK, rest.len());
        cipher.encrypt_with_backend(Steps { chains, plain: steps, sealed });
        out.extend_from_slice(&sealed[CIPHER_BLOCK..CIPHER_BLOCK + length]);
        sealed.copy_within(length..CIPHER_BLOCK + length, 0);
        plain.copy_within(length..length + rest, 0);
        *filled = rest;
    }

    /// Ends the file: padding and MAC are appended to `out`.
    #[must_use]
    pub fn finish(mut self, out: &mut Vec<u8>) -> Sealed {
        self.encrypt(out);
        let Self { cipher, chains, mut plain, filled, mut sealed, length } = self;
        let Chains { plain: plain_hash, mac, file, windows } = chains;
        let file_sha256 = plain_hash.finish(&plain[..filled]);
        let padding = CIPHER_BLOCK - filled % CIPHER_BLOCK;
        let padded = filled + padding;
        // At most 16, so it fits a byte.
        plain[filled..padded].fill(padding as u8);
        let (blocks, _) = plain[..padded].as_chunks::<CIPHER_BLOCK>();
        cipher.encrypt_with_backend(Blocks { plain: blocks, sealed: &mut sealed });
        let end = CIPHER_BLOCK + padded;
        let digest = mac.finish(&sealed[..end]);
        sealed[end..end + MAC].copy_from_slice(&digest[..MAC]);
        let tail = &sealed[..end + MAC];
        out.extend_from_slice(&tail[CIPHER_BLOCK..]);
        Sealed {
            file_sha256,
            file_enc_sha256: file.finish(&tail[CIPHER_BLOCK..]),
            file_length: length,
            encrypted_length: length + (padding + MAC) as u64,
            sidecar: windows.map(|windows| windows.finish(tail)),
        }
    }
}

/// Work for the cipher's fastest code: whole steps, hashed before and after.
///
/// Every chain here waits for itself. One cipher block and one step of a hash in turn, the processor does both at once;
/// what is hashed behind the cipher is the step before, which is ready.
struct Steps<'a> {
    chains: &'a mut Chains,
    plain: &'a [[u8; BLOCK]],
    /// Begins with the cipher block before.
    sealed: &'a mut [u8],
}

impl BlockSizeUser for Steps<'_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for Steps<'_> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        let Self { chains, plain, sealed } = self;
        for (step, block) in plain.iter().enumerate() {
            let at = step * BLOCK;
            let before = at.checked_sub(BLOCK);
            let (blocks, _) = block.as_chunks::<CIPHER_BLOCK>();
            for (turn, block_plain) in blocks.iter().enumerate() {
                chain(backend, block_plain, &mut sealed[at + turn * CIPHER_BLOCK..]);
                match (turn, before) {
                    (0, _) => chains.plain.block(block),
                    (1, Some(before)) => chains.mac(&sealed[before..]),
                    (2, Some(before)) => chains.file(&sealed[before..]),
                    (3, Some(before)) => chains.windows(&sealed[before..]),
                    _ => {}
                }
            }
        }
        if let Some(last) = plain.len().checked_sub(1) {
            let sealed = &sealed[last * BLOCK..];
            chains.mac(sealed);
            chains.file(sealed);
            chains.windows(sealed);
        }
    }
}

/// What these take begins one cipher block before the step.
impl Chains {
    #[inline(always)]
    fn mac(&mut self, sealed: &[u8]) {
        if let Some(block) = sealed.first_chunk() {
            self.mac.block(block);
        }
    }

    #[inline(always)]
    fn file(&mut self, sealed: &[u8]) {
        if let Some(block) = sealed[CIPHER_BLOCK..].first_chunk() {
            self.file.block(block);
        }
    }

    #[inline(always)]
    fn windows(&mut self, sealed: &[u8]) {
        if let (Some(windows), Some(block)) = (&mut self.windows, sealed.first_chunk()) {
            windows.block(block);
        }
    }
}

/// The same without hashing, for the end of a file.
struct Blocks<'a> {
    plain: &'a [[u8; CIPHER_BLOCK]],
    /// Begins with the cipher block before.
    sealed: &'a mut [u8],
}

impl BlockSizeUser for Blocks<'_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for Blocks<'_> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        for (index, plain) in self.plain.iter().enumerate() {
            chain(backend, plain, &mut self.sealed[index * CIPHER_BLOCK..]);
        }
    }
}

/// CBC: encrypts one block into the second 16 bytes of `sealed`; the first are the cipher block before.
#[inline(always)]
fn chain<B: BlockCipherEncBackend<BlockSize = U16>>(
    backend: &B,
    plain: &[u8; CIPHER_BLOCK],
    sealed: &mut [u8],
) {
    let (blocks, _) = sealed.as_chunks_mut::<CIPHER_BLOCK>();
    if let [before, next, ..] = blocks {
        let mixed = u128::from_ne_bytes(*plain) ^ u128::from_ne_bytes(*before);
        let mixed = mixed.to_ne_bytes();
        backend.encrypt_block((Array::cast_from_core(&mixed), Array::cast_from_core_mut(next)).into());
    }
}

impl core::fmt::Debug for Encryptor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { cipher: _, chains: _, plain: _, filled: _, sealed: _, length } = self;
        f.debug_struct("Encryptor").field("length", length).finish_non_exhaustive()
    }
}

/// Encrypts a file that is in memory.
#[must_use]
pub fn encrypt(kind: MediaKind, key: &MediaKey, plain: &[u8]) -> (Vec<u8>, Sealed) {
    let mut encryptor = Encryptor::new(kind, key);
    let mut out = Vec::with_capacity(plain.len() + CIPHER_BLOCK + MAC);
    encryptor.update(plain, &mut out);
    let sealed = encryptor.finish(&mut out);
    (out, sealed)
}
