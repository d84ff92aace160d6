//! Messages that did not decrypt, at either end.

use landbridge_curve::PrivateKey;
use landbridge_proto::padding;
use landbridge_signal::{DecryptError, TrustPolicy, encrypt, process_bundle};
use landbridge_stanza::codes::RetryReason;
use landbridge_stanza::keys::{self, KeyBundle};
use landbridge_stanza::message::{Enc, MessageIn, MessageOut, MessageType};
use landbridge_stanza::receipt::ReceiptOut;
use landbridge_stanza::retry::{Retry, RetryKeys};
use landbridge_store::{MessageKey, Recrypt, StoreTx};
use landbridge_wire::{EncodeOptions, Jid, Node};

use super::PhoneError;
use super::phone::{Inner, Phone, address, known_keys};
use super::send::{enc_type, to_bundle};
use crate::state::State;

impl Phone {
    /// Notes a copy that did not open. Gives the retry receipt to send, unless enough were sent.
    pub(super) fn ask_again(
        &self,
        state: &State,
        inner: &mut Inner,
        message: &MessageIn,
        enc: &Enc,
        error: &DecryptError,
    ) -> Result<Option<Node>, PhoneError> {
        let key = MessageKey::direct(message.from.to_string(), message.id.as_str());
        let receipts = &state.profile().receipts;
        let mut tx = inner.store.begin()?;
        let failure =
            tx.record_failure(&key, message.t, u32::from(enc.count.unwrap_or(0)), &error.to_string())?;
        let count = failure.asked.saturating_add(1);
        if count > u32::from(receipts.retries_sent) {
            tx.commit()?;
            return Ok(None);
        }
        tx.count_retry(&key)?;
        let has_session = tx.load_session(&address(&message.from))?.is_some_and(|record| record.has_current());
        let without_session = !has_session && receipts.keys_without_session;
        let keys = if without_session || count >= u32::from(receipts.keys_from_count) {
            Some(fresh_keys(state, tx.as_mut())?)
        } else {
            None
        };
        let registration = known_keys(tx.as_mut())?.0.registration;
        tx.commit()?;
        let retry = Retry {
            id: message.id.clone(),
            t: message.t,
            count: u8::try_from(count).unwrap_or(u8::MAX),
            error: Some(reason(error)),
            registration,
            keys,
        };
        Ok(Some(ReceiptOut::retry(message.from.clone(), retry).to_node(state.profile())))
    }

    /// Encrypts a sent message anew for who could not open it. Gives the stanza to send, unless the content is gone or
    /// enough was done.
    pub(super) fn answer_retry(
        &self,
        state: &State,
        inner: &mut Inner,
        asker: &Jid,
        retry: &Retry,
    ) -> Result<Option<Node>, PhoneError> {
        let (peer, mut rng) = (address(asker), state.rng());
        let (recipient, id) = (asker.to_string(), retry.id.to_string());
        let (entry, record) = {
            let tx = inner.store.begin()?;
            (tx.outgoing(&recipient, &id)?, tx.load_session(&peer)?)
        };
        let Some(entry) = entry.filter(|entry| !entry.message.plaintext.is_empty()) else { return Ok(None) };
        if entry.retries >= u32::from(state.profile().receipts.retries_answered) {
            return Ok(None);
        }
        let bundle = match &retry.keys {
            Some(keys) => to_bundle(&KeyBundle {
                t: None,
                registration: retry.registration,
                identity: keys.identity,
                signed_prekey: keys.signed_prekey,
                prekey: keys.prekey,
                device_identity: None,
            }),
            None if retry.count >= 2 || !record.is_some_and(|record| record.has_current()) => {
                Some(self.fetch(state, inner, asker)?)
            }
            None => None,
        };
        let mut padded = entry.message.plaintext.clone();
        padding::pad(&mut padded, &mut rng);
        let mut tx = inner.store.begin()?;
        if let Some(bundle) = bundle {
            let _ = process_bundle(tx.as_signal_store(), &peer, &bundle, TrustPolicy::Accept, &mut rng)?;
        }
        let ciphertext = encrypt(tx.as_signal_store(), &peer, &padded, TrustPolicy::Accept)?;
        let mut enc = Enc::new(enc_type(ciphertext.kind), ciphertext.bytes);
        enc.count = Some(retry.count);
        let kind = MessageType::from(entry.message.kind.as_str());
        let mut message = MessageOut::new(asker.clone(), retry.id.clone(), kind, enc);
        message.t = Some(retry.t);
        let stanza = message.to_node(state.profile());
        let bytes = landbridge_wire::encode(&stanza, &EncodeOptions::default()).unwrap_or_default();
        tx.replace_stanza(&recipient, &id, &bytes, Recrypt::Retry)?;
        tx.commit()?;
        Ok(Some(stanza))
    }
}

/// Keys for a new session: the one-time key is new and stored, and goes out here and nowhere else.
fn fresh_keys(state: &State, tx: &mut dyn StoreTx) -> Result<RetryKeys, PhoneError> {
    let key = PrivateKey::generate(&mut state.rng());
    let ids = tx.add_prekeys(std::slice::from_ref(&key))?;
    tx.mark_uploaded(&ids)?;
    let (own, _) = known_keys(tx)?;
    let prekey = ids.first().map(|id| keys::PreKey { id: id.get(), value: *key.public().as_bytes() });
    Ok(RetryKeys { identity: own.identity, prekey, signed_prekey: own.signed_prekey, device_identity: None })
}

fn reason(error: &DecryptError) -> RetryReason {
    match error {
        DecryptError::NoSession { .. } => RetryReason::NoSession,
        DecryptError::InvalidKey(_) | DecryptError::LowOrderKey(_) => RetryReason::InvalidKey,
        DecryptError::NoPreKey { .. } | DecryptError::NoSignedPreKey { .. } => RetryReason::InvalidKeyId,
        DecryptError::Malformed(_) | DecryptError::UnknownVersion { .. } | DecryptError::LegacyVersion { .. } => {
            RetryReason::InvalidMessage
        }
        DecryptError::TooFar { .. } => RetryReason::FutureMessage,
        DecryptError::NoSessionFits { .. } => RetryReason::BadMac,
        DecryptError::DamagedRecord(_) => RetryReason::InvalidSession,
        _ => RetryReason::Unknown,
    }
}
