//! RSA key generation, which ring does not offer.

use rand_core::CryptoRng;
use rsa::PrivateKey;
use rsa::pkcs8::{EncodePrivateKey as _, LineEnding};
use thiserror::Error;
use zeroize::Zeroizing;

/// Draws an RSA key of 2048 bits and gives it as PKCS#8 PEM, for
/// [`RsaSigner::from_pkcs8_pem`](crate::jwt::RsaSigner::from_pkcs8_pem).
///
/// Takes 100 ms and more of CPU: keep it off the threads of an async runtime.
///
/// # Errors
/// [`GenerateError`] if no key comes out, which has no known cause.
pub fn generate_rsa_pem<R: CryptoRng + ?Sized>(rng: &mut R) -> Result<Zeroizing<String>, GenerateError> {
    let key = PrivateKey::new(rng, 2048).map_err(|cause| GenerateError(Box::new(cause)))?;
    key.to_pkcs8_pem(LineEnding::LF).map_err(|cause| GenerateError(Box::new(cause)))
}

/// No key came out.
#[derive(Debug, Error)]
#[error("the RSA key could not be generated")]
pub struct GenerateError(#[source] Box<dyn std::error::Error + Send + Sync>);
