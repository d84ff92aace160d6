//! Issuing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use thiserror::Error;
use zeroize::Zeroizing;

use super::{Claims, MAX_USER_TOKEN, Token};
use crate::base64url;
use crate::jwks::{PublicJwk, UnfitKey};

/// Something that holds an RSA private key and signs with it: a file, a PKCS#11 token, a key service.
///
/// Called by [`issue`] once per token. An implementation that has to wait for a device blocks; callers on an async
/// runtime move the call to a blocking thread.
pub trait Signer: Send + Sync {
    /// The name under which the public half is published.
    fn kid(&self) -> &str;

    /// RSASSA-PKCS1-v1_5 with SHA-256 over `message`: as many bytes as the modulus has.
    ///
    /// # Errors
    /// [`SignError`] if the key cannot be used now.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
}

/// A signer could not sign.
#[derive(Debug, Error)]
#[error("the signing key cannot be used")]
pub struct SignError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// An RSA key of 2048 to 4096 bits held in memory.
pub struct RsaSigner {
    key: RsaKeyPair,
    public: PublicJwk,
    random: SystemRandom,
}

impl RsaSigner {
    /// Reads `-----BEGIN PRIVATE KEY-----` (PKCS#8).
    ///
    /// # Errors
    /// [`KeyError`] for other PEM, other keys, and RSA keys out of range.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, KeyError> {
        Self::from_pkcs8_der(&pem_body(pem)?)
    }

    /// Reads PKCS#8 DER. The kid is the RFC 7638 thumbprint of the public half.
    ///
    /// # Errors
    /// [`KeyError::Rejected`] and [`KeyError::Unfit`].
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        let key =
            RsaKeyPair::from_pkcs8(der).map_err(|cause| KeyError::Rejected { cause: cause.to_string() })?;
        let parts: ring::signature::RsaPublicKeyComponents<Vec<u8>> = key.public().into();
        let public = PublicJwk::new(&parts.n, &parts.e).map_err(KeyError::Unfit)?;
        Ok(Self { key, public, random: SystemRandom::new() })
    }

    /// Publishes the key under another name than its thumbprint.
    ///
    /// # Errors
    /// [`KeyError::Kid`] unless `kid` is 1..=128 characters of `A-Za-z0-9._~-`.
    pub fn with_kid(mut self, kid: &str) -> Result<Self, KeyError> {
        if !is_issuable_kid(kid) {
            return Err(KeyError::Kid);
        }
        self.public = self.public.with_kid(kid);
        Ok(self)
    }

    /// The public half, ready for a key set.
    pub fn public_key(&self) -> &PublicJwk {
        &self.public
    }
}

impl std::fmt::Debug for RsaSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { key: _, public, random: _ } = self;
        f.debug_struct("RsaSigner").field("kid", &public.kid()).field("key", &"[redacted]").finish()
    }
}

impl Signer for RsaSigner {
    fn kid(&self) -> &str {
        self.public.kid()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let mut signature = vec![0; self.key.public_key().modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &self.random, message, &mut signature)
            .map_err(|_| SignError("RSA signature failed".into()))?;
        Ok(signature)
    }
}

/// A private key that cannot be used for signing.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A key that a passphrase protects: there is nobody to ask for it.
    #[error("the private key is encrypted; write it without a passphrase: openssl pkcs8 -topk8 -nocrypt")]
    Encrypted,
    /// A key in the form of PKCS#1.
    #[error("the private key is not in PKCS#8; convert it: openssl pkcs8 -topk8 -nocrypt")]
    Pkcs1,
    /// No PEM block `PRIVATE KEY`.
    #[error("not a PEM file with one PKCS#8 PRIVATE KEY block")]
    Pem,
    /// Not an RSA key in PKCS#8, or an inconsistent one.
    #[error("not a usable RSA private key in PKCS#8: {cause}")]
    Rejected {
        /// The library's word for it.
        cause: String,
    },
    /// The public half does not meet the rules of key sets.
    #[error("the key would not be accepted by a verifier")]
    Unfit(#[source] UnfitKey),
    /// The name does not meet the rule for names.
    #[error("a kid that is issued has 1 to 128 characters of A-Z a-z 0-9 . _ ~ -")]
    Kid,
}

/// The DER inside a PEM file.
fn pem_body(pem: &str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
    const END: &str = "-----END PRIVATE KEY-----";
    if pem.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || pem.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(KeyError::Encrypted);
    }
    if pem.contains("-----BEGIN RSA PRIVATE KEY-----") {
        return Err(KeyError::Pkcs1);
    }
    let (_, rest) = pem.split_once(BEGIN).ok_or(KeyError::Pem)?;
    let (body, rest) = rest.split_once(END).ok_or(KeyError::Pem)?;
    if rest.contains(BEGIN) {
        return Err(KeyError::Pem);
    }
    let mut text = Zeroizing::new(String::with_capacity(body.len()));
    text.extend(body.chars().filter(|c| !c.is_ascii_whitespace()));
    STANDARD.decode(text.as_bytes()).map(Zeroizing::new).map_err(|_| KeyError::Pem)
}

/// Whether a kid may be issued: URL-safe, 1..=128 characters. Verifiers accept any string.
pub(crate) fn is_issuable_kid(kid: &str) -> bool {
    (1..=128).contains(&kid.len())
        && kid.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-'))
}

/// Issues a token: header `{"kid":…,"alg":"RS256","typ":"JWT"}`, then `claims`, then the signature.
///
/// # Errors
/// [`IssueError`]; a token over [`MAX_USER_TOKEN`] bytes is not issued, since it would be refused everywhere.
pub fn issue(signer: &dyn Signer, claims: &Claims) -> Result<Token, IssueError> {
    let kid = signer.kid();
    if !is_issuable_kid(kid) {
        return Err(IssueError::Kid);
    }
    // No character of an issuable kid needs an escape.
    let header = format!(r#"{{"kid":"{kid}","alg":"RS256","typ":"JWT"}}"#);
    let payload = serde_json::to_vec(claims).map_err(IssueError::Claims)?;
    let mut token = format!("{}.{}", base64url::encode(header), base64url::encode(payload));
    let signature = signer.sign(token.as_bytes()).map_err(IssueError::Sign)?;
    token.push('.');
    token.push_str(&base64url::encode(signature));
    if token.len() > MAX_USER_TOKEN {
        return Err(IssueError::TooLong { got: token.len() });
    }
    Ok(Token::new(token))
}

/// A token that could not be issued.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The signer's kid is not issuable.
    #[error("the signer's kid is not 1 to 128 characters of A-Z a-z 0-9 . _ ~ -")]
    Kid,
    /// The claims cannot be written as JSON.
    #[error("the claims cannot be written")]
    Claims(#[source] serde_json::Error),
    /// Longer than verifiers accept.
    #[error("the token would have {got} bytes, more than {MAX_USER_TOKEN}")]
    TooLong {
        /// Its length in bytes.
        got: usize,
    },
    /// The signer failed.
    #[error("the token could not be signed")]
    Sign(#[source] SignError),
}
