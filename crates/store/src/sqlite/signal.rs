//! The Signal store traits in SQLite.

use landbridge_curve::{PrivateKey, PublicKey};
use landbridge_signal::{
    Address, IdentityKeyPair, IdentityStore, PreKeyId, PreKeyStore, RegistrationId, SessionRecord,
    SessionStore, SignedPreKey, SignedPreKeyId, SignedPreKeyStore, StoreError as SignalStoreError,
};

use super::keybook::{USED_PREKEYS, signed_prekey};
use super::tx::{SqliteTx, private_key, public_key};
use crate::StoreError;

impl SqliteTx<'_> {
    fn identity_column(&self, sql: &'static str, peer: &Address) -> Result<Option<PublicKey>, StoreError> {
        let key = self.one("read an identity", sql, (&peer.name, peer.device), |row| {
            row.get::<_, Option<Vec<u8>>>(0)
        })?;
        key.flatten().map(|bytes| public_key("identity of a peer", &bytes)).transpose()
    }
}

impl IdentityStore for SqliteTx<'_> {
    fn identity_key(&self) -> Result<IdentityKeyPair, SignalStoreError> {
        Ok(self.existing_account()?.identity)
    }

    fn registration_id(&self) -> Result<RegistrationId, SignalStoreError> {
        Ok(self.existing_account()?.registration_id)
    }

    fn remote_identity(&self, peer: &Address) -> Result<Option<PublicKey>, SignalStoreError> {
        Ok(self.identity_column("SELECT seen FROM remote_identity WHERE name = ?1 AND device = ?2", peer)?)
    }

    fn save_remote_identity(&mut self, peer: &Address, identity: &PublicKey) -> Result<(), SignalStoreError> {
        let sql = "INSERT INTO remote_identity (name, device, seen) VALUES (?1, ?2, ?3) \
                   ON CONFLICT (name, device) DO UPDATE SET seen = excluded.seen";
        self.run("store an identity", sql, (&peer.name, peer.device, identity.as_bytes()))?;
        Ok(())
    }

    fn approved_identity(&self, peer: &Address) -> Result<Option<PublicKey>, SignalStoreError> {
        Ok(self
            .identity_column("SELECT approved FROM remote_identity WHERE name = ?1 AND device = ?2", peer)?)
    }

    fn approve_identity(&mut self, peer: &Address, identity: &PublicKey) -> Result<(), SignalStoreError> {
        let sql = "INSERT INTO remote_identity (name, device, approved) VALUES (?1, ?2, ?3) \
                   ON CONFLICT (name, device) DO UPDATE SET approved = excluded.approved";
        self.run("approve an identity", sql, (&peer.name, peer.device, identity.as_bytes()))?;
        Ok(())
    }
}

impl SessionStore for SqliteTx<'_> {
    fn load_session(&self, peer: &Address) -> Result<Option<SessionRecord>, SignalStoreError> {
        let sql = "SELECT record FROM session WHERE name = ?1 AND device = ?2";
        // Parsed in place: the bytes are secret and are not copied out of SQLite's page.
        let parsed = self.one("read a session", sql, (&peer.name, peer.device), |row| {
            let bytes = row.get_ref(0)?.as_blob()?;
            Ok(SessionRecord::from_bytes(bytes))
        })?;
        let record = parsed.transpose();
        Ok(record.map_err(|source| StoreError::Record { what: "session", source: Some(Box::new(source)) })?)
    }

    fn save_session(&mut self, peer: &Address, record: &SessionRecord) -> Result<(), SignalStoreError> {
        let sql = "INSERT INTO session (name, device, record) VALUES (?1, ?2, ?3) \
                   ON CONFLICT (name, device) DO UPDATE SET record = excluded.record";
        self.run("store a session", sql, (&peer.name, peer.device, &record.to_bytes()[..]))?;
        Ok(())
    }

    fn delete_session(&mut self, peer: &Address) -> Result<(), SignalStoreError> {
        let sql = "DELETE FROM session WHERE name = ?1 AND device = ?2";
        self.run("delete a session", sql, (&peer.name, peer.device))?;
        Ok(())
    }
}

impl PreKeyStore for SqliteTx<'_> {
    fn load_prekey(&self, id: PreKeyId) -> Result<Option<PrivateKey>, SignalStoreError> {
        let sql = "SELECT private_key FROM prekey WHERE id = ?1";
        let key = self.one("read a prekey", sql, [id.get()], |row| row.get::<_, Vec<u8>>(0))?;
        Ok(key.map(|bytes| private_key("one-time prekey", &bytes)).transpose()?)
    }

    fn remove_prekey(&mut self, id: PreKeyId) -> Result<(), SignalStoreError> {
        if self.run("delete a prekey", "DELETE FROM prekey WHERE id = ?1", [id.get()])? > 0 {
            self.set_counter(USED_PREKEYS, self.counter(USED_PREKEYS)? + 1)?;
        }
        Ok(())
    }
}

impl SignedPreKeyStore for SqliteTx<'_> {
    fn load_signed_prekey(&self, id: SignedPreKeyId) -> Result<Option<SignedPreKey>, SignalStoreError> {
        let sql = "SELECT id, private_key, signature FROM signed_prekey WHERE id = ?1";
        let found = self
            .one("read a signed prekey", sql, [id.get()], |row| <(i64, Vec<u8>, Vec<u8>)>::try_from(row))?;
        Ok(found.map(|(id, key, signature)| signed_prekey(id, &key, &signature)).transpose()?)
    }
}
