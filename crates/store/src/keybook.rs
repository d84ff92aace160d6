//! The books of one-time and signed prekeys.
//!
//! Private halves of uploaded keys are kept until a message has used them: deleting them early is the classic cause of
//! unreadable first messages. An upload whose answer was lost is repeated with the same keys.

use landbridge_curve::PrivateKey;
use landbridge_signal::{PreKey, PreKeyId, SignedPreKey, SignedPreKeyId};

use crate::StoreError;

/// How many one-time prekeys there are, by stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PreKeyCounts {
    /// Private halves in the store.
    pub stored: u32,
    /// Of those: not known to be at the server.
    pub to_upload: u32,
    /// Ever used by a message, and therefore deleted.
    pub used: u64,
}

/// A signed prekey with what the book knows about it.
#[derive(Clone, Debug)]
pub struct SignedPreKeyEntry {
    /// The key, its id and its signature.
    pub key: SignedPreKey,
    /// When it was made, in unix seconds.
    pub created_at: u64,
    /// Whether the server is known to have it.
    pub uploaded: bool,
}

/// Prekey books. Called by enlistment, upload, rotation and digest check; the Signal store traits read the same keys.
pub trait PreKeyBook {
    /// Stores new one-time keys and gives each the next free id: 1..=16,777,215, wrapping to 1, never one whose private
    /// half is still stored. Before an upload, in a transaction of its own or together with other work.
    ///
    /// # Errors
    /// [`StoreError::NoFreeKeyId`] if all ids are taken; nothing is stored then.
    fn add_prekeys(&mut self, keys: &[PrivateKey]) -> Result<Vec<PreKeyId>, StoreError>;

    /// Lets the numbering of one-time keys go on at `id`. After an import from another store, so that ids whose keys are
    /// still out are not given twice.
    ///
    /// # Errors
    /// The backend fails.
    fn start_prekeys_at(&mut self, id: PreKeyId) -> Result<(), StoreError>;

    /// The keys that are not known to be at the server, oldest first, at most `limit`. Before each upload: keys of an
    /// upload whose answer was lost come again, so that none is minted per attempt.
    ///
    /// # Errors
    /// The backend fails, or a record does not parse.
    fn prekeys_to_upload(&self, limit: usize) -> Result<Vec<PreKey>, StoreError>;

    /// Marks keys as handed out, for good: the server confirmed the upload, or the key goes out inside a retry receipt. Such
    /// a key is never offered again, for the server may have given it to a peer since. Unknown ids are passed over: a message
    /// may have used the key before the answer came.
    ///
    /// # Errors
    /// The backend fails.
    fn mark_uploaded(&mut self, ids: &[PreKeyId]) -> Result<(), StoreError>;

    /// Deletes the oldest one-time keys that were handed out, until at most `keep` keys are stored or no such key is left.
    /// Before new ones are made because the server's are lost: what it may have given away is kept as long as there is room.
    ///
    /// # Errors
    /// The backend fails.
    fn prune_prekeys(&mut self, keep: usize) -> Result<(), StoreError>;

    /// How many keys there are.
    ///
    /// # Errors
    /// The backend fails.
    fn prekey_counts(&self) -> Result<PreKeyCounts, StoreError>;

    /// The id for the next signed prekey, not in use: 1..=16,777,215, wrapping. It follows the newest one, and after a
    /// [renewal](crate::LineageStore::renew_sessions) it is one that was never given.
    ///
    /// # Errors
    /// [`StoreError::NoFreeKeyId`] if all ids are taken.
    fn next_signed_prekey_id(&self) -> Result<SignedPreKeyId, StoreError>;

    /// Stores a signed prekey, not yet uploaded. Before it is sent anywhere.
    ///
    /// # Errors
    /// [`StoreError::KeyIdInUse`] if the id is taken.
    fn add_signed_prekey(&mut self, key: &SignedPreKey, created_at: u64) -> Result<(), StoreError>;

    /// Marks a signed prekey as the server's current one.
    ///
    /// # Errors
    /// The backend fails.
    fn mark_signed_uploaded(&mut self, id: SignedPreKeyId) -> Result<(), StoreError>;

    /// All signed prekeys, newest first.
    ///
    /// # Errors
    /// The backend fails, or a record does not parse.
    fn signed_prekeys(&self) -> Result<Vec<SignedPreKeyEntry>, StoreError>;

    /// Deletes all but the newest `keep` signed prekeys; the newest uploaded one is never deleted. After a rotation: old
    /// halves are kept for messages that are on their way.
    ///
    /// # Errors
    /// The backend fails.
    fn prune_signed_prekeys(&mut self, keep: usize) -> Result<(), StoreError>;
}

/// The largest key id: 3 bytes on the wire.
const MAX_KEY_ID: u64 = 0xff_ffff;

/// Ids that are passed over when the book may be older than what was given away: more than are made between two backups, and
/// more than are made between two marks of a witness.
pub(crate) const KEY_ID_GAP: u64 = 0x1_0000;

/// How far beyond the gap a jump may go that must not end where an earlier one did: short of the ids that it began with.
#[cfg(feature = "sqlite")]
pub(crate) const KEY_ID_JUMP: u64 = MAX_KEY_ID - 2 * KEY_ID_GAP;

/// The id that lies `jump` behind `next`, on the ring of ids.
pub(crate) fn jump(next: u64, jump: u64) -> u64 {
    (next.max(1) - 1).saturating_add(jump) % MAX_KEY_ID + 1
}

/// The first id from `next` on, wrapping, that is not taken. One place for the rule, for every backend.
pub(crate) fn free_id(
    what: &'static str,
    next: u64,
    stored: usize,
    taken: impl Fn(u32) -> Result<bool, StoreError>,
) -> Result<u32, StoreError> {
    if u64::try_from(stored).unwrap_or(u64::MAX) >= MAX_KEY_ID {
        return Err(StoreError::NoFreeKeyId { what });
    }
    let mut id = u32::try_from(next).unwrap_or(0);
    for _ in 0..=MAX_KEY_ID {
        if id == 0 || u64::from(id) > MAX_KEY_ID {
            id = 1;
        }
        if !taken(id)? {
            return Ok(id);
        }
        id += 1;
    }
    Err(StoreError::NoFreeKeyId { what })
}
