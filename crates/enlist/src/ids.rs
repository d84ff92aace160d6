//! The two identifiers of a partner's user and the login that WhatsApp gives.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use thiserror::Error;

/// The number WhatsApp gives a partner during onboarding: 1..=999 (SEED).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IntegratorId(u16);

impl IntegratorId {
    /// The number of the published examples.
    pub const ONE: Self = Self(1);

    /// Takes a number in 1..=999.
    pub const fn new(number: u16) -> Option<Self> {
        if number >= 1 && number <= 999 { Some(Self(number)) } else { None }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for IntegratorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text that is no integrator id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an integrator id is a decimal number from 1 to 999 without sign or leading zero")]
pub struct BadIntegratorId;

impl FromStr for IntegratorId {
    type Err = BadIntegratorId;

    /// Base 10 without sign or leading zero (SEED).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        decimal(text, 3).and_then(|n| u16::try_from(n).ok()).and_then(Self::new).ok_or(BadIntegratorId)
    }
}

impl serde::Serialize for IntegratorId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.0)
    }
}

impl<'de> serde::Deserialize<'de> for IntegratorId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u16::deserialize(deserializer)?;
        Self::new(number).ok_or_else(|| serde::de::Error::custom(BadIntegratorId))
    }
}

/// A user-visible identifier, such as `alice` or `16505551234`: 1..=40 characters, 1..=160 bytes of UTF-8, without
/// control characters (SEED for the length, ASSUMED for the characters).
///
/// Compared byte for byte: no normalisation, no case folding. It names a person, so `Debug` hides it; ask for
/// [`as_str`](Self::as_str) where the text itself is wanted.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserIdentifier(Box<str>);

/// Longest identifier, in characters (SEED).
pub const IDENTIFIER_MAX_CHARS: usize = 40;

impl UserIdentifier {
    /// Checks `text`.
    ///
    /// # Errors
    /// [`BadIdentifier`] with the rule that `text` breaks.
    pub fn new(text: impl Into<Box<str>>) -> Result<Self, BadIdentifier> {
        let text = text.into();
        if text.is_empty() {
            return Err(BadIdentifier::Empty);
        }
        // The byte length bounds the work of counting.
        if text.len() > IDENTIFIER_MAX_CHARS * 4 || text.chars().count() > IDENTIFIER_MAX_CHARS {
            return Err(BadIdentifier::TooLong);
        }
        // `char::is_control` is exactly U+0000..=001F and U+007F..=009F.
        if text.chars().any(char::is_control) {
            return Err(BadIdentifier::ControlCharacter);
        }
        Ok(Self(text))
    }

    /// The text as displayed.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for UserIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserIdentifier([{} bytes])", self.0.len())
    }
}

impl FromStr for UserIdentifier {
    type Err = BadIdentifier;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

/// The rule that a user-visible identifier breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BadIdentifier {
    /// No characters.
    #[error("the identifier is empty")]
    Empty,
    /// More than 40 characters.
    #[error("the identifier has more than 40 characters")]
    TooLong,
    /// U+0000..=001F or U+007F..=009F.
    #[error("the identifier holds a control character")]
    ControlCharacter,
}

/// What a successful enlistment gives: `<integrator>-<account>@interop` (SEED).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Login {
    /// The partner.
    pub integrator: IntegratorId,
    /// The account at WhatsApp, never 0 (PEERS: a uint64 in the login payload).
    pub account: NonZeroU64,
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}@interop", self.integrator, self.account)
    }
}

/// A text that is no login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a login has the form <integrator>-<account>@interop")]
pub struct BadLogin;

impl FromStr for Login {
    type Err = BadLogin;

    /// Accepts what `Display` prints and nothing else.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (integrator, account) =
            text.strip_suffix("@interop").and_then(|rest| rest.split_once('-')).ok_or(BadLogin)?;
        let integrator = integrator.parse().map_err(|_| BadLogin)?;
        let account = decimal(account, 20).and_then(NonZeroU64::new).ok_or(BadLogin)?;
        Ok(Self { integrator, account })
    }
}

/// A decimal number of at most `max_digits` digits without sign or leading zero; 0 itself is refused.
pub(crate) fn decimal(text: &str, max_digits: usize) -> Option<u64> {
    let digits = text.as_bytes();
    if digits.is_empty() || digits.len() > max_digits || digits.first() == Some(&b'0') {
        return None;
    }
    if digits.iter().all(u8::is_ascii_digit) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integrator_ids() {
        for good in ["1", "42", "999"] {
            assert_eq!(good.parse::<IntegratorId>().unwrap().to_string(), good);
        }
        for bad in ["", "0", "01", "+1", "-1", " 1", "1 ", "1000", "1.0", "１", "99999999999999999999"] {
            assert!(bad.parse::<IntegratorId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn identifiers() {
        let astral = "😀".repeat(40);
        for good in ["a", "16505551234", "älice-ß-日本", astral.as_str(), " "] {
            assert_eq!(UserIdentifier::new(good).unwrap().as_str(), good);
        }
        assert_eq!(UserIdentifier::new(""), Err(BadIdentifier::Empty));
        assert_eq!(UserIdentifier::new("a".repeat(41)), Err(BadIdentifier::TooLong));
        assert_eq!(UserIdentifier::new("😀".repeat(41)), Err(BadIdentifier::TooLong));
        for control in ["\0", "a\n", "\u{7f}", "\u{9f}"] {
            assert_eq!(UserIdentifier::new(control), Err(BadIdentifier::ControlCharacter));
        }
        assert!(!format!("{:?}", UserIdentifier::new("alice").unwrap()).contains("alice"));
    }

    #[test]
    fn logins() {
        let login: Login = "1-10853634039893@interop".parse().unwrap();
        assert_eq!((login.integrator.get(), login.account.get()), (1, 10_853_634_039_893));
        assert_eq!(login.to_string(), "1-10853634039893@interop");
        assert!("999-18446744073709551615@interop".parse::<Login>().is_ok());
        for bad in [
            "1-0@interop",
            "1-01@interop",
            "01-1@interop",
            "0-1@interop",
            "1-1@s.whatsapp.net",
            "1-1",
            "1-1@interop ",
            "1--1@interop",
            "1-18446744073709551616@interop",
            "-1@interop",
            "1-@interop",
            "",
        ] {
            assert_eq!(bad.parse::<Login>(), Err(BadLogin), "{bad:?}");
        }
    }
}
