//! Where the identity token comes from that enlistment and every login present.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use landbridge_enlist::jwt::Token;
use landbridge_transport::{HttpClient, HttpError};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::seams::Clock;
use crate::session::Session;

/// A cached token is not used when it ends within this many seconds (ASSUMED).
const RENEW_BEFORE: u64 = 300;
/// Least time between two renewals, so also the wait after one that failed (ASSUMED).
const BETWEEN_RENEWALS: u64 = 60;

/// How fresh a token must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// One from a cache will do, if it lives for five minutes more.
    MayBeCached,
    /// The last one was refused: a new one.
    New,
}

/// Gives tokens of the partner for this user. Called before enlistment and before each login.
///
/// Bring your own if your application already talks to the partner's server in its own way.
#[async_trait]
pub trait TokenSource: Send + Sync {
    /// A token, at most 4,096 bytes (SEED).
    ///
    /// # Cancel safety
    ///
    /// The caller may drop the future; a later call must work.
    ///
    /// # Errors
    ///
    /// [`TokenError`], which says whether asking again later can help.
    async fn token(&self, freshness: Freshness) -> Result<Token, TokenError>;
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The partner's server does not know the user's session: the user must sign in there again.
    #[error("the partner's server refused the user's session with status {status}")]
    Denied {
        /// HTTP status, 401 or 403.
        status: u16,
    },
    /// The partner's server asks to wait or is in trouble.
    #[error("the partner's server gives no token now, status {status}")]
    Unavailable {
        /// HTTP status.
        status: u16,
        /// Seconds to wait, if the server said so.
        retry_after: Option<u64>,
    },
    /// The partner's server was not reached.
    #[error("the partner's server was not reached")]
    Unreachable {
        /// Why.
        #[source]
        source: HttpError,
    },
    /// The answer is not what the endpoint is to give.
    #[error("the partner's server gave no token: {what}")]
    Malformed {
        /// What is wrong with it.
        what: &'static str,
    },
    /// A source of the application's own failed.
    #[error("the token source failed")]
    Other {
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Always the same token: for tests, and for tools that live shorter than a token.
#[derive(Debug, Clone)]
pub struct FixedToken(Token);

impl FixedToken {
    /// This token.
    pub fn new(token: impl Into<String>) -> Self {
        Self(Token::new(token))
    }
}

#[async_trait]
impl TokenSource for FixedToken {
    async fn token(&self, _freshness: Freshness) -> Result<Token, TokenError> {
        Ok(self.0.clone())
    }
}

/// Asks the partner's server: `POST /v1/token` with the user's session as bearer (ASSUMED; served by `landbridge partner`).
/// Keeps the answer until shortly before its end.
pub struct HttpTokenSource {
    http: HttpClient,
    url: String,
    authorization: Zeroizing<String>,
    clock: Arc<dyn Clock>,
    cached: Mutex<Option<Cached>>,
    renew_before: u64,
}

struct Cached {
    token: Token,
    ends_at: u64,
}

impl HttpTokenSource {
    /// A source at `url` (all of it, such as `https://partner.example/v1/token`) for the user who holds `session`.
    pub fn new(http: HttpClient, url: impl Into<String>, session: &str) -> Self {
        Self::with_clock(http, url, session, Arc::new(crate::seams::SystemClock))
    }

    /// The same with a clock of your own.
    pub fn with_clock(
        http: HttpClient,
        url: impl Into<String>,
        session: &str,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            http,
            url: url.into(),
            authorization: Zeroizing::new(format!("Bearer {session}")),
            clock,
            cached: Mutex::new(None),
            renew_before: RENEW_BEFORE,
        }
    }

    /// Fetches a new token when less than so many seconds of the last one are left: `token.renew_before_s` of a profile.
    /// 300.
    #[must_use]
    pub const fn renew_before(mut self, seconds: u64) -> Self {
        self.renew_before = seconds;
        self
    }

    fn cached(&self) -> Option<Token> {
        let cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        let usable = cached
            .as_ref()
            .filter(|cached| self.clock.now().saturating_add(self.renew_before) < cached.ends_at);
        usable.map(|cached| cached.token.clone())
    }
}

impl std::fmt::Debug for HttpTokenSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpTokenSource")
            .field("url", &self.url)
            .field("session", &"[redacted]")
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl TokenSource for HttpTokenSource {
    async fn token(&self, freshness: Freshness) -> Result<Token, TokenError> {
        if freshness == Freshness::MayBeCached
            && let Some(token) = self.cached()
        {
            return Ok(token);
        }
        let headers = [("authorization", self.authorization.as_str())];
        let answer = self.http.post(&self.url, "application/json", "{}", &headers).await;
        let answer = answer.map_err(|source| TokenError::Unreachable { source })?;
        let status = answer.status.as_u16();
        match status {
            200 => {}
            401 | 403 => return Err(TokenError::Denied { status }),
            408 | 425 | 429 | 500..=599 => {
                let retry_after = answer.retry_after().map(|wait| wait.as_secs());
                return Err(TokenError::Unavailable { status, retry_after });
            }
            _ => return Err(TokenError::Malformed { what: "a status that the endpoint does not use" }),
        }
        let body: serde_json::Value = serde_json::from_slice(&answer.body)
            .map_err(|_| TokenError::Malformed { what: "the answer is no JSON" })?;
        let token = body.get("token").and_then(|token| token.as_str());
        let token = Token::new(token.ok_or(TokenError::Malformed { what: "the answer has no `token`" })?);
        let life = body.get("expires_in").and_then(serde_json::Value::as_u64).unwrap_or(0);
        let cached = Cached { token: token.clone(), ends_at: self.clock.now().saturating_add(life) };
        *self.cached.lock().unwrap_or_else(PoisonError::into_inner) = Some(cached);
        Ok(token)
    }
}

/// Renews the token while the connection lives, so that the next login finds one that is good even if the partner's server
/// is not there then. `ends`: when the login's token does, in unix seconds.
pub(crate) async fn keep_fresh(session: Arc<Session>, ends: Option<u64>) -> Result<(), Error> {
    let inner = &session.inner;
    let Some(mut ends) = ends else { return Ok(()) };
    loop {
        let due = ends.saturating_sub(inner.profile.token.renew_before_s);
        // One second later, so that a source with the same rule finds it due as well.
        let wait = due.saturating_sub(inner.clock.now()).saturating_add(1);
        // A clock that is wrong must not make this ask without end.
        let wait = wait.max(BETWEEN_RENEWALS);
        tokio::time::sleep(Duration::from_secs(wait)).await;
        match inner.tokens.token(Freshness::MayBeCached).await.map(|token| token.expires_at()) {
            Ok(Some(later)) if later > ends => ends = later,
            // A source that always gives the same one.
            Ok(_) => return Ok(()),
            Err(error) => tracing::warn!(%error, "the token could not be renewed yet"),
        }
    }
}
