//! Where clients come from.

use std::io;

use landbridge_transport::Stream;
use landbridge_transport::memory::MemoryListener;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::net::tcp::OwnedWriteHalf;

/// What is read from a client.
pub(super) type ReadHalf = Box<dyn AsyncRead + Send + Unpin>;
/// What is written to a client.
pub(super) type WriteHalf = Box<dyn Writer>;

/// A writing half that can also leave without a goodbye.
pub(super) trait Writer: AsyncWrite + Send + Unpin {
    /// The connection is to end with a reset as soon as it is dropped, if there is such a thing.
    fn reset(self: Box<Self>);
}

impl Writer for OwnedWriteHalf {
    fn reset(self: Box<Self>) {
        // If the option cannot be set, the connection ends in good order.
        let _ = self.as_ref().as_ref().set_zero_linger();
        // Dropped, it would say goodbye.
        self.forget();
    }
}

impl Writer for tokio::io::WriteHalf<Box<dyn Stream>> {
    fn reset(self: Box<Self>) {}
}

/// A client that has just connected.
pub(super) struct Guest {
    /// Its address, or its name.
    pub(super) peer: String,
    pub(super) reader: ReadHalf,
    pub(super) writer: WriteHalf,
}

/// Where clients come from.
#[derive(Debug)]
pub(crate) enum Listener {
    /// From the network.
    Tcp(TcpListener),
    /// From this process.
    Memory(MemoryListener),
}

impl Listener {
    /// The next client, or `None` when none can come any more.
    ///
    /// # Cancel safety
    /// Safe: a client is either returned or still waits.
    pub(super) async fn accept(&mut self) -> Option<io::Result<Guest>> {
        match self {
            Self::Tcp(listener) => {
                let (socket, peer) = match listener.accept().await {
                    Ok(accepted) => accepted,
                    Err(error) => return Some(Err(error)),
                };
                // A stanza is written whole: waiting for more would only delay it. If the option cannot be set, it is
                // delayed.
                let _ = socket.set_nodelay(true);
                let (reader, writer) = socket.into_split();
                let (reader, writer) = (Box::new(reader), Box::new(writer));
                Some(Ok(Guest { peer: peer.to_string(), reader, writer }))
            }
            Self::Memory(listener) => {
                let (stream, name) = listener.accept_named().await?;
                let (reader, writer) = tokio::io::split(stream);
                let (reader, writer) = (Box::new(reader), Box::new(writer));
                Some(Ok(Guest { peer: name.to_string(), reader, writer }))
            }
        }
    }
}
