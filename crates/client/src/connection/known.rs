//! The chat server that was verified last, as the store keeps it. Nothing in it is secret.

use landbridge_noise::{KnownServer, PublicKey, Validity};

/// The first byte: which form the rest has.
const VERSION: u8 = 1;
/// Version; then for leaf and intermediate each a key (32) and its first and last second (8 each, big endian).
const LEN: usize = 1 + 2 * (32 + 8 + 8);

pub(super) fn to_bytes(server: &KnownServer) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LEN);
    bytes.push(VERSION);
    for (key, dates) in [(&server.key, server.leaf), (&server.intermediate_key, server.intermediate)] {
        bytes.extend_from_slice(key.as_bytes());
        bytes.extend_from_slice(&dates.not_before.to_be_bytes());
        bytes.extend_from_slice(&dates.not_after.to_be_bytes());
    }
    bytes
}

/// `None` for anything that [`to_bytes`] of this version has not written.
pub(super) fn from_bytes(bytes: &[u8]) -> Option<KnownServer> {
    let (&VERSION, rest) = bytes.split_first()? else { return None };
    let (key, leaf, rest) = part(rest)?;
    let (intermediate_key, intermediate, rest) = part(rest)?;
    rest.is_empty().then_some(KnownServer { key, leaf, intermediate_key, intermediate })
}

fn part(bytes: &[u8]) -> Option<(PublicKey, Validity, &[u8])> {
    let (key, rest) = bytes.split_first_chunk()?;
    let (from, rest) = rest.split_first_chunk()?;
    let (to, rest) = rest.split_first_chunk()?;
    let dates = Validity::new(u64::from_be_bytes(*from), u64::from_be_bytes(*to));
    Some((PublicKey::from_bytes(*key), dates, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_reads_and_nothing_else_does() {
        let server = KnownServer {
            key: PublicKey::from_bytes([1; 32]),
            leaf: Validity::new(2, 3),
            intermediate_key: PublicKey::from_bytes([4; 32]),
            intermediate: Validity::new(5, u64::MAX),
        };
        let bytes = to_bytes(&server);
        assert_eq!(bytes.len(), LEN);
        assert_eq!(from_bytes(&bytes), Some(server));
        for length in 0..LEN {
            assert_eq!(from_bytes(&bytes[..length]), None);
        }
        assert_eq!(from_bytes(&[bytes.as_slice(), &[0]].concat()), None);
        assert_eq!(from_bytes(&[&[VERSION + 1], &bytes[1..]].concat()), None);
    }
}
