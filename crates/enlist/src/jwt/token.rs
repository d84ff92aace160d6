//! The token as a secret.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

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
