//! Where the private keys lie that must outlive the process, and how several servers share them.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::key_files::KeyFileError;

/// A private key: PKCS#8 in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivatePem(Zeroizing<String>);

impl PrivatePem {
    /// Takes the text as it is.
    pub fn new(pem: Zeroizing<String>) -> Self {
        Self(pem)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PrivatePem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Serialize for PrivatePem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PrivatePem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|pem| Self(Zeroizing::new(pem)))
    }
}

/// Since when which signing key is what it is, unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "kept by shelves")]
pub struct KeyTimes {
    /// When the active key became it.
    pub active_since: u64,
    /// Since when the standby is published.
    pub standby_since: u64,
    /// Until when the last active key is published.
    pub retiring_until: Option<u64>,
}

/// All keys that are kept, as one value. What is missing is made by whoever needs it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::exhaustive_structs, reason = "kept by shelves")]
pub struct KeyState {
    /// Signs tokens.
    pub active: Option<PrivatePem>,
    /// Is published beside it and signs next.
    pub standby: Option<PrivatePem>,
    /// Signed last, and is published while its tokens live.
    pub retiring: Option<PrivatePem>,
    /// When these became what they are.
    pub times: Option<KeyTimes>,
    /// What browsers know this partner by (VAPID).
    pub web_push: Option<PrivatePem>,
}

impl KeyState {
    /// As a shelf may store it, which has to seal it: it is all there is to know.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        // Texts and numbers: there is nothing in it that serde_json can refuse.
        Zeroizing::new(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote; `None` if it is of a later release, or nothing of ours.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// A number that another state has not: for shelves that keep none.
    pub(crate) fn fingerprint(&self) -> u64 {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.to_bytes());
        digest.as_ref().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

/// A state and which one it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by shelves")]
pub struct Kept {
    /// The keys.
    pub state: KeyState,
    /// Changes with every change of the state.
    pub version: u64,
}

/// Whether a state took the place of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers must decide every case")]
pub enum Swapped {
    /// It did, and this is its version.
    Yes(u64),
    /// Somebody else has changed the state meanwhile: nothing was done.
    No,
}

/// Keys cannot be read or kept.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyShelfError {
    /// The key files.
    #[error("the key files cannot be used")]
    Files(#[source] KeyFileError),
    /// What is kept was sealed with another key than this server's.
    #[error("the keys that are kept were sealed with another key than this server has")]
    Sealed,
    /// It can be opened and not understood.
    #[error("the keys that are kept are of a later release")]
    Foreign,
    /// The place does not answer.
    #[error("the place where keys are kept does not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Where keys are kept. Shipped: files of one server's data directory, and, with `landbridge-engines`, a database for
/// several servers.
///
/// The server asks at its start and every 30 seconds, and changes what is there by comparing and swapping, so that
/// of several servers that want the same change one makes it and the others find it made. A state that was swapped in
/// is durable.
#[async_trait]
pub trait KeyShelf: Send + Sync {
    /// What is kept now. A place where nothing has been kept gives an empty state.
    ///
    /// # Errors
    /// [`KeyShelfError`].
    async fn load(&self) -> Result<Kept, KeyShelfError>;

    /// Puts `state` in the place of the one with this version.
    ///
    /// # Errors
    /// [`KeyShelfError`]; what is kept is what was, or the new state.
    async fn swap(&self, version: u64, state: &KeyState) -> Result<Swapped, KeyShelfError>;
}

/// Keys that live as long as the process.
#[derive(Debug, Default)]
pub(crate) struct MemoryShelf(Mutex<KeyState>);

#[async_trait]
impl KeyShelf for MemoryShelf {
    async fn load(&self) -> Result<Kept, KeyShelfError> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Kept { version: state.fingerprint(), state })
    }

    async fn swap(&self, version: u64, state: &KeyState) -> Result<Swapped, KeyShelfError> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.fingerprint() != version {
            return Ok(Swapped::No);
        }
        *kept = state.clone();
        Ok(Swapped::Yes(state.fingerprint()))
    }
}
