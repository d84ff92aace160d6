//! A transport without a network: both ends live in one process.
//!
//! Each stream holds at most [`BUFFER`] bytes per direction, so that back-pressure is real. Dropping an end is what a
//! closed socket is: the other end reads the rest, then end of file.

use async_trait::async_trait;
use tokio::io::{DuplexStream, duplex};
use tokio::sync::mpsc;

use crate::stream::{Stream, Transport, TransportError};

/// Bytes in flight per direction before a writer waits.
pub const BUFFER: usize = 64 * 1024;

/// Streams that wait to be accepted before a client waits.
const BACKLOG: usize = 128;

/// A connected transport and listener.
pub fn pair() -> (MemoryTransport, MemoryListener) {
    let (sender, receiver) = mpsc::channel(BACKLOG);
    (MemoryTransport { sender }, MemoryListener { receiver })
}

/// The client's side. Clones lead to the same listener.
#[derive(Debug, Clone)]
pub struct MemoryTransport {
    sender: mpsc::Sender<DuplexStream>,
}

#[async_trait]
impl Transport for MemoryTransport {
    async fn open(&self) -> Result<Box<dyn Stream>, TransportError> {
        let (near, far) = duplex(BUFFER);
        self.sender.send(far).await.map_err(|_| TransportError::NoListener)?;
        Ok(Box::new(near))
    }
}

/// The server's side.
#[derive(Debug)]
pub struct MemoryListener {
    receiver: mpsc::Receiver<DuplexStream>,
}

impl MemoryListener {
    /// The next stream, or `None` when every [`MemoryTransport`] is gone.
    ///
    /// # Cancel safety
    ///
    /// Safe: a stream is either returned or still waits.
    pub async fn accept(&mut self) -> Option<Box<dyn Stream>> {
        let stream = self.receiver.recv().await?;
        Some(Box::new(stream))
    }
}
