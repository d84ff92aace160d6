//! A WhatsApp user's phone, as far as end-to-end encryption goes.

use landbridge::noise::PublicKey;
use landbridge::proto::{content, padding};
use landbridge::signal::{
    Address, CiphertextKind, IdentityKeyPair, MemorySignalStore, PreKey, PreKeyBundle, PreKeyId,
    PreKeyPublic, SignedPreKey, SignedPreKeyId, SignedPreKeyPublic, TrustPolicy, decrypt, encrypt, prekeys,
    process_bundle,
};
use landbridge::stanza::MessageId;
use landbridge::stanza::keys::{self, FetchedUser, KeyBundle, UploadKeys};
use landbridge::stanza::message::{Enc, EncType, MessageContent, MessageIn, MessageType};
use landbridge::stanza::retry::RetryKeys;
use landbridge::wire::Jid;
use prost::Message as _;

use super::{OWN, now};

pub struct Phone {
    pub jid: Jid,
    pub store: MemorySignalStore,
    identity: IdentityKeyPair,
    registration: u32,
    signed: SignedPreKey,
    one_time: Vec<PreKey>,
}

impl Phone {
    pub fn new(number: &str) -> Self {
        let mut rng = rand::rng();
        let identity = IdentityKeyPair::generate(&mut rng);
        let signed = SignedPreKey::generate(SignedPreKeyId::new(7).unwrap(), &identity, &mut rng);
        let one_time = prekeys::generate(PreKeyId::new(1).unwrap(), 20, &mut rng);
        let mut store = MemorySignalStore::new(identity.clone(), 99);
        store.add_signed_prekey(signed.clone());
        store.add_prekeys(one_time.clone());
        Self { jid: Jid::user(number), store, identity, registration: 99, signed, one_time }
    }

    /// The user's new phone.
    pub fn reinstalled(&self) -> Self {
        Self::new(self.jid.user_part())
    }

    pub fn identity(&self) -> PublicKey {
        *self.identity.public()
    }

    fn client() -> Address {
        Address::new(OWN.split('@').next().unwrap(), 0)
    }

    /// Its keys, as the server gives them away.
    pub fn fetched(&mut self) -> FetchedUser {
        let signed = self.signed.public();
        let prekey = self.one_time.pop().map(|key| key.public());
        let bundle = KeyBundle {
            t: None,
            registration: self.registration,
            identity: *self.identity.public().as_bytes(),
            signed_prekey: keys::SignedPreKey {
                id: signed.id.get(),
                value: *signed.key.as_bytes(),
                signature: signed.signature,
            },
            prekey: prekey.map(|key| keys::PreKey { id: key.id.get(), value: *key.key.as_bytes() }),
            device_identity: None,
        };
        FetchedUser { jid: self.jid.clone(), bundle: Ok(Box::new(bundle)) }
    }

    /// Begins a session with the keys that the client has uploaded.
    pub fn meet(&mut self, upload: &UploadKeys) {
        self.begin(
            upload.registration,
            upload.identity,
            upload.signed_prekey,
            upload.prekeys.first().copied(),
        );
    }

    /// Begins a session with the keys of a retry receipt.
    pub fn meet_again(&mut self, registration: u32, keys: &RetryKeys) {
        self.begin(registration, keys.identity, keys.signed_prekey, keys.prekey);
    }

    pub fn begin(
        &mut self,
        registration: u32,
        identity: [u8; 32],
        signed: keys::SignedPreKey,
        prekey: Option<keys::PreKey>,
    ) {
        let bundle = PreKeyBundle {
            registration_id: registration,
            identity: PublicKey::from_bytes(identity),
            signed_prekey: SignedPreKeyPublic {
                id: SignedPreKeyId::new(signed.id).unwrap(),
                key: PublicKey::from_bytes(signed.value),
                signature: signed.signature,
            },
            prekey: prekey.map(|key| PreKeyPublic {
                id: PreKeyId::new(key.id).unwrap(),
                key: PublicKey::from_bytes(key.value),
            }),
        };
        let policy = TrustPolicy::Accept;
        let _ = process_bundle(&mut self.store, &Self::client(), &bundle, policy, &mut rand::rng()).unwrap();
    }

    /// How many sessions with the client it has.
    pub fn sessions(&self) -> usize {
        use landbridge::signal::SessionStore as _;
        let record = self.store.load_session(&Self::client()).unwrap().unwrap_or_default();
        record.archived() + usize::from(record.has_current())
    }

    pub fn open(&mut self, enc: &Enc) -> Result<String, landbridge::signal::DecryptError> {
        let kind = match enc.kind {
            EncType::PreKey => CiphertextKind::PreKey,
            _ => CiphertextKind::Message,
        };
        let policy = TrustPolicy::Accept;
        let opened =
            decrypt(&mut self.store, &Self::client(), kind, &enc.ciphertext, policy, &mut rand::rng())?;
        let plain = padding::unpad(&opened.plaintext).unwrap();
        let message = landbridge::proto::message::Message::decode(plain).unwrap();
        Ok(message.conversation.unwrap_or_default())
    }

    pub fn enc(&mut self, text: &str) -> Enc {
        self.seal(&content::text(text).encode_to_vec())
    }

    /// Encrypts any bytes as if they were a content.
    pub fn seal(&mut self, plaintext: &[u8]) -> Enc {
        let mut padded = plaintext.to_vec();
        padding::pad(&mut padded, &mut rand::rng());
        let sealed = encrypt(&mut self.store, &Self::client(), &padded, TrustPolicy::Accept).unwrap();
        let kind = match sealed.kind {
            CiphertextKind::PreKey => EncType::PreKey,
            CiphertextKind::Message => EncType::Message,
        };
        Enc::new(kind, sealed.bytes)
    }

    /// The stanza that brings a copy to the client.
    pub fn stanza(&self, id: &str, enc: Enc) -> MessageIn {
        MessageIn {
            from: self.jid.clone(),
            id: id.parse().unwrap(),
            t: now(),
            kind: MessageType::Text,
            notify: Some("Bob".to_owned()),
            offline: None,
            participant: None,
            recipient: None,
            edit: None,
            sender_lid: None,
            sender_pn: None,
            content: MessageContent::Encrypted(vec![enc]),
        }
    }

    pub fn message(&mut self, id: &str, text: &str) -> MessageIn {
        let enc = self.enc(text);
        self.stanza(id, enc)
    }
}

/// A message id from text.
pub fn id(text: &str) -> MessageId {
    text.parse().unwrap()
}
