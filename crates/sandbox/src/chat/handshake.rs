//! From the first byte to the keys.

use std::sync::Arc;

use landbridge_noise::{
    Established, HandshakeError, Header, Hello, IntroError, IntroReader, ServerHandshake,
};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};

use super::frames::{FrameReader, SocketError};
use super::mischief;
use crate::events::Rule;
use crate::state::State;

/// Bytes of the reads before the first frame.
const FIRST_READ: usize = 512;

/// Why there is no channel. The client is told nothing: there is nothing to tell it with.
#[derive(Debug, Error)]
pub(super) enum NoChannel {
    #[error("no byte came within {seconds} s")]
    FirstByte { seconds: u64 },
    #[error("the handshake was not over within {seconds} s")]
    TooSlow { seconds: u64 },
    #[error("the beginning of the connection is wrong")]
    Intro(#[from] IntroError),
    #[error("the handshake failed")]
    Handshake(#[from] HandshakeError),
    #[error("the socket failed")]
    Socket(#[from] SocketError),
}

impl NoChannel {
    /// The rule that the client broke, if it broke one.
    pub(super) fn rule(&self) -> Option<Rule> {
        match self {
            Self::FirstByte { .. } => Some(Rule::FIRST_BYTE),
            Self::TooSlow { .. } => Some(Rule::HANDSHAKE_TIME),
            Self::Intro(_) => Some(Rule::HEADER),
            Self::Handshake(_) => Some(Rule::HANDSHAKE),
            Self::Socket(SocketError::Frame(_)) => Some(Rule::FRAME),
            Self::Socket(SocketError::Closed | SocketError::ClosedInside) => Some(Rule::HANDSHAKE),
            Self::Socket(_) => None,
        }
    }
}

/// Shakes hands within the time-outs.
pub(super) async fn accept<R, W>(
    state: &State,
    connection: u64,
    reader: &mut FrameReader<R>,
    writer: &mut W,
) -> Result<Established, NoChannel>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let limits = &state.config.chat;
    // On the heap: a buffer here would be part of every connection for all of its life.
    let mut first = vec![0; FIRST_READ];
    let read = tokio::time::timeout(limits.first_byte, reader.raw(&mut first))
        .await
        .map_err(|_| NoChannel::FirstByte { seconds: limits.first_byte.as_secs() })?
        .map_err(SocketError::Io)?;
    if read == 0 {
        return Err(SocketError::Closed.into());
    }
    let first = first.get(..read).unwrap_or_default();
    tokio::time::timeout(limits.handshake, shake(state, connection, first, reader, writer))
        .await
        .map_err(|_| NoChannel::TooSlow { seconds: limits.handshake.as_secs() })?
}

async fn shake<R, W>(
    state: &State,
    connection: u64,
    first: &[u8],
    reader: &mut FrameReader<R>,
    writer: &mut W,
) -> Result<Established, NoChannel>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let header = intro(state, first, reader).await?;
    let hello = reader.frame().await?;
    let handshake = ServerHandshake::new(Arc::clone(&state.identity), header, &mut state.rng());
    let limit = state.config.chat.write;
    match handshake.read(&hello)? {
        Hello::Answered { state: handshake, write } => {
            mischief::write(state, connection, writer, &write, limit).await?;
            let finish = reader.frame().await?;
            let established = handshake.read(&finish)?;
            reader.decoder.switch_to_transport();
            Ok(established)
        }
        Hello::Resume(resume) => {
            let (established, write) = resume.accept(&[])?;
            mischief::write(state, connection, writer, &write, limit).await?;
            reader.decoder.switch_to_transport();
            Ok(established)
        }
    }
}

/// Reads pre-intro and header; what follows them in the same bytes goes to the frames.
async fn intro<R: AsyncRead + Unpin>(
    state: &State,
    first: &[u8],
    reader: &mut FrameReader<R>,
) -> Result<Header, NoChannel> {
    let expected = Header::from_bytes(state.profile().connection.header)?;
    let mut intro = IntroReader::new(expected);
    let mut buffer = vec![0; FIRST_READ];
    let mut input = first;
    loop {
        if let Some(intro) = intro.read(&mut input)? {
            reader.decoder.feed(input);
            return Ok(intro.header());
        }
        let read = reader.raw(&mut buffer).await.map_err(SocketError::Io)?;
        if read == 0 {
            return Err(SocketError::ClosedInside.into());
        }
        input = buffer.get(..read).unwrap_or_default();
    }
}
