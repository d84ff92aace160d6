//! Sealed frames after the handshake: one cipher for each direction.

use ring::aead;
use thiserror::Error;

use crate::{
    FrameBuf, MAX_FRAME, TAG_LEN,
    cipher::{nonce, prepare},
    frame::{PREFIX_LEN, prefix},
};

/// Longest plaintext of one frame: [`MAX_FRAME`] without the tag, 16,777,199 bytes.
pub const MAX_PLAINTEXT: usize = MAX_FRAME - TAG_LEN;

/// First counter that is never used; a connection has to end before it. PEERS.
pub const COUNTER_END: u64 = u32::MAX as u64;

/// Both directions of an established connection. The halves are independent and may move to different tasks.
#[derive(Debug)]
pub struct Transport {
    /// Seals what this side sends.
    pub sealer: Sealer,
    /// Opens what this side receives.
    pub opener: Opener,
    /// The handshake hash: equal on both sides, unique for each connection, no secret.
    pub handshake_hash: [u8; 32],
}

/// Seals the frames of one direction, in order.
///
/// A frame must be written whole and in the order of sealing. After a failed or partial write call
/// [`poison`](Self::poison), or drop the sealer: the peer cannot follow any more.
pub struct Sealer {
    key: aead::LessSafeKey,
    counter: u64,
    poisoned: bool,
}

impl Sealer {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self { key: prepare(key), counter: 0, poisoned: false }
    }

    /// The counter of the next frame: how many were sealed so far.
    pub const fn counter(&self) -> u64 {
        self.counter
    }

    /// Makes every further call fail.
    pub fn poison(&mut self) {
        self.poisoned = true;
    }

    /// Appends a whole frame to `out`: length prefix (3 bytes), ciphertext, tag (16 bytes).
    ///
    /// An empty plaintext can be sealed, but no [`Opener`] takes it.
    ///
    /// # Errors
    /// [`SealError`]; `out` is then as it was and the counter has not moved.
    #[inline]
    pub fn seal_frame<B: FrameBuf>(&mut self, plaintext: &[u8], out: &mut B) -> Result<(), SealError> {
        out.make_room(PREFIX_LEN + plaintext.len() + TAG_LEN);
        self.seal_frame_with(out, |out| out.append(plaintext))
    }

    /// Appends a whole frame to `out`, the plaintext of which `write` appends in place, without a copy.
    ///
    /// # Errors
    /// [`SealError`]; `out` is then as it was (unless `write` took bytes away) and the counter has not moved.
    pub fn seal_frame_with<B: FrameBuf>(
        &mut self,
        out: &mut B,
        write: impl FnOnce(&mut B),
    ) -> Result<(), SealError> {
        let start = out.length();
        // All ones: should this buffer ever be sent half done, no peer takes it for a short frame.
        out.append(&[0xff; PREFIX_LEN]);
        write(out);
        let sealed = self.seal_tail(out, start);
        if sealed.is_err() {
            out.cut(start);
        }
        sealed
    }

    /// Turns all of `body` into ciphertext and appends the tag, without a length prefix: for callers that frame
    /// themselves.
    ///
    /// # Errors
    /// [`SealError`]; `body` is then as it was and the counter has not moved.
    pub fn seal_in_place<B: FrameBuf>(&mut self, body: &mut B) -> Result<(), SealError> {
        check_length(body.length())?;
        let tag = self.seal_slice(body.bytes_mut())?;
        body.append(tag.as_ref());
        Ok(())
    }

    #[inline]
    fn seal_tail<B: FrameBuf>(&mut self, out: &mut B, start: usize) -> Result<(), SealError> {
        let Some((head, body)) =
            out.bytes_mut().get_mut(start..).and_then(|tail| tail.split_first_chunk_mut::<PREFIX_LEN>())
        else {
            return Err(SealError::BufferShrunk);
        };
        check_length(body.len())?;
        *head = prefix(body.len() + TAG_LEN).map_err(|_| too_large(body.len()))?;
        let tag = self.seal_slice(body)?;
        out.append(tag.as_ref());
        Ok(())
    }

    #[inline]
    fn seal_slice(&mut self, body: &mut [u8]) -> Result<aead::Tag, SealError> {
        if self.poisoned {
            return Err(SealError::Poisoned);
        }
        if self.counter >= COUNTER_END {
            return Err(SealError::Exhausted { counter: self.counter });
        }
        let length = body.len();
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce(self.counter), aead::Aad::empty(), body)
            .map_err(|_| too_large(length))?;
        self.counter += 1;
        Ok(tag)
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { key: _, counter, poisoned } = self;
        f.debug_struct("Sealer")
            .field("key", &"[redacted]")
            .field("counter", counter)
            .field("poisoned", poisoned)
            .finish()
    }
}

/// Opens the frames of one direction, in order of arrival.
///
/// One failure is fatal: a stream of counted frames cannot be picked up again, so every later call fails too.
pub struct Opener {
    key: aead::LessSafeKey,
    counter: u64,
    poisoned: bool,
}

impl Opener {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self { key: prepare(key), counter: 0, poisoned: false }
    }

    /// The counter of the next frame: how many were opened so far.
    pub const fn counter(&self) -> u64 {
        self.counter
    }

    /// Opens the body of a frame where it lies and gives the plaintext, the front part of `body`, at least one
    /// byte long.
    ///
    /// # Errors
    /// [`OpenError`]; `body` then holds nothing of use, and the connection is to be closed.
    #[inline]
    pub fn open_in_place<'a>(&mut self, body: &'a mut [u8]) -> Result<&'a mut [u8], OpenError> {
        if self.poisoned {
            return Err(OpenError::Poisoned { counter: self.counter });
        }
        let counter = self.counter;
        if counter < COUNTER_END && body.len() > TAG_LEN {
            let length = body.len();
            if let Ok(plaintext) = self.key.open_in_place(nonce(counter), aead::Aad::empty(), body) {
                self.counter = counter + 1;
                return Ok(plaintext);
            }
            self.poisoned = true;
            return Err(OpenError::Decrypt { counter, length });
        }
        self.poisoned = true;
        Err(self.refusal(body))
    }

    /// Why a frame is refused that is not even tried, or that has nothing in it.
    #[cold]
    fn refusal(&self, body: &mut [u8]) -> OpenError {
        let (counter, length) = (self.counter, body.len());
        if counter >= COUNTER_END {
            return OpenError::Exhausted { counter };
        }
        if length < TAG_LEN {
            return OpenError::TooShort { counter, minimum: TAG_LEN, got: length };
        }
        match self.key.open_in_place(nonce(counter), aead::Aad::empty(), body) {
            Ok(_) => OpenError::EmptyPlaintext { counter },
            Err(_) => OpenError::Decrypt { counter, length },
        }
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { key: _, counter, poisoned } = self;
        f.debug_struct("Opener")
            .field("key", &"[redacted]")
            .field("counter", counter)
            .field("poisoned", poisoned)
            .finish()
    }
}

#[inline]
fn check_length(length: usize) -> Result<(), SealError> {
    if length > MAX_PLAINTEXT { Err(too_large(length)) } else { Ok(()) }
}

fn too_large(got: usize) -> SealError {
    SealError::TooLarge { limit: MAX_PLAINTEXT, got }
}

/// A frame that was not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SealError {
    /// The plaintext does not fit one frame, and frames are never cut.
    #[error("plaintext of {got} bytes does not fit a frame, which holds {limit}")]
    TooLarge {
        /// [`MAX_PLAINTEXT`].
        limit: usize,
        /// The length given, in bytes.
        got: usize,
    },
    /// All counters of this direction are used. A new connection is needed.
    #[error("counter {counter} must not be used: the connection has to end")]
    Exhausted {
        /// [`COUNTER_END`].
        counter: u64,
    },
    /// An earlier write failed.
    #[error("an earlier frame was not written whole: nothing more may be sealed on this connection")]
    Poisoned,
    /// The caller's closure took bytes away that were in the buffer before.
    #[error("the buffer is shorter than before the plaintext was written")]
    BufferShrunk,
}

/// A frame that was not opened. All are fatal for the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Shorter than a tag.
    #[error("frame {counter} has {got} bytes, a tag alone has {minimum}")]
    TooShort {
        /// Number of the frame in its direction, from 0.
        counter: u64,
        /// [`TAG_LEN`].
        minimum: usize,
        /// Length of the body, in bytes.
        got: usize,
    },
    /// The tag is wrong: changed, lost, repeated or reordered on the way, or another key.
    #[error("frame {counter} of {length} bytes does not decrypt")]
    Decrypt {
        /// Number of the frame in its direction, from 0.
        counter: u64,
        /// Length of the body, in bytes.
        length: usize,
    },
    /// It decrypts to nothing, not even the flags byte that every payload begins with.
    #[error("frame {counter} has an empty plaintext")]
    EmptyPlaintext {
        /// Number of the frame in its direction, from 0.
        counter: u64,
    },
    /// All counters of this direction are used.
    #[error("counter {counter} must not be used: the connection has to end")]
    Exhausted {
        /// [`COUNTER_END`].
        counter: u64,
    },
    /// An earlier frame was refused.
    #[error("frame {counter} was refused before: the connection is over")]
    Poisoned {
        /// Number of the frame that was refused.
        counter: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_counter_is_two_below_two_to_the_32() {
        let mut sealer = Sealer::new(&[7; 32]);
        let mut opener = Opener::new(&[7; 32]);
        (sealer.counter, opener.counter) = (COUNTER_END - 1, COUNTER_END - 1);
        let mut body = b"last".to_vec();
        sealer.seal_in_place(&mut body).unwrap();
        assert_eq!(opener.open_in_place(&mut body.clone()).unwrap(), b"last");

        let mut out = vec![1, 2];
        let exhausted = SealError::Exhausted { counter: COUNTER_END };
        assert_eq!(sealer.seal_frame(b"more", &mut out), Err(exhausted));
        assert_eq!(sealer.seal_in_place(&mut out), Err(exhausted));
        assert_eq!(out, [1, 2], "a refused frame leaves nothing behind");
        assert_eq!(opener.open_in_place(&mut body), Err(OpenError::Exhausted { counter: COUNTER_END }));
    }
}
