//! Parts of a file, proved by its sidecar before the whole of it is there.

use core::ops::Range;

use cbc::cipher::{Array, BlockModeDecrypt};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    MediaKey, MediaKind, Sidecar,
    decrypt::unpad,
    encrypt::encrypted_length,
    keys::{CIPHER_BLOCK, FileKeys},
    sha::MacKey,
    sidecar::{OVERLAP, WINDOW},
};

const BLOCK: u64 = CIPHER_BLOCK as u64;

/// Why a part of a file is not to be had.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RangeError {
    /// The sidecar is not one of a file of this length: read the whole file.
    #[error("a sidecar of {got} entries does not belong to a file that needs {needed}")]
    WrongSidecar {
        /// Entries that a file of this length has.
        needed: u64,
        /// Entries it has.
        got: u64,
    },
    /// The part is empty or ends behind the file's end.
    #[error("the part does not lie in a file of {length} bytes")]
    OutOfBounds {
        /// Length of the plain file, in bytes.
        length: u64,
    },
    /// The bytes given are not as many as the part needs.
    #[error("the part needs {needed} encrypted bytes, not {got}")]
    WrongLength {
        /// Encrypted bytes to give.
        needed: u64,
        /// Bytes given.
        got: u64,
    },
    /// The bytes are not those that the sender encrypted.
    #[error("window {window} of the file is not proved by the sidecar")]
    NotProved {
        /// Index of the window, from 0.
        window: u64,
    },
    /// The file does not end where the message says.
    #[error("the file does not have {length} bytes")]
    WrongFileLength {
        /// Bytes that the message said.
        length: u64,
    },
}

/// Reads parts of a file: previews, and playing while the rest is still under way. A part is given only when the
/// sidecar proves all of it. Only the checks of the whole file say whether that is the one that the message names.
///
/// ```
/// use landbridge_media::{MediaKey, MediaKind, RangeReader, encrypt};
///
/// let key = MediaKey::generate(&mut rand::rng());
/// let film: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
/// let (encrypted, sealed) = encrypt(MediaKind::Video, &key, &film);
/// let sidecar = sealed.sidecar.ok_or("a video has one")?;
///
/// let reader = RangeReader::new(MediaKind::Video, &key, sealed.file_length, sidecar)?;
/// let part = reader.part(150_000..150_100)?;
/// let fetch = part.fetch(); // the bytes to ask the server for
/// let fetched = &encrypted[fetch.start as usize..fetch.end as usize];
/// assert_eq!(reader.open(&part, fetched)?[..], film[150_000..150_100]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RangeReader {
    keys: FileKeys,
    mac: MacKey,
    sidecar: Sidecar,
    /// Of the plain file.
    length: u64,
    encrypted: u64,
}

/// A part of a file and what it takes to read it; made by [`RangeReader::part`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    plain: Range<u64>,
    windows: Range<u64>,
    fetch: Range<u64>,
}

impl Part {
    /// The encrypted bytes to fetch, the end excluded.
    #[must_use]
    pub const fn fetch(&self) -> Range<u64> {
        self.fetch.start..self.fetch.end
    }

    /// The plain bytes, the end excluded.
    #[must_use]
    pub const fn plain(&self) -> Range<u64> {
        self.plain.start..self.plain.end
    }
}

impl RangeReader {
    /// For a file of `file_length` plain bytes.
    ///
    /// # Errors
    ///
    /// [`RangeError::WrongSidecar`] if the sidecar does not have as many entries as such a file.
    pub fn new(
        kind: MediaKind,
        key: &MediaKey,
        file_length: u64,
        sidecar: Sidecar,
    ) -> Result<Self, RangeError> {
        let encrypted =
            encrypted_length(file_length).ok_or(RangeError::OutOfBounds { length: file_length })?;
        let (needed, got) = (encrypted.div_ceil(WINDOW), sidecar.entries());
        if needed != got {
            return Err(RangeError::WrongSidecar { needed, got });
        }
        let keys = key.expand(kind);
        Ok(Self { mac: keys.mac_key(), keys, sidecar, length: file_length, encrypted })
    }

    /// Length of the plain file, in bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.length
    }

    /// Whether there is nothing to read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// What it takes to read these plain bytes: whole windows of the file.
    ///
    /// # Errors
    ///
    /// [`RangeError::OutOfBounds`].
    pub fn part(&self, plain: Range<u64>) -> Result<Part, RangeError> {
        if plain.is_empty() || plain.end > self.length {
            return Err(RangeError::OutOfBounds { length: self.length });
        }
        let blocks = blocks(&plain);
        let overlap = OVERLAP as u64;
        // Window k proves encrypted bytes [65,536 k, 65,536 k + 65,536), and holds the 16 before.
        let windows = blocks.start / WINDOW..(blocks.end - 1) / WINDOW + 1;
        let from = (windows.start * WINDOW).saturating_sub(overlap);
        Ok(Part { plain, fetch: from..(windows.end * WINDOW).min(self.encrypted), windows })
    }

    /// The part, from what was fetched for it.
    ///
    /// # Errors
    ///
    /// [`RangeError::WrongLength`], [`RangeError::NotProved`], [`RangeError::WrongFileLength`].
    pub fn open(&self, part: &Part, fetched: &[u8]) -> Result<Zeroizing<Vec<u8>>, RangeError> {
        let needed = part.fetch.end - part.fetch.start;
        let wrong = RangeError::WrongLength { needed, got: fetched.len() as u64 };
        if fetched.len() as u64 != needed {
            return Err(wrong);
        }
        // The initialisation vector stands before the file as each block does before the next.
        let first = if part.windows.start == 0 { &self.keys.iv()[..] } else { &[] };
        let signed = [first, fetched].concat();
        // `signed` begins with window `windows.start`; a window is as long as the address space allows, as it is here.
        let step = WINDOW as usize;
        for (window, at) in part.windows.clone().zip((0..).step_by(step)) {
            let bytes = &signed[at..signed.len().min(at + step + OVERLAP)];
            if !self.sidecar.proves(window, &self.mac, bytes) {
                return Err(RangeError::NotProved { window });
            }
        }
        let opened = self.decrypt(part, &signed).ok_or(wrong)?;
        self.cut(part, opened)
    }

    /// Decrypts from the proved bytes, which begin one cipher block before the first window's. `None` is impossible.
    fn decrypt(&self, part: &Part, signed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let blocks = blocks(&part.plain);
        let at = usize::try_from(blocks.start - part.windows.start * WINDOW).ok()?;
        let length = usize::try_from(blocks.end - blocks.start).ok()?;
        let (before, encrypted) = signed.get(at..)?.split_first_chunk::<CIPHER_BLOCK>()?;
        let mut opened = Zeroizing::new(encrypted.get(..length)?.to_vec());
        let mut cipher = self.keys.decryptor(before);
        cipher.decrypt_blocks(Array::cast_slice_from_core_mut(opened.as_chunks_mut::<CIPHER_BLOCK>().0));
        Some(opened)
    }

    /// The plain bytes among the blocks around them, if the file ends where the message says.
    fn cut(&self, part: &Part, mut opened: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, RangeError> {
        let blocks = blocks(&part.plain);
        if blocks.end > self.length {
            let plain = unpad(&opened).map(|plain| plain.len() as u64);
            if plain != Some(self.length - blocks.start) {
                return Err(RangeError::WrongFileLength { length: self.length });
            }
        }
        // Both are bounded by the length of `opened`.
        opened.truncate((part.plain.end - blocks.start) as usize);
        opened.drain(..(part.plain.start - blocks.start) as usize);
        Ok(opened)
    }
}

impl core::fmt::Debug for RangeReader {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RangeReader").field("length", &self.length).finish_non_exhaustive()
    }
}

/// The whole blocks around these plain bytes, which must not be empty; the bounds count bytes.
const fn blocks(plain: &Range<u64>) -> Range<u64> {
    plain.start / BLOCK * BLOCK..((plain.end - 1) / BLOCK + 1) * BLOCK
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_blocks_around_a_part_are_those_of_others() {
        let vectors: Value = serde_json::from_str(include_str!("../tests/vectors/range.json")).unwrap();
        for case in vectors["cases"].as_array().unwrap() {
            let number = |value: &Value| value.as_u64().unwrap();
            let blocks = blocks(&(number(&case["plain_start"])..number(&case["plain_end"])));
            // Theirs has the block before, and a last byte instead of an end.
            let fetch = &case["decrypt_fetch"];
            assert_eq!(number(&fetch[0]), blocks.start.saturating_sub(BLOCK), "{case}");
            assert_eq!(number(&fetch[1]) + 1, blocks.end, "{case}");
        }
    }
}
