//! One seed, many independent sources of randomness: what one part draws does not depend on what others draw.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A source for one part of a run.
pub(crate) fn source(seed: u64, part: &str, number: u64) -> ChaCha20Rng {
    let text = format!("{seed}/{part}/{number}");
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let mut key = [0; 32];
    key.copy_from_slice(digest.as_ref());
    ChaCha20Rng::from_seed(key)
}

/// Draws that read well.
pub(crate) trait Draw: Rng {
    /// A number below `bound`, which is not 0. The bias is far below what a run could show.
    fn below(&mut self, bound: u64) -> u64 {
        self.next_u64() % bound.max(1)
    }

    /// An index into something of that length.
    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// True in so many of a thousand cases.
    fn per_mille(&mut self, cases: u64) -> bool {
        self.below(1_000) < cases
    }
}

impl<R: Rng + ?Sized> Draw for R {}
