//! Sidecars: short MACs that prove parts of a file before the whole of it is there.

use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::sha::{BLOCK, Mac, MacKey};

/// Bytes of the MAC of a file, and of an entry of its sidecar.
pub(crate) const MAC: usize = 10;
/// Bytes from the begin of one window to the next.
pub(crate) const WINDOW: u64 = 65_536;
/// Bytes that a window shares with the next: what the next one's first block is decrypted with.
pub(crate) const OVERLAP: usize = 16;

/// Entry k is the first 10 bytes of the HMAC-SHA-256 of bytes [65,536 k, 65,536 k + 65,552) of the initialisation vector
/// followed by the encrypted file, so an entry proves 64 KiB of the file and what they are decrypted with (PEERS).
///
/// Senders make one for video and sound. It is optional: no file is refused for lack of one.
#[derive(Clone, PartialEq, Eq)]
pub struct Sidecar(Vec<[u8; MAC]>);

/// A sidecar's length is not a multiple of 10.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a sidecar cannot have {got} bytes")]
#[non_exhaustive]
pub struct BadSidecar {
    /// Bytes it has.
    pub got: usize,
}

impl Sidecar {
    /// Reads what a message carries.
    ///
    /// # Errors
    ///
    /// [`BadSidecar`] if the bytes do not divide into entries.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadSidecar> {
        match bytes.as_chunks() {
            (entries, []) => Ok(Self(entries.to_vec())),
            _ => Err(BadSidecar { got: bytes.len() }),
        }
    }

    /// The bytes for the message's field `streamingSidecar`, 10 for each 64 KiB that are begun.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_flattened()
    }

    pub(crate) fn entries(&self) -> u64 {
        self.0.len() as u64
    }

    /// Whether entry `index` proves these bytes.
    pub(crate) fn proves(&self, index: u64, key: &MacKey, window: &[u8]) -> bool {
        let entry = usize::try_from(index).ok().and_then(|index| self.0.get(index));
        entry.is_some_and(|entry| key.sign(window)[..MAC].ct_eq(entry).into())
    }
}

impl core::fmt::Debug for Sidecar {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self(entries) = self;
        write!(f, "Sidecar({} entries)", entries.len())
    }
}

/// A sidecar in the making.
pub(crate) struct Windows {
    key: MacKey,
    current: Option<Mac>,
    /// Bytes so far, the initialisation vector included; a multiple of 64.
    at: u64,
    entries: Vec<[u8; MAC]>,
}

impl Windows {
    pub(crate) const fn new(key: MacKey) -> Self {
        Self { key, current: None, at: 0, entries: Vec::new() }
    }

    #[inline]
    pub(crate) fn block(&mut self, block: &[u8; BLOCK]) {
        if self.at.is_multiple_of(WINDOW) {
            self.close(&block[..OVERLAP]);
            self.current = Some(self.key.begin());
        }
        if let Some(current) = &mut self.current {
            current.block(block);
        }
        self.at += BLOCK as u64;
    }

    fn close(&mut self, tail: &[u8]) {
        if let Some(current) = self.current.take() {
            let mut entry = [0; MAC];
            entry.copy_from_slice(&current.finish(tail)[..MAC]);
            self.entries.push(entry);
        }
    }

    /// Takes what is left, the file's MAC included.
    pub(crate) fn finish(mut self, tail: &[u8]) -> Sidecar {
        let (blocks, rest) = tail.as_chunks::<BLOCK>();
        for block in blocks {
            self.block(block);
        }
        if self.at.is_multiple_of(WINDOW) {
            self.close(&rest[..OVERLAP.min(rest.len())]);
            // What begins in the overlap is no window of its own.
            if rest.len() > OVERLAP || self.at == 0 {
                self.current = Some(self.key.begin());
            }
        }
        self.close(rest);
        Sidecar(self.entries)
    }
}
