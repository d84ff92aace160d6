//! The key ladder: root key, chain keys, message keys. Each step is one-way, and each rung is its own type.
//!
//! ```text
//! X3DH ──► RootKey ──DH──► RootKey ──DH──► …
//!             │               │
//!             ▼               ▼
//!          ChainKey        ChainKey ──► ChainKey ──► …      HMAC(·, 02)
//!                             │            │
//!                             ▼            ▼
//!                        MessageSeed  MessageSeed           HMAC(·, 01)
//!                             │
//!                             ▼
//!                        MessageKeys                        HKDF
//! ```

use std::fmt;

use landbridge_curve::{KeyError, LowOrderKey, PreparedPublicKey, PrivateKey, PublicKey};
use rand_core::CryptoRng;
use zeroize::Zeroize;

use crate::{
    crypto::{Expand, hkdf, hkdf_salted},
    hmac::HmacKey,
};

/// Declares a secret of 32 bytes that is wiped when dropped and never printed.
macro_rules! secret32 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub(crate) struct $name([u8; 32]);

        impl $name {
            pub(crate) const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The secret itself; for storage and derivation only.
            pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                // As a slice: wiped in one piece rather than byte by byte.
                self.0[..].zeroize();
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let Self(_) = self;
                f.write_str(concat!(stringify!($name), "([redacted])"))
            }
        }
    };
}

secret32! {
    /// RK: mixes each new Diffie-Hellman result into all that follows.
    RootKey
}
secret32! {
    /// CK: gives the message seeds of one direction between two turns of the ratchet.
    ChainKey
}
secret32! {
    /// MK: the seed of one message's keys. Kept for messages that are late, erased on use.
    MessageSeed
}

/// Our ratchet key pair, the one whose public half our messages carry.
#[derive(Clone)]
pub(crate) struct RatchetKeyPair {
    private: PrivateKey,
    public: PublicKey,
}

impl RatchetKeyPair {
    pub(crate) fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self::from_private(PrivateKey::generate(rng))
    }

    pub(crate) fn from_private(private: PrivateKey) -> Self {
        let public = private.public();
        Self { private, public }
    }

    /// From storage, where the public half lies beside the private one.
    pub(crate) fn from_halves(private: PrivateKey, public: PublicKey) -> Self {
        Self { private, public }
    }

    pub(crate) fn private(&self) -> &PrivateKey {
        &self.private
    }

    pub(crate) fn public(&self) -> &PublicKey {
        &self.public
    }
}

impl fmt::Debug for RatchetKeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { private: _, public } = self;
        f.debug_struct("RatchetKeyPair").field("private", &"[redacted]").field("public", public).finish()
    }
}

/// Their ratchet key, as their messages carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RemoteRatchetKey(PublicKey);

impl RemoteRatchetKey {
    pub(crate) const fn new(key: PublicKey) -> Self {
        Self(key)
    }

    pub(crate) fn from_typed(bytes: &[u8]) -> Result<Self, KeyError> {
        PublicKey::from_typed(bytes).map(Self)
    }

    pub(crate) const fn key(&self) -> &PublicKey {
        &self.0
    }
}

impl RootKey {
    /// Turns the ratchet with their ratchet key: KDF(RK, DH, `WhisperRatchet`) gives the next root key and a chain key.
    pub(crate) fn turn(
        &self,
        ours: &PrivateKey,
        theirs: &PreparedPublicKey,
    ) -> Result<(Self, ChainKey), LowOrderKey> {
        let shared = ours.agree_prepared(theirs)?;
        Ok(split(&hkdf_salted(&self.0, shared.as_bytes(), b"WhisperRatchet")))
    }
}

/// The root and chain key that a session begins with: KDF(empty, master secret, `WhisperText`).
pub(crate) fn begin(master_secret: &[u8]) -> (RootKey, ChainKey) {
    split(&hkdf(master_secret, b"WhisperText"))
}

fn split(okm: &[u8; 64]) -> (RootKey, ChainKey) {
    let (mut root, mut chain) = (RootKey([0; 32]), ChainKey([0; 32]));
    root.0.copy_from_slice(&okm[..32]);
    chain.0.copy_from_slice(&okm[32..]);
    (root, chain)
}

impl ChainKey {
    /// The seed at this place of the chain, and the chain key after it.
    pub(crate) fn step(&self) -> (MessageSeed, Self) {
        let [seed, next] = HmacKey::new(&self.0).sign_1_and_2();
        (MessageSeed(seed), Self(next))
    }
}

/// The keys of one message, for encryption, authentication and IV.
pub(crate) struct MessageKeys {
    pub(crate) cipher: [u8; 32],
    pub(crate) mac: HmacKey,
    pub(crate) iv: [u8; 16],
}

impl MessageSeed {
    /// KDF(empty, MK, `WhisperMessageKeys`, 80).
    pub(crate) fn keys(&self) -> MessageKeys {
        let mut expand = Expand::unsalted(&self.0, b"WhisperMessageKeys");
        let cipher = *expand.part();
        // Made before the third part, which does not depend on it: a processor works on both at once.
        let mac = HmacKey::new(&expand.part());
        let mut iv = [0; 16];
        iv.copy_from_slice(&expand.part()[..16]);
        MessageKeys { cipher, mac, iv }
    }
}

impl Drop for MessageKeys {
    fn drop(&mut self) {
        // The MAC's key wipes itself.
        let Self { cipher, mac: _, iv } = self;
        cipher[..].zeroize();
        iv[..].zeroize();
    }
}

impl fmt::Debug for MessageKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cipher: _, mac: _, iv: _ } = self;
        f.write_str("MessageKeys([redacted])")
    }
}
