//! Which store this is, how far it has come, and whether it may still speak for the account.

use crate::StoreError;

/// What a store knows of its own past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lineage {
    /// Grows at each opening, at each closing, and every 64 commits between them. 0: never opened.
    pub epoch: u64,
    /// The account was exported at this time, in unix seconds, and belongs to another store since.
    pub handed_over: Option<u64>,
    /// The store is older than it should be. Told until the application has taken the notice.
    pub rollback: Option<Rollback>,
    /// The keys at the server may be used up, forgotten or unknown here: new ones, one-time and signed, have to be uploaded
    /// before anything else.
    pub keys_due: bool,
}

/// A store that is older than it should be: a backup was put back, or a file copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rollback {
    /// The store's epoch.
    pub found: u64,
    /// The epoch that its witness remembered; `None` if there was no witness of this store.
    pub expected: Option<u64>,
}

impl Lineage {
    /// The account now belongs to another store.
    ///
    /// # Errors
    /// [`StoreError::HandedOver`] if it does already.
    pub(crate) fn hand_over(&mut self, at: u64) -> Result<(), StoreError> {
        self.check_ours()?;
        self.handed_over = Some(at);
        Ok(())
    }

    /// Whether this store speaks for the account.
    ///
    /// # Errors
    /// [`StoreError::HandedOver`] if another one does.
    pub fn check_ours(&self) -> Result<(), StoreError> {
        match self.handed_over {
            Some(at) => Err(StoreError::HandedOver { at }),
            None => Ok(()),
        }
    }
}

/// The lineage of the store. Called when the store is opened, exported and taken back, and by the client before it connects.
pub trait LineageStore {
    /// What the store knows of its own past.
    ///
    /// # Errors
    /// The backend fails, or the record does not parse.
    fn lineage(&self) -> Result<Lineage, StoreError>;

    /// Replaces it.
    ///
    /// # Errors
    /// The backend fails.
    fn set_lineage(&mut self, lineage: &Lineage) -> Result<(), StoreError>;

    /// Makes it impossible to use a key twice, though this state may be older than what was sent with it: retires every
    /// session, so that the next text to each peer begins a new one; forgets the ciphertext of pending messages, so that they
    /// are encrypted anew; takes every one-time key for given away, so that none is offered again; and lets the ids of keys
    /// to come, one-time and signed, go on far from those that may be out: at least 65,536 later. Returns how many sessions
    /// were retired. Delayed messages can still be opened, and so can first messages that use the old keys.
    ///
    /// # Errors
    /// The backend fails.
    fn renew_sessions(&mut self) -> Result<u64, StoreError>;

    /// Takes an account back that was exported. Whoever imported it may have gone on with the sessions, so they are
    /// [renewed](Self::renew_sessions). Nothing happens if it was not exported.
    ///
    /// # Errors
    /// The backend fails.
    fn take_back(&mut self) -> Result<(), StoreError> {
        let mut lineage = self.lineage()?;
        if lineage.handed_over.take().is_some() {
            self.renew_sessions()?;
            lineage.keys_due = true;
            self.set_lineage(&lineage)?;
        }
        Ok(())
    }
}
