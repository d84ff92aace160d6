//! The keys tokens are signed with, and the document that publishes them.

use std::fmt;
use std::sync::Arc;

use landbridge_enlist::jwks::{self, PublicJwk};
use landbridge_enlist::jwt::Signer;
use thiserror::Error;

/// The signing key in use and every key that is published, standby keys included.
#[derive(Clone)]
pub struct SigningKeys {
    active: Arc<dyn Signer>,
    document: Arc<str>,
    etag: Arc<str>,
}

impl SigningKeys {
    /// Takes the signer to use and the public halves to publish, in their order.
    ///
    /// # Errors
    /// [`BadSigningKeys`] if what would be signed could not be verified with what would be published.
    pub fn new(active: Arc<dyn Signer>, published: &[PublicJwk]) -> Result<Self, BadSigningKeys> {
        let document = jwks::to_json(published);
        let set = jwks::KeySet::parse(document.as_bytes()).map_err(BadSigningKeys::Unreadable)?.set;
        let key = set.get(active.kid()).ok_or(BadSigningKeys::NotPublished)?;
        const PROBE: &[u8] = b"landbridge signing key self-test";
        let signature = active.sign(PROBE).map_err(BadSigningKeys::Sign)?;
        if !key.verify(PROBE, &signature) {
            return Err(BadSigningKeys::Mismatch);
        }
        let etag = jwks::etag(&document);
        Ok(Self { active, document: document.into(), etag: etag.into() })
    }

    pub(crate) fn active(&self) -> &Arc<dyn Signer> {
        &self.active
    }

    /// The published document.
    pub(crate) fn document(&self) -> &str {
        &self.document
    }

    pub(crate) fn etag(&self) -> &str {
        &self.etag
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { active, document: _, etag } = self;
        f.debug_struct("SigningKeys")
            .field("active", &active.kid())
            .field("etag", etag)
            .finish_non_exhaustive()
    }
}

/// Keys that would issue tokens nobody can verify.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BadSigningKeys {
    /// The published set would be refused by a verifier.
    #[error("the key set would be refused by verifiers")]
    Unreadable(#[source] jwks::JwksError),
    /// The active key is not among the published ones.
    #[error("the active signing key is not published")]
    NotPublished,
    /// The active key cannot sign.
    #[error("the active signing key cannot sign")]
    Sign(#[source] landbridge_enlist::jwt::SignError),
    /// The active key is published with another public half.
    #[error("the active signing key is published with another public half")]
    Mismatch,
}
