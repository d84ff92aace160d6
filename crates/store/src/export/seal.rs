//! Chunks of 64 KiB, each sealed with its number and whether it is the last: none can be changed, swapped, left out or added.

use std::io::{BufRead, ErrorKind, Read, Write};

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::{Zeroize, Zeroizing};

use super::{ExportError, ExportSecret, Header};

/// Bytes of a chunk before it is sealed; only the last one may have fewer.
pub(super) const CHUNK: usize = 65_536;

/// What both directions share.
struct Chunks {
    key: LessSafeKey,
    header: [u8; Header::LEN],
    next: u32,
}

impl Chunks {
    fn new(header: &Header, secret: &ExportSecret) -> Result<Self, ExportError> {
        let key = header.key(secret)?;
        let key = UnboundKey::new(&CHACHA20_POLY1305, &*key)
            .map_err(|_| ExportError::Kdf { what: "the key has another length".to_owned() })?;
        Ok(Self { key: LessSafeKey::new(key), header: header.to_bytes(), next: 0 })
    }

    /// Seven zero bytes, the chunk's number, 1 if it is the last. The key belongs to one file, so none comes twice.
    fn nonce(&mut self, last: Last) -> Result<(u32, Nonce), ExportError> {
        let number = self.next;
        self.next = number.checked_add(1).ok_or(ExportError::TooLarge)?;
        let mut nonce = [0; NONCE_LEN];
        nonce[7..11].copy_from_slice(&number.to_be_bytes());
        nonce[11] = u8::from(last == Last::Yes);
        Ok((number, Nonce::assume_unique_for_key(nonce)))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Yes,
    No,
}

/// Seals what is written to it.
pub(crate) struct Sealer<'a> {
    chunks: Chunks,
    out: &'a mut dyn Write,
    /// Held back until more comes, for the last chunk is sealed as such.
    waiting: Zeroizing<Vec<u8>>,
}

impl<'a> Sealer<'a> {
    pub(crate) fn new(
        out: &'a mut dyn Write,
        secret: &ExportSecret,
        rng: &mut dyn rand_core::CryptoRng,
    ) -> Result<Self, ExportError> {
        let header = Header::new(secret, rng);
        let chunks = Chunks::new(&header, secret)?;
        out.write_all(&chunks.header).map_err(writing)?;
        Ok(Self { chunks, out, waiting: Zeroizing::new(Vec::with_capacity(CHUNK + 16)) })
    }

    pub(crate) fn put(&mut self, mut bytes: &[u8]) -> Result<(), ExportError> {
        while !bytes.is_empty() {
            if self.waiting.len() == CHUNK {
                self.seal(Last::No)?;
            }
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK - self.waiting.len()));
            self.waiting.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<(), ExportError> {
        self.seal(Last::Yes)?;
        self.out.flush().map_err(writing)
    }

    fn seal(&mut self, last: Last) -> Result<(), ExportError> {
        let (_, nonce) = self.chunks.nonce(last)?;
        let aad = Aad::from(&self.chunks.header);
        let tag = self.chunks.key.seal_in_place_separate_tag(nonce, aad, &mut self.waiting);
        let tag = tag.map_err(|_| ExportError::TooLarge)?;
        self.out.write_all(&self.waiting).map_err(writing)?;
        self.out.write_all(tag.as_ref()).map_err(writing)?;
        self.waiting.zeroize();
        Ok(())
    }
}

/// Opens what it reads: one chunk at a time.
pub(crate) struct Opener<R> {
    chunks: Chunks,
    input: R,
    sealed: Zeroizing<Vec<u8>>,
    /// What of `sealed` is opened and not taken yet.
    open: std::ops::Range<usize>,
    last: Last,
}

impl<R: BufRead> Opener<R> {
    pub(crate) fn new(mut input: R, secret: &ExportSecret) -> Result<Self, ExportError> {
        let mut header = [0; Header::LEN];
        input.read_exact(&mut header).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => ExportError::CutOff,
            _ => reading(error),
        })?;
        let chunks = Chunks::new(&Header::from_bytes(&header)?, secret)?;
        Ok(Self { chunks, input, sealed: Zeroizing::default(), open: 0..0, last: Last::No })
    }

    /// Fills the whole of `out`; whether there was as much.
    pub(crate) fn take(&mut self, mut out: &mut [u8]) -> Result<bool, ExportError> {
        while !out.is_empty() {
            if self.open.is_empty() && !self.next_chunk()? {
                return Ok(false);
            }
            let count = out.len().min(self.open.len());
            let (now, later) = out.split_at_mut(count);
            let from = self.sealed.get(self.open.start..self.open.start + count).unwrap_or_default();
            now.copy_from_slice(from);
            self.open.start += count;
            out = later;
        }
        Ok(true)
    }

    /// Whether everything was taken.
    pub(crate) fn is_at_end(&mut self) -> Result<bool, ExportError> {
        Ok(self.open.is_empty() && !self.next_chunk()?)
    }

    fn next_chunk(&mut self) -> Result<bool, ExportError> {
        let tag = CHACHA20_POLY1305.tag_len();
        while self.open.is_empty() {
            if self.last == Last::Yes {
                return Ok(false);
            }
            self.sealed.zeroize();
            let most = u64::try_from(CHUNK + tag).unwrap_or(u64::MAX);
            let read = (&mut self.input).take(most).read_to_end(&mut self.sealed).map_err(reading)?;
            let ended = read < CHUNK + tag || self.input.fill_buf().map_err(reading)?.is_empty();
            self.last = if ended { Last::Yes } else { Last::No };
            let (chunk, nonce) = self.chunks.nonce(self.last)?;
            let aad = Aad::from(&self.chunks.header);
            let opened = self.chunks.key.open_in_place(nonce, aad, &mut self.sealed);
            let length = opened.map_err(|_| ExportError::Sealed { chunk })?.len();
            self.open = 0..length;
        }
        Ok(true)
    }
}

fn writing(source: std::io::Error) -> ExportError {
    ExportError::Io { doing: "written", source }
}

fn reading(source: std::io::Error) -> ExportError {
    ExportError::Io { doing: "read", source }
}
