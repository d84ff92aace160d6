//! Signatures built by hand to pass where a verifier is careless. Each comes with its control: the same signature,
//! made carefully, is accepted.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use curve25519_dalek::{constants::EIGHT_TORSION, edwards::EdwardsPoint, scalar::Scalar};
use landbridge_curve::{PrivateKey, PublicKey, SIGNATURE_LEN};
use sha2::{Digest as _, Sha512};

const MESSAGE: &[u8] = b"message";

/// 2^255 - 19, little endian.
const P: [u8; 32] = {
    let mut p = [0xff; 32];
    (p[0], p[31]) = (0xed, 0x7f);
    p
};

/// The group order q, little endian.
const Q: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

fn plus(a: &[u8; 32], b: &[u8; 32]) -> [u8; 32] {
    let mut sum = [0; 32];
    let mut carry = 0;
    for ((sum, a), b) in sum.iter_mut().zip(a).zip(b) {
        carry += u16::from(*a) + u16::from(*b);
        *sum = carry.to_le_bytes()[0];
        carry >>= 8;
    }
    assert_eq!(carry, 0);
    sum
}

fn challenge(commitment: &[u8; 32], public: &EdwardsPoint) -> Scalar {
    let data = [commitment, public.compress().as_bytes(), MESSAGE].concat();
    Scalar::from_bytes_mod_order_wide(&Sha512::digest(&data).0)
}

fn join(commitment: &[u8; 32], s: &[u8; 32], sign: u8) -> [u8; SIGNATURE_LEN] {
    let mut signature = [0; SIGNATURE_LEN];
    signature[..32].copy_from_slice(commitment);
    signature[32..].copy_from_slice(s);
    signature[63] |= sign << 7;
    signature
}

/// A key whose scalar the tests know, its Edwards form and the sign of that.
fn signer() -> (PublicKey, Scalar, EdwardsPoint, u8) {
    let key = PrivateKey::from_bytes([0x42; 32]);
    let scalar = Scalar::from_bytes_mod_order(*key.as_bytes());
    let point = EdwardsPoint::mul_base(&scalar);
    (key.public(), scalar, point, point.compress().as_bytes()[31] >> 7)
}

#[test]
fn s_must_be_below_two_to_the_253() {
    let key = PrivateKey::from_bytes([0x42; 32]);
    let (public, ..) = signer();
    let made = key.sign_with(&[MESSAGE], &[1; 64]);
    let sign = made[63] >> 7;
    let commitment: [u8; 32] = made[..32].try_into().unwrap();
    let mut s: [u8; 32] = made[32..].try_into().unwrap();
    s[31] &= 0x7f;
    assert_eq!(public.verify(&[MESSAGE], &join(&commitment, &s, sign)), Ok(()), "control");
    // The equation holds for every s + k·q; all but the smallest need bit 253 or 254.
    for times in 1.. {
        s = plus(&s, &Q);
        if s[31] >= 0x80 {
            assert_eq!(times, 8);
            break;
        }
        let verdict = public.verify(&[MESSAGE], &join(&commitment, &s, sign));
        assert_eq!(verdict.is_ok(), s[31] < 0x20, "s + {times} q");
    }
}

#[test]
fn the_commitment_must_be_canonical() {
    let (public, scalar, point, sign) = signer();
    // r = 0, so R is the neutral element: y = 1, x = 0.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let with_sign = {
        let mut bytes = neutral;
        bytes[31] |= 0x80;
        bytes
    };
    let above_p = plus(&P, &neutral);
    for (commitment, accepted) in [(neutral, true), (with_sign, false), (above_p, false)] {
        // The hash is over the bytes as sent, so a verifier that decodes R before it compares takes all three.
        let s = challenge(&commitment, &point) * scalar;
        let verdict = public.verify(&[MESSAGE], &join(&commitment, s.as_bytes(), sign));
        assert_eq!(verdict.is_ok(), accepted, "{commitment:02x?}");
    }
}

#[test]
fn a_commitment_of_small_order_is_no_way_in() {
    let (public, scalar, point, sign) = signer();
    for torsion in EIGHT_TORSION.iter().skip(1) {
        // R is off by a point of small order: a verifier that multiplies by the cofactor takes it.
        let r = Scalar::from(7_u64);
        let commitment = (EdwardsPoint::mul_base(&r) + torsion).compress().to_bytes();
        let s = r + challenge(&commitment, &point) * scalar;
        assert!(public.verify(&[MESSAGE], &join(&commitment, s.as_bytes(), sign)).is_err());
    }
}

/// Under a key of small order one signature in eight, or all, hold for any message: such a key has no owner.
#[test]
fn keys_of_small_order_sign_nothing() {
    let mut holding = 0;
    for point in &EIGHT_TORSION {
        let public = PublicKey::from_bytes(point.to_montgomery().to_bytes());
        let sign = point.compress().as_bytes()[31] >> 7;
        for n in 0_u64..32 {
            let s = Scalar::from(n);
            let commitment = EdwardsPoint::mul_base(&s).compress().to_bytes();
            let equation = EdwardsPoint::mul_base(&s) - challenge(&commitment, point) * point;
            holding += usize::from(equation.compress().as_bytes() == &commitment);
            for sign in [sign, sign ^ 1] {
                assert!(public.verify(&[MESSAGE], &join(&commitment, s.as_bytes(), sign)).is_err());
            }
        }
    }
    assert!(holding > 32, "the forgeries are none: {holding}");
}

#[test]
fn a_key_without_an_edwards_form_signs_nothing() {
    let mut minus_one = P;
    minus_one[0] -= 1;
    let mut minus_one_above_p = minus_one;
    minus_one_above_p[31] |= 0x80;
    // u = 2 lies on the twist.
    let mut twist = [0; 32];
    twist[0] = 2;
    for u in [minus_one, minus_one_above_p, twist] {
        let public = PublicKey::from_bytes(u);
        // y = (u - 1)/(u + 1) is taken as 0 by code that inverts 0 to 0.
        let zero = EdwardsPoint::default();
        for n in 0_u64..4 {
            let s = Scalar::from(n);
            let commitment = (EdwardsPoint::mul_base(&s) - zero).compress().to_bytes();
            for sign in [0, 1] {
                assert!(public.verify(&[MESSAGE], &join(&commitment, s.as_bytes(), sign)).is_err());
            }
        }
    }
}

#[test]
fn other_lengths_are_refused() {
    let key = PrivateKey::from_bytes([0x42; 32]);
    let made = key.sign_with(&[MESSAGE], &[1; 64]);
    for length in 0..SIGNATURE_LEN {
        assert!(key.public().verify(&[MESSAGE], &made[..length]).is_err(), "{length}");
    }
    assert!(key.public().verify(&[MESSAGE], &[&made[..], &[0]].concat()).is_err());
}
