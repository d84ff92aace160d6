//! Reading a key set: bad keys are dropped one by one, bad sets are refused whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use thiserror::Error;

use crate::base64url;
use crate::json::{self, JsonError, Object, Value};

/// Most keys in a set (ASSUMED).
pub const MAX_KEYS: usize = 100;
/// Bits of an RSA modulus that are accepted (ASSUMED): fewer are weak, and the cost of verifying grows with more.
const BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// An RSA public key that may verify RS256: 2048 to 4096 bits, exponent odd and at least 65537.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    kid: String,
    n: Vec<u8>,
    e: Vec<u8>,
}

impl VerifyingKey {
    /// The key's name.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Whether `signature` is this key's RSASSA-PKCS1-v1_5 signature with SHA-256 over `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let key = RsaPublicKeyComponents { n: &self.n, e: &self.e };
        key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({:?}, {} bits)", self.kid, bits(&self.n))
    }
}

/// The usable keys of a set, by name. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySet {
    keys: BTreeMap<String, Arc<VerifyingKey>>,
}

impl KeySet {
    /// Reads the body of a 200 answer.
    ///
    /// # Errors
    /// [`JwksError`] if the whole set is refused; the caller keeps the one it has.
    pub fn parse(body: &[u8]) -> Result<ParsedSet, JwksError> {
        let mut members = json::parse_object(body).map_err(JwksError::Json)?;
        let Some(Value::Array(items)) = members.remove("keys") else { return Err(JwksError::NoKeysArray) };
        if items.len() > MAX_KEYS {
            return Err(JwksError::TooManyKeys { got: items.len() });
        }
        let (mut keys, mut dropped, mut kids) = (BTreeMap::new(), Vec::new(), BTreeSet::new());
        for (index, item) in items.iter().enumerate() {
            let Value::Object(jwk) = item else {
                dropped.push(DroppedKey { index, kid: None, why: UnfitKey::NotAnObject });
                continue;
            };
            refuse_private(jwk, index)?;
            let kid = jwk.get("kid").and_then(Value::as_str);
            if let Some(kid) = kid
                && !kids.insert(kid)
            {
                return Err(JwksError::DuplicateKid { kid: kid.to_owned() });
            }
            match read_key(jwk) {
                Ok(key) => drop(keys.insert(key.kid.clone(), Arc::new(key))),
                Err(why) => dropped.push(DroppedKey { index, kid: kid.map(str::to_owned), why }),
            }
        }
        if keys.is_empty() {
            return Err(JwksError::NoUsableKey { dropped });
        }
        Ok(ParsedSet { set: Self { keys }, dropped })
    }

    /// The key named `kid`, compared exactly.
    pub fn get(&self, kid: &str) -> Option<&VerifyingKey> {
        self.keys.get(kid).map(AsRef::as_ref)
    }

    pub(crate) fn get_shared(&self, kid: &str) -> Option<Arc<VerifyingKey>> {
        self.keys.get(kid).map(Arc::clone)
    }

    /// The names of the keys, in order.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }
}

/// A set and what was left out of it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ParsedSet {
    /// The usable keys.
    pub set: KeySet,
    /// The others, for a warning each.
    pub dropped: Vec<DroppedKey>,
}

/// A key that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DroppedKey {
    /// Its place in the array, from 0.
    pub index: usize,
    /// Its name, if it has one.
    pub kid: Option<String>,
    /// Why.
    pub why: UnfitKey,
}

impl fmt::Display for DroppedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, kid, why } = self;
        write!(f, "key {index} ({:?}): {why}", kid.as_deref().unwrap_or_default())
    }
}

/// Why a key cannot verify RS256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UnfitKey {
    /// The array holds something else there.
    #[error("not an object")]
    NotAnObject,
    /// No `kid` that is a string: keys are never tried in turn.
    #[error("kid is absent or no string")]
    Kid,
    /// `kty` is not `RSA`.
    #[error("kty is not RSA")]
    KeyType,
    /// `use` is present and not `sig`.
    #[error("use is not sig")]
    Use,
    /// `alg` is present and not `RS256`.
    #[error("alg is not RS256")]
    Alg,
    /// `key_ops` is present and does not hold `verify`.
    #[error("key_ops does not allow to verify")]
    KeyOps,
    /// `n` or `e` is absent, or not the strict base64url text of minimal bytes (RFC 7518 section 6.3.1).
    #[error("n or e is not strict base64url of minimal big-endian bytes")]
    Encoding,
    /// The modulus has too few or too many bits.
    #[error("modulus of {bits} bits, expected 2048 to 4096")]
    Modulus {
        /// Bits from the highest that is set.
        bits: usize,
    },
    /// The modulus is even.
    #[error("modulus is even")]
    EvenModulus,
    /// The exponent is even, below 65537, or above 2^33 - 1.
    #[error("exponent is even or not in 65537..2^33")]
    Exponent,
}

/// Why a whole set is refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JwksError {
    /// Not a 200.
    #[error("HTTP status {status}, expected 200")]
    Status {
        /// The code.
        status: u16,
    },
    /// More than 64 KiB.
    #[error("the document is longer than {} bytes", super::MAX_BODY)]
    TooLarge,
    /// Not strict JSON, duplicate members included.
    #[error("the document cannot be read")]
    Json(#[source] JsonError),
    /// No array `keys`.
    #[error("the document has no array \"keys\"")]
    NoKeysArray,
    /// More than [`MAX_KEYS`].
    #[error("{got} keys, more than {MAX_KEYS}")]
    TooManyKeys {
        /// How many.
        got: usize,
    },
    /// Two keys of one name.
    #[error("two keys are named {kid:?}")]
    DuplicateKid {
        /// The name.
        kid: String,
    },
    /// No key is left after the unfit ones are dropped.
    #[error("the document has no usable key")]
    NoUsableKey {
        /// The unfit ones.
        dropped: Vec<DroppedKey>,
    },
    /// **An alarm**: the issuer has published a private key.
    #[error("key {index} has the private member {member:?}: the issuer's private key has leaked")]
    PrivateMember {
        /// Its place in the array.
        index: usize,
        /// The first private member found.
        member: &'static str,
    },
}

/// Private members of RSA and EC keys. A symmetric key (`kty` = `oct`) has only `k`, and is dropped like any key of
/// another type; a `k` in any other key is a leak.
fn refuse_private(jwk: &Object, index: usize) -> Result<(), JwksError> {
    let symmetric = jwk.get("kty").and_then(Value::as_str) == Some("oct");
    ["d", "p", "q", "dp", "dq", "qi", "oth", "k"]
        .into_iter()
        .find(|member| jwk.contains_key(*member) && !(symmetric && *member == "k"))
        .map_or(Ok(()), |member| Err(JwksError::PrivateMember { index, member }))
}

fn read_key(jwk: &Object) -> Result<VerifyingKey, UnfitKey> {
    let is = |name: &str, wanted: &str| jwk.get(name).and_then(Value::as_str) == Some(wanted);
    if !is("kty", "RSA") {
        return Err(UnfitKey::KeyType);
    }
    let kid = jwk.get("kid").and_then(Value::as_str).ok_or(UnfitKey::Kid)?;
    if jwk.contains_key("use") && !is("use", "sig") {
        return Err(UnfitKey::Use);
    }
    if jwk.contains_key("alg") && !is("alg", "RS256") {
        return Err(UnfitKey::Alg);
    }
    match jwk.get("key_ops") {
        None => {}
        Some(Value::Array(ops)) if ops.iter().any(|op| op.as_str() == Some("verify")) => {}
        Some(_) => return Err(UnfitKey::KeyOps),
    }
    let number = |name: &str| jwk.get(name)?.as_str().and_then(base64url::decode);
    let (Some(n), Some(e)) = (number("n"), number("e")) else { return Err(UnfitKey::Encoding) };
    check_numbers(&n, &e)?;
    Ok(VerifyingKey { kid: kid.to_owned(), n, e })
}

/// Checks modulus and exponent, both big endian.
pub(crate) fn check_numbers(n: &[u8], e: &[u8]) -> Result<(), UnfitKey> {
    if matches!(n.first(), None | Some(0)) || matches!(e.first(), None | Some(0)) {
        return Err(UnfitKey::Encoding);
    }
    let bits = bits(n);
    if !BITS.contains(&bits) {
        return Err(UnfitKey::Modulus { bits });
    }
    if n.last().is_none_or(|low| low % 2 == 0) {
        return Err(UnfitKey::EvenModulus);
    }
    // ring takes exponents below 2^33; larger ones only cost time (RFC 8017 asks for none).
    let exponent =
        if e.len() <= 5 { e.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte)) } else { 0 };
    if !(65_537..1 << 33).contains(&exponent) || exponent % 2 == 0 {
        return Err(UnfitKey::Exponent);
    }
    Ok(())
}

/// Bits of a minimal big-endian number.
fn bits(n: &[u8]) -> usize {
    n.first().map_or(0, |high| n.len() * 8 - high.leading_zeros() as usize)
}
