//! One request at a time appends to an upload, whichever server it reached.

use std::sync::Arc;
use std::time::Duration;

use super::service::Hosting;
use crate::problem::Problem;
use crate::store::{Claimed, Resumable, StoreError, UploadRow};

/// How many milliseconds a server that dies keeps the others from an upload (ASSUMED).
pub(crate) const LEASE_MS: u64 = 60_000;
/// How often a lease is renewed: twice in vain are not yet its end.
const RENEW: Duration = Duration::from_secs(20);

/// The right to append to an upload. Dropped with its request, it is given back in the background.
struct Held {
    hosting: Arc<Hosting>,
    id: String,
    owner: String,
    resumable: Resumable,
    is_back: bool,
}

impl Hosting {
    /// Does `work` while this request, and no other at any server, may append to an upload. A plain one that does not
    /// become an object is given up.
    pub(crate) async fn holding<T>(
        self: &Arc<Self>,
        upload: &UploadRow,
        work: impl Future<Output = Result<T, Problem>> + Send,
    ) -> Result<T, Problem> {
        let owner = format!("{:032x}", rand::random::<u128>());
        check(self.claim(&upload.id, &owner).await.map_err(unavailable)?)?;
        let (hosting, id) = (Arc::clone(self), upload.id.clone());
        let mut held = Held { hosting, id, owner, resumable: upload.resumable, is_back: false };
        let outcome = tokio::select! {
            biased;
            outcome = work => outcome,
            lost = held.renew() => Err(lost),
        };
        held.is_back = true;
        give_back(self, &held.id, &held.owner, held.resumable == Resumable::No && outcome.is_err()).await;
        outcome
    }

    async fn claim(&self, id: &str, owner: &str) -> Result<Claimed, StoreError> {
        let now = self.now();
        self.store.claim_upload(id, owner, now, now + LEASE_MS).await
    }
}

fn check(claimed: Claimed) -> Result<(), Problem> {
    match claimed {
        Claimed::Yes => Ok(()),
        Claimed::Taken => Err(Problem::Conflict("another request is sending to this upload")),
        Claimed::Gone => Err(Problem::NotFound),
    }
}

fn unavailable(cause: StoreError) -> Problem {
    tracing::error!(cause = &cause as &dyn std::error::Error, "an upload cannot be claimed");
    Problem::Unavailable("the upload cannot be stored")
}

impl Held {
    /// Returns when the lease cannot be kept.
    async fn renew(&self) -> Problem {
        let mut failed = 0;
        loop {
            tokio::time::sleep(RENEW).await;
            match self.hosting.claim(&self.id, &self.owner).await {
                Ok(claimed) => match check(claimed) {
                    Ok(()) => failed = 0,
                    Err(problem) => return problem,
                },
                // The third one would be as late as the end of the lease.
                Err(cause) if failed == 1 => return unavailable(cause),
                Err(_) => failed += 1,
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.is_back {
            return;
        }
        // Without a runtime, the end of the lease has to do.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (hosting, id, owner) = (Arc::clone(&self.hosting), self.id.clone(), self.owner.clone());
        let is_over = self.resumable == Resumable::No;
        runtime.spawn(async move { give_back(&hosting, &id, &owner, is_over).await });
    }
}

async fn give_back(hosting: &Hosting, id: &str, owner: &str, is_over: bool) {
    if is_over {
        hosting.give_up(id).await;
    }
    if let Err(cause) = hosting.store.release_upload(id, owner).await {
        tracing::warn!(cause = &cause as &dyn std::error::Error, "an upload stays held until its lease ends");
    }
    hosting.given_back();
}
