//! Publishing.

use ring::digest::{SHA256, digest};
use serde::Serialize;

use super::parse::{UnfitKey, check_numbers};
use crate::base64url;

/// Media type of a key set as published.
pub const CONTENT_TYPE: &str = "application/json";
/// How long readers may keep it (ASSUMED).
pub const CACHE_CONTROL: &str = "public, max-age=300";

/// The public half of an RSA key, as it stands in a key set: six members and no others (SEED).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PublicJwk {
    kid: String,
    kty: &'static str,
    alg: &'static str,
    #[serde(rename = "use")]
    usage: &'static str,
    n: String,
    e: String,
}

impl PublicJwk {
    /// Takes modulus and exponent as minimal big-endian bytes; the kid is the RFC 7638 thumbprint.
    ///
    /// # Errors
    /// [`UnfitKey`] if verifiers that follow the protocol page would drop the key.
    pub fn new(n: &[u8], e: &[u8]) -> Result<Self, UnfitKey> {
        check_numbers(n, e)?;
        let (n, e) = (base64url::encode(n), base64url::encode(e));
        // RFC 7638 section 3: the required members in this order, without white space.
        let thumbprint = digest(&SHA256, format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#).as_bytes());
        let kid = base64url::encode(thumbprint);
        Ok(Self { kid, kty: "RSA", alg: "RS256", usage: "sig", n, e })
    }

    /// The key's name.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    pub(crate) fn with_kid(mut self, kid: &str) -> Self {
        kid.clone_into(&mut self.kid);
        self
    }
}

/// The document that publishes `keys`, in their order.
pub fn to_json<'a>(keys: impl IntoIterator<Item = &'a PublicJwk>) -> String {
    #[derive(Serialize)]
    struct Document<'a> {
        keys: Vec<&'a PublicJwk>,
    }
    // Strings alone: there is nothing in it that serde_json can refuse.
    serde_json::to_string(&Document { keys: keys.into_iter().collect() }).unwrap_or_default()
}

/// A strong entity tag for a document, with its quotes.
pub fn etag(document: &str) -> String {
    format!("\"{}\"", base64url::encode(digest(&SHA256, document.as_bytes())))
}
