//! How bytes travel.
//!
//! The layers above (`landbridge-noise`, `landbridge-wire`, …) turn bytes into bytes and open no socket. This crate
//! is the shell that does: it knows nothing of what it carries.
//!
//! | module | what |
//! |---|---|
//! | [`Transport`], [`TcpTransport`] | open a byte stream to a server |
//! | [`memory`] | the same without a network, for tests and simulation |
//! | [`proxy`] | the PROXY protocol header, versions 1 and 2 |
//! | [`http_client`] (feature `http-client`) | GET and POST with time and size limits |
//! | [`http_server`] (feature `http-server`) | an accept loop for HTTP/1.1 and HTTP/2 with time-outs, limits and drain |
//!
//! # Example
//!
//! ```
//! use landbridge_transport::{Transport, memory};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (transport, mut listener) = memory::pair();
//! let mut client = transport.open().await?;
//! let mut server = listener.accept().await.ok_or("no client")?;
//!
//! client.write_all(b"hello").await?;
//! let mut buffer = [0; 5];
//! server.read_exact(&mut buffer).await?;
//! assert_eq!(&buffer, b"hello");
//! # Ok(()) }
//! ```

#[cfg(feature = "http-client")]
pub mod http_client;
#[cfg(feature = "http-server")]
pub mod http_server;
pub mod memory;
pub mod proxy;
mod stream;
mod tcp;

pub use stream::{Prefixed, Stream, Transport, TransportError};
pub use tcp::TcpTransport;

#[cfg(feature = "http-client")]
pub use http_client::{HttpClient, HttpError};
#[cfg(feature = "tls-server")]
pub use http_server::{Certificates, TlsError, TlsVersions, serve_tls};
#[cfg(feature = "http-server")]
pub use http_server::{HttpLimits, PeerAddr, ServerHandle, serve};
