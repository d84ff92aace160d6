//! HMAC-SHA-256 (RFC 2104) with states that are prepared once and wiped.
//!
//! The ratchet makes several short HMACs under each of its keys. Starting each from the two prepared states halves
//! their cost, and unlike a general implementation this one leaves no copy of a key behind. A property test holds it
//! against ring's HMAC.

use std::slice::from_ref;

use sha2::block_api::compress256;
use zeroize::Zeroize;

const BLOCK: usize = 64;
/// Where the length stands in the last block.
const LENGTH_AT: usize = BLOCK - 8;
/// The one bit behind the data.
const END: u8 = 0x80;

/// The initial state of SHA-256 (FIPS 180-4, 5.3.3).
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// The two states after the padded key. As secret as the key itself.
#[derive(Clone)]
pub(crate) struct HmacKey {
    inner: [u32; 8],
    outer: [u32; 8],
}

impl Drop for HmacKey {
    fn drop(&mut self) {
        let Self { inner, outer } = self;
        inner[..].zeroize();
        outer[..].zeroize();
    }
}

impl HmacKey {
    /// Prepares a key of 32 bytes.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let mut made = Self { inner: INITIAL, outer: INITIAL };
        let mut pads = [[0x36; BLOCK], [0x5c; BLOCK]];
        for pad in &mut pads {
            for (byte, key) in pad.iter_mut().zip(key) {
                *byte ^= key;
            }
        }
        // One directly behind the other: neither needs the other's result, so a processor works on both at once.
        let [inner, outer] = &pads;
        compress256(&mut made.inner, from_ref(inner));
        compress256(&mut made.outer, from_ref(outer));
        pads.as_flattened_mut().zeroize();
        made
    }

    /// The HMACs of the bytes 1 and 2, side by side for the same reason.
    pub(crate) fn sign_1_and_2(&self) -> [[u8; 32]; 2] {
        const DATA: [[u8; BLOCK]; 2] = [only(1), only(2)];
        let mut states = [self.inner; 2];
        compress_two(&mut states, &DATA);
        let mut blocks = [DIGEST; 2];
        blocks[0][..32].copy_from_slice(&bytes(&states[0]));
        blocks[1][..32].copy_from_slice(&bytes(&states[1]));
        states = [self.outer; 2];
        compress_two(&mut states, &blocks);
        let digests = [bytes(&states[0]), bytes(&states[1])];
        blocks.as_flattened_mut().zeroize();
        states.as_flattened_mut().zeroize();
        digests
    }

    /// The HMAC of one piece of data.
    pub(crate) fn sign(&self, data: &[u8]) -> [u8; 32] {
        // What the ladder derives fits one block.
        if data.len() < LENGTH_AT {
            let mut state = self.inner;
            let mut block = [0; BLOCK];
            block[..data.len()].copy_from_slice(data);
            last_block(&mut state, &mut block, data.len(), BLOCK + data.len());
            return self.outer(&mut state);
        }
        let mut context = self.begin();
        context.update(data);
        context.finish()
    }

    /// The outer hash over the inner one. Wipes the inner state.
    fn outer(&self, inner: &mut [u32; 8]) -> [u8; 32] {
        let mut block = DIGEST;
        block[..32].copy_from_slice(&bytes(inner));
        inner.copy_from_slice(&self.outer);
        compress256(inner, from_ref(&block));
        block[..].zeroize();
        let digest = bytes(inner);
        inner[..].zeroize();
        digest
    }

    /// Begins an HMAC of several pieces.
    pub(crate) const fn begin(&self) -> HmacContext<'_> {
        HmacContext { key: self, state: self.inner, block: [0; BLOCK], filled: 0, length: BLOCK }
    }
}

/// An HMAC under way.
pub(crate) struct HmacContext<'a> {
    key: &'a HmacKey,
    state: [u32; 8],
    block: [u8; BLOCK],
    /// Bytes of `block` in use, always below 64.
    filled: usize,
    /// Bytes hashed so far, the padded key included.
    length: usize,
}

impl HmacContext<'_> {
    pub(crate) fn update(&mut self, mut data: &[u8]) {
        self.length += data.len();
        if self.filled > 0 {
            let room = (BLOCK - self.filled).min(data.len());
            let (now, later) = data.split_at(room);
            self.block[self.filled..self.filled + room].copy_from_slice(now);
            self.filled += room;
            data = later;
            if self.filled < BLOCK {
                return;
            }
            compress256(&mut self.state, from_ref(&self.block));
        }
        let (blocks, rest) = data.as_chunks::<BLOCK>();
        if !blocks.is_empty() {
            compress256(&mut self.state, blocks);
        }
        self.block[..rest.len()].copy_from_slice(rest);
        self.filled = rest.len();
    }

    pub(crate) fn finish(mut self) -> [u8; 32] {
        let (filled, length) = (self.filled, self.length);
        if filled >= LENGTH_AT {
            self.block[filled] = END;
            self.block[filled + 1..].fill(0);
            compress256(&mut self.state, from_ref(&self.block));
            self.block.fill(0);
            put_length(&mut self.block, length);
            compress256(&mut self.state, from_ref(&self.block));
        } else {
            self.block[filled..].fill(0);
            last_block(&mut self.state, &mut self.block, filled, length);
        }
        self.key.outer(&mut self.state)
    }
}

fn compress_two(states: &mut [[u32; 8]; 2], blocks: &[[u8; BLOCK]; 2]) {
    for (state, block) in states.iter_mut().zip(blocks) {
        compress256(state, from_ref(block));
    }
}

/// Ends a hash in a block whose first `filled` bytes are data and whose rest is zero: a one bit, and the length.
fn last_block(state: &mut [u32; 8], block: &mut [u8; BLOCK], filled: usize, length: usize) {
    block[filled] = END;
    put_length(block, length);
    compress256(state, from_ref(block));
    block[..].zeroize();
}

/// The last block of an inner hash that takes one byte in.
const fn only(byte: u8) -> [u8; BLOCK] {
    let mut block = ended(1);
    block[0] = byte;
    block
}

/// The last block of an outer hash, but for the 32 bytes of the inner one.
const DIGEST: [u8; BLOCK] = ended(32);

/// A last block behind the padded key, with room for `length` bytes of data, which is below 56.
const fn ended(length: usize) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block[length] = END;
    let [.., high, low] = ((BLOCK + length) * 8).to_be_bytes();
    block[BLOCK - 2] = high;
    block[BLOCK - 1] = low;
    block
}

/// The length in bits.
fn put_length(block: &mut [u8; BLOCK], length: usize) {
    block[LENGTH_AT..].copy_from_slice(&(length as u64 * 8).to_be_bytes());
}

#[inline]
fn bytes(state: &[u32; 8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (bytes, word) in bytes.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

impl Drop for HmacContext<'_> {
    fn drop(&mut self) {
        self.state[..].zeroize();
        self.block[..].zeroize();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ring::hmac;

    use super::*;

    proptest! {
        #[test]
        fn equals_the_general_implementation(
            key: [u8; 32],
            parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..150), 0..5),
        ) {
            let prepared = HmacKey::new(&key);
            let mut context = prepared.begin();
            for part in &parts {
                context.update(part);
            }
            let whole = parts.concat();
            let expected = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &whole);
            prop_assert_eq!(&context.finish()[..], expected.as_ref());
            prop_assert_eq!(&prepared.sign(&whole)[..], expected.as_ref());
        }

        #[test]
        fn two_bytes_side_by_side(key: [u8; 32]) {
            let key = HmacKey::new(&key);
            prop_assert_eq!(key.sign_1_and_2(), [1, 2].map(|byte| key.sign(&[byte])));
        }
    }

    #[test]
    fn every_length_around_the_block_size() {
        let key = [0xaa; 32];
        for length in 0..200 {
            let data = vec![0x5b; length];
            let expected = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &data);
            assert_eq!(HmacKey::new(&key).sign(&data)[..], *expected.as_ref(), "{length}");
        }
    }
}
