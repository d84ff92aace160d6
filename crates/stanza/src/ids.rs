//! Ids of messages and of requests.

use std::fmt;
use std::str::FromStr;

use rand_core::CryptoRng;
use thiserror::Error;

/// The longest message id that is accepted, in bytes (ASSUMED).
const MAX_LEN: usize = 128;
/// Random bytes of an id made here: 9, printed as 18 upper-case hex digits.
const RANDOM_LEN: usize = 9;
/// Start of the ids made here (PEERS: the form of companion clients).
const PREFIX: &str = "3EB0";

/// The id of a message: opaque text of 1 to 128 bytes, unique per chat and sender.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(String);

impl MessageId {
    /// Draws a new id: `3EB0` and 18 upper-case hex digits from 9 random bytes.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut bytes = [0; RANDOM_LEN];
        rng.fill_bytes(&mut bytes);
        Self(bytes.iter().fold(PREFIX.to_owned(), |id, byte| format!("{id}{byte:02X}")))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, owned.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl TryFrom<String> for MessageId {
    type Error = BadMessageId;

    fn try_from(text: String) -> Result<Self, BadMessageId> {
        if (1..=MAX_LEN).contains(&text.len()) {
            Ok(Self(text))
        } else {
            Err(BadMessageId { length: text.len() })
        }
    }
}

impl FromStr for MessageId {
    type Err = BadMessageId;

    fn from_str(text: &str) -> Result<Self, BadMessageId> {
        Self::try_from(text.to_owned())
    }
}

impl AsRef<str> for MessageId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that cannot be a message id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a message id has 1 to 128 bytes, this has {length}")]
pub struct BadMessageId {
    /// Length of the text in bytes.
    pub length: usize,
}

/// Makes the ids of one connection's requests: `<8 hex digits>-<n>`, the digits drawn once.
#[derive(Debug, Clone)]
pub struct IqIds {
    prefix: String,
    next: u64,
}

impl IqIds {
    /// Starts at 1 with a prefix drawn from `rng`.
    pub fn new<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut bytes = [0; 4];
        rng.fill_bytes(&mut bytes);
        Self { prefix: format!("{:08x}", u32::from_be_bytes(bytes)), next: 1 }
    }

    /// The next id.
    pub fn next_id(&mut self) -> String {
        let id = format!("{}-{}", self.prefix, self.next);
        self.next += 1;
        id
    }
}
