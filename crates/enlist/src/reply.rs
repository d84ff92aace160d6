//! The answer to an enlistment, written by a server and read by a client.

use std::fmt;

use serde::Serialize;
use thiserror::Error;

use crate::ids::{BadLogin, Login};
use crate::json::{self, JsonError, Value};

/// Why an enlistment failed. ASSUMED but for `bad_integrator` (SEED); the others are words of the same host's phone
/// registration (PEERS).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The integrator is unknown, disabled, malformed, or not the token's.
    BadIntegrator,
    /// A required field is absent or empty.
    MissingParam,
    /// A field is malformed.
    BadParam,
    /// The token does not verify, or is about someone else.
    BadToken,
    /// The client's protocol version is no longer served.
    OldVersion,
    /// The user is barred.
    Blocked,
    /// A rate limit.
    TooRecent,
    /// Trouble at the server.
    TemporarilyUnavailable,
    /// A word this version does not know. Servers of this project never send one.
    Other(Box<str>),
}

impl Reason {
    /// The word on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::BadIntegrator => "bad_integrator",
            Self::MissingParam => "missing_param",
            Self::BadParam => "bad_param",
            Self::BadToken => "bad_token",
            Self::OldVersion => "old_version",
            Self::Blocked => "blocked",
            Self::TooRecent => "too_recent",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::Other(word) => word,
        }
    }

    /// Reads a word; one that is not known is kept.
    pub fn from_word(word: &str) -> Self {
        [
            Self::BadIntegrator,
            Self::MissingParam,
            Self::BadParam,
            Self::BadToken,
            Self::OldVersion,
            Self::Blocked,
            Self::TooRecent,
            Self::TemporarilyUnavailable,
        ]
        .into_iter()
        .find(|reason| reason.as_str() == word)
        .unwrap_or_else(|| Self::Other(word.into()))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failed enlistment, as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("enlistment refused: {reason}")]
pub struct Refusal {
    /// The word for programs.
    pub reason: Reason,
    /// The field at fault.
    pub param: Option<String>,
    /// Seconds after which the same request may succeed.
    pub retry_after: Option<u64>,
    /// The rule that was broken, for people; never parsed.
    pub detail: Option<String>,
}

impl Refusal {
    /// A refusal with nothing but its reason.
    pub fn new(reason: Reason) -> Self {
        Self { reason, param: None, retry_after: None, detail: None }
    }

    /// Names the field at fault.
    #[must_use]
    pub fn param(mut self, field: impl Into<String>) -> Self {
        self.param = Some(field.into());
        self
    }

    /// Says when to come back, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Names the rule.
    #[must_use]
    pub fn detail(mut self, rule: impl Into<String>) -> Self {
        self.detail = Some(rule.into());
        self
    }
}

/// The answer to an enlistment: HTTP 200 and `application/json` in both cases.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an answer is ok or fail; servers must handle both")]
pub enum EnlistmentReply {
    /// `status: ok`.
    Enlisted(Login),
    /// `status: fail`.
    Refused(Refusal),
}

/// The members in the order of the published answers.
#[derive(Serialize)]
struct Wire<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    login: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    param: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

/// Longest answer a client reads, in bytes.
pub const MAX_REPLY: usize = 64 * 1024;

impl EnlistmentReply {
    /// The body, as published: `{"login":"1-10853634039893@interop","status":"ok"}`.
    pub fn to_json(&self) -> String {
        let wire = match self {
            Self::Enlisted(login) => Wire {
                login: Some(login.to_string()),
                reason: None,
                status: "ok",
                param: None,
                retry_after: None,
                detail: None,
            },
            Self::Refused(refusal) => Wire {
                login: None,
                reason: Some(refusal.reason.as_str()),
                status: "fail",
                param: refusal.param.as_deref(),
                retry_after: refusal.retry_after,
                detail: refusal.detail.as_deref(),
            },
        };
        // Strings and numbers alone: there is nothing in it that serde_json can refuse.
        serde_json::to_string(&wire).unwrap_or_default()
    }

    /// Reads a body. Success is decided by `status` alone; unknown members are ignored.
    ///
    /// # Errors
    /// [`ReplyError`] if the body is no such answer.
    pub fn parse(body: &[u8]) -> Result<Self, ReplyError> {
        if body.len() > MAX_REPLY {
            return Err(ReplyError::TooLarge);
        }
        let members = json::parse_object(body).map_err(ReplyError::Json)?;
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        match text("status") {
            Some("ok") => {
                let login = text("login").ok_or(ReplyError::NoLogin)?;
                login.parse().map(Self::Enlisted).map_err(ReplyError::Login)
            }
            Some("fail") => Ok(Self::Refused(Refusal {
                reason: Reason::from_word(text("reason").unwrap_or_default()),
                param: text("param").map(str::to_owned),
                retry_after: members.get("retry_after").and_then(seconds),
                detail: text("detail").map(str::to_owned),
            })),
            _ => Err(ReplyError::NoStatus),
        }
    }
}

/// Whole seconds, rounded up; negative ones are none.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to lie in 0..2^53")]
fn seconds(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) if (0.0..9_007_199_254_740_992.0).contains(number) => {
            Some(number.ceil() as u64)
        }
        _ => None,
    }
}

/// A body that is no answer to an enlistment.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// Longer than [`MAX_REPLY`].
    #[error("the answer is longer than {MAX_REPLY} bytes")]
    TooLarge,
    /// Not one JSON object.
    #[error("the answer cannot be read")]
    Json(#[source] JsonError),
    /// `status` is neither `ok` nor `fail`.
    #[error("the answer has no status that is ok or fail")]
    NoStatus,
    /// `status` is `ok` but there is no `login`.
    #[error("the answer is ok but has no login")]
    NoLogin,
    /// `login` is malformed.
    #[error("the answer is ok but its login is malformed")]
    Login(#[source] BadLogin),
}
