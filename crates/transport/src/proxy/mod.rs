//! The PROXY protocol header, with which an intermediary says who its client is.
//!
//! Version 1 is one line of text of at most 107 bytes, version 2 a binary header of 16 bytes and a length-prefixed
//! rest. It is sent before all other bytes (before TLS, too). [`encode`] and [`encode_local`] write one, [`decode`]
//! reads from a buffer that may still grow, [`read`] from a stream.
//!
//! A receiver accepts a header from configured addresses only, and from those demands one: whoever may send it may
//! claim any address. (Format: the published HAProxy specification; use in front of WhatsApp: ASSUMED.)
//!
//! ```
//! use landbridge_transport::proxy::{self, Decoded, Version};
//!
//! let (client, server) = ("192.0.2.44:51234".parse()?, "203.0.113.9:443".parse()?);
//! let mut bytes = proxy::encode(Version::V2, client, server);
//! bytes.extend_from_slice(b"what follows");
//!
//! let Decoded::Header(header) = proxy::decode(&bytes)? else { unreachable!("the header is whole") };
//! assert_eq!(header.addresses.map(|a| a.source), Some(client));
//! assert_eq!(&bytes[header.len..], b"what follows");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod decode;
mod encode;
mod read;

use std::net::SocketAddr;

pub use decode::{Decoded, ProxyError, decode};
pub use encode::{encode, encode_local};
pub use read::{ReadError, read};

/// Longest version 1 header in bytes, with its CR LF.
pub const V1_MAX: usize = 107;

/// Longest version 2 header accepted in bytes: 16 fixed, 36 of addresses, and room for the fields (TLV) that load
/// balancers append. The format would allow 65,551.
pub const V2_MAX: usize = 4096;

const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED: usize = 16;

/// Which form of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// Text.
    V1,
    /// Binary.
    V2,
}

/// Both ends of the client's connection to the intermediary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Addresses {
    /// The client.
    pub source: SocketAddr,
    /// The address that the client connected to.
    pub destination: SocketAddr,
}

/// A whole header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The form it came in.
    pub version: Version,
    /// Who the client is. `None` (`UNKNOWN`, or command LOCAL): take the socket's own addresses.
    pub addresses: Option<Addresses>,
    /// Length of the header in bytes; the payload starts there.
    pub len: usize,
}
