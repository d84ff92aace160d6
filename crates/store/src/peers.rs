//! What a client remembers of its dealings with a peer, beside Signal's own state.

use landbridge_curve::PublicKey;

use crate::StoreError;

/// What is remembered of one peer. A peer of whom nothing is has the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerRecord {
    /// The identity that the user has verified, as long as it is the peer's.
    pub verified: Option<PublicKey>,
    /// The identity that was verified before the peer had another one.
    pub was_verified: Option<PublicKey>,
    /// Since when nothing is encrypted or sent to the peer, in unix seconds: until the user accepts the new identity.
    pub held_since: Option<u64>,
    /// Another identity was announced, and it has not been seen yet.
    pub awaits_identity: bool,
    /// When a session was last begun anew because the peer could not open a message, in unix seconds.
    pub rebuilt_at: Option<u64>,
}

/// A peer's wish for a message to be encrypted anew, which is answered once sending to the peer is no longer held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldRetry {
    /// The message.
    pub id: String,
    /// Which request it is: 1, 2, …
    pub count: u8,
    /// The time of the message as the request gives it, in unix seconds.
    pub t: u64,
}

/// What is remembered of peers. Called wherever identities change or are judged, by sending, and by the answers to retry
/// requests. Peers go by the text of their address, without device.
pub trait PeerBook {
    /// What is remembered of a peer.
    ///
    /// # Errors
    /// The backend fails, or the record does not parse.
    fn peer(&self, peer: &str) -> Result<PeerRecord, StoreError>;

    /// Puts a record in the place of the one before.
    ///
    /// # Errors
    /// The backend fails.
    fn set_peer(&mut self, peer: &str, record: &PeerRecord) -> Result<(), StoreError>;

    /// All peers of whom something is remembered, sorted.
    ///
    /// # Errors
    /// The backend fails, or a record does not parse.
    fn peers(&self) -> Result<Vec<(String, PeerRecord)>, StoreError>;

    /// Keeps a retry request. It takes the place of an earlier one for the same message.
    ///
    /// # Errors
    /// The backend fails.
    fn hold_retry(&mut self, peer: &str, retry: &HeldRetry) -> Result<(), StoreError>;

    /// The retry requests of a peer that are kept, by the times of their messages, at most `limit`.
    ///
    /// # Errors
    /// The backend fails, or a record does not parse.
    fn held_retries(&self, peer: &str, limit: usize) -> Result<Vec<HeldRetry>, StoreError>;

    /// The peers whose retry requests are kept, sorted.
    ///
    /// # Errors
    /// The backend fails.
    fn peers_with_held_retries(&self) -> Result<Vec<String>, StoreError>;

    /// Forgets a retry request: it is answered, or never will be. None there is no error.
    ///
    /// # Errors
    /// The backend fails.
    fn settle_retry(&mut self, peer: &str, id: &str) -> Result<(), StoreError>;
}
