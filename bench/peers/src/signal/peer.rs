//! The peer's side, with two stores. The plain one is that of the peer's own benchmark: asynchronous calls, and a
//! session is copied out of the map, as ours is. The fast one uses the hidden hooks of the peer's traits: everything is
//! answered at once, and a session is taken out of the map and put back.

#![expect(clippy::expect_used, reason = "messages of our own")]

use std::{
    collections::HashMap,
    hint::black_box,
    pin::pin,
    sync::Mutex,
    task::{Context, Poll, Waker},
};

use async_trait::async_trait;
use wacore_libsignal::protocol::GenericSignedPreKey as _;
use wacore_libsignal::protocol::{
    CiphertextMessage, Direction, IdentityChange, IdentityKey, IdentityKeyPair, IdentityKeyStore, KeyPair,
    PreKeyBundle, PreKeyId, PreKeyRecord, PreKeySignalMessage, PreKeyStore, ProtocolAddress,
    SessionCheckoutKey, SessionCheckoutStoreResult, SessionRecord, SessionStore, SignalMessage,
    SignalProtocolError, SignedPreKeyId, SignedPreKeyRecord, SignedPreKeyStore, Timestamp, UsePQRatchet,
    error::Result, message_decrypt, message_encrypt, process_prekey_bundle,
};

use super::{Conversation, Order, Side, TEXT};

/// Nothing here ever waits.
fn now<T>(work: impl Future<Output = T>) -> T {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => unreachable!("the stores answer at once"),
    }
}

/// Answers at once if `FAST`.
struct Identities<const FAST: bool> {
    own: IdentityKeyPair,
    others: HashMap<ProtocolAddress, IdentityKey>,
}

impl<const FAST: bool> Identities<FAST> {
    fn keep(&mut self, address: &ProtocolAddress, identity: &IdentityKey) -> IdentityChange {
        let changed = match self.others.get_mut(address) {
            Some(known) => std::mem::replace(known, *identity) != *identity,
            None => {
                self.others.insert(address.clone(), *identity);
                false
            }
        };
        IdentityChange::from_changed(changed)
    }
}

#[async_trait]
impl<const FAST: bool> IdentityKeyStore for Identities<FAST> {
    async fn get_identity_key_pair(&self) -> Result<IdentityKeyPair> {
        Ok(self.own.clone())
    }

    async fn get_local_registration_id(&self) -> Result<u32> {
        Ok(7)
    }

    async fn save_identity(
        &mut self,
        address: &ProtocolAddress,
        identity: &IdentityKey,
    ) -> Result<IdentityChange> {
        Ok(self.keep(address, identity))
    }

    fn try_save_identity(
        &mut self,
        address: &ProtocolAddress,
        identity: &IdentityKey,
    ) -> Option<Result<IdentityChange>> {
        FAST.then(|| Ok(self.keep(address, identity)))
    }

    async fn is_trusted_identity(&self, _: &ProtocolAddress, _: &IdentityKey, _: Direction) -> Result<bool> {
        Ok(true)
    }

    fn try_is_trusted_identity(
        &self,
        _: &ProtocolAddress,
        _: &IdentityKey,
        _: Direction,
    ) -> Option<Result<bool>> {
        FAST.then_some(Ok(true))
    }

    async fn get_identity(&self, address: &ProtocolAddress) -> Result<Option<IdentityKey>> {
        Ok(self.others.get(address).copied())
    }
}

#[derive(Default)]
struct PreKeys(HashMap<PreKeyId, PreKeyRecord>);

#[async_trait]
impl PreKeyStore for PreKeys {
    async fn get_pre_key(&self, id: PreKeyId) -> Result<PreKeyRecord> {
        self.0.get(&id).cloned().ok_or(SignalProtocolError::InvalidPreKeyId)
    }

    async fn save_pre_key(&mut self, id: PreKeyId, record: &PreKeyRecord) -> Result<()> {
        self.0.insert(id, record.clone());
        Ok(())
    }

    async fn remove_pre_key(&mut self, id: PreKeyId) -> Result<()> {
        self.0.remove(&id);
        Ok(())
    }
}

struct SignedPreKey(SignedPreKeyRecord);

#[async_trait]
impl SignedPreKeyStore for SignedPreKey {
    async fn get_signed_pre_key(&self, _: SignedPreKeyId) -> Result<SignedPreKeyRecord> {
        Ok(self.0.clone())
    }

    async fn save_signed_pre_key(&mut self, _: SignedPreKeyId, record: &SignedPreKeyRecord) -> Result<()> {
        self.0 = record.clone();
        Ok(())
    }
}

/// Takes sessions out if `FAST`; one is `None` while it is being worked on.
#[derive(Default)]
struct Sessions<const FAST: bool>(Mutex<HashMap<ProtocolAddress, Option<SessionRecord>>>);

#[async_trait]
impl<const FAST: bool> SessionStore for Sessions<FAST> {
    async fn load_session(&self, address: &ProtocolAddress) -> Result<Option<SessionRecord>> {
        Ok(self.0.lock().expect("one thread").get(address).cloned().flatten())
    }

    fn try_load_session_for_update(
        &self,
        address: &ProtocolAddress,
    ) -> Option<Result<(Option<SessionRecord>, Option<SessionCheckoutKey>)>> {
        FAST.then(|| Ok((self.0.lock().expect("one thread").get_mut(address).and_then(Option::take), None)))
    }

    async fn has_session(&self, address: &ProtocolAddress) -> Result<bool> {
        Ok(self.0.lock().expect("one thread").contains_key(address))
    }

    fn try_has_session(&self, address: &ProtocolAddress) -> Option<Result<bool>> {
        FAST.then(|| Ok(self.0.lock().expect("one thread").contains_key(address)))
    }

    async fn store_session(&mut self, address: &ProtocolAddress, record: SessionRecord) -> Result<()> {
        self.0.get_mut().expect("one thread").insert(address.clone(), Some(record));
        Ok(())
    }

    fn try_store_session_from_checkout(
        &mut self,
        address: &ProtocolAddress,
        record: SessionRecord,
        _: Option<SessionCheckoutKey>,
        _: bool,
    ) -> SessionCheckoutStoreResult {
        match self.0.get_mut().expect("one thread").get_mut(address) {
            Some(place) if FAST => {
                *place = Some(record);
                SessionCheckoutStoreResult::Stored
            }
            _ => SessionCheckoutStoreResult::Unhandled(record),
        }
    }
}

struct Party<const FAST: bool> {
    identities: Identities<FAST>,
    prekeys: PreKeys,
    signed: SignedPreKey,
    sessions: Sessions<FAST>,
    /// The other one.
    peer: ProtocolAddress,
}

pub struct Pair<const FAST: bool> {
    first: Party<FAST>,
    second: Party<FAST>,
    bundle: PreKeyBundle,
    waiting: Vec<CiphertextMessage>,
}

fn party<const FAST: bool>(peer: &str) -> (Party<FAST>, PreKeyBundle) {
    let mut rng = rand::rng();
    let own = IdentityKeyPair::generate(&mut rng);
    let (prekey, signed) = (KeyPair::generate(&mut rng), KeyPair::generate(&mut rng));
    let (prekey_id, signed_id) = (PreKeyId::from(1), SignedPreKeyId::from(1));
    let signature =
        own.private_key().calculate_signature(&signed.public_key.serialize(), &mut rng).expect("signs");
    let record = SignedPreKeyRecord::new(signed_id, Timestamp::from_epoch_millis(0), &signed, &signature);
    let bundle = PreKeyBundle::new(
        7,
        1.into(),
        Some((prekey_id, prekey.public_key)),
        signed_id,
        signed.public_key,
        signature.to_vec(),
        *own.identity_key(),
    );
    let mut prekeys = PreKeys::default();
    prekeys.0.insert(prekey_id, PreKeyRecord::new(prekey_id, &prekey));
    let party = Party {
        identities: Identities { own, others: HashMap::new() },
        prekeys,
        signed: SignedPreKey(record),
        sessions: Sessions::default(),
        peer: ProtocolAddress::new(peer, 1.into()),
    };
    (party, bundle.expect("complete"))
}

/// The bytes of a message as they would arrive.
fn arriving(message: &CiphertextMessage) -> CiphertextMessage {
    let bytes = message.serialize();
    match message {
        CiphertextMessage::PreKeySignalMessage(_) => {
            CiphertextMessage::PreKeySignalMessage(PreKeySignalMessage::try_from(bytes).expect("parses"))
        }
        _ => CiphertextMessage::SignalMessage(SignalMessage::try_from(bytes).expect("parses")),
    }
}

impl<const FAST: bool> Party<FAST> {
    fn encrypt(&mut self) -> CiphertextMessage {
        now(message_encrypt(&TEXT, &self.peer, &mut self.sessions, &mut self.identities)).expect("encrypts")
    }

    fn decrypt(&mut self, message: &CiphertextMessage) {
        let opened = now(message_decrypt(
            &arriving(message),
            &self.peer,
            &mut self.sessions,
            &mut self.identities,
            &mut self.prekeys,
            &self.signed,
            &mut rand::rng(),
            UsePQRatchet::No,
        ))
        .expect("decrypts");
        if let Some(id) = opened.consumed_prekey_id {
            now(self.prekeys.remove_pre_key(id)).expect("in memory");
        }
        black_box(opened);
    }
}

impl<const FAST: bool> Conversation for Pair<FAST> {
    fn strangers() -> Self {
        let ((first, _), (second, bundle)) = (party("second"), party("first"));
        Self { first, second, bundle, waiting: Vec::new() }
    }

    fn set_up(&mut self) {
        let Party { sessions, identities, peer, .. } = &mut self.first;
        let rng = &mut rand::rng();
        now(process_prekey_bundle(peer, sessions, identities, &self.bundle, rng, UsePQRatchet::No))
            .expect("agrees");
        self.pass(Side::First);
    }

    fn pass(&mut self, from: Side) {
        let (from, to) = match from {
            Side::First => (&mut self.first, &mut self.second),
            Side::Second => (&mut self.second, &mut self.first),
        };
        to.decrypt(&from.encrypt());
    }

    fn encrypt(&mut self) {
        black_box(self.first.encrypt());
    }

    fn fill(&mut self, count: u32, order: Order) {
        self.waiting = (0..count).map(|_| self.first.encrypt()).collect();
        if order == Order::Reversed {
            self.waiting.reverse();
        }
    }

    fn open_all(&mut self) {
        for message in &self.waiting {
            self.second.decrypt(message);
        }
    }

    fn open_first(&mut self) {
        self.second.decrypt(&self.waiting[0]);
    }

    fn stored(&self) -> usize {
        let record = now(self.second.sessions.load_session(&self.second.peer)).expect("in memory");
        record.expect("begun").serialize().expect("serializes").len()
    }
}
