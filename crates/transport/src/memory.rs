//! A transport without a network: both ends live in one process.
//!
//! Each stream holds at most [`BUFFER`] bytes per direction, so that back-pressure is real. Dropping an end is what a
//! closed socket is: the other end reads the rest, then end of file.

use std::sync::Arc;

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
    (MemoryTransport { sender, name: Arc::from("memory") }, MemoryListener { receiver })
}

/// The client's side. Clones lead to the same listener.
#[derive(Debug, Clone)]
pub struct MemoryTransport {
    sender: mpsc::Sender<(DuplexStream, Arc<str>)>,
    name: Arc<str>,
}

impl MemoryTransport {
    /// The same transport under another name: what the listener is told instead of an address. The first is `memory`.
    #[must_use]
    pub fn named(&self, name: impl Into<Arc<str>>) -> Self {
        Self { sender: self.sender.clone(), name: name.into() }
    }
}

#[async_trait]
impl Transport for MemoryTransport {
    async fn open(&self) -> Result<Box<dyn Stream>, TransportError> {
        let (near, far) = duplex(BUFFER);
        self.sender.send((far, Arc::clone(&self.name))).await.map_err(|_| TransportError::NoListener)?;
        Ok(Box::new(near))
    }
}

/// The server's side.
#[derive(Debug)]
pub struct MemoryListener {
    receiver: mpsc::Receiver<(DuplexStream, Arc<str>)>,
}

impl MemoryListener {
    /// The next stream, or `None` when every [`MemoryTransport`] is gone.
    ///
    /// # Cancel safety
    ///
    /// Safe: a stream is either returned or still waits.
    pub async fn accept(&mut self) -> Option<Box<dyn Stream>> {
        self.accept_named().await.map(|(stream, _)| stream)
    }

    /// The next stream with the [name](MemoryTransport::named) of who opened it, or `None` when every [`MemoryTransport`]
    /// is gone.
    ///
    /// # Cancel safety
    ///
    /// Safe: a stream is either returned or still waits.
    pub async fn accept_named(&mut self) -> Option<(Box<dyn Stream>, Arc<str>)> {
        let (stream, name) = self.receiver.recv().await?;
        Some((Box::new(stream), name))
    }
}
