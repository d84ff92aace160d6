//! Sending: the ciphertext and the advanced ratchet are stored before the server sees either.

use landbridge_proto::content;
use landbridge_proto::message::Message;
use landbridge_proto::padding;
use landbridge_signal::{
    CiphertextKind, PreKeyBundle, PreKeyId, PreKeyPublic, SignedPreKeyId, SignedPreKeyPublic, TrustPolicy, encrypt,
    process_bundle,
};
use landbridge_stanza::ack::AckIn;
use landbridge_stanza::keys::{FetchKeys, KeyBundle};
use landbridge_stanza::message::{DecryptFail, Edit, Enc, EncType, MessageOut, MessageType};
use landbridge_stanza::{IqError, MessageId, ReplyError, codes::IqErrorCode};
use landbridge_store::{OutboxMessage, Progress};
use landbridge_wire::{EncodeOptions, Jid};
use prost::Message as _;

use super::PhoneError;
use super::phone::{Inner, Phone, address};
use crate::events::EventKind;
use crate::state::{State, lock};

impl Phone {
    /// Encrypts, stores, sends.
    pub(crate) fn send(&self, state: &State, to: &Jid, content: &Message) -> Result<MessageId, PhoneError> {
        let mut inner = lock(&self.inner);
        let (peer, mut rng) = (address(to), state.rng());
        let has_session = inner.store.begin()?.load_session(&peer)?.is_some_and(|record| record.has_current());
        let bundle = if has_session { None } else { Some(self.fetch(state, &mut inner, to)?) };

        let id = MessageId::generate(&mut rng);
        let plaintext = content.encode_to_vec();
        let mut padded = plaintext.clone();
        padding::pad(&mut padded, &mut rng);
        let outer = content::outer(content);
        let mut tx = inner.store.begin()?;
        if let Some(bundle) = bundle {
            // Another identity than the remembered one is taken: it is a test phone, its user sees the journal.
            let _ = process_bundle(tx.as_signal_store(), &peer, &bundle, TrustPolicy::Accept, &mut rng)?;
        }
        let ciphertext = encrypt(tx.as_signal_store(), &peer, &padded, TrustPolicy::Accept)?;
        let mut enc = Enc::new(enc_type(ciphertext.kind), ciphertext.bytes);
        enc.mediatype = outer.mediatype.map(str::to_owned);
        if outer.decrypt_fail == Some("hide") {
            enc.decrypt_fail = DecryptFail::Hide;
        }
        let mut message = MessageOut::new(to.clone(), id.clone(), MessageType::from(outer.stanza_type), enc);
        message.edit = outer.edit.and_then(|edit| edit.parse::<u16>().ok()).map(Edit::from);
        let stanza = message.to_node(state.profile());
        tx.enqueue(&OutboxMessage {
            id: id.to_string(),
            recipient: to.to_string(),
            kind: outer.stanza_type.to_owned(),
            plaintext,
            stanza: landbridge_wire::encode(&stanza, &EncodeOptions::default()).unwrap_or_default(),
            created_at: state.now(),
        })?;
        tx.commit()?;
        inner.sent.push((to.to_string(), id.to_string()));

        let kind = EventKind::PhoneSent { to: to.to_string(), id: id.to_string() };
        state.note(Some(self.session.connection), Some(&self.session.jid), kind);
        let answer = self.say(state, &stanza);
        self.acked(&mut inner, state, to, &id, answer.as_ref())?;
        Ok(id)
    }

    fn acked(
        &self,
        inner: &mut Inner,
        state: &State,
        to: &Jid,
        id: &MessageId,
        answer: Option<&landbridge_wire::Node>,
    ) -> Result<(), PhoneError> {
        let Some(answer) = answer else { return Ok(()) };
        let error = AckIn::from_node(answer.view())?.error;
        let mut tx = inner.store.begin()?;
        let reason = error.map(|code| format!("ack error {code}"));
        let progress = reason.as_deref().map_or(Progress::Sent, |reason| Progress::Failed { reason });
        tx.advance(&to.to_string(), id.as_str(), progress, state.now())?;
        tx.commit()?;
        match error {
            None => Ok(()),
            Some(code) => Err(PhoneError::Refused { code: code.number() }),
        }
    }

    /// Fetches somebody's keys.
    pub(super) fn fetch(&self, state: &State, inner: &mut Inner, of: &Jid) -> Result<PreKeyBundle, PhoneError> {
        let users = self.ask(state, inner, &FetchKeys::of(of.clone())).map_err(PhoneError::NoKeys)?;
        let refused = |error| PhoneError::NoKeys(ReplyError::Refused(error));
        let user = users
            .into_iter()
            .find(|user| user.jid == *of)
            .ok_or_else(|| refused(IqError::new(IqErrorCode::ItemNotFound)))?;
        let bundle = user.bundle.map_err(refused)?;
        to_bundle(&bundle).ok_or_else(|| refused(IqError::new(IqErrorCode::NotAcceptable)))
    }
}

pub(super) fn enc_type(kind: CiphertextKind) -> EncType {
    match kind {
        CiphertextKind::PreKey => EncType::PreKey,
        CiphertextKind::Message => EncType::Message,
    }
}

/// The bundle of a stanza, for Signal. Ids of 3 bytes are always in range.
pub(super) fn to_bundle(bundle: &KeyBundle) -> Option<PreKeyBundle> {
    let key = landbridge_curve::PublicKey::from_bytes;
    let prekey = match &bundle.prekey {
        Some(prekey) => Some(PreKeyPublic { id: PreKeyId::new(prekey.id).ok()?, key: key(prekey.value) }),
        None => None,
    };
    Some(PreKeyBundle {
        registration_id: bundle.registration,
        identity: key(bundle.identity),
        signed_prekey: SignedPreKeyPublic {
            id: SignedPreKeyId::new(bundle.signed_prekey.id).ok()?,
            key: key(bundle.signed_prekey.value),
            signature: bundle.signed_prekey.signature,
        },
        prekey,
    })
}
