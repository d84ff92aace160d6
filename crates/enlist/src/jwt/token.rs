//! The token as a secret.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{base64url, json};

/// A token in compact form. Whoever holds it is believed, so it is wiped when dropped, compared in constant time, and
/// printed as `[redacted]`.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// Takes the text as it is; nothing is checked.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text, for the wire only.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When the token ends by its own word (`exp`), in unix seconds. For its owner, who wants to renew it in time: nothing
    /// is verified. `None` if it does not tell.
    pub fn expires_at(&self) -> Option<u64> {
        let claims = Zeroizing::new(base64url::decode(self.0.split('.').nth(1)?)?);
        match json::parse_object(&claims).ok()?.get("exp")? {
            // Whole seconds below 2^53 are exact.
            json::Value::Number(exp) if (0.0..9e15).contains(exp) => Some(*exp as u64),
            _ => None,
        }
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Token {}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.write_str("Token([redacted])")
    }
}
