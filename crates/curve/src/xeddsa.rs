//! XEdDSA as Signal deploys it: the sign of the Edwards key travels in the top bit of the signature.
//!
//! The XEdDSA paper negates the private scalar so that the sign is always 0; the deployed signers keep the scalar
//! and send the sign, so a verifier that demands 0 refuses half of all honest keys.

use curve25519_dalek::{edwards::EdwardsPoint, montgomery::MontgomeryPoint, scalar::Scalar};
use rand_core::CryptoRng;
use sha2::Digest as _;
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use crate::{PrivateKey, PublicKey};

/// Bytes of a signature: R (32), then s (32) with the sign in its top bit.
pub const SIGNATURE_LEN: usize = 64;

/// Domain separation of the nonce hash: `FE`, then 31 times `FF`.
const NONCE_LABEL: [u8; 32] = {
    let mut label = [0xff; 32];
    label[0] = 0xfe;
    label
};

impl PrivateKey {
    /// Signs the concatenation of `parts`, with 64 random bytes drawn from `rng`.
    pub fn sign<R: CryptoRng + ?Sized>(&self, parts: &[&[u8]], rng: &mut R) -> [u8; SIGNATURE_LEN] {
        let mut random = Zeroizing::new([0; 64]);
        rng.fill_bytes(random.as_mut());
        self.sign_with(parts, &random)
    }

    /// Signs with the 64 random bytes given. They must be fresh and secret; tests replay recorded ones.
    pub fn sign_with(&self, parts: &[&[u8]], random: &[u8; 64]) -> [u8; SIGNATURE_LEN] {
        let mut a = Scalar::from_bytes_mod_order(*self.as_bytes());
        let public = EdwardsPoint::mul_base(&a).compress().to_bytes();
        let mut r = {
            let mut hash = Sha512::new(&[&NONCE_LABEL, self.as_bytes()]);
            hash.update(parts);
            hash.update(&[random]);
            hash.scalar()
        };
        let commitment = EdwardsPoint::mul_base(&r).compress().to_bytes();
        let challenge = challenge(&commitment, &public, parts);
        let mut signature = [0; SIGNATURE_LEN];
        signature[..32].copy_from_slice(&commitment);
        signature[32..].copy_from_slice((r + challenge * a).as_bytes());
        signature[63] |= public[31] & 0x80;
        a.zeroize();
        r.zeroize();
        signature
    }
}

impl PublicKey {
    /// Checks a signature over the concatenation of `parts`.
    ///
    /// As in the deployed verifiers, s need not be below the group order, so a signature is no identifier. Stricter
    /// than they are, a key of low order signs nothing.
    ///
    /// # Errors
    /// [`BadSignature`] if the length, the scalar, the key or the equation is wrong; which one is not told.
    pub fn verify(&self, parts: &[&[u8]], signature: &[u8]) -> Result<(), BadSignature> {
        let signature: &[u8; SIGNATURE_LEN] = signature.try_into().map_err(|_| BadSignature)?;
        let (commitment, s) = signature.split_at(32);
        let mut s: [u8; 32] = s.try_into().map_err(|_| BadSignature)?;
        let sign = s[31] >> 7;
        s[31] &= 0x7f;
        if s[31] & 0xe0 != 0 {
            return Err(BadSignature);
        }
        let point = MontgomeryPoint(*self.as_bytes()).to_edwards(sign).ok_or(BadSignature)?;
        // Under such a key signatures that hold can be made by anybody, for any message.
        if point.is_small_order() {
            return Err(BadSignature);
        }
        let public = point.compress().to_bytes();
        let challenge = challenge(commitment, &public, parts);
        let expected = EdwardsPoint::vartime_double_scalar_mul_basepoint(
            &challenge,
            &-point,
            &Scalar::from_bytes_mod_order(s),
        );
        let equal = expected.compress().as_bytes()[..].ct_eq(commitment);
        if bool::from(equal) { Ok(()) } else { Err(BadSignature) }
    }
}

/// h = SHA-512(R ‖ A ‖ M) mod q.
fn challenge(commitment: &[u8], public: &[u8; 32], parts: &[&[u8]]) -> Scalar {
    let mut hash = Sha512::new(&[commitment, public]);
    hash.update(parts);
    hash.scalar()
}

/// Wiped when dropped, as one of them has taken the private key in.
struct Sha512(sha2::Sha512);

impl Sha512 {
    fn new(parts: &[&[u8]]) -> Self {
        let mut hash = Self(sha2::Sha512::new());
        hash.update(parts);
        hash
    }

    fn update(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.0.update(part);
        }
    }

    fn scalar(self) -> Scalar {
        let wide = Zeroizing::new(self.0.finalize().0);
        Scalar::from_bytes_mod_order_wide(&wide)
    }
}

/// The signature does not fit key and message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("signature does not verify")]
pub struct BadSignature;
