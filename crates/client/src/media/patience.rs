//! How often a transfer is tried again, and after which time (PEERS: five tries).

use std::time::Duration;

use landbridge_media::TransferError;
use rand::RngExt as _;

/// Failures in a row without a byte of progress.
const TRIES: u32 = 5;
/// Longest wait that a server is granted, in seconds.
const LONGEST: u64 = 300;

/// Counts failures. Waits double from 1 s, with up to as much again by chance, so that clients do not come in step.
#[derive(Debug, Default)]
pub(super) struct Patience {
    failures: u32,
}

impl Patience {
    /// Something was transferred.
    pub(super) const fn renew(&mut self) {
        self.failures = 0;
    }

    /// Waits after a failure that may pass; gives the others back, and the last one of too many.
    pub(super) async fn wait(&mut self, error: TransferError) -> Result<(), TransferError> {
        self.failures += 1;
        if !error.is_temporary() || self.failures >= TRIES {
            return Err(error);
        }
        let asked = match &error {
            TransferError::Unavailable { retry_after, .. } => retry_after.unwrap_or_default().min(LONGEST),
            _ => 0,
        };
        let base = Duration::from_secs(1) * 2_u32.pow(self.failures - 1);
        let jitter = base.mul_f64(rand::rng().random());
        tokio::time::sleep((base + jitter).max(Duration::from_secs(asked))).await;
        Ok(())
    }
}
