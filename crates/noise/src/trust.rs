//! Whom a client believes: the seam, its proof value, and what is kept of a server for the next connection.

use landbridge_curve::PublicKey;
use subtle::ConstantTimeEq;

use crate::CertificateError;

/// When a certificate counts: unix seconds, both ends inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Validity {
    /// First second.
    pub not_before: u64,
    /// Last second.
    pub not_after: u64,
}

impl Validity {
    /// From `not_before` to `not_after`, both in unix seconds and inclusive.
    pub const fn new(not_before: u64, not_after: u64) -> Self {
        Self { not_before, not_after }
    }

    /// Whether `now` is inside, ends included: the rule for judging a chain.
    pub const fn contains(&self, now: u64) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// Whether a key kept from an earlier connection may be used: here the last second is not included. PEERS.
    const fn allows_resumption(&self, now: u64) -> bool {
        self.not_before <= now && now < self.not_after
    }
}

/// Decides whether a server is believed. Called by the client's handshake once for each XX or XXfallback, before
/// anything about the client is sent.
///
/// [`PinnedRoot`](crate::PinnedRoot) is the implementation for WhatsApp and for the sandbox. Another one makes its
/// proof with [`danger::assert_verified`](crate::danger::assert_verified).
pub trait ServerTrust: Send + Sync {
    /// Judges the decrypted first payload of the server, which proved to hold the private key of `server_static`.
    ///
    /// `now` is the local clock in unix seconds.
    ///
    /// # Errors
    /// [`CertificateError`] if the server is not believed; the handshake then ends and nothing more is sent.
    fn verify(
        &self,
        chain: &[u8],
        server_static: &PublicKey,
        now: u64,
    ) -> Result<VerifiedServer, CertificateError>;
}

/// Proof that a [`ServerTrust`] believes a server. The handshake makes no ClientFinish without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedServer {
    known: KnownServer,
}

impl VerifiedServer {
    pub(crate) const fn new(known: KnownServer) -> Self {
        Self { known }
    }

    /// The static key that was verified.
    pub const fn key(&self) -> &PublicKey {
        &self.known.key
    }

    /// What to keep for a resumption (IK). Keep it only after a completed XX or XXfallback of an enlisted account;
    /// never after IK, which shows no chain. PEERS.
    pub const fn known(&self) -> &KnownServer {
        &self.known
    }

    /// Whether the proof is about `key`, in constant time.
    pub(crate) fn is_about(&self, key: &PublicKey) -> bool {
        bool::from(self.known.key.as_bytes().ct_eq(key.as_bytes()))
    }
}

/// A server key from a chain that was good once: what a client stores in order to resume. Nothing in it is secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownServer {
    /// The server's static key.
    pub key: PublicKey,
    /// Dates of the leaf certificate.
    pub leaf: Validity,
    /// The key that signed the leaf.
    pub intermediate_key: PublicKey,
    /// Dates of the intermediate certificate.
    pub intermediate: Validity,
}

impl KnownServer {
    /// Whether IK may be tried at `now` (unix seconds): both certificates still count, the last second excluded.
    pub const fn usable_at(&self, now: u64) -> bool {
        self.leaf.allows_resumption(now) && self.intermediate.allows_resumption(now)
    }
}
