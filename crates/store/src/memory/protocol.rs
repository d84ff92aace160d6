//! Account, prekey books and the Signal store traits in memory.

use landbridge_curve::{PrivateKey, PublicKey};
use landbridge_signal::{
    Address, IdentityKeyPair, IdentityStore, PreKey, PreKeyId, PreKeyStore, RegistrationId, SessionRecord,
    SessionStore, SignedPreKey, SignedPreKeyId, SignedPreKeyStore, StoreError as SignalStoreError,
};

use super::{Counter, MemoryTx, PreKeyRow};
use crate::keybook::free_id;
use crate::outbox::ACCOUNT_DELETED;
use crate::{
    Account, AccountStore, Enlistment, Fact, OutState, PreKeyBook, PreKeyCounts, Progress, SignedPreKeyEntry,
    StoreError, Upload, Uploads,
};

impl MemoryTx<'_> {
    fn existing_account(&self) -> Result<&Account, StoreError> {
        self.tables.account.get(&()).ok_or(StoreError::NoAccount)
    }
}

impl AccountStore for MemoryTx<'_> {
    fn account(&self) -> Result<Option<Account>, StoreError> {
        Ok(self.tables.account.get(&()).cloned())
    }

    fn create_account(&mut self, account: &Account) -> Result<(), StoreError> {
        if self.tables.account.contains(&()) {
            return Err(StoreError::AccountExists);
        }
        self.tables.account.put((), account.clone());
        Ok(())
    }

    fn set_enlistment(&mut self, enlistment: &Enlistment) -> Result<(), StoreError> {
        let account = Account { enlistment: enlistment.clone(), ..self.existing_account()?.clone() };
        self.tables.account.put((), account);
        Ok(())
    }

    fn wipe_keys(&mut self, at: u64) -> Result<(), StoreError> {
        let tables = &mut *self.tables;
        tables.account.clear();
        tables.facts.clear();
        tables.sessions.clear();
        tables.identities.clear();
        tables.approved.clear();
        tables.prekeys.clear();
        tables.prekey_order.clear();
        tables.signed_prekeys.clear();
        tables.owed.clear();
        tables.owed_keys.clear();
        tables.blocked.clear();
        tables.blocklist_hash.clear();
        tables.peers.clear();
        tables.held_retries.clear();
        let outbox = tables.outbox.iter().map(|(_, entry)| entry);
        let pending: Vec<_> = outbox.filter(|entry| entry.state == OutState::Pending).cloned().collect();
        for mut entry in pending {
            entry.apply(Progress::Failed { reason: ACCOUNT_DELETED }, at);
            self.put_outbox(entry);
        }
        for entry in self.uploads(0, usize::MAX)? {
            let Upload { recipient, id, .. } = entry.upload;
            self.fail_upload(&recipient, &id, ACCOUNT_DELETED, at)?;
        }
        Ok(())
    }

    fn fact(&self, fact: Fact) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.tables.facts.get(&fact.name()).cloned())
    }

    fn set_fact(&mut self, fact: Fact, value: Option<&[u8]>) -> Result<(), StoreError> {
        match value {
            Some(value) => self.tables.facts.put(fact.name(), value.to_vec()),
            None => {
                self.tables.facts.remove(&fact.name());
            }
        }
        Ok(())
    }
}

impl PreKeyBook for MemoryTx<'_> {
    fn add_prekeys(&mut self, keys: &[PrivateKey]) -> Result<Vec<PreKeyId>, StoreError> {
        let mut ids = Vec::with_capacity(keys.len());
        for key in keys {
            let next = self.tables.counter(Counter::NextPreKeyId);
            let id = free_id("one-time prekey", next, self.tables.prekeys.len(), |id| {
                Ok(PreKeyId::new(id).is_ok_and(|id| self.tables.prekeys.contains(&id)))
            })?;
            let id = PreKeyId::new(id).unwrap_or(PreKeyId::MAX);
            let seq = self.tables.prekey_order.next_seq();
            self.tables.prekeys.put(id, PreKeyRow { key: key.clone(), seq, uploaded: false });
            self.tables.prekey_order.put(seq, id);
            self.tables.counters.put(Counter::NextPreKeyId, id.next().get().into());
            ids.push(id);
        }
        Ok(ids)
    }

    fn start_prekeys_at(&mut self, id: PreKeyId) -> Result<(), StoreError> {
        self.tables.counters.put(Counter::NextPreKeyId, id.get().into());
        Ok(())
    }

    fn prekeys_to_upload(&self, limit: usize) -> Result<Vec<PreKey>, StoreError> {
        let in_order = self.tables.prekey_order.iter();
        Ok(in_order
            .filter_map(|(_, id)| self.tables.prekeys.get(id).map(|row| (*id, row)))
            .filter(|(_, row)| !row.uploaded)
            .take(limit)
            .map(|(id, row)| PreKey { id, key: row.key.clone() })
            .collect())
    }

    fn mark_uploaded(&mut self, ids: &[PreKeyId]) -> Result<(), StoreError> {
        for id in ids {
            if let Some(row) = self.tables.prekeys.get(id).cloned() {
                self.tables.prekeys.put(*id, PreKeyRow { uploaded: true, ..row });
            }
        }
        Ok(())
    }

    fn prune_prekeys(&mut self, keep: usize) -> Result<(), StoreError> {
        let over = self.tables.prekeys.len().saturating_sub(keep);
        let handed_out = |id: &PreKeyId| self.tables.prekeys.get(id).is_some_and(|row| row.uploaded);
        let in_order = self.tables.prekey_order.iter().map(|(seq, id)| (*seq, *id));
        let oldest: Vec<_> = in_order.filter(|(_, id)| handed_out(id)).take(over).collect();
        for (seq, id) in oldest {
            self.tables.prekeys.remove(&id);
            self.tables.prekey_order.remove(&seq);
        }
        Ok(())
    }

    fn prekey_counts(&self) -> Result<PreKeyCounts, StoreError> {
        let waiting = self.tables.prekeys.iter().filter(|(_, row)| !row.uploaded).count();
        Ok(PreKeyCounts {
            stored: u32::try_from(self.tables.prekeys.len()).unwrap_or(u32::MAX),
            to_upload: u32::try_from(waiting).unwrap_or(u32::MAX),
            used: self.tables.counter(Counter::UsedPreKeys),
        })
    }

    fn next_signed_prekey_id(&self) -> Result<SignedPreKeyId, StoreError> {
        let newest = self.tables.signed_prekeys.iter().next_back();
        let next = match (self.tables.counter(Counter::NextSignedId), newest) {
            (0, Some((_, entry))) => entry.key.id.next().get().into(),
            (next, _) => next,
        };
        let id = free_id("signed prekey", next, self.tables.signed_prekeys.len(), |id| {
            Ok(self.tables.signed_prekeys.iter().any(|(_, entry)| entry.key.id.get() == id))
        })?;
        Ok(SignedPreKeyId::new(id).unwrap_or(SignedPreKeyId::MAX))
    }

    fn add_signed_prekey(&mut self, key: &SignedPreKey, created_at: u64) -> Result<(), StoreError> {
        if self.tables.signed_prekeys.iter().any(|(_, entry)| entry.key.id == key.id) {
            return Err(StoreError::KeyIdInUse { what: "signed prekey", id: key.id.get() });
        }
        let seq = self.tables.signed_prekeys.next_seq();
        self.tables
            .signed_prekeys
            .put(seq, SignedPreKeyEntry { key: key.clone(), created_at, uploaded: false });
        self.tables.counters.put(Counter::NextSignedId, 0);
        Ok(())
    }

    fn mark_signed_uploaded(&mut self, id: SignedPreKeyId) -> Result<(), StoreError> {
        let found = self.tables.signed_prekeys.iter().find(|(_, entry)| entry.key.id == id);
        if let Some((seq, entry)) = found.map(|(seq, entry)| (*seq, entry.clone())) {
            self.tables.signed_prekeys.put(seq, SignedPreKeyEntry { uploaded: true, ..entry });
        }
        Ok(())
    }

    fn signed_prekeys(&self) -> Result<Vec<SignedPreKeyEntry>, StoreError> {
        Ok(self.tables.signed_prekeys.iter().rev().map(|(_, entry)| entry.clone()).collect())
    }

    fn prune_signed_prekeys(&mut self, keep: usize) -> Result<(), StoreError> {
        let newest_first: Vec<_> =
            self.tables.signed_prekeys.iter().rev().map(|(seq, e)| (*seq, e.uploaded)).collect();
        let at_server = newest_first.iter().find(|(_, uploaded)| *uploaded).map(|(seq, _)| *seq);
        for (seq, _) in newest_first.into_iter().skip(keep) {
            if Some(seq) != at_server {
                self.tables.signed_prekeys.remove(&seq);
            }
        }
        Ok(())
    }
}

impl IdentityStore for MemoryTx<'_> {
    fn identity_key(&self) -> Result<IdentityKeyPair, SignalStoreError> {
        Ok(self.existing_account()?.identity.clone())
    }

    fn registration_id(&self) -> Result<RegistrationId, SignalStoreError> {
        Ok(self.existing_account()?.registration_id)
    }

    fn remote_identity(&self, peer: &Address) -> Result<Option<PublicKey>, SignalStoreError> {
        Ok(self.tables.identities.get(peer).copied())
    }

    fn save_remote_identity(&mut self, peer: &Address, identity: &PublicKey) -> Result<(), SignalStoreError> {
        self.tables.identities.put(peer.clone(), *identity);
        Ok(())
    }

    fn approved_identity(&self, peer: &Address) -> Result<Option<PublicKey>, SignalStoreError> {
        Ok(self.tables.approved.get(peer).copied())
    }

    fn approve_identity(&mut self, peer: &Address, identity: &PublicKey) -> Result<(), SignalStoreError> {
        self.tables.approved.put(peer.clone(), *identity);
        Ok(())
    }
}

impl SessionStore for MemoryTx<'_> {
    fn load_session(&self, peer: &Address) -> Result<Option<SessionRecord>, SignalStoreError> {
        Ok(self.tables.sessions.get(peer).cloned())
    }

    fn save_session(&mut self, peer: &Address, record: &SessionRecord) -> Result<(), SignalStoreError> {
        self.tables.sessions.put(peer.clone(), record.clone());
        Ok(())
    }

    fn delete_session(&mut self, peer: &Address) -> Result<(), SignalStoreError> {
        self.tables.sessions.remove(peer);
        Ok(())
    }
}

impl PreKeyStore for MemoryTx<'_> {
    fn load_prekey(&self, id: PreKeyId) -> Result<Option<PrivateKey>, SignalStoreError> {
        Ok(self.tables.prekeys.get(&id).map(|row| row.key.clone()))
    }

    fn remove_prekey(&mut self, id: PreKeyId) -> Result<(), SignalStoreError> {
        let Some(seq) = self.tables.prekeys.get(&id).map(|row| row.seq) else { return Ok(()) };
        self.tables.prekeys.remove(&id);
        self.tables.prekey_order.remove(&seq);
        let used = self.tables.counter(Counter::UsedPreKeys) + 1;
        self.tables.counters.put(Counter::UsedPreKeys, used);
        Ok(())
    }
}

impl SignedPreKeyStore for MemoryTx<'_> {
    fn load_signed_prekey(&self, id: SignedPreKeyId) -> Result<Option<SignedPreKey>, SignalStoreError> {
        let all = self.tables.signed_prekeys.iter().map(|(_, entry)| entry);
        Ok(all.map(|entry| &entry.key).find(|key| key.id == id).cloned())
    }
}
