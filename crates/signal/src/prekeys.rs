//! Identity keys, prekeys and the bundles that announce them.

use std::fmt;

use landbridge_curve::{PrivateKey, PublicKey, SIGNATURE_LEN};
use rand_core::CryptoRng;
use thiserror::Error;

/// Any 32-bit number is read; new ones are drawn from 1 to 16380, the range that every peer accepts (PEERS).
pub type RegistrationId = u32;

/// Draws a registration id, 1 to 16380.
pub fn generate_registration_id<R: CryptoRng + ?Sized>(rng: &mut R) -> RegistrationId {
    // 2^32 is so much larger than 16380 that the remainder's bias is below one in 260,000; the id is no secret.
    rng.next_u32() % 16380 + 1
}

/// The long-term key pair that names an account towards its peers.
#[derive(Clone)]
pub struct IdentityKeyPair {
    private: PrivateKey,
    public: PublicKey,
}

impl IdentityKeyPair {
    /// Draws a new identity.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self::from_private(PrivateKey::generate(rng))
    }

    /// The pair of a private key, for example a stored one. Computes the public half once.
    pub fn from_private(private: PrivateKey) -> Self {
        let public = private.public();
        Self { private, public }
    }

    /// The pair of two halves that are known to belong together, without computing anything.
    pub fn from_halves(private: PrivateKey, public: PublicKey) -> Self {
        Self { private, public }
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The private half.
    pub fn private(&self) -> &PrivateKey {
        &self.private
    }
}

impl fmt::Debug for IdentityKeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { private: _, public } = self;
        f.debug_struct("IdentityKeyPair").field("private", &"[redacted]").field("public", public).finish()
    }
}

macro_rules! key_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(u32);

        impl $name {
            /// The largest id: ids have 3 bytes in stanzas.
            pub const MAX: Self = Self(0xff_ffff);

            /// The id with this number.
            ///
            /// # Errors
            /// [`IdOutOfRange`] above [`Self::MAX`].
            pub const fn new(id: u32) -> Result<Self, IdOutOfRange> {
                if id <= Self::MAX.0 { Ok(Self(id)) } else { Err(IdOutOfRange { id }) }
            }

            /// The number.
            pub const fn get(self) -> u32 {
                self.0
            }

            /// The id after this one; after the largest comes 1.
            #[must_use]
            pub const fn next(self) -> Self {
                if self.0 >= Self::MAX.0 { Self(1) } else { Self(self.0 + 1) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl TryFrom<u32> for $name {
            type Error = IdOutOfRange;

            fn try_from(id: u32) -> Result<Self, IdOutOfRange> {
                Self::new(id)
            }
        }

        impl From<$name> for u32 {
            fn from(id: $name) -> u32 {
                id.0
            }
        }
    };
}

key_id! {
    /// Number of a one-time prekey: 1 to `0xFF_FFFF`, wrapping to 1. 0 is read but not made, because one peer
    /// (libsignal-node) takes it for "none".
    PreKeyId
}
key_id! {
    /// Number of a signed prekey: 1 to `0xFF_FFFF`, wrapping to 1. 0 is read but not made.
    SignedPreKeyId
}

/// A prekey id that does not fit 3 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("prekey id {id} is above 16777215")]
pub struct IdOutOfRange {
    /// The number that was given.
    pub id: u32,
}

/// A one-time prekey: used for one session and then erased.
#[derive(Debug, Clone)]
pub struct PreKey {
    /// Its number.
    pub id: PreKeyId,
    /// Its key.
    pub key: PrivateKey,
}

impl PreKey {
    /// What the server may know of it.
    pub fn public(&self) -> PreKeyPublic {
        PreKeyPublic { id: self.id, key: self.key.public() }
    }
}

/// Draws `count` one-time prekeys with consecutive ids from `start` on, wrapping from `0xFF_FFFF` to 1.
pub fn generate<R: CryptoRng + ?Sized>(start: PreKeyId, count: usize, rng: &mut R) -> Vec<PreKey> {
    let mut id = start;
    let mut keys = Vec::with_capacity(count);
    for _ in 0..count {
        keys.push(PreKey { id, key: PrivateKey::generate(rng) });
        id = id.next();
    }
    keys
}

/// A signed prekey: serves many sessions until it is rotated out.
#[derive(Clone)]
pub struct SignedPreKey {
    /// Its number.
    pub id: SignedPreKeyId,
    /// Its key.
    pub key: PrivateKey,
    /// The identity's XEdDSA signature over the public key in its 33-byte form.
    pub signature: [u8; SIGNATURE_LEN],
}

impl SignedPreKey {
    /// Draws a key and signs it.
    pub fn generate<R: CryptoRng + ?Sized>(
        id: SignedPreKeyId,
        identity: &IdentityKeyPair,
        rng: &mut R,
    ) -> Self {
        let key = PrivateKey::generate(rng);
        Self::sign(id, key, identity, rng)
    }

    /// Signs a given key.
    pub fn sign<R: CryptoRng + ?Sized>(
        id: SignedPreKeyId,
        key: PrivateKey,
        identity: &IdentityKeyPair,
        rng: &mut R,
    ) -> Self {
        let signature = identity.private().sign(&[&key.public().to_typed()], rng);
        Self { id, key, signature }
    }

    /// What the server and the peers may know of it.
    pub fn public(&self) -> SignedPreKeyPublic {
        SignedPreKeyPublic { id: self.id, key: self.key.public(), signature: self.signature }
    }
}

impl fmt::Debug for SignedPreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, key: _, signature: _ } = self;
        f.debug_struct("SignedPreKey").field("id", id).field("key", &"[redacted]").finish_non_exhaustive()
    }
}

/// The public half of a one-time prekey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PreKeyPublic {
    /// Its number.
    pub id: PreKeyId,
    /// Its public key.
    pub key: PublicKey,
}

/// The public half of a signed prekey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedPreKeyPublic {
    /// Its number.
    pub id: SignedPreKeyId,
    /// Its public key.
    pub key: PublicKey,
    /// XEdDSA by the owner's identity over `05 ‖ key` (33 bytes).
    pub signature: [u8; SIGNATURE_LEN],
}

/// All that is needed to begin a session with somebody who is offline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreKeyBundle {
    /// The owner's registration id.
    pub registration_id: RegistrationId,
    /// The owner's identity.
    pub identity: PublicKey,
    /// The owner's signed prekey.
    pub signed_prekey: SignedPreKeyPublic,
    /// A one-time prekey, as long as the server has one.
    pub prekey: Option<PreKeyPublic>,
}
