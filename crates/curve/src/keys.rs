//! Key pairs and key agreement.

use curve25519_dalek::{edwards::EdwardsPoint, montgomery::MontgomeryPoint};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The type byte that Signal messages put before a 32-byte public key.
pub const TYPE_CURVE25519: u8 = 0x05;

/// An X25519 private key: 32 bytes, clamped (RFC 7748 section 5) when made, wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct PrivateKey([u8; 32]);

impl PrivateKey {
    /// Draws a key from `rng`.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        let key = Self::from_bytes(bytes);
        bytes.zeroize();
        key
    }

    /// Takes 32 bytes as a scalar and clamps them.
    pub fn from_bytes(mut bytes: [u8; 32]) -> Self {
        bytes[0] &= 0b1111_1000;
        bytes[31] &= 0b0111_1111;
        bytes[31] |= 0b0100_0000;
        Self(bytes)
    }

    /// The clamped scalar. For storage only: it is the secret itself.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(MontgomeryPoint::mul_base_clamped(self.0).to_bytes())
    }

    /// X25519 with `theirs`.
    ///
    /// # Errors
    /// [`LowOrderKey`] if the result is all zero, which no honest key gives (RFC 7748 section 6.1).
    pub fn agree(&self, theirs: &PublicKey) -> Result<SharedSecret, LowOrderKey> {
        self.agree_prepared(&theirs.prepare())
    }

    /// X25519 with a key that is used more than once: the same result as [`Self::agree`] for less time.
    ///
    /// # Errors
    /// As [`Self::agree`].
    pub fn agree_prepared(&self, theirs: &PreparedPublicKey) -> Result<SharedSecret, LowOrderKey> {
        let u = match theirs.point {
            Some(point) => {
                let mut product = point.mul_clamped(self.0);
                let u = product.to_montgomery();
                product.zeroize();
                u
            }
            None => MontgomeryPoint(theirs.key.0).mul_clamped(self.0),
        };
        let shared = SharedSecret(u.to_bytes());
        if bool::from(shared.0.ct_eq(&[0; 32])) { Err(LowOrderKey) } else { Ok(shared) }
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(_) = self;
        f.write_str("PrivateKey([redacted])")
    }
}

/// An X25519 public key: the 32 bytes of u as they were received.
///
/// The top bit takes no part in agreement (RFC 7748) but is kept, because comparisons and MACs of the Signal
/// protocol are over the bytes on the wire. Equality is over all 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Takes the 32 bytes of u.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Takes u from a slice of exactly 32 bytes, the form of stanzas and of enlistment.
    ///
    /// # Errors
    /// [`KeyError::Length`] for any other length.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, KeyError> {
        bytes.try_into().map(Self).map_err(|_| KeyError::Length { expected: 32, got: bytes.len() })
    }

    /// Takes `05 ‖ u` (33 bytes), the form of Signal messages.
    ///
    /// # Errors
    /// [`KeyError::Length`] for other lengths, [`KeyError::Type`] for another type byte.
    pub fn from_typed(bytes: &[u8]) -> Result<Self, KeyError> {
        match bytes.split_first() {
            Some((&TYPE_CURVE25519, u)) if u.len() == 32 => Self::from_slice(u),
            Some((&other, u)) if u.len() == 32 => Err(KeyError::Type { got: other }),
            _ => Err(KeyError::Length { expected: 33, got: bytes.len() }),
        }
    }

    /// The 32 bytes of u.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// `05 ‖ u`, 33 bytes.
    pub fn to_typed(self) -> [u8; 33] {
        let mut typed = [TYPE_CURVE25519; 33];
        typed[1..].copy_from_slice(&self.0);
        typed
    }

    /// Does once what every agreement with this key begins with.
    pub fn prepare(&self) -> PreparedPublicKey {
        let point = if edwards_is_faster() { MontgomeryPoint(self.0).to_edwards(0) } else { None };
        PreparedPublicKey { key: *self, point }
    }

    /// Whether every agreement with this key gives zero.
    pub fn is_low_order(&self) -> bool {
        // 8 · k clears the cofactor for any clamped k, so one agreement speaks for all.
        PrivateKey::from_bytes([1; 32]).agree(self).is_err()
    }
}

/// A public key that several private keys agree with.
///
/// X25519 needs the u of the product alone, which the Montgomery ladder computes without leaving u. Where vector
/// instructions multiply points of the Edwards form, that way is shorter in spite of the two conversions, of which the
/// first is done here. Neither way depends on secrets in its steps. Which of the two points with this u is taken does
/// not matter: their products have the same u again.
#[derive(Debug, Clone, Copy)]
pub struct PreparedPublicKey {
    key: PublicKey,
    /// `None` where the ladder is to be taken: always for a u of the curve's twist, to which there is no point.
    point: Option<EdwardsPoint>,
}

/// Whether [`curve25519_dalek`] multiplies points of the Edwards form with vector instructions here.
fn edwards_is_faster() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PublicKey(")?;
        for byte in &self.0[..4] {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("…)")
    }
}

/// The 32-byte result of an agreement, never all zero, wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SharedSecret([u8; 32]);

impl SharedSecret {
    /// The 32 bytes. They are not uniform: put them through a KDF.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(_) = self;
        f.write_str("SharedSecret([redacted])")
    }
}

/// The peer's key has low order: the agreement would be all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("public key of low order: the shared secret would be zero")]
pub struct LowOrderKey;

/// Bytes that are no public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not the number of bytes that the place calls for.
    #[error("public key of {got} bytes, expected {expected}")]
    Length {
        /// 32 bare, 33 with the type byte.
        expected: usize,
        /// What was there.
        got: usize,
    },
    /// Another key type than Curve25519.
    #[error("public key of type {got:#04x}, expected 0x05 (Curve25519)")]
    Type {
        /// The type byte that was there.
        got: u8,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a key agrees on by the ladder alone.
    fn ladder(ours: &PrivateKey, theirs: &PublicKey) -> Option<[u8; 32]> {
        let theirs = PreparedPublicKey { key: *theirs, point: None };
        ours.agree_prepared(&theirs).ok().map(|shared| *shared.as_bytes())
    }

    #[test]
    fn both_ways_agree_on_the_same() {
        let mut seen = [0; 2];
        let small = (0..64u8).map(|u| {
            let mut bytes = [0; 32];
            bytes[0] = u;
            bytes
        });
        let large = (0..64u8).map(|less| {
            let mut bytes = [0xff; 32];
            bytes[0] -= less;
            bytes
        });
        for bytes in small.chain(large) {
            let ours = PrivateKey::from_bytes([bytes[0].wrapping_mul(37); 32]);
            let theirs = PublicKey::from_bytes(bytes);
            let point = MontgomeryPoint(bytes).to_edwards(0);
            let shared = ours.agree_prepared(&PreparedPublicKey { key: theirs, point });
            assert_eq!(shared.ok().map(|shared| *shared.as_bytes()), ladder(&ours, &theirs), "{theirs:?}");
            assert_eq!(ours.agree(&theirs).ok().map(|shared| *shared.as_bytes()), ladder(&ours, &theirs));
            seen[usize::from(point.is_some())] += 1;
        }
        assert!(seen.iter().all(|count| *count > 40), "points of the curve and of its twist: {seen:?}");
    }
}
