//! Tokens signed with ECDSA on P-256: how APNs and Web Push know their senders.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde::Serialize;
use thiserror::Error;
use zeroize::Zeroizing;

/// A private key on P-256.
pub struct Es256Key {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

/// A key that cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Es256KeyError {
    /// No PEM block `PRIVATE KEY`.
    #[error("not a PEM file with one PKCS#8 PRIVATE KEY block")]
    Pem,
    /// Not a key on P-256 with its public half in it.
    #[error("not a usable private key on P-256 in PKCS#8: {cause}")]
    Rejected {
        /// The library's word for it.
        cause: String,
    },
    /// The system gave no random numbers, or the signature failed.
    #[error("no key could be made")]
    Generate,
}

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

impl Es256Key {
    /// Reads `-----BEGIN PRIVATE KEY-----` (PKCS#8), as Apple gives it and [`generate_pem`](Self::generate_pem) writes it.
    ///
    /// # Errors
    /// [`Es256KeyError`].
    pub fn from_pem(pem: &str) -> Result<Self, Es256KeyError> {
        let (_, rest) = pem.split_once(BEGIN).ok_or(Es256KeyError::Pem)?;
        let (body, _) = rest.split_once(END).ok_or(Es256KeyError::Pem)?;
        let text: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
        let der = Zeroizing::new(STANDARD.decode(text.as_bytes()).map_err(|_| Es256KeyError::Pem)?);
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &random)
            .map_err(|cause| Es256KeyError::Rejected { cause: cause.to_string() })?;
        Ok(Self { pair, random })
    }

    /// Makes a new key.
    ///
    /// # Errors
    /// [`Es256KeyError::Generate`].
    pub fn generate_pem() -> Result<Zeroizing<String>, Es256KeyError> {
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|_| Es256KeyError::Generate)?;
        let body = Zeroizing::new(STANDARD.encode(der.as_ref()));
        Ok(Zeroizing::new(format!("{BEGIN}\n{}\n{END}\n", *body)))
    }

    /// The public half, uncompressed, in base64url: what browsers call the application server key.
    pub fn public(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref())
    }

    /// A token of `header` and `claims`.
    pub(crate) fn token(
        &self,
        header: &impl Serialize,
        claims: &impl Serialize,
    ) -> Result<Zeroizing<String>, Es256KeyError> {
        let part = |json: Result<Vec<u8>, _>| json.map(|json| URL_SAFE_NO_PAD.encode(json));
        let (header, claims) = (part(serde_json::to_vec(header)), part(serde_json::to_vec(claims)));
        let (Ok(header), Ok(claims)) = (header, claims) else { return Err(Es256KeyError::Generate) };
        let signed = format!("{header}.{claims}");
        let signature =
            self.pair.sign(&self.random, signed.as_bytes()).map_err(|_| Es256KeyError::Generate)?;
        Ok(Zeroizing::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))))
    }
}

impl fmt::Debug for Es256Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Es256Key([redacted])")
    }
}
