//! What a token says.

use rand_core::CryptoRng;
use serde::Serialize;

use super::TOKEN_LIFE;
use crate::base64url;
use crate::ids::UserIdentifier;

/// Audience of user tokens (ASSUMED: the mirror image of push bearers).
pub const USER_AUDIENCE: &str = "WHATSAPP";
/// Issuer of push bearers (V103).
pub const PUSH_ISSUER: &str = "WHATSAPP";

/// The claims of a token to be issued. There is nothing else in it: no e-mail, name or device goes to the other side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// Who signs: for user tokens the partner's issuer URL.
    #[serde(rename = "iss")]
    pub issuer: String,
    /// Whom it is for.
    #[serde(rename = "aud")]
    pub audience: String,
    /// The user-visible identifier; push bearers have none.
    #[serde(rename = "sub", skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Unix seconds.
    #[serde(rename = "iat")]
    pub issued_at: u64,
    /// Unix seconds.
    #[serde(rename = "exp")]
    pub expires_at: u64,
    /// Names the token in logs and deny lists; no nonce.
    #[serde(rename = "jti", skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

impl Claims {
    /// A user token of `issuer` for `identifier`, valid for [`TOKEN_LIFE`] seconds from `now`, with a random 128-bit id.
    pub fn user<R: CryptoRng + ?Sized>(
        issuer: impl Into<String>,
        identifier: &UserIdentifier,
        now: u64,
        rng: &mut R,
    ) -> Self {
        let mut id = [0; 16];
        rng.fill_bytes(&mut id);
        Self {
            issuer: issuer.into(),
            audience: USER_AUDIENCE.to_owned(),
            subject: Some(identifier.as_str().to_owned()),
            issued_at: now,
            expires_at: now.saturating_add(TOKEN_LIFE),
            id: Some(base64url::encode(id)),
        }
    }

    /// A push bearer of WhatsApp for the partner that answers to `audience` (V103 shows these four claims).
    pub fn push(audience: impl Into<String>, now: u64) -> Self {
        Self {
            issuer: PUSH_ISSUER.to_owned(),
            audience: audience.into(),
            subject: None,
            issued_at: now,
            expires_at: now.saturating_add(TOKEN_LIFE),
            id: None,
        }
    }
}
