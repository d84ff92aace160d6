//! The PROXY protocol header.

use landbridge_transport::proxy::{Decoded, Header, V1_MAX, V2_MAX, Version, decode, encode, encode_local};

use crate::vectors;

/// A header that is accepted is whole at exactly its length, and written again names the same addresses.
pub(crate) fn run(bytes: &[u8]) {
    let outcome = decode(bytes);
    // More bytes only settle what was open.
    for cut in 0..bytes.len().min(160) {
        match decode(&bytes[..cut]) {
            Ok(Decoded::Incomplete) => {}
            settled => {
                assert_eq!(settled, outcome, "after {cut} bytes");
                break;
            }
        }
    }
    match outcome {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(Decoded::Absent) => assert!(!bytes.starts_with(b"PROXY ") && !bytes.starts_with(b"\r\n\r\n\0")),
        Ok(Decoded::Incomplete) => assert!(bytes.len() < V2_MAX),
        Ok(Decoded::Header(header)) => accepted(bytes, &header),
    }
}

fn accepted(bytes: &[u8], header: &Header) {
    let limit = match header.version {
        Version::V1 => V1_MAX,
        Version::V2 => V2_MAX,
    };
    assert!(header.len <= limit && header.len <= bytes.len());
    assert_eq!(decode(&bytes[..header.len]), Ok(Decoded::Header(*header)));
    assert_eq!(decode(&bytes[..header.len - 1]), Ok(Decoded::Incomplete));
    let Some(addresses) = header.addresses else {
        let written = encode_local(header.version);
        let again = Header { len: written.len(), ..*header };
        assert_eq!(decode(&written), Ok(Decoded::Header(again)));
        return;
    };
    if header.version == Version::V1 {
        // Addresses have several spellings, numbers one.
        let ports = format!(" {} {}\r\n", addresses.source.port(), addresses.destination.port());
        assert!(bytes[..header.len].ends_with(ports.as_bytes()), "another spelling of a port was taken");
    }
    for version in [Version::V1, Version::V2] {
        let written = encode(version, addresses.source, addresses.destination);
        let Ok(Decoded::Header(again)) = decode(&written) else { panic!("the own header is refused") };
        assert_eq!((again.version, again.len), (version, written.len()));
        let again = again.addresses.expect("addresses were written");
        for (one, other) in [(again.source, addresses.source), (again.destination, addresses.destination)] {
            assert_eq!(one.ip().to_canonical(), other.ip().to_canonical());
            assert_eq!(one.port(), other.port());
        }
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vectors::hex_under(&vectors::proxy(), &["stream", "v1_hex", "v2"]);
    for line in [
        "PROXY TCP6 ::1 2001:db8::1 1 65535\r\n",
        "PROXY UNKNOWN\r\n",
        "PROXY UNKNOWN ffff:f... 65535\r\nGET",
        "PROXY TCP4 1.2.3.4 5.6.7.8 0 00\r\n",
        "PRI * HTTP/2.0\r\n",
        "PROX",
    ] {
        seeds.push(line.as_bytes().to_vec());
    }
    let mut with_fields = encode(Version::V2, ([1, 2, 3, 4], 5).into(), ([6, 7, 8, 9], 10).into());
    with_fields[15] += 4;
    with_fields.extend([4, 0, 1, 0]);
    seeds.push(with_fields);
    seeds
}
