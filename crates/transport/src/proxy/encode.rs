//! Writing a header.

use std::net::{IpAddr, SocketAddr};

use super::{V2_SIGNATURE, Version};

/// A header that names the client and the address it connected to.
///
/// An IPv4-mapped IPv6 address is written as IPv4 (ASSUMED). If only one of the two is IPv4, both are written as IPv6.
pub fn encode(version: Version, source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let (from, to) = same_family(source.ip(), destination.ip());
    match version {
        Version::V1 => {
            let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
            format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port()).into_bytes()
        }
        Version::V2 => {
            let mut out = Vec::with_capacity(52);
            out.extend_from_slice(V2_SIGNATURE);
            match (from, to) {
                (IpAddr::V4(from), IpAddr::V4(to)) => {
                    out.extend_from_slice(&[0x21, 0x11, 0, 12]);
                    out.extend_from_slice(&from.octets());
                    out.extend_from_slice(&to.octets());
                }
                (from, to) => {
                    out.extend_from_slice(&[0x21, 0x21, 0, 36]);
                    out.extend_from_slice(&octets_v6(from));
                    out.extend_from_slice(&octets_v6(to));
                }
            }
            out.extend_from_slice(&source.port().to_be_bytes());
            out.extend_from_slice(&destination.port().to_be_bytes());
            out
        }
    }
}

/// A header that says nothing about the client: for the intermediary's own connections, such as health checks.
pub fn encode_local(version: Version) -> Vec<u8> {
    match version {
        Version::V1 => b"PROXY UNKNOWN\r\n".to_vec(),
        Version::V2 => {
            let mut out = V2_SIGNATURE.to_vec();
            out.extend_from_slice(&[0x20, 0, 0, 0]);
            out
        }
    }
}

fn same_family(source: IpAddr, destination: IpAddr) -> (IpAddr, IpAddr) {
    match (source.to_canonical(), destination.to_canonical()) {
        (IpAddr::V4(a), IpAddr::V6(b)) => (a.to_ipv6_mapped().into(), b.into()),
        (IpAddr::V6(a), IpAddr::V4(b)) => (a.into(), b.to_ipv6_mapped().into()),
        same => same,
    }
}

fn octets_v6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}
