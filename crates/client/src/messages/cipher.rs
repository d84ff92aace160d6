//! From content to the bytes of a stanza.

use std::sync::Arc;

use landbridge_proto::{content, message::Message, padding};
use landbridge_signal::{Address, CiphertextKind, TrustPolicy};
use landbridge_stanza::message::{DecryptFail, Edit, Enc, EncType, MessageOut, MessageType};
use landbridge_stanza::{MessageId, Profile};
use landbridge_store::{StoreError, StoreTx};
use landbridge_wire::{EncodeOptions, Jid};
use prost::Message as _;
use rand::rngs::StdRng;

use crate::client::Inner;
use crate::error::Error;

/// The name under which the store keeps the session with a peer. Users of WhatsApp and of partners go by the user part of
/// their address (ASSUMED); those of other servers carry the server, so that no two peers share a session.
pub(crate) fn address(peer: &Jid) -> Address {
    let name = match (peer.integrator(), peer.is_user() || peer.is_interop()) {
        (0, true) => peer.user_part().to_owned(),
        (integrator, true) => format!("{integrator}-{}", peer.user_part()),
        (_, false) => format!("{}@{}", peer.user_part(), peer.server_part()),
    };
    Address::new(name, u32::from(peer.device()))
}

/// The name under which the store keeps the chat with a peer.
pub(crate) fn chat_of(peer: &Jid) -> String {
    peer.clone().without_device().to_string()
}

/// What the store said through the Signal traits, as its own error again if it is one.
pub(crate) fn store_failed(error: landbridge_signal::StoreError) -> Error {
    let source = match error.0.downcast::<StoreError>() {
        Ok(own) => *own,
        Err(source) => StoreError::Backend { doing: "serve the Signal protocol", source },
    };
    Error::Store { source }
}

/// What makes the stanza of one message.
pub(crate) struct Maker {
    pub(crate) to: Jid,
    pub(crate) id: MessageId,
    profile: Arc<Profile>,
    options: EncodeOptions,
    rng: StdRng,
}

/// Which request a stanza answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Again {
    pub(crate) count: u8,
    pub(crate) t: u64,
}

impl Maker {
    pub(crate) fn new(inner: &Arc<Inner>, to: &Jid, id: &MessageId) -> Self {
        Self {
            to: to.clone(),
            id: id.clone(),
            profile: Arc::clone(&inner.profile),
            options: inner.encode_options,
            rng: inner.rng.fork(),
        }
    }

    /// Encrypts in the current session, and gives the stanza as it goes into a frame. The one place where anything is
    /// encrypted for a peer, so the one that keeps what is held.
    pub(crate) fn encrypt(
        &mut self,
        tx: &mut dyn StoreTx,
        plaintext: &[u8],
        again: Option<Again>,
    ) -> Result<Vec<u8>, Error> {
        if tx.peer(&chat_of(&self.to))?.held_since.is_some() {
            return Err(Error::SendingHeld { jid: self.to.clone() });
        }
        let mut padded = plaintext.to_vec();
        padding::pad(&mut padded, &mut self.rng);
        let sealed = landbridge_signal::encrypt(
            tx.as_signal_store(),
            &address(&self.to),
            &padded,
            TrustPolicy::Accept,
        );
        let sealed = sealed.map_err(|source| match source {
            landbridge_signal::EncryptError::Store(source) => store_failed(source),
            source => Error::Encrypt { jid: self.to.clone(), source },
        })?;
        // Only what was built here or checked on its way in is ever encrypted, so it reads.
        let message = Message::decode(plaintext).unwrap_or_default();
        let outer = content::outer(&message);
        let kind = match sealed.kind {
            CiphertextKind::PreKey => EncType::PreKey,
            CiphertextKind::Message => EncType::Message,
        };
        let mut enc = Enc::new(kind, sealed.bytes);
        enc.mediatype = outer.mediatype.map(str::to_owned);
        if outer.decrypt_fail.is_some() {
            enc.decrypt_fail = DecryptFail::Hide;
        }
        enc.count = again.map(|again| again.count);
        let mut stanza =
            MessageOut::new(self.to.clone(), self.id.clone(), MessageType::from(outer.stanza_type), enc);
        stanza.edit = outer.edit.and_then(|word| word.parse::<u16>().ok()).map(Edit::from);
        stanza.t = again.map(|again| again.t);
        Ok(stanza.to_node(&self.profile).into_payload(&self.options)?)
    }
}
