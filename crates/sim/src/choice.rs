//! What decides the steps of a run: its seed, or the bytes of a script.

use std::convert::Infallible;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, TryRng};

use crate::seed::source;

/// See the [module](self).
pub(crate) enum Choices {
    Seed(Box<ChaCha20Rng>),
    /// The rest of a script; every draw takes two bytes, and one that is used up gives zeros.
    Script(std::vec::IntoIter<u8>),
}

impl Choices {
    pub(crate) fn of_seed(seed: u64) -> Self {
        Self::Seed(Box::new(source(seed, "steps", 0)))
    }

    pub(crate) fn of_script(script: &[u8]) -> Self {
        Self::Script(Vec::from(script).into_iter())
    }

    /// Whether a script has come to its end.
    pub(crate) fn are_over(&self) -> bool {
        matches!(self, Self::Script(rest) if rest.len() == 0)
    }
}

impl TryRng for Choices {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        match self {
            Self::Seed(rng) => Ok(rng.next_u32()),
            Self::Script(rest) => {
                let mut byte = || u32::from(rest.next().unwrap_or_default());
                Ok(byte() | byte() << 8)
            }
        }
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        match self {
            Self::Seed(rng) => Ok(rng.next_u64()),
            Self::Script(_) => Ok(u64::from(self.try_next_u32()?)),
        }
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        match self {
            Self::Seed(rng) => rng.fill_bytes(bytes),
            Self::Script(rest) => bytes.fill_with(|| rest.next().unwrap_or_default()),
        }
        Ok(())
    }
}
