//! Frames over a socket.

use std::time::Duration;

use landbridge_noise::{FrameDecoder, FrameError};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes that a client may still send after the end, before the socket is dropped on it.
const LINGER_BYTES: usize = 256 * 1024;
/// How long an ended connection waits for the client to close, too.
const LINGER: Duration = Duration::from_secs(2);

/// Why a socket is of no more use.
#[derive(Debug, Error)]
pub(super) enum SocketError {
    #[error("the client closed the connection")]
    Closed,
    #[error("the client closed the connection within a frame")]
    ClosedInside,
    #[error("the connection broke")]
    Io(#[from] std::io::Error),
    #[error("the client does not read")]
    WriteTimeout,
    #[error("a frame cannot be")]
    Frame(#[from] FrameError),
    #[error("a fault was injected")]
    Injected,
}

/// The reading half.
pub(super) struct FrameReader<R> {
    inner: R,
    pub(super) decoder: FrameDecoder,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, decoder: FrameDecoder::new() }
    }

    /// Reads once into `buffer`, for what comes before the frames. 0 bytes: the client closed.
    pub(super) async fn raw(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.inner.read(buffer).await
    }

    /// Reads until a whole frame is there.
    ///
    /// # Cancel safety
    /// Nothing that was read is lost.
    pub(super) async fn frame(&mut self) -> Result<Vec<u8>, SocketError> {
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                return Ok(frame.to_vec());
            }
            let buffer = self.decoder.read_buf();
            let had = buffer.len();
            match self.inner.read_buf(buffer).await? {
                0 if had == 0 => return Err(SocketError::Closed),
                0 => return Err(SocketError::ClosedInside),
                _ => {}
            }
        }
    }

    /// Reads and forgets for a time, or until the client has closed.
    pub(super) async fn swallow(&mut self, limit: Duration) {
        let mut buffer = vec![0; 4096];
        let drain = async { while let Ok(1..) = self.inner.read(&mut buffer).await {} };
        // Whether the client closed or the time is over makes no difference.
        let _ = tokio::time::timeout(limit, drain).await;
    }

    /// Reads and forgets until the client has closed. A socket that is dropped with unread bytes resets the connection,
    /// and the client may lose our last stanza.
    pub(super) async fn linger(&mut self) {
        // On the heap: a buffer here would be part of every connection for all of its life.
        let mut buffer = vec![0; 4096];
        let mut left = LINGER_BYTES;
        let drain = async {
            while let Ok(read) = self.inner.read(&mut buffer).await {
                left = left.saturating_sub(read);
                if read == 0 || left == 0 {
                    break;
                }
            }
        };
        // Whether the client closed or the time is over makes no difference.
        let _ = tokio::time::timeout(LINGER, drain).await;
    }
}

/// Writes all of `bytes` within a time.
pub(super) async fn write_all<W: AsyncWrite + Unpin>(
    writer: &mut W,
    bytes: &[u8],
    limit: Duration,
) -> Result<(), SocketError> {
    match tokio::time::timeout(limit, writer.write_all(bytes)).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(SocketError::WriteTimeout),
    }
}
