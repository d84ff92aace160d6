//! A partner's user who writes and reads, with real Signal sessions.

use landbridge_proto::message::Message;
use landbridge_proto::{content, padding};
use landbridge_signal::{
    Address, CiphertextKind, DecryptError, PreKeyBundle, PreKeyId, PreKeyPublic, SessionStore,
    SignedPreKeyId, SignedPreKeyPublic, TrustPolicy, decrypt, encrypt, process_bundle,
};
use landbridge_stanza::MessageId;
use landbridge_stanza::ack::{AckIn, AckOut};
use landbridge_stanza::keys::{FetchKeys, FetchedUser, KeyBundle};
use landbridge_stanza::message::{Enc, EncType, MessageContent, MessageIn, MessageOut, MessageType};
use landbridge_stanza::receipt::{ReceiptIn, ReceiptOut};
use landbridge_stanza::retry::{Retry, RetryKeys};
use landbridge_wire::{Jid, Node};
use prost::Message as _;

use super::{Account, Client, World, public};

pub struct Peer {
    pub account: Account,
    pub client: Client,
    pub profile: Box<landbridge_stanza::Profile>,
}

fn address(jid: &Jid) -> Address {
    Address::new(jid.to_string().split('@').next().unwrap(), 0)
}

impl Peer {
    pub async fn new(world: &World, identifier: &str) -> Self {
        let mut account = world.enlist(identifier);
        let client = world.log_in(&mut account).await;
        Self { account, client, profile: world.profile.clone() }
    }

    pub async fn connect_again(&mut self, world: &World) {
        self.client = world.log_in(&mut self.account).await;
    }

    pub async fn fetch(&mut self, to: &Jid) -> FetchedUser {
        self.client.ask(&FetchKeys::of(to.clone())).await.unwrap().remove(0)
    }

    fn begin(&mut self, to: &Jid, keys: &KeyBundle) {
        let bundle = PreKeyBundle {
            registration_id: keys.registration,
            identity: public(keys.identity),
            signed_prekey: SignedPreKeyPublic {
                id: SignedPreKeyId::new(keys.signed_prekey.id).unwrap(),
                key: public(keys.signed_prekey.value),
                signature: keys.signed_prekey.signature,
            },
            prekey: keys
                .prekey
                .map(|key| PreKeyPublic { id: PreKeyId::new(key.id).unwrap(), key: public(key.value) }),
        };
        let (store, rng) = (&mut self.account.store, &mut rand::rng());
        let _ = process_bundle(store, &address(to), &bundle, TrustPolicy::Accept, rng).unwrap();
    }

    /// Forgets the session with somebody, as after a notification of another identity.
    pub fn forget_session(&mut self, with: &Jid) {
        self.account.store.delete_session(&address(with)).unwrap();
    }

    /// Sends a text and does not wait for its ack.
    pub async fn send(&mut self, to: &Jid, text: &str) -> MessageId {
        if self.account.store.load_session(&address(to)).unwrap().is_none() {
            let keys = self.fetch(to).await.bundle.unwrap();
            self.begin(to, &keys);
        }
        let id = MessageId::generate(&mut rand::rng());
        let message = self.seal(to, text, id.clone());
        self.client.send(&message.to_node(&self.profile)).await;
        id
    }

    fn seal(&mut self, to: &Jid, text: &str, id: MessageId) -> MessageOut {
        self.seal_content(to, &content::text(text), id)
    }

    /// Sends any content in the session that there is.
    pub async fn send_content(&mut self, to: &Jid, content: &Message) -> MessageId {
        let id = MessageId::generate(&mut rand::rng());
        let message = self.seal_content(to, content, id.clone());
        self.client.send(&message.to_node(&self.profile)).await;
        id
    }

    fn seal_content(&mut self, to: &Jid, content: &Message, id: MessageId) -> MessageOut {
        let outer = content::outer(content);
        let mut plaintext = content.encode_to_vec();
        padding::pad(&mut plaintext, &mut rand::rng());
        let sealed = encrypt(&mut self.account.store, &address(to), &plaintext, TrustPolicy::Accept).unwrap();
        let kind = match sealed.kind {
            CiphertextKind::PreKey => EncType::PreKey,
            CiphertextKind::Message => EncType::Message,
        };
        let edit = outer.edit.map(|edit| edit.parse::<u16>().unwrap().into());
        let kind_of_stanza = MessageType::from(outer.stanza_type);
        MessageOut { edit, ..MessageOut::new(to.clone(), id, kind_of_stanza, Enc::new(kind, sealed.bytes)) }
    }

    /// Sends a text that was asked for again.
    pub async fn send_again(&mut self, receipt: &ReceiptIn, text: &str) {
        let retry = receipt.retry.as_ref().unwrap();
        if let Some(keys) = &retry.keys {
            let bundle = KeyBundle {
                t: None,
                registration: retry.registration,
                identity: keys.identity,
                signed_prekey: keys.signed_prekey,
                prekey: keys.prekey,
                device_identity: None,
            };
            self.begin(&receipt.from, &bundle);
        }
        let mut message = self.seal(&receipt.from, text, receipt.id.clone());
        message.encs[0].count = Some(retry.count);
        message.t = receipt.t;
        self.client.send(&message.to_node(&self.profile)).await;
    }

    /// The next ack of a message.
    pub async fn ack(&mut self) -> AckIn {
        loop {
            let ack = AckIn::from_node(self.client.next("ack").await.view()).unwrap();
            if ack.class == landbridge_stanza::ack::AckClass::Message {
                return ack;
            }
        }
    }

    /// The next receipt, acked.
    pub async fn receipt(&mut self) -> ReceiptIn {
        let stanza = self.client.next("receipt").await;
        self.ack_for(&stanza).await;
        ReceiptIn::from_node(stanza.view()).unwrap()
    }

    pub async fn ack_for(&mut self, stanza: &Node) {
        let ack = AckOut::answering(stanza.view(), None).unwrap();
        self.client.send(&ack.to_node(&self.profile)).await;
    }

    /// The next message, without an answer.
    pub async fn message(&mut self) -> MessageIn {
        MessageIn::from_node(self.client.next("message").await.view()).unwrap()
    }

    pub fn open(&mut self, message: &MessageIn) -> Result<String, DecryptError> {
        let plaintext = self.decrypt(message)?;
        let plaintext = padding::unpad(&plaintext).unwrap();
        Ok(Message::decode(plaintext).unwrap().conversation.unwrap())
    }

    /// The next message, opened, judged and answered.
    pub async fn content(&mut self) -> content::Content {
        let message = self.message().await;
        let plaintext = self.decrypt(&message).unwrap();
        let (from, me) = (message.from.to_string(), self.account.jid.to_string());
        let context = content::Context::direct(&from, &me);
        let limits = self.profile.content.limits();
        let content = content::decode(padding::unpad(&plaintext).unwrap(), &context, &limits).unwrap();
        self.took(&message).await;
        content
    }

    /// The plaintext with its padding.
    pub fn decrypt(&mut self, message: &MessageIn) -> Result<Vec<u8>, DecryptError> {
        let MessageContent::Encrypted(encs) = &message.content else { panic!() };
        let kind =
            if encs[0].kind == EncType::PreKey { CiphertextKind::PreKey } else { CiphertextKind::Message };
        let (peer, store) = (address(&message.from), &mut self.account.store);
        let opened = decrypt(store, &peer, kind, &encs[0].ciphertext, TrustPolicy::Accept, &mut rand::rng())?;
        Ok(opened.plaintext.to_vec())
    }

    /// Says that a message was delivered.
    pub async fn took(&mut self, message: &MessageIn) {
        let receipt = ReceiptOut::delivered(message.from.clone(), message.id.clone());
        self.client.send(&receipt.to_node(&self.profile)).await;
    }

    /// The next message, opened and answered.
    pub async fn read(&mut self) -> String {
        let message = self.message().await;
        let text = self.open(&message).unwrap();
        self.took(&message).await;
        text
    }

    /// Asks for a message again.
    pub async fn ask_again(&mut self, message: &MessageIn) {
        let keys = RetryKeys {
            identity: *self.account.identity.public().as_bytes(),
            prekey: Some(self.account.upload(1).prekeys[0]),
            signed_prekey: self.account.wire_signed(),
            device_identity: None,
        };
        let retry = Retry {
            id: message.id.clone(),
            t: message.t,
            count: 1,
            error: None,
            registration: self.account.registration,
            keys: Some(keys),
        };
        let receipt = ReceiptOut::retry(message.from.clone(), retry).to_node(&self.profile);
        self.client.send(&receipt).await;
        self.ack_for(&message.to_node(&self.profile)).await;
    }
}
