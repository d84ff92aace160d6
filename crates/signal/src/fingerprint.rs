//! Safety numbers: what two people compare to know that nobody sits between them.
//!
//! Signal's form (PEERS). WhatsApp describes its 60 digits in the same way; what it puts into its QR code is not
//! public. ASSUMED: the id of a user is the user part of the JID.

use landbridge_curve::PublicKey;
use sha2::{Digest as _, Sha512};
use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::protobuf::{Fields, put_bytes, put_bytes_head, put_uint32};

/// Hashes per half in Signal's and WhatsApp's numbers (PEERS).
pub const ITERATIONS: u32 = 5200;

/// Bytes of a half that the scannable form carries.
const SCANNED: usize = 32;
/// Bytes of a half that the digits come from.
const SHOWN: usize = 30;

/// The safety number of two parties, as one of them sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    local: [u8; SCANNED],
    remote: [u8; SCANNED],
}

impl Fingerprint {
    /// Computes the safety number from both ids and identities, with [`ITERATIONS`].
    pub fn new(
        local_id: &[u8],
        local_identity: &PublicKey,
        remote_id: &[u8],
        remote_identity: &PublicKey,
    ) -> Self {
        Self::with_iterations(ITERATIONS, (local_id, local_identity), (remote_id, remote_identity))
    }

    /// The same with another number of hashes. Both sides must use the same.
    pub fn with_iterations(iterations: u32, local: (&[u8], &PublicKey), remote: (&[u8], &PublicKey)) -> Self {
        Self { local: half(iterations, local.0, local.1), remote: half(iterations, remote.0, remote.1) }
    }

    /// The 60 digits, equal on both sides.
    pub fn numeric(&self) -> String {
        let (a, b) = (digits(&self.local), digits(&self.remote));
        if a < b { a + &b } else { b + &a }
    }

    /// The bytes for a QR code; `version` is 1 or 2 and must be the same on both sides.
    pub fn scannable(&self, version: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + 2 * (SCANNED + 4));
        put_uint32(&mut out, 1, version);
        for (number, half) in [(2, &self.local), (3, &self.remote)] {
            put_bytes_head(&mut out, number, SCANNED + 2);
            put_bytes(&mut out, 1, half);
        }
        out
    }
}

/// The first hash is over `00 00 ‖ key ‖ id ‖ key`, each further one over the last and the key.
fn half(iterations: u32, id: &[u8], identity: &PublicKey) -> [u8; SCANNED] {
    let key = identity.to_typed();
    let mut hash = Sha512::new();
    for part in [&[0, 0], &key[..], id, &key] {
        hash.update(part);
    }
    let mut digest = hash.finalize();
    for _ in 1..iterations {
        let mut hash = Sha512::new();
        hash.update(digest);
        hash.update(key);
        digest = hash.finalize();
    }
    let mut half = [0; SCANNED];
    half.copy_from_slice(&digest[..SCANNED]);
    half
}

/// Six groups of five bytes, each modulo 100,000.
fn digits(half: &[u8; SCANNED]) -> String {
    let groups = half[..SHOWN].chunks(5).map(|group| {
        let number = group.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        format!("{:05}", number % 100_000)
    });
    groups.collect()
}

/// Whether a scanned code is the counterpart of the own one: their remote half is our local one and the other way
/// round.
///
/// # Errors
/// [`ScanError`] if the codes cannot be compared.
pub fn compare_scannable(ours: &[u8], theirs: &[u8]) -> Result<bool, ScanError> {
    let (ours, theirs) = (Scanned::parse(ours)?, Scanned::parse(theirs)?);
    if ours.version != theirs.version {
        return Err(ScanError::VersionMismatch { ours: ours.version, theirs: theirs.version });
    }
    Ok(bool::from(ours.local.ct_eq(theirs.remote) & ours.remote.ct_eq(theirs.local)))
}

struct Scanned<'a> {
    version: u32,
    local: &'a [u8],
    remote: &'a [u8],
}

impl<'a> Scanned<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, ScanError> {
        Self::read(bytes).ok_or(ScanError::Malformed)
    }

    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (mut version, mut local, mut remote) = (0, None, None);
        let mut fields = Fields::new(bytes);
        while let Some((number, value)) = fields.next().ok()? {
            match number {
                1 => version = value.uint32(&fields).ok()?,
                2 => local = Some(content(value.bytes(&fields).ok()?)?),
                3 => remote = Some(content(value.bytes(&fields).ok()?)?),
                _ => {}
            }
        }
        Some(Self { version, local: local?, remote: remote? })
    }
}

fn content(half: &[u8]) -> Option<&[u8]> {
    let mut content = None;
    let mut fields = Fields::new(half);
    while let Some((number, value)) = fields.next().ok()? {
        if number == 1 {
            content = Some(value.bytes(&fields).ok()?);
        }
    }
    content.filter(|content| content.len() == SCANNED)
}

/// Why two scannable codes cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ScanError {
    /// Not a code of this kind.
    #[error("the bytes are no safety number")]
    Malformed,
    /// The codes are of two versions.
    #[error("our code has version {ours}, theirs {theirs}")]
    VersionMismatch {
        /// Version of the own code.
        ours: u32,
        /// Version of the scanned code.
        theirs: u32,
    },
}
