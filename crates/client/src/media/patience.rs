//! How often a transfer is tried again, and after which time.

use std::time::Duration;

use landbridge_media::TransferError;
use landbridge_stanza::profile::MediaProfile;
use rand::RngExt as _;

/// Counts failures. Waits double from 1 s, with up to as much again by chance, so that clients do not come in step.
#[derive(Debug)]
pub(super) struct Patience {
    failures: u32,
    tries: u32,
    /// In seconds.
    longest: u64,
}

impl Patience {
    pub(super) const fn of(profile: &MediaProfile) -> Self {
        Self { failures: 0, tries: profile.tries, longest: profile.longest_wait_s }
    }

    /// Something was transferred.
    pub(super) const fn renew(&mut self) {
        self.failures = 0;
    }

    /// Waits after a failure that may pass; gives the others back, and the last one of too many.
    pub(super) async fn wait(&mut self, error: TransferError) -> Result<(), TransferError> {
        self.failures += 1;
        if !error.is_temporary() || self.failures >= self.tries {
            return Err(error);
        }
        let asked = match &error {
            TransferError::Unavailable { retry_after, .. } => retry_after.unwrap_or_default(),
            _ => 0,
        };
        let base = 1_u64.checked_shl(self.failures - 1).map_or(self.longest, |wait| wait.min(self.longest));
        let base = Duration::from_secs(base);
        let jitter = base.mul_f64(rand::rng().random());
        tokio::time::sleep((base + jitter).max(Duration::from_secs(asked.min(self.longest)))).await;
        Ok(())
    }
}
