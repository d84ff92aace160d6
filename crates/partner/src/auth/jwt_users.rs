//! Sessions that are tokens of the partner's own issuer.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use landbridge_enlist::jwt::{Profile, RejectReason, Verifier};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{AuthError, UserAuthenticator, UserRecord, bearer};
use crate::clock::Clock;
use crate::key_source::KeySource;

/// Settings of [`JwtUsers`].
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "settings, read from a file or built by hand")]
pub struct JwtUsersConfig {
    /// `iss` of the sessions, to the letter.
    pub issuer: String,
    /// `aud` of the sessions, to the letter.
    pub audience: String,
    /// Where the issuer publishes its keys (RS256).
    pub keys_url: String,
    /// The claim with the user-visible identifier. The user is told from others by `sub`.
    #[serde(default = "sub")]
    pub identifier_claim: String,
    /// The claim, true or false, that says whether the user has opted in. Without it, all have.
    pub opt_in_claim: Option<String>,
}

fn sub() -> String {
    "sub".to_owned()
}

/// Longest session, in bytes: issuers put roles and more into theirs.
const MAX_SESSION: usize = 8 * 1024;

/// Believes tokens that the partner's own issuer has signed with RS256, by the rules of enlistment. They may be access tokens of
/// RFC 9068 (`typ` `at+jwt`), and up to 8 KiB long.
pub struct JwtUsers {
    config: JwtUsersConfig,
    keys: Arc<KeySource>,
    verifier: Verifier,
    clock: Clock,
}

impl fmt::Debug for JwtUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtUsers").field("config", &self.config).finish_non_exhaustive()
    }
}

impl JwtUsers {
    pub(crate) fn new(config: JwtUsersConfig, keys: Arc<KeySource>, clock: Clock) -> Self {
        let mut profile = Profile::user_token();
        profile.audience.clone_from(&config.audience);
        profile.max_bytes = MAX_SESSION;
        profile.types.push("at+jwt".to_owned());
        profile.identifier_claim = Some(config.identifier_claim.clone());
        Self { config, keys, verifier: Verifier::new(profile), clock }
    }
}

/// The claims of a token that was verified.
fn claims(token: &str) -> Option<Map<String, Value>> {
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

#[async_trait]
impl UserAuthenticator for JwtUsers {
    async fn authenticate(&self, head: &Parts) -> Result<UserRecord, AuthError> {
        let token = bearer(head).ok_or(AuthError::Denied)?;
        let unverified = self.verifier.open(token).map_err(|_| AuthError::Denied)?;
        let key = match self.keys.key(unverified.kid()).await {
            Ok(key) => key,
            Err(RejectReason::KeysUnavailable) => {
                return Err(AuthError::Unavailable("the issuer's keys are not at hand".into()));
            }
            Err(_) => return Err(AuthError::Denied),
        };
        let verified = self
            .verifier
            .verify(&unverified, &self.config.issuer, Some(&key), self.clock.seconds())
            .map_err(|_| AuthError::Denied)?;
        let identifier = verified.identifier.ok_or(AuthError::Denied)?;
        let claims = claims(token).ok_or(AuthError::Denied)?;
        let user_id = claims.get("sub").and_then(Value::as_str).filter(|sub| !sub.is_empty());
        let opted_in = match &self.config.opt_in_claim {
            None => true,
            Some(claim) => claims.get(claim) == Some(&Value::Bool(true)),
        };
        Ok(UserRecord { user_id: user_id.ok_or(AuthError::Denied)?.to_owned(), identifier, opted_in })
    }
}
