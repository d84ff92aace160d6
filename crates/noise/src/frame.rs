//! Frames: a 3-byte big-endian length, then as many bytes.

use bytes::{Buf, BytesMut};
use thiserror::Error;

use crate::FrameBuf;

/// Bytes of the length prefix.
pub const PREFIX_LEN: usize = 3;

/// Longest body of a frame, 2^24 − 1 bytes. PEERS.
pub const MAX_FRAME: usize = 0xff_ffff;

/// Longest body that is taken before the handshake is over, in bytes. ASSUMED; a token has at most 4,096 (SEED).
pub const MAX_HANDSHAKE_FRAME: usize = 65_535;

/// Most bytes that are reserved ahead of their arrival, and that an idle decoder keeps. PEERS.
pub const EAGER_CAP: usize = 64 * 1024;

/// Least room offered to one read, in bytes.
const MIN_READ: usize = 4 * 1024;

/// Appends `body` to `out` as one frame.
///
/// # Errors
/// [`FrameError::TooLarge`] from 2^24 bytes on; `out` is then as it was.
pub fn encode_frame<B: FrameBuf>(body: &[u8], out: &mut B) -> Result<(), FrameError> {
    let prefix = prefix(body.len())?;
    out.make_room(PREFIX_LEN + body.len());
    out.append(&prefix);
    out.append(body);
    Ok(())
}

/// The length prefix of a body of `length` bytes.
///
/// # Errors
/// [`FrameError::TooLarge`] from 2^24 on.
#[inline]
pub(crate) fn prefix(length: usize) -> Result<[u8; PREFIX_LEN], FrameError> {
    if length > MAX_FRAME {
        return Err(FrameError::TooLarge { limit: MAX_FRAME, got: length });
    }
    let [_, prefix @ ..] = (length as u32).to_be_bytes();
    Ok(prefix)
}

/// Cuts a byte stream, which may arrive in pieces of any size, into frames.
///
/// Inputs are [`feed`](Self::feed), or [`read_buf`](Self::read_buf) for readers that write in place; the output is
/// [`next_frame`](Self::next_frame), to be called until it gives `None`. The decoder starts with the limit of the
/// handshake. Take exactly one frame for each handshake message, then call
/// [`switch_to_transport`](Self::switch_to_transport) on the same decoder: bytes of transport frames that came in
/// the same read are kept. An announced length is not believed: no more than [`EAGER_CAP`] is reserved ahead of the
/// bytes, and a buffer that bytes have filled grows by doubling.
///
/// ```
/// use landbridge_noise::FrameDecoder;
/// let mut decoder = FrameDecoder::new();
/// decoder.feed(&[0, 0, 2, b'h']);
/// assert_eq!(decoder.next_frame()?, None);
/// decoder.feed(&[b'i', 0]);
/// assert_eq!(decoder.next_frame()?.as_deref(), Some(&b"hi"[..]));
/// assert_eq!(decoder.next_frame()?, None);
/// assert_eq!(decoder.into_rest(), [0][..]);
/// # Ok::<(), landbridge_noise::FrameError>(())
/// ```
pub struct FrameDecoder {
    buffer: BytesMut,
    /// Bytes at the front of `buffer` that belong to the frame handed out last.
    taken: usize,
    limit: usize,
    /// Offset in the stream of the first byte of `buffer`.
    position: u64,
}

impl FrameDecoder {
    /// A decoder at the start of a connection, which takes bodies up to [`MAX_HANDSHAKE_FRAME`].
    pub fn new() -> Self {
        Self { buffer: BytesMut::new(), taken: 0, limit: MAX_HANDSHAKE_FRAME, position: 0 }
    }

    /// Takes bodies up to [`MAX_FRAME`] from here on. To be called when the handshake is over.
    pub fn switch_to_transport(&mut self) {
        self.limit = MAX_FRAME;
    }

    /// Takes bytes as they arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.drop_taken();
        self.buffer.extend_from_slice(bytes);
    }

    /// The buffer, with room for the next read, for readers that append in place such as tokio's `read_buf`.
    /// What is in it already must not be changed.
    ///
    /// The room is what the frame under way still lacks, at least 4 KiB and at most [`EAGER_CAP`].
    pub fn read_buf(&mut self) -> &mut BytesMut {
        self.drop_taken();
        let lacking =
            self.announced().map_or(0, |body| (PREFIX_LEN + body).saturating_sub(self.buffer.len()));
        self.buffer.reserve(lacking.clamp(MIN_READ, EAGER_CAP));
        &mut self.buffer
    }

    /// The body of the next frame if all of it is there. It may be changed, so that it can be opened in place.
    ///
    /// Each frame is handed out once. An empty one is a frame too; [`Opener`](crate::Opener) refuses it.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] as soon as a prefix announces more than the limit. The stream is then lost: the
    /// error comes again at every call.
    pub fn next_frame(&mut self) -> Result<Option<&mut [u8]>, FrameError> {
        self.drop_taken();
        let Some(length) = self.announced() else { return Ok(None) };
        if length > self.limit {
            return Err(FrameError::TooLong { limit: self.limit, got: length, position: self.position });
        }
        let Some(body) = self.buffer.get_mut(PREFIX_LEN..PREFIX_LEN + length) else { return Ok(None) };
        self.taken = PREFIX_LEN + length;
        Ok(Some(body))
    }

    /// Ends the decoder and gives what was fed to it but not handed out.
    pub fn into_rest(mut self) -> BytesMut {
        self.drop_taken();
        self.buffer
    }

    /// The body length in the prefix at the front, if the prefix is there.
    fn announced(&self) -> Option<usize> {
        let &[a, b, c] = self.buffer.get(..PREFIX_LEN)? else { return None };
        Some(u32::from_be_bytes([0, a, b, c]) as usize)
    }

    #[inline]
    fn drop_taken(&mut self) {
        if self.taken == 0 {
            return;
        }
        self.buffer.advance(self.taken);
        self.position += self.taken as u64;
        self.taken = 0;
        // One large frame shall not weigh on an idle connection for the rest of its life.
        if self.buffer.is_empty() && self.buffer.capacity() > EAGER_CAP {
            self.buffer = BytesMut::new();
        }
    }
}

impl std::fmt::Debug for FrameDecoder {
    /// Without the bytes: frames are opened where they lie, so the buffer may hold plaintext.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { buffer, taken, limit, position } = self;
        f.debug_struct("FrameDecoder")
            .field("buffered", &buffer.len())
            .field("taken", taken)
            .field("limit", limit)
            .field("position", position)
            .finish()
    }
}

impl Default for FrameDecoder {
    fn default() -> Self {
        Self::new()
    }
}

/// A frame that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The peer announces a longer body than the place allows.
    #[error("frame at byte {position} of the stream announces {got} bytes, at most {limit} are taken here")]
    TooLong {
        /// The bound, in bytes.
        limit: usize,
        /// The length announced, in bytes.
        got: usize,
        /// Offset of the prefix from the first byte fed, in bytes.
        position: u64,
    },
    /// The caller wants to send a longer body than the length field can tell.
    #[error("body of {got} bytes does not fit a frame, which holds {limit}")]
    TooLarge {
        /// [`MAX_FRAME`].
        limit: usize,
        /// The length given, in bytes.
        got: usize,
    },
}
