//! Fuzz input taken apart into values.

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

/// Reads values from the front of a fuzz input. An input that is used up gives zeros and empty slices, so that every
/// input means something.
pub(crate) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) const fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn u8(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.u8(), self.u8()])
    }

    /// A number below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::from(if limit > 256 { self.u16() } else { u16::from(self.u8()) }) % limit
    }

    /// True for one value in `count`, and for an input that is used up.
    pub(crate) fn one_in(&mut self, count: u8) -> bool {
        self.u8().is_multiple_of(count)
    }

    /// One of several values.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Exactly so many bytes, or all that are left.
    pub(crate) fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// A length of one byte and as many bytes.
    pub(crate) fn short(&mut self) -> &'a [u8] {
        let length = usize::from(self.u8());
        self.take(length)
    }

    /// A length of two bytes and as many bytes.
    pub(crate) fn long(&mut self) -> &'a [u8] {
        let length = usize::from(self.u16());
        self.take(length)
    }

    /// Up to 255 bytes as text.
    pub(crate) fn text(&mut self) -> String {
        String::from_utf8_lossy(self.short()).into_owned()
    }

    /// Everything that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }
}

/// Appends `bytes` as [`Input::long`] reads them.
pub(crate) fn put_long(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).expect("seeds are short");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Randomness that is the same in every run: an input alone decides what happens.
pub(crate) fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// Changes bytes as a script says: up to three edits, each an overwrite, an insertion, a removal or a cut.
pub(crate) fn damage(bytes: &mut Vec<u8>, script: &mut Input<'_>) {
    for _ in 0..=script.below(3) {
        let (kind, at, value) = (script.u8(), usize::from(script.u16()), script.u8());
        let at = at % (bytes.len() + 1);
        match kind % 4 {
            0 if at < bytes.len() => bytes[at] ^= value,
            1 => bytes.insert(at, value),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 => bytes.truncate(at),
            _ => {}
        }
    }
}
