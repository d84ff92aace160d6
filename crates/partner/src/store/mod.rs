//! Where the server keeps what must outlive it.
//!
//! Each trait is what one part of the server needs of a database; a backend implements all of them over one. Times are
//! unix milliseconds, given by the caller. A method that has returned `Ok` has made its change durable: it survives the
//! loss of the process and of power.
//!
//! Shipped: [`SqliteStore`], a file or memory. A backend of your own runs the suite of [`conformance`].

pub mod conformance;
mod media;
mod sqlite;

use async_trait::async_trait;
use thiserror::Error;

use crate::wake::{Delivery, WakeKind, WakeTarget};

pub use media::{
    Begun, Claimed, Committed, Complete, Deleted, Garbage, MediaIndex, MediaRow, MediaTotals, Quota,
    Resumable, UploadRow,
};
pub use sqlite::{OpenError, SqliteStore};

/// Devices that one user may register.
pub const MAX_TARGETS: u32 = 10;

/// A store could not do what it was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// More is asked of it than it can take now.
    #[error("the store has too much to do")]
    Busy,
    /// It has been closed.
    #[error("the store is closed")]
    Closed,
    /// The database refused or broke; nothing was changed.
    #[error("the store failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Which user an identifier belongs to. Users become known when they come with a session.
#[async_trait]
pub trait Users: Send + Sync {
    /// Notes that `user_id` is visible as `identifier`; what was noted about either before is replaced.
    ///
    /// # Errors
    /// [`StoreError`]; nothing has changed then. The same holds for every method of every trait here.
    async fn remember_user(&self, user_id: &str, identifier: &str, now: u64) -> Result<(), StoreError>;

    /// The user who is visible as `identifier`.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn find_user(&self, identifier: &str) -> Result<Option<String>, StoreError>;

    /// Whether nobody but this process can change what is noted here, so that it may be remembered without end.
    fn is_own(&self) -> bool {
        false
    }

    /// Deletes the user with targets, media and everything that waits for them.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn forget_user(&self, user_id: &str) -> Result<(), StoreError>;
}

/// Whether a target was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers must decide every case")]
pub enum TargetPut {
    /// It was.
    Stored,
    /// The user has [`MAX_TARGETS`] others.
    TooMany,
}

/// Where the devices of a user can be woken.
#[async_trait]
pub trait WakeTargets: Send + Sync {
    /// Sets the target of a device, in the place of an earlier one. What waits for the device goes there from now on.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn put_target(
        &self,
        user_id: &str,
        device: &str,
        target: &WakeTarget,
        now: u64,
    ) -> Result<TargetPut, StoreError>;

    /// The target of a device.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn target(&self, user_id: &str, device: &str) -> Result<Option<WakeTarget>, StoreError>;

    /// Removes a device with what waits for it. A device that is not there is no error.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn delete_target(&self, user_id: &str, device: &str) -> Result<(), StoreError>;
}

/// What became of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers must decide every case")]
pub enum Pushed {
    /// It will be fanned out at once.
    Queued,
    /// It is one with another push for the same user.
    Coalesced,
    /// As much waits as may.
    Full,
}

/// How an attempt to wake a device ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "backends must store every case")]
pub enum Settlement {
    /// Nothing more to do: it arrived, or it never will.
    Done,
    /// The address is no longer one: the target goes, unless it has been set anew meanwhile.
    Gone,
    /// To be tried again at this time.
    Retry {
        /// Unix milliseconds.
        at: u64,
        /// Whether this attempt counts for the delay before the next one.
        counted: Counted,
    },
}

/// Whether an attempt was one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are two")]
pub enum Counted {
    /// It was made and failed.
    Yes,
    /// It was put off.
    No,
}

/// Deliveries to make, and when to ask again.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "made by backends")]
pub struct Due<T> {
    /// What is due now.
    pub items: T,
    /// When the next one is, unix milliseconds; `None` if nothing waits.
    pub next: Option<u64>,
}

/// Accepted pushes on their way to devices: from the answer 200 to the last attempt.
///
/// A push is first one row per user ([`push`](Self::push)), then one per device ([`fan_out`](Self::fan_out)), which a
/// sender [`take`](Self::take)s and [`settle`](Self::settle)s. A taken delivery that is never settled is due again when
/// its lease ends, so a server that dies loses none. Per user and device there is at most one.
#[async_trait]
pub trait WakeQueue: Send + Sync {
    /// Accepts a push. The first one is due at once; further ones within 5 s are one at the end of these. `bound` is
    /// how many rows may wait.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn push(&self, user_id: &str, now: u64, bound: u64) -> Result<Pushed, StoreError>;

    /// Whether a push at `now` would change nothing: one for the same user is stored, and whatever becomes of it is sent
    /// after this call. Answered from memory; when in doubt, `false`.
    fn is_promised(&self, user_id: &str, now: u64) -> bool {
        let _ = (user_id, now);
        false
    }

    /// Turns up to `limit` due pushes into deliveries and drops what has expired. `items` is how many users were
    /// fanned out.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn fan_out(&self, now: u64, limit: u32) -> Result<Due<u32>, StoreError>;

    /// Takes up to `limit` due deliveries of one kind, which are nobody else's until `lease_ends`.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn take(
        &self,
        kind: WakeKind,
        now: u64,
        lease_ends: u64,
        limit: u32,
    ) -> Result<Due<Vec<Delivery>>, StoreError>;

    /// Says how a taken delivery ended. If a newer push has taken its place meanwhile, that one becomes due. If its
    /// lease is no longer the taker's (it ended, or [`hurry`](Self::hurry) ended it), a
    /// [`Retry`](Settlement::Retry) changes nothing: whoever takes it next decides.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn settle(&self, delivery: &Delivery, settlement: Settlement) -> Result<(), StoreError>;

    /// Makes what waits for a device due now: it has just opened a stream. What was taken for a stream
    /// ([`WakeKind::Socket`]) and is not settled is due, too: whoever took it may have looked before there was one.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn hurry(&self, user_id: &str, device: &str, now: u64) -> Result<(), StoreError>;

    /// How many rows wait.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn depth(&self) -> Result<u64, StoreError>;
}

/// Everything together: what a server is given.
pub trait Store: Users + WakeTargets + WakeQueue + MediaIndex {}

impl<T: Users + WakeTargets + WakeQueue + MediaIndex> Store for T {}

/// Further pushes for a user within so many milliseconds are merged (ASSUMED).
pub const WINDOW_MS: u64 = 5_000;
/// A wake-up is dropped after so many milliseconds: mail stays at WhatsApp, and a later push follows (ASSUMED).
pub const WAKE_LIFE_MS: u64 = 60 * 60 * 1000;
