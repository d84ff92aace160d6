//! Hosting: encrypted files of the partner's users, for WhatsApp to fetch.
//!
//! Order of things, so that a reference serves the exact bytes or nothing, whatever happens in between: a row says what
//! is coming; the bytes are appended to a temporary name, made durable, renamed; then one transaction turns the row into
//! an object, and from there on it is served. What is left on the way is found by its row and removed.

mod blobs;
pub mod conformance;
mod lease;
mod receive;
mod service;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

pub use blobs::{BlobStream, BlobWriter, Blobs, LocalBlobs};

pub(crate) use lease::LEASE_MS;
pub(crate) use receive::receive;
pub(crate) use service::{Hosting, Start, UploadError};

use crate::store::Quota;

/// Objects are kept for so many milliseconds: WhatsApp keeps undelivered messages 30 days (SEED), and a margin (ASSUMED).
pub const RETENTION_MS: u64 = 45 * 24 * 60 * 60 * 1000;
/// Unfinished uploads are dropped after so many milliseconds (ASSUMED).
pub const UPLOAD_LIFE_MS: u64 = 24 * 60 * 60 * 1000;
/// The message authentication code behind the blocks of a media file, in bytes.
const MAC: u64 = 10;
/// A block of AES, in bytes.
const BLOCK: u64 = 16;

/// Settings of media hosting.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::exhaustive_structs, reason = "settings, built with struct update syntax")]
pub struct MediaConfig {
    /// The media base URL agreed with WhatsApp; by default the base URL.
    pub base_url: Option<String>,
    /// Largest encrypted file, in bytes.
    pub max_bytes: u64,
    /// Bytes that a user may begin to upload within 24 hours.
    pub quota_per_day: u64,
    /// Bytes that a user may have stored.
    pub quota_stored: u64,
    /// Uploads of one user at once.
    pub parallel: u32,
    /// Fetches of references that do not exist from one address within a minute, before it has to wait.
    pub misses_per_minute: u32,
    /// Addresses to which that does not apply, such as those of WhatsApp's fetchers.
    pub unguarded: Vec<std::net::IpAddr>,
}

impl Default for MediaConfig {
    fn default() -> Self {
        const GIB: u64 = 1024 * 1024 * 1024;
        Self {
            base_url: None,
            max_bytes: 2 * GIB + BLOCK + MAC,
            quota_per_day: 2 * GIB + BLOCK + MAC,
            quota_stored: 10 * GIB,
            parallel: 10,
            misses_per_minute: 100,
            unguarded: Vec::new(),
        }
    }
}

impl MediaConfig {
    pub(crate) fn quota(&self) -> Quota {
        Quota { per_day: self.quota_per_day, stored: self.quota_stored, parallel: self.parallel }
    }
}

/// Whether a file of WhatsApp's format can have this length: whole blocks, at least one, and the code.
pub(crate) fn is_media_length(length: u64) -> bool {
    length >= BLOCK + MAC && length % BLOCK == MAC
}

/// SHA-256 of a reference, in hexadecimal: what its bytes are called, so that a listing gives no references away.
pub(crate) fn name_of(reference: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, reference.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 256 random bits, base64url: 43 characters.
pub(crate) fn new_reference() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// Whether a text can be a reference: 22 to 86 characters of base64url. Ours have 43.
pub(crate) fn is_reference(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (22..=86).contains(&text.len()) && text.bytes().all(plain)
}

/// Whether a text is SHA-256 in strict base64url.
pub(crate) fn is_digest(text: &str) -> bool {
    URL_SAFE_NO_PAD.decode(text).is_ok_and(|digest| digest.len() == 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_media_files() {
        for good in [26, 42, 16 * 1000 + 10] {
            assert!(is_media_length(good), "{good}");
        }
        for bad in [0, 10, 16, 25, 27, 32, 16 * 1000, u64::MAX] {
            assert!(!is_media_length(bad), "{bad}");
        }
    }

    #[test]
    fn references_and_digests() {
        let reference = new_reference();
        assert!(reference.len() == 43 && is_reference(&reference) && is_digest(&reference));
        assert!(is_reference(&"a".repeat(22)) && is_reference(&"-".repeat(86)));
        for bad in ["a".repeat(21), "a".repeat(87), format!("{}.", "a".repeat(30)), "ä".repeat(22)] {
            assert!(!is_reference(&bad), "{bad}");
        }
        assert_eq!(name_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        // 43 characters have two bits too many; they have to be zero.
        assert!(!is_digest(&format!("{}B", "A".repeat(42))));
    }
}
