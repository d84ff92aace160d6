//! Which identities are believed, and the limits of patience.

use landbridge_curve::PublicKey;

/// What to do when a peer appears under another identity than the stored one. The first identity seen for an
/// address is always taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum TrustPolicy {
    /// Go on, and report [`IdentityChange::Changed`] so that the chat can show a notice. What WhatsApp's own clients
    /// do, hence the default (PEERS).
    #[default]
    Accept,
    /// Receive under the new identity, but send nothing to it before
    /// [`approve_identity`](crate::approve_identity).
    ApproveToSend,
    /// Neither receive nor send under another identity than the stored one.
    Reject,
}

/// How the identity that an operation met compares to the one stored before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a changed identity calls for a notice in the chat"]
pub enum IdentityChange {
    /// None was stored.
    New,
    /// The stored one.
    Unchanged,
    /// Another one was stored; it has been replaced.
    Changed {
        /// The identity stored before.
        old: PublicKey,
    },
}

/// Bounds on what a peer can make us do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many messages of one chain may be missing before the one at hand. 2,000 as in most peers; libsignal has
    /// 25,000. Each step costs one chain-key derivation before the MAC can be checked.
    pub max_jump: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_jump: 2_000 }
    }
}

/// Policy and limits of one operation. A bare [`TrustPolicy`] converts into it, with default limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settings {
    /// Which identities are believed.
    pub trust: TrustPolicy,
    /// Bounds on the peer.
    pub limits: Limits,
}

impl From<TrustPolicy> for Settings {
    fn from(trust: TrustPolicy) -> Self {
        Self { trust, limits: Limits::default() }
    }
}
