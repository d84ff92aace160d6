//! AES-256-GCM with a prepared key and a counter nonce, and the key derivation of the handshake.

use ring::{aead, hmac};
use zeroize::Zeroizing;

/// Bytes of an authentication tag.
pub const TAG_LEN: usize = aead::MAX_TAG_LEN;

/// Expands `key` once, for any number of calls.
///
/// ring keeps the expanded key in memory that this crate cannot wipe; it is freed when the value is dropped.
pub(crate) fn prepare(key: &[u8; 32]) -> aead::LessSafeKey {
    #[expect(clippy::expect_used, reason = "the one cause of failure is a length other than 32")]
    let key = aead::UnboundKey::new(&aead::AES_256_GCM, key).expect("an AES-256 key has 32 bytes");
    aead::LessSafeKey::new(key)
}

/// nonce(n) = four zero bytes, then n as 8 bytes big endian.
#[inline]
pub(crate) fn nonce(n: u64) -> aead::Nonce {
    let mut nonce = [0; aead::NONCE_LEN];
    nonce[4..].copy_from_slice(&n.to_be_bytes());
    aead::Nonce::assume_unique_for_key(nonce)
}

/// HKDF-SHA256 (RFC 5869) with salt `chaining_key`, empty info and 64 bytes of output, cut in two.
pub(crate) fn derive(chaining_key: &[u8; 32], input: &[u8]) -> (Zeroizing<[u8; 32]>, Zeroizing<[u8; 32]>) {
    let extracted = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, chaining_key), input);
    let key = hmac::Key::new(hmac::HMAC_SHA256, extracted.as_ref());
    let first = block(&hmac::sign(&key, &[1]));
    let mut again = Zeroizing::new([2; 33]);
    again[..32].copy_from_slice(first.as_ref());
    let second = block(&hmac::sign(&key, again.as_ref()));
    (first, second)
}

fn block(tag: &hmac::Tag) -> Zeroizing<[u8; 32]> {
    let mut block = Zeroizing::new([0; 32]);
    block.copy_from_slice(tag.as_ref());
    block
}

#[cfg(test)]
mod wycheproof;
