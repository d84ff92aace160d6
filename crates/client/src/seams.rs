//! What the client takes from its surroundings: the time and random numbers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rand::rngs::{StdRng, SysRng};
use rand::{CryptoRng, Rng as _, SeedableRng, TryRng as _};

/// Tells the time of day. Called for time stamps, token lives and certificate dates; time-outs use tokio's timer.
pub trait Clock: Send + Sync {
    /// Now, in unix seconds.
    fn now(&self) -> u64;
}

/// The computer's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }
}

/// One random source for all tasks. Steps that run elsewhere get a generator of their own, seeded from it.
#[derive(Clone)]
pub(crate) struct SharedRng(Arc<Mutex<Box<dyn CryptoRng + Send>>>);

impl SharedRng {
    pub(crate) fn new(source: Box<dyn CryptoRng + Send>) -> Self {
        Self(Arc::new(Mutex::new(source)))
    }

    /// Seeded from the operating system.
    pub(crate) fn from_system() -> Result<Self, rand::rngs::SysError> {
        let mut seed = <StdRng as SeedableRng>::Seed::default();
        SysRng.try_fill_bytes(&mut seed)?;
        Ok(Self::new(Box::new(StdRng::from_seed(seed))))
    }

    /// A generator for one step.
    pub(crate) fn fork(&self) -> StdRng {
        let mut seed = <StdRng as SeedableRng>::Seed::default();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut seed);
        StdRng::from_seed(seed)
    }
}

impl std::fmt::Debug for SharedRng {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SharedRng")
    }
}
