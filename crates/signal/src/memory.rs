//! A store in memory.

use std::collections::HashMap;

use landbridge_curve::{PrivateKey, PublicKey};

use crate::{
    Address, IdentityStore, PreKeyId, PreKeyStore, SenderKeyRecord, SessionRecord, SessionStore,
    SignedPreKeyId, SignedPreKeyStore, StoreError,
    group::SenderKeyStore,
    prekeys::{IdentityKeyPair, PreKey, RegistrationId, SignedPreKey},
    store::Outcome,
};

/// Everything a party keeps, in memory and nowhere else: for tests, tools and programs that live for one
/// conversation. What it forgets at exit cannot be recovered.
#[derive(Debug, Clone)]
pub struct MemorySignalStore {
    identity: IdentityKeyPair,
    registration_id: RegistrationId,
    identities: HashMap<Address, PublicKey>,
    approved: HashMap<Address, PublicKey>,
    /// `None` while an operation has the record.
    sessions: HashMap<Address, Option<SessionRecord>>,
    prekeys: HashMap<PreKeyId, PrivateKey>,
    signed_prekeys: HashMap<SignedPreKeyId, SignedPreKey>,
    sender_keys: HashMap<(String, Address), SenderKeyRecord>,
}

impl MemorySignalStore {
    /// An empty store of a party.
    pub fn new(identity: IdentityKeyPair, registration_id: RegistrationId) -> Self {
        Self {
            identity,
            registration_id,
            identities: HashMap::new(),
            approved: HashMap::new(),
            sessions: HashMap::new(),
            prekeys: HashMap::new(),
            signed_prekeys: HashMap::new(),
            sender_keys: HashMap::new(),
        }
    }

    /// Replaces identity and registration id; all else stays.
    pub fn set_identity(&mut self, identity: IdentityKeyPair, registration_id: RegistrationId) {
        self.identity = identity;
        self.registration_id = registration_id;
    }

    /// Keeps one-time prekeys.
    pub fn add_prekeys(&mut self, keys: impl IntoIterator<Item = PreKey>) {
        self.prekeys.extend(keys.into_iter().map(|PreKey { id, key }| (id, key)));
    }

    /// Keeps a signed prekey.
    pub fn add_signed_prekey(&mut self, key: SignedPreKey) {
        self.signed_prekeys.insert(key.id, key);
    }

    /// Erases a signed prekey.
    pub fn remove_signed_prekey(&mut self, id: SignedPreKeyId) {
        self.signed_prekeys.remove(&id);
    }

    /// The ids of all one-time prekeys, ascending.
    pub fn prekey_ids(&self) -> Vec<PreKeyId> {
        let mut ids: Vec<_> = self.prekeys.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// The ids of all signed prekeys, ascending.
    pub fn signed_prekey_ids(&self) -> Vec<SignedPreKeyId> {
        let mut ids: Vec<_> = self.signed_prekeys.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// Everybody of whom an identity or a session is kept, in order.
    pub fn peers(&self) -> Vec<Address> {
        let mut peers: Vec<_> = self.identities.keys().chain(self.sessions.keys()).cloned().collect();
        peers.sort_unstable();
        peers.dedup();
        peers
    }

    /// Group and sender of every sender-key record, in order.
    pub fn sender_keys(&self) -> Vec<(String, Address)> {
        let mut records: Vec<_> = self.sender_keys.keys().cloned().collect();
        records.sort_unstable();
        records
    }

    /// Forgets the identity of `peer` and its approval, as if the peer had never been seen.
    pub fn forget_identity(&mut self, peer: &Address) {
        self.identities.remove(peer);
        self.approved.remove(peer);
    }

    /// Forgets all sessions.
    pub fn clear_sessions(&mut self) {
        self.sessions.clear();
    }

    /// Forgets all sender keys.
    pub fn clear_sender_keys(&mut self) {
        self.sender_keys.clear();
    }

    /// Erases all prekeys, one-time and signed.
    pub fn clear_prekeys(&mut self) {
        self.prekeys.clear();
        self.signed_prekeys.clear();
    }
}

impl MemorySignalStore {
    fn keep_session(&mut self, peer: &Address, record: SessionRecord) {
        match self.sessions.get_mut(peer) {
            Some(place) => *place = Some(record),
            None => {
                self.sessions.insert(peer.clone(), Some(record));
            }
        }
    }
}

impl IdentityStore for MemorySignalStore {
    fn identity_key(&self) -> Result<IdentityKeyPair, StoreError> {
        Ok(self.identity.clone())
    }

    fn registration_id(&self) -> Result<RegistrationId, StoreError> {
        Ok(self.registration_id)
    }

    fn remote_identity(&self, peer: &Address) -> Result<Option<PublicKey>, StoreError> {
        Ok(self.identities.get(peer).copied())
    }

    fn save_remote_identity(&mut self, peer: &Address, identity: &PublicKey) -> Result<(), StoreError> {
        self.identities.insert(peer.clone(), *identity);
        Ok(())
    }

    fn approved_identity(&self, peer: &Address) -> Result<Option<PublicKey>, StoreError> {
        Ok(self.approved.get(peer).copied())
    }

    fn approve_identity(&mut self, peer: &Address, identity: &PublicKey) -> Result<(), StoreError> {
        self.approved.insert(peer.clone(), *identity);
        Ok(())
    }
}

impl SessionStore for MemorySignalStore {
    fn load_session(&self, peer: &Address) -> Result<Option<SessionRecord>, StoreError> {
        Ok(self.sessions.get(peer).cloned().flatten())
    }

    fn save_session(&mut self, peer: &Address, record: &SessionRecord) -> Result<(), StoreError> {
        self.keep_session(peer, record.clone());
        Ok(())
    }

    fn take_session(&mut self, peer: &Address) -> Result<Option<SessionRecord>, StoreError> {
        Ok(self.sessions.get_mut(peer).and_then(Option::take))
    }

    fn put_session(&mut self, peer: &Address, record: SessionRecord, _: Outcome) -> Result<(), StoreError> {
        self.keep_session(peer, record);
        Ok(())
    }

    fn delete_session(&mut self, peer: &Address) -> Result<(), StoreError> {
        self.sessions.remove(peer);
        Ok(())
    }
}

impl PreKeyStore for MemorySignalStore {
    fn load_prekey(&self, id: PreKeyId) -> Result<Option<PrivateKey>, StoreError> {
        Ok(self.prekeys.get(&id).cloned())
    }

    fn remove_prekey(&mut self, id: PreKeyId) -> Result<(), StoreError> {
        self.prekeys.remove(&id);
        Ok(())
    }
}

impl SignedPreKeyStore for MemorySignalStore {
    fn load_signed_prekey(&self, id: SignedPreKeyId) -> Result<Option<SignedPreKey>, StoreError> {
        Ok(self.signed_prekeys.get(&id).cloned())
    }
}

impl SenderKeyStore for MemorySignalStore {
    fn load_sender_key(&self, group: &str, sender: &Address) -> Result<Option<SenderKeyRecord>, StoreError> {
        Ok(self.sender_keys.get(&(group.to_owned(), sender.clone())).cloned())
    }

    fn save_sender_key(
        &mut self,
        group: &str,
        sender: &Address,
        record: &SenderKeyRecord,
    ) -> Result<(), StoreError> {
        self.sender_keys.insert((group.to_owned(), sender.clone()), record.clone());
        Ok(())
    }

    fn delete_sender_key(&mut self, group: &str, sender: &Address) -> Result<(), StoreError> {
        self.sender_keys.remove(&(group.to_owned(), sender.clone()));
        Ok(())
    }
}
