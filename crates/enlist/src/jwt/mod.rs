//! Identity tokens: JWT in compact form, RS256 and nothing else (protocol page, sections 6 and 7).
//!
//! Issuing needs a [`Signer`] and [`Claims`]. Verifying is two steps, because the key may have to be fetched between
//! them: [`Verifier::open`] reads a token as far as its key's name, [`Verifier::verify`] does the rest with that key.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let pem = include_str!("../../tests/vectors/partner-1-key.pem");
//! use landbridge_enlist::jwks::KeySet;
//! use landbridge_enlist::jwt::{self, Claims, Profile, RsaSigner, Verifier};
//!
//! let (signer, now) = (RsaSigner::from_pkcs8_pem(pem)?, 1_800_000_000);
//! let claims = Claims::user("https://partner.example", &"alice".parse()?, now, &mut rand::rng());
//! let token = jwt::issue(&signer, &claims)?;
//!
//! let keys = KeySet::parse(landbridge_enlist::jwks::to_json([signer.public_key()]).as_bytes())?.set;
//! let verifier = Verifier::new(Profile::user_token());
//! let unverified = verifier.open(token.as_str())?;
//! assert_eq!(unverified.claimed_issuer()?, "https://partner.example");
//! let verified = verifier.verify(&unverified, "https://partner.example", keys.get(unverified.kid()), now)?;
//! assert_eq!(verified.identifier.map(|alice| alice.as_str().to_owned()), Some("alice".to_owned()));
//! # Ok(()) }
//! ```

mod claims;
mod sign;
mod token;
mod verify;

pub use claims::{Claims, PUSH_ISSUER, USER_AUDIENCE};
pub use sign::{IssueError, KeyError, RsaSigner, SignError, Signer, issue};
pub use token::Token;
pub use verify::{Profile, RejectReason, Rejected, Unverified, Verified, Verifier};

/// Longest user token, in bytes (SEED: "4 kilobytes"; read as 4096, ASSUMED).
pub const MAX_USER_TOKEN: usize = 4096;
/// Longest push bearer, in bytes (ASSUMED).
pub const MAX_PUSH_BEARER: usize = 8192;
/// Life of the tokens issued here, in seconds (ASSUMED; V103's sample has the same).
pub const TOKEN_LIFE: u64 = 3600;
