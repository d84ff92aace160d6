//! Reading a header from a stream.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};

use super::{Decoded, Header, ProxyError, decode};
use crate::stream::Prefixed;

/// Why no header could be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The bytes begin like a header and are none.
    #[error("the PROXY header is malformed")]
    Malformed {
        /// What is wrong with it.
        #[source]
        source: ProxyError,
    },
    /// The peer closed before the header was whole.
    #[error("the peer closed the connection inside its PROXY header")]
    Closed,
    /// The header was not whole in time.
    #[error("no whole PROXY header within {} ms", after.as_millis())]
    TimedOut {
        /// The limit that passed.
        after: Duration,
    },
    /// Reading failed.
    #[error("the connection failed before its PROXY header was read")]
    Io {
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// Reads the header at the beginning of a stream, if there is one, and returns it with the stream behind it.
///
/// `None`: the stream does not begin with a header; nothing of it is lost.
///
/// # Cancel safety
///
/// Not safe: the bytes read so far are lost with the stream.
///
/// # Errors
///
/// [`ReadError`]: the stream is of no use any more.
pub async fn read<S>(mut stream: S, limit: Duration) -> Result<(Option<Header>, Prefixed<S>), ReadError>
where
    S: AsyncRead + Unpin,
{
    let mut buffer = Vec::with_capacity(256);
    let work = async {
        loop {
            match decode(&buffer).map_err(|source| ReadError::Malformed { source })? {
                Decoded::Incomplete => {}
                Decoded::Absent => return Ok(None),
                Decoded::Header(header) => return Ok(Some(header)),
            }
            // Bounded: a header that has not ended after V2_MAX bytes is an error above, and one read adds at
            // most what `buffer` has spare.
            match stream.read_buf(&mut buffer).await {
                Ok(0) => return Err(ReadError::Closed),
                Ok(_) => {}
                Err(source) => return Err(ReadError::Io { source }),
            }
        }
    };
    let header = match tokio::time::timeout(limit, work).await {
        Ok(result) => result?,
        Err(_) => return Err(ReadError::TimedOut { after: limit }),
    };
    if let Some(header) = &header {
        buffer.drain(..header.len.min(buffer.len()));
    }
    Ok((header, Prefixed::new(buffer, stream)))
}
