//! Sessions that an authorization server knows: RFC 7662.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use landbridge_enlist::UserIdentifier;
use landbridge_transport::HttpClient;
use serde::Deserialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{AuthError, UserAuthenticator, UserRecord, bearer};
use crate::clock::Clock;

/// An answer is believed for this long, and not longer than the session lives.
const CACHED: Duration = Duration::from_secs(30);
/// Answers that are kept; beyond, all are forgotten.
const MAX_CACHED: usize = 10_000;
/// Longest session token that is asked about, in bytes.
const MAX_SESSION: usize = 4096;

/// Settings of [`Introspection`].
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "settings, read from a file or built by hand")]
pub struct IntrospectionConfig {
    /// The introspection endpoint.
    pub url: String,
    /// As whom this server asks.
    pub client_id: String,
    /// File with the secret it proves that by, mode 0600.
    pub client_secret: PathBuf,
    /// The member of the answer with the user-visible identifier. The user is told from others by `sub`.
    #[serde(default = "username")]
    pub identifier_member: String,
    /// The member, true or false, that says whether the user has opted in. Without it, all have.
    pub opt_in_member: Option<String>,
}

fn username() -> String {
    "username".to_owned()
}

/// Digest of a session: a dump of the memory gives no sessions away.
type Session = [u8; 32];

/// Asks the partner's authorization server about each session, and remembers the answer for half a minute.
pub struct Introspection {
    config: IntrospectionConfig,
    authorization: Zeroizing<String>,
    http: HttpClient,
    clock: Clock,
    cached: Mutex<HashMap<Session, (Instant, Option<UserRecord>)>>,
}

impl fmt::Debug for Introspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introspection").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Introspection {
    pub(crate) fn new(config: IntrospectionConfig, secret: &str, http: HttpClient, clock: Clock) -> Self {
        let pair = Zeroizing::new(format!("{}:{}", form(&config.client_id), form(secret.trim_end())));
        let authorization = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
        Self { config, authorization, http, clock, cached: Mutex::default() }
    }

    fn known(&self, session: &Session) -> Option<Option<UserRecord>> {
        let cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, user) = cached.get(session)?;
        (Instant::now() < *until).then(|| user.clone())
    }

    fn note(&self, session: Session, life: Duration, user: Option<UserRecord>) {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if cached.len() >= MAX_CACHED {
            cached.clear();
        }
        cached.insert(session, (Instant::now() + life.min(CACHED), user));
    }

    async fn ask(&self, token: &str) -> Result<Map<String, Value>, AuthError> {
        let body = Zeroizing::new(format!("token={}&token_type_hint=access_token", form(token)));
        let headers = [("authorization", self.authorization.as_str()), ("accept", "application/json")];
        let answer = self
            .http
            .post(&self.config.url, "application/x-www-form-urlencoded", body.as_bytes().to_vec(), &headers)
            .await
            .map_err(|cause| AuthError::Unavailable(cause.into()))?;
        if answer.status != 200 {
            return Err(AuthError::Unavailable(
                format!("the authorization server says {}", answer.status).into(),
            ));
        }
        serde_json::from_slice(&answer.body).map_err(|cause| AuthError::Unavailable(cause.into()))
    }

    fn user(&self, answer: &Map<String, Value>) -> Option<UserRecord> {
        if answer.get("active") != Some(&Value::Bool(true)) {
            return None;
        }
        let text = |member: &str| answer.get(member).and_then(Value::as_str).filter(|text| !text.is_empty());
        let identifier = UserIdentifier::new(text(&self.config.identifier_member)?).ok()?;
        let opted_in = match &self.config.opt_in_member {
            None => true,
            Some(member) => answer.get(member) == Some(&Value::Bool(true)),
        };
        Some(UserRecord { user_id: text("sub")?.to_owned(), identifier, opted_in })
    }
}

/// `application/x-www-form-urlencoded`.
fn form(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[async_trait]
impl UserAuthenticator for Introspection {
    async fn authenticate(&self, head: &Parts) -> Result<UserRecord, AuthError> {
        let token = bearer(head).filter(|token| (1..=MAX_SESSION).contains(&token.len()));
        let token = token.ok_or(AuthError::Denied)?;
        let digest = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
        let session: Session = digest.as_ref().try_into().map_err(|_| AuthError::Denied)?;
        if let Some(known) = self.known(&session) {
            return known.ok_or(AuthError::Denied);
        }
        let answer = self.ask(token).await?;
        let user = self.user(&answer);
        let ends = answer.get("exp").and_then(Value::as_u64);
        let life = ends.map_or(CACHED, |ends| Duration::from_secs(ends.saturating_sub(self.clock.seconds())));
        self.note(session, life, user.clone());
        user.filter(|_| !life.is_zero()).ok_or(AuthError::Denied)
    }
}
