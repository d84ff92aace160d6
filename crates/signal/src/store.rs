//! What the protocol needs somebody to keep.
//!
//! The functions of this crate read through these traits while they work and write at their end, and only if all
//! went well. A caller that passes a database transaction as the store therefore commits the advanced ratchet and
//! the message it opened together, or neither.
//!
//! Readers take `&self`, writers `&mut self`; nothing here is asynchronous, because a transaction on the local disk
//! is not.

use std::error::Error;

use landbridge_curve::{PrivateKey, PublicKey};
use thiserror::Error;

use crate::{
    Address, PreKeyId, SessionRecord, SignedPreKeyId,
    prekeys::{IdentityKeyPair, RegistrationId, SignedPreKey},
};

/// The store could not do what it was asked; the cause is whatever the implementation says.
#[derive(Debug, Error)]
#[error("the Signal store failed")]
pub struct StoreError(#[source] pub Box<dyn Error + Send + Sync>);

impl StoreError {
    /// Wraps an implementation's own error.
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

/// The own identity, and the identities of others as they were last seen.
pub trait IdentityStore {
    /// The own identity key pair.
    ///
    /// # Errors
    /// [`StoreError`] also when there is none yet.
    fn identity_key(&self) -> Result<IdentityKeyPair, StoreError>;

    /// The own registration id.
    ///
    /// # Errors
    /// [`StoreError`] also when there is none yet.
    fn registration_id(&self) -> Result<RegistrationId, StoreError>;

    /// The identity last saved for `peer`, if any.
    ///
    /// # Errors
    /// [`StoreError`] if reading fails.
    fn remote_identity(&self, peer: &Address) -> Result<Option<PublicKey>, StoreError>;

    /// Replaces the identity of `peer`. Called for the first one seen and for each change that the policy let
    /// through.
    ///
    /// # Errors
    /// [`StoreError`] if writing fails.
    fn save_remote_identity(&mut self, peer: &Address, identity: &PublicKey) -> Result<(), StoreError>;

    /// The identity of `peer` that was last passed to [`Self::approve_identity`]. Only
    /// [`TrustPolicy::ApproveToSend`](crate::TrustPolicy::ApproveToSend) asks for it.
    ///
    /// # Errors
    /// [`StoreError`] if reading fails. A store that keeps no approvals leaves this default, which always fails, so
    /// that the strict policy never silently turns into a lax one.
    fn approved_identity(&self, peer: &Address) -> Result<Option<PublicKey>, StoreError> {
        let _ = peer;
        Err(StoreError::new("this store keeps no approved identities"))
    }

    /// Remembers that messages may be sent to `peer` under this identity. Called for the first identity seen and by
    /// [`approve_identity`](crate::approve_identity). The default forgets it at once.
    ///
    /// # Errors
    /// [`StoreError`] if writing fails.
    fn approve_identity(&mut self, peer: &Address, identity: &PublicKey) -> Result<(), StoreError> {
        let _ = (peer, identity);
        Ok(())
    }
}

/// What an operation did to the record that it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It must be kept as it is now.
    Changed,
    /// Nothing: the operation failed, and the record is as it was taken.
    Unchanged,
}

/// One session record per peer address.
pub trait SessionStore {
    /// The record of `peer`, if any. Cloning a record is cheap: a store in memory may keep the value itself.
    ///
    /// # Errors
    /// [`StoreError`] if reading fails or the stored bytes are no record.
    fn load_session(&self, peer: &Address) -> Result<Option<SessionRecord>, StoreError>;

    /// Replaces the record of `peer`.
    ///
    /// # Errors
    /// [`StoreError`] if writing fails.
    fn save_session(&mut self, peer: &Address, record: &SessionRecord) -> Result<(), StoreError>;

    /// The record of `peer` for an operation, which ends with [`Self::put_session`] if there was one. A store that keeps
    /// records as values may hand its own out, so that it is changed in place instead of being copied; what it keeps of
    /// `peer` meanwhile does not matter. The default loads it.
    ///
    /// # Errors
    /// As [`Self::load_session`].
    fn take_session(&mut self, peer: &Address) -> Result<Option<SessionRecord>, StoreError> {
        self.load_session(peer)
    }

    /// Ends an operation. The default saves what has changed.
    ///
    /// # Errors
    /// [`StoreError`] if writing fails.
    fn put_session(
        &mut self,
        peer: &Address,
        record: SessionRecord,
        outcome: Outcome,
    ) -> Result<(), StoreError> {
        match outcome {
            Outcome::Changed => self.save_session(peer, &record),
            Outcome::Unchanged => Ok(()),
        }
    }

    /// Forgets the record of `peer`; none there is no error.
    ///
    /// # Errors
    /// [`StoreError`] if writing fails.
    fn delete_session(&mut self, peer: &Address) -> Result<(), StoreError>;
}

/// The own one-time prekeys.
pub trait PreKeyStore {
    /// The private half of a one-time prekey, if it is still there.
    ///
    /// # Errors
    /// [`StoreError`] if reading fails.
    fn load_prekey(&self, id: PreKeyId) -> Result<Option<PrivateKey>, StoreError>;

    /// Erases a one-time prekey for good: forward secrecy of first messages rests on it.
    ///
    /// # Errors
    /// [`StoreError`] if writing fails.
    fn remove_prekey(&mut self, id: PreKeyId) -> Result<(), StoreError>;
}

/// The own signed prekeys: the present one and the rotated ones that delayed first messages may still name.
pub trait SignedPreKeyStore {
    /// A signed prekey, if it is still there.
    ///
    /// # Errors
    /// [`StoreError`] if reading fails.
    fn load_signed_prekey(&self, id: SignedPreKeyId) -> Result<Option<SignedPreKey>, StoreError>;
}

/// All that a pairwise conversation needs. Implemented for everything that has the four parts.
pub trait SignalStore: IdentityStore + SessionStore + PreKeyStore + SignedPreKeyStore {}

impl<T: IdentityStore + SessionStore + PreKeyStore + SignedPreKeyStore + ?Sized> SignalStore for T {}
