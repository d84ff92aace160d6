//! Reading a header from bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Addresses, Header, V1_MAX, V2_FIXED, V2_MAX, V2_SIGNATURE, Version};

const V1_PREFIX: &[u8] = b"PROXY ";

/// What the bytes so far are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoded {
    /// The beginning of a header: ask again with more bytes.
    Incomplete,
    /// Not a PROXY header: the first byte belongs to what follows.
    Absent,
    /// A whole header.
    Header(Header),
}

/// Bytes that begin like a header and are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The signature of version 2 breaks off at this byte.
    #[error("the PROXY v2 signature is wrong at byte {offset}")]
    Signature {
        /// Offset of the first wrong byte.
        offset: usize,
    },
    /// The upper half of byte 12 is not 2.
    #[error("PROXY version {found} in a version 2 header")]
    UnknownVersion {
        /// The version found, 0..=15.
        found: u8,
    },
    /// The lower half of byte 12 is neither LOCAL (0) nor PROXY (1).
    #[error("unknown PROXY v2 command {found}")]
    UnknownCommand {
        /// The command found, 0..=15.
        found: u8,
    },
    /// Byte 13 is neither unspecified nor TCP over IPv4 or IPv6.
    #[error("PROXY v2 address family {found:#04x} is not TCP over IPv4 or IPv6")]
    UnsupportedFamily {
        /// The byte found.
        found: u8,
    },
    /// The length does not cover the addresses.
    #[error("PROXY v2 length {found} is below the {needed} bytes of its addresses")]
    TooShort {
        /// The length announced.
        found: usize,
        /// 12 or 36.
        needed: usize,
    },
    /// The header is longer than [`V1_MAX`] or [`V2_MAX`].
    #[error("the PROXY header is longer than {limit} bytes")]
    TooLong {
        /// The limit that was passed.
        limit: usize,
    },
    /// The line of version 1 is not as the format wants it.
    #[error("the {field} of the PROXY v1 line is malformed")]
    Line {
        /// Which part.
        field: &'static str,
    },
}

/// Reads a header from the first bytes of a stream. Call it again with the whole buffer when more have come.
///
/// # Errors
///
/// [`ProxyError`] as soon as the bytes cannot become a valid header any more: close the connection.
pub fn decode(bytes: &[u8]) -> Result<Decoded, ProxyError> {
    match bytes.first() {
        None => Ok(Decoded::Incomplete),
        Some(b'P') => v1(bytes),
        Some(b'\r') => v2(bytes),
        Some(_) => Ok(Decoded::Absent),
    }
}

fn v1(bytes: &[u8]) -> Result<Decoded, ProxyError> {
    let known = bytes.len().min(V1_PREFIX.len());
    if bytes.get(..known) != V1_PREFIX.get(..known) {
        // "POST /…" and "PRI * HTTP/2.0" begin with P as well.
        return Ok(Decoded::Absent);
    }
    let window = bytes.get(..bytes.len().min(V1_MAX)).unwrap_or(bytes);
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < V1_MAX {
            Ok(Decoded::Incomplete)
        } else {
            Err(ProxyError::TooLong { limit: V1_MAX })
        };
    };
    let line = window.get(V1_PREFIX.len()..end).unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| ProxyError::Line { field: "text" })?;
    Ok(Decoded::Header(Header { version: Version::V1, addresses: v1_addresses(line)?, len: end + 2 }))
}

fn v1_addresses(line: &str) -> Result<Option<Addresses>, ProxyError> {
    let mut fields = line.split(' ');
    let bad = |field| ProxyError::Line { field };
    let family = fields.next().unwrap_or_default();
    if family == "UNKNOWN" {
        // The rest of the line, if any, is to be ignored.
        return Ok(None);
    }
    let mut address = |field| -> Result<IpAddr, ProxyError> {
        let text = fields.next().ok_or(bad(field))?;
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().map(IpAddr::V4).map_err(|_| bad(field)),
            "TCP6" => text.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| bad(field)),
            _ => Err(bad("protocol")),
        }
    };
    let (from, to) = (address("source address")?, address("destination address")?);
    let mut port = |field| {
        let text = fields.next().unwrap_or_default();
        let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        if plain { text.parse::<u16>().map_err(|_| bad(field)) } else { Err(bad(field)) }
    };
    let (from_port, to_port) = (port("source port")?, port("destination port")?);
    if fields.next().is_some() {
        return Err(bad("end"));
    }
    Ok(Some(Addresses {
        source: SocketAddr::new(from, from_port),
        destination: SocketAddr::new(to, to_port),
    }))
}

fn v2(bytes: &[u8]) -> Result<Decoded, ProxyError> {
    if let Some(offset) = bytes.iter().zip(V2_SIGNATURE).position(|(found, wanted)| found != wanted) {
        return Err(ProxyError::Signature { offset });
    }
    let Some(([_, _, _, _, _, _, _, _, _, _, _, _, command, family, high, low], rest)) =
        bytes.split_first_chunk::<V2_FIXED>()
    else {
        return Ok(Decoded::Incomplete);
    };
    if command >> 4 != 2 {
        return Err(ProxyError::UnknownVersion { found: command >> 4 });
    }
    let local = match command & 0x0f {
        0 => true,
        1 => false,
        found => return Err(ProxyError::UnknownCommand { found }),
    };
    let body_len = usize::from(u16::from_be_bytes([*high, *low]));
    let needed = match family {
        _ if local => 0,
        0x00 => 0,
        0x11 => 12,
        0x21 => 36,
        found => return Err(ProxyError::UnsupportedFamily { found: *found }),
    };
    if body_len < needed {
        return Err(ProxyError::TooShort { found: body_len, needed });
    }
    if V2_FIXED + body_len > V2_MAX {
        return Err(ProxyError::TooLong { limit: V2_MAX });
    }
    let Some(body) = rest.get(..body_len) else {
        return Ok(Decoded::Incomplete);
    };
    let addresses = match needed {
        12 => take_v4(body),
        36 => take_v6(body),
        _ => None,
    };
    Ok(Decoded::Header(Header { version: Version::V2, addresses, len: V2_FIXED + body_len }))
}

fn take_v4(body: &[u8]) -> Option<Addresses> {
    let (from, rest) = body.split_first_chunk::<4>()?;
    let (to, ports) = rest.split_first_chunk::<4>()?;
    ends(Ipv4Addr::from(*from).into(), Ipv4Addr::from(*to).into(), ports)
}

fn take_v6(body: &[u8]) -> Option<Addresses> {
    let (from, rest) = body.split_first_chunk::<16>()?;
    let (to, ports) = rest.split_first_chunk::<16>()?;
    ends(Ipv6Addr::from(*from).into(), Ipv6Addr::from(*to).into(), ports)
}

fn ends(from: IpAddr, to: IpAddr, ports: &[u8]) -> Option<Addresses> {
    let (from_port, rest) = ports.split_first_chunk::<2>()?;
    let (to_port, _) = rest.split_first_chunk::<2>()?;
    Some(Addresses {
        source: SocketAddr::new(from, u16::from_be_bytes(*from_port)),
        destination: SocketAddr::new(to, u16::from_be_bytes(*to_port)),
    })
}
