//! Seeds of messages that have not come yet.

use std::sync::Arc;

use zeroize::Zeroize;

use crate::ladder::MessageSeed;

/// Most seeds kept per chain; beyond that the oldest goes (PEERS).
pub(crate) const MAX_SKIPPED: usize = 2_000;

/// Counters per block, the number of bits in [`Block::present`].
const SPAN: usize = 64;

/// The skipped seeds of one receiving chain, by counter.
///
/// They lie in blocks of 64 consecutive counters that clones share, so that a session whose chain has 2,000 of them
/// is cloned in a moment, and taking one out copies one block at most.
#[derive(Debug, Clone, Default)]
pub(crate) struct SkippedKeys {
    /// Ascending by base.
    blocks: Vec<Arc<Block>>,
    len: usize,
}

#[derive(Clone)]
struct Block {
    /// The first counter, a multiple of 64.
    base: u32,
    /// Bit n: the seed of `base + n` is here.
    present: u64,
    seeds: [[u8; 32]; SPAN],
}

impl Drop for Block {
    fn drop(&mut self) {
        self.seeds.as_flattened_mut().zeroize();
    }
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { base, present, seeds: _ } = self;
        f.debug_struct("Block")
            .field("base", base)
            .field("present", &present.count_ones())
            .finish_non_exhaustive()
    }
}

/// The base of the block that holds `counter`, and the place in it.
const fn place(counter: u32) -> (u32, usize) {
    let slot = counter % SPAN as u32;
    (counter - slot, slot as usize)
}

impl SkippedKeys {
    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    fn find(&self, base: u32) -> Result<usize, usize> {
        self.blocks.binary_search_by_key(&base, |block| block.base)
    }

    /// The seed of `counter`, if it is kept.
    pub(crate) fn get(&self, counter: u32) -> Option<MessageSeed> {
        let (base, slot) = place(counter);
        let block = self.blocks.get(self.find(base).ok()?)?;
        (block.present >> slot & 1 == 1).then(|| MessageSeed::from_bytes(block.seeds[slot]))
    }

    /// Erases the seed of `counter`.
    pub(crate) fn remove(&mut self, counter: u32) {
        let (base, slot) = place(counter);
        let Ok(at) = self.find(base) else { return };
        let present = self.blocks[at].present;
        if present >> slot & 1 == 0 {
            return;
        }
        self.len -= 1;
        if present == 1 << slot {
            self.blocks.remove(at);
            return;
        }
        let block = Arc::make_mut(&mut self.blocks[at]);
        block.present &= !(1 << slot);
        block.seeds[slot][..].zeroize();
    }

    /// Keeps one more seed, and gives up the oldest one beyond [`MAX_SKIPPED`].
    pub(crate) fn insert(&mut self, counter: u32, seed: &MessageSeed) {
        let (base, slot) = place(counter);
        let at = self.find(base).unwrap_or_else(|at| {
            self.blocks.insert(at, Arc::new(Block { base, present: 0, seeds: [[0; 32]; SPAN] }));
            at
        });
        let block = Arc::make_mut(&mut self.blocks[at]);
        if block.present >> slot & 1 == 0 {
            self.len += 1;
        }
        block.present |= 1 << slot;
        block.seeds[slot] = *seed.as_bytes();
        if self.len > MAX_SKIPPED
            && let Some(oldest) = self.blocks.first()
        {
            self.remove(oldest.base + oldest.present.trailing_zeros());
        }
    }

    /// All of them, ascending by counter.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &[u8; 32])> {
        self.blocks.iter().flat_map(|block| {
            (0u32..).zip(&block.seeds).filter_map(|(slot, seed)| {
                (block.present >> slot & 1 == 1).then_some((block.base + slot, seed))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn seed(n: u32) -> MessageSeed {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        MessageSeed::from_bytes(bytes)
    }

    #[test]
    fn the_oldest_goes_beyond_the_limit() {
        let mut kept = SkippedKeys::default();
        for n in 10..2_015 {
            kept.insert(n, &seed(n));
        }
        assert_eq!(kept.len(), MAX_SKIPPED);
        assert!(kept.get(14).is_none());
        assert!(kept.get(15).is_some());
    }

    proptest! {
        #[test]
        fn behaves_like_a_map(ops in proptest::collection::vec((any::<bool>(), 0u32..300), 0..200)) {
            let mut kept = SkippedKeys::default();
            let mut model = BTreeMap::new();
            let before = kept.clone();
            for (add, counter) in ops {
                if add {
                    kept.insert(counter, &seed(counter));
                    model.insert(counter, *seed(counter).as_bytes());
                } else {
                    kept.remove(counter);
                    model.remove(&counter);
                    prop_assert!(kept.get(counter).is_none());
                }
            }
            prop_assert_eq!(kept.len(), model.len());
            prop_assert!(kept.iter().eq(model.iter().map(|(counter, seed)| (*counter, seed))));
            prop_assert_eq!(before.len(), 0);
        }
    }
}
