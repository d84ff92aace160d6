//! The long-lived key pair of either side.

use landbridge_curve::{PrivateKey, PublicKey};
use rand_core::CryptoRng;

/// A static X25519 key pair, with the public half computed once.
///
/// A client's is the pair whose public half was enlisted as `authkey`; a server's is the one that its leaf
/// certificate names. Cloning copies the private key; every copy is wiped when dropped.
#[derive(Debug, Clone)]
pub struct StaticKeyPair {
    private: PrivateKey,
    public: PublicKey,
}

impl StaticKeyPair {
    /// Computes the public half of `private`.
    pub fn new(private: PrivateKey) -> Self {
        let public = private.public();
        Self { private, public }
    }

    /// Draws a pair from `rng`.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self::new(PrivateKey::generate(rng))
    }

    /// The private half, for storage.
    pub fn private(&self) -> &PrivateKey {
        &self.private
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }
}

impl From<PrivateKey> for StaticKeyPair {
    fn from(private: PrivateKey) -> Self {
        Self::new(private)
    }
}
