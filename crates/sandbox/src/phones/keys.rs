//! The phone's own keys: offered to the server, refilled, and put into retry receipts. And the conversions between the
//! stanza's keys and Signal's.

use landbridge_curve::{PrivateKey, PublicKey};
use landbridge_signal::{PreKey, PreKeyBundle, PreKeyId, PreKeyPublic, SignedPreKeyId, SignedPreKeyPublic};
use landbridge_stanza::{
    Request,
    keys::{KeyBundle, UploadKeys},
    retry::{Retry, RetryKeys},
};
use landbridge_store::{Lineage, StoreTx};
use rand::CryptoRng;

use super::phone::Asked;
use super::step::Plan;
use super::{Output, Phone, PhoneError};

type WireSigned = landbridge_stanza::keys::SignedPreKey;
type WirePreKey = landbridge_stanza::keys::PreKey;

impl Phone {
    /// An upload, if something is not known to be at the server. The first one makes the first batch.
    pub(super) fn upload_if_needed(&mut self) -> Result<Vec<Output>, PhoneError> {
        let tx = self.store.begin()?;
        let counts = tx.prekey_counts()?;
        let signed_is_new = tx.signed_prekeys()?.first().is_none_or(|entry| !entry.uploaded);
        let due = tx.lineage()?.keys_due;
        drop(tx);
        if counts.to_upload == 0 && !signed_is_new && !due {
            return Ok(Vec::new());
        }
        self.upload(self.profile.keys.first_batch)
    }

    /// Offers what is not known to be at the server; if that is nothing, makes `batch` keys first. An upload whose
    /// answer has not come is not repeated.
    pub(super) fn upload(&mut self, batch: u32) -> Result<Vec<Output>, PhoneError> {
        if self.asked.values().any(|asked| matches!(asked, Asked::Upload(..))) {
            return Ok(Vec::new());
        }
        let most = usize::try_from(self.profile.keys.max_upload).unwrap_or(usize::MAX);
        let mut tx = self.store.begin()?;
        let mut keys = tx.prekeys_to_upload(most)?;
        if keys.is_empty() {
            let new: Vec<_> = (0..batch).map(|_| PrivateKey::generate(&mut *self.rng)).collect();
            tx.add_prekeys(&new)?;
            keys = tx.prekeys_to_upload(most)?;
        }
        let signed = current_signed_prekey(&*tx)?;
        let request = UploadKeys {
            registration: tx.registration_id()?,
            identity: *tx.identity_key()?.public().as_bytes(),
            prekeys: keys.iter().map(prekey).collect(),
            signed_prekey: signed_prekey(&signed),
        };
        tx.commit()?;
        let id = self.ask(Asked::Upload(keys.iter().map(|key| key.id).collect(), signed.id));
        Ok(vec![Output::Send(request.to_node(&id, &self.profile))])
    }

    /// The server may have nothing of the keys: the next [`connect`](Self::connect) offers new ones. Those that were there
    /// before may have been given away, so they are not offered again.
    ///
    /// # Errors
    /// [`PhoneError`] if the store fails.
    pub(crate) fn forget_uploads(&mut self) -> Result<(), PhoneError> {
        self.step(|_, tx| {
            let lineage = tx.lineage()?;
            tx.set_lineage(&Lineage { keys_due: true, ..lineage })?;
            Ok(Plan::default())
        })?;
        Ok(())
    }

    /// The server has the keys.
    pub(super) fn uploaded(&mut self, ids: &[PreKeyId], signed: SignedPreKeyId) -> Result<(), PhoneError> {
        let mut tx = self.store.begin()?;
        tx.mark_uploaded(ids)?;
        tx.mark_signed_uploaded(signed)?;
        let lineage = tx.lineage()?;
        if lineage.keys_due {
            tx.set_lineage(&Lineage { keys_due: false, ..lineage })?;
        }
        Ok(tx.commit()?)
    }
}

/// Fresh keys for a retry receipt. The one-time key counts as handed out: nobody else gets it.
pub(super) fn retry_keys(
    tx: &mut dyn StoreTx,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<RetryKeys, PhoneError> {
    let fresh = PrivateKey::generate(rng);
    let value = *fresh.public().as_bytes();
    let ids = tx.add_prekeys(&[fresh])?;
    tx.mark_uploaded(&ids)?;
    Ok(RetryKeys {
        identity: *tx.identity_key()?.public().as_bytes(),
        prekey: ids.first().map(|id| WirePreKey { id: id.get(), value }),
        signed_prekey: signed_prekey(&current_signed_prekey(tx)?),
        device_identity: None,
    })
}

pub(super) fn current_signed_prekey(tx: &dyn StoreTx) -> Result<landbridge_signal::SignedPreKey, PhoneError> {
    let newest = tx.signed_prekeys()?.into_iter().next();
    Ok(newest.ok_or(PhoneError::Incomplete { what: "signed prekey" })?.key)
}

fn prekey(key: &PreKey) -> WirePreKey {
    WirePreKey { id: key.id.get(), value: *key.key.public().as_bytes() }
}

pub(super) fn signed_prekey(key: &landbridge_signal::SignedPreKey) -> WireSigned {
    WireSigned { id: key.id.get(), value: *key.key.public().as_bytes(), signature: key.signature }
}

/// A fetched bundle as Signal wants it. `None` if a key id does not fit into its 3 bytes, which no stanza can carry.
pub(super) fn bundle(fetched: &KeyBundle) -> Option<PreKeyBundle> {
    signal_bundle(fetched.registration, &fetched.identity, &fetched.signed_prekey, fetched.prekey.as_ref())
}

/// The keys of a retry receipt as a bundle.
pub(super) fn retry_bundle(retry: &Retry, keys: &RetryKeys) -> Option<PreKeyBundle> {
    signal_bundle(retry.registration, &keys.identity, &keys.signed_prekey, keys.prekey.as_ref())
}

fn signal_bundle(
    registration_id: u32,
    identity: &[u8; 32],
    signed: &WireSigned,
    prekey: Option<&WirePreKey>,
) -> Option<PreKeyBundle> {
    let prekey = match prekey {
        Some(key) => {
            Some(PreKeyPublic { id: key.id.try_into().ok()?, key: PublicKey::from_bytes(key.value) })
        }
        None => None,
    };
    Some(PreKeyBundle {
        registration_id,
        identity: PublicKey::from_bytes(*identity),
        signed_prekey: SignedPreKeyPublic {
            id: signed.id.try_into().ok()?,
            key: PublicKey::from_bytes(signed.value),
            signature: signed.signature,
        },
        prekey,
    })
}
