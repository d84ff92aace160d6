//! X25519 key pairs and XEdDSA signatures.
//!
//! Both the Signal protocol and the certificates of the Noise channel sign with keys that are made for key
//! agreement. This crate has the two kinds of key, their agreement (RFC 7748) and that signature scheme, and
//! nothing else: no randomness of its own, no I/O, no storage.
//!
//! ```
//! use landbridge_curve::{PrivateKey, PublicKey};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut rng = rand::rng();
//! let (alice, bob) = (PrivateKey::generate(&mut rng), PrivateKey::generate(&mut rng));
//! assert_eq!(
//!     alice.agree(&bob.public())?.as_bytes(),
//!     bob.agree(&alice.public())?.as_bytes(),
//! );
//!
//! let signature = alice.sign(&[b"signed ", b"in parts"], &mut rng);
//! alice.public().verify(&[b"signed in parts"], &signature)?;
//! # Ok(()) }
//! ```

mod keys;
mod xeddsa;

pub use keys::{
    KeyError, LowOrderKey, PreparedPublicKey, PrivateKey, PublicKey, SharedSecret, TYPE_CURVE25519,
};
pub use xeddsa::{BadSignature, SIGNATURE_LEN};
