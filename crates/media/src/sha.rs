//! SHA-256 (FIPS 180-4) and HMAC-SHA-256 (RFC 2104) block by block.
//!
//! Three or four of these run beside a cipher chain over the same bytes. Every one of them is a chain in which each
//! step waits for the one before, so a processor does one of them at a small part of what it could. Given 64 bytes of
//! each in turn, it works on several at once. That is why this stands here and not a hasher that takes what comes: it
//! does nothing but whole blocks, until the end.

use core::slice::from_ref;

use sha2::block_api::compress256;
use zeroize::Zeroize;

/// Bytes that go into one step.
pub(crate) const BLOCK: usize = 64;
/// Where the length stands in the last block.
const LENGTH_AT: usize = BLOCK - 8;

/// The initial state (FIPS 180-4, 5.3.3).
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// A hash under way.
pub(crate) struct Sha256 {
    state: [u32; 8],
    /// Bytes hashed so far.
    length: u64,
}

impl Sha256 {
    pub(crate) const fn new() -> Self {
        Self { state: INITIAL, length: 0 }
    }

    #[inline]
    pub(crate) fn block(&mut self, block: &[u8; BLOCK]) {
        compress256(&mut self.state, from_ref(block));
        self.length += BLOCK as u64;
    }

    /// Hashes what is left, of any length, and ends.
    pub(crate) fn finish(mut self, tail: &[u8]) -> [u8; 32] {
        let (blocks, rest) = tail.as_chunks::<BLOCK>();
        for block in blocks {
            self.block(block);
        }
        let bits = (self.length + rest.len() as u64) * 8;
        let mut last = [0; BLOCK];
        last[..rest.len()].copy_from_slice(rest);
        last[rest.len()] = 0x80;
        if rest.len() >= LENGTH_AT {
            compress256(&mut self.state, from_ref(&last));
            last.fill(0);
        }
        last[LENGTH_AT..].copy_from_slice(&bits.to_be_bytes());
        compress256(&mut self.state, from_ref(&last));
        last[..].zeroize();
        let mut digest = [0; 32];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(&self.state) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        digest
    }
}

impl Drop for Sha256 {
    fn drop(&mut self) {
        self.state[..].zeroize();
    }
}

/// An HMAC key: the two states behind the padded key, as secret as the key.
#[derive(Clone)]
pub(crate) struct MacKey {
    inner: [u32; 8],
    outer: [u32; 8],
}

impl MacKey {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let state_behind = |pad: u8| {
            let mut block = [pad; BLOCK];
            for (byte, key) in block.iter_mut().zip(key) {
                *byte ^= key;
            }
            let mut state = INITIAL;
            compress256(&mut state, from_ref(&block));
            block[..].zeroize();
            state
        };
        Self { inner: state_behind(0x36), outer: state_behind(0x5c) }
    }

    pub(crate) const fn begin(&self) -> Mac {
        Mac {
            inner: Sha256 { state: self.inner, length: BLOCK as u64 },
            outer: Sha256 { state: self.outer, length: BLOCK as u64 },
        }
    }

    pub(crate) fn sign(&self, data: &[u8]) -> [u8; 32] {
        self.begin().finish(data)
    }
}

impl Drop for MacKey {
    fn drop(&mut self) {
        let Self { inner, outer } = self;
        inner[..].zeroize();
        outer[..].zeroize();
    }
}

/// An HMAC under way.
pub(crate) struct Mac {
    inner: Sha256,
    outer: Sha256,
}

impl Mac {
    #[inline]
    pub(crate) fn block(&mut self, block: &[u8; BLOCK]) {
        self.inner.block(block);
    }

    pub(crate) fn finish(self, tail: &[u8]) -> [u8; 32] {
        self.outer.finish(&self.inner.finish(tail))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ring::{digest, hmac};

    use super::*;

    proptest! {
        #[test]
        fn both_equal_those_of_a_library(
            key: [u8; 32],
            data in proptest::collection::vec(any::<u8>(), 0..400),
            first in 0_usize..6,
        ) {
            let (blocks, rest) = data.as_chunks::<BLOCK>();
            let first = first.min(blocks.len());
            let tail = &data[first * BLOCK..];
            prop_assert!(tail.ends_with(rest));
            let mut hash = Sha256::new();
            let mut mac = MacKey::new(&key).begin();
            for block in &blocks[..first] {
                hash.block(block);
                mac.block(block);
            }
            let expected = digest::digest(&digest::SHA256, &data);
            prop_assert_eq!(&hash.finish(tail)[..], expected.as_ref());
            let expected = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &data);
            prop_assert_eq!(&mac.finish(tail)[..], expected.as_ref());
        }
    }

    #[test]
    fn every_length_around_the_block_size() {
        for length in 0..200 {
            let data = vec![0x5b; length];
            let expected = digest::digest(&digest::SHA256, &data);
            assert_eq!(Sha256::new().finish(&data)[..], *expected.as_ref(), "{length}");
        }
    }
}
