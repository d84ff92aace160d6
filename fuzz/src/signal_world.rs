//! Two parties and a group, the same in every run.

use std::sync::LazyLock;

use landbridge_signal::{
    Address, Ciphertext, CiphertextKind, IdentityKeyPair, IdentityStore as _, MemorySignalStore, PreKey,
    PreKeyBundle, PreKeyId, PreKeyStore as _, SessionStore as _, SignedPreKey, SignedPreKeyId,
    SignedPreKeyStore as _, TrustPolicy, decrypt, encrypt, group, group::SenderKeyStore as _, prekeys,
    process_bundle,
};
use rand_chacha::ChaCha20Rng;

use crate::input::rng;

pub(crate) const GROUP: &str = "120363001234567890@g.us";

pub(crate) fn prekey_id(id: u32) -> PreKeyId {
    PreKeyId::new(id).expect("small ids are ids")
}

pub(crate) fn signed_id(id: u32) -> SignedPreKeyId {
    SignedPreKeyId::new(id).expect("small ids are ids")
}

/// A party with some one-time prekeys and signed prekey 1.
#[derive(Clone)]
pub(crate) struct Party {
    pub(crate) address: Address,
    pub(crate) store: MemorySignalStore,
}

/// What a party keeps about a peer.
#[derive(Debug, PartialEq)]
pub(crate) struct State {
    session: Option<Vec<u8>>,
    identity: Option<[u8; 32]>,
    prekeys: Vec<PreKeyId>,
    sender_key: Option<Vec<u8>>,
}

impl Party {
    pub(crate) fn new(name: &str, first_prekey: u32, rng: &mut ChaCha20Rng) -> Self {
        let identity = IdentityKeyPair::generate(rng);
        let mut store = MemorySignalStore::new(identity.clone(), prekeys::generate_registration_id(rng));
        store.add_prekeys(prekeys::generate(prekey_id(first_prekey), 4, rng));
        store.add_signed_prekey(SignedPreKey::generate(signed_id(1), &identity, rng));
        Self { address: Address::new(name, 0), store }
    }

    pub(crate) fn bundle(&self, prekey: Option<PreKeyId>) -> PreKeyBundle {
        let store = &self.store;
        let identity = store.identity_key().expect("memory does not fail");
        let signed =
            store.load_signed_prekey(signed_id(1)).expect("memory does not fail").expect("it is there");
        PreKeyBundle {
            registration_id: store.registration_id().expect("memory does not fail"),
            identity: *identity.public(),
            signed_prekey: signed.public(),
            prekey: prekey.map(|id| {
                let key = store.load_prekey(id).expect("memory does not fail").expect("it is there");
                PreKey { id, key }.public()
            }),
        }
    }

    /// Everything that a refused message must leave as it was.
    pub(crate) fn state(&self, peer: &Address) -> State {
        let session = self.store.load_session(peer).expect("memory does not fail");
        let identity = self.store.remote_identity(peer).expect("memory does not fail");
        let sender_key = self.store.load_sender_key(GROUP, peer).expect("memory does not fail");
        State {
            session: session.map(|record| record.to_bytes().to_vec()),
            identity: identity.map(|key| *key.as_bytes()),
            prekeys: self.store.prekey_ids(),
            sender_key: sender_key.map(|record| record.to_bytes().to_vec()),
        }
    }
}

/// Alice, who wrote, and Bob at two moments: before he read anything, and in the middle of the conversation.
pub(crate) struct World {
    pub(crate) alice: Party,
    pub(crate) fresh: Party,
    pub(crate) bob: Party,
    /// What Alice sent and Bob has not read, with the texts.
    pub(crate) unread: Vec<(Ciphertext, Vec<u8>)>,
    /// What Bob has read.
    pub(crate) read: Vec<Ciphertext>,
    /// Alice's chain for the group as she told it first, and what she sent to it.
    pub(crate) distribution: Vec<u8>,
    pub(crate) group_messages: Vec<(Vec<u8>, Vec<u8>)>,
}

pub(crate) static WORLD: LazyLock<World> = LazyLock::new(|| {
    let mut rng = rng(10);
    let mut alice = Party::new("alice", 1, &mut rng);
    let mut bob = Party::new("bob", 1, &mut rng);
    let settings = TrustPolicy::Accept;
    let bundle = bob.bundle(Some(prekey_id(1)));
    let _ =
        process_bundle(&mut alice.store, &bob.address, &bundle, settings, &mut rng).expect("a good bundle");
    let mut unread = Vec::new();
    let mut read = Vec::new();
    let to = bob.address.clone();
    let send = |alice: &mut Party, text: &[u8]| {
        encrypt(&mut alice.store, &to, text, settings).expect("there is a session")
    };
    let first = send(&mut alice, b"first");
    let late = send(&mut alice, b"late");
    let fresh = bob.clone();
    decrypt(&mut bob.store, &alice.address, first.kind, &first.bytes, settings, &mut rng).expect("it opens");
    read.push(first);
    unread.push((late, b"late".to_vec()));
    let answer = encrypt(&mut bob.store, &alice.address, b"answer", settings).expect("there is a session");
    decrypt(&mut alice.store, &bob.address, answer.kind, &answer.bytes, settings, &mut rng)
        .expect("it opens");
    for text in [&b"one"[..], b"two", b"three"] {
        unread.push((send(&mut alice, text), text.to_vec()));
    }
    let own = alice.address.clone();
    let distribution =
        group::distribution(&mut alice.store, GROUP, &own, &mut rng).expect("memory does not fail").to_vec();
    let mut group_messages = Vec::new();
    for text in [&b"to all"[..], b"again", b"and again"] {
        let message =
            group::encrypt(&mut alice.store, GROUP, &own, text, &mut rng).expect("there is a chain");
        group_messages.push((message, text.to_vec()));
    }
    group::process_distribution(&mut bob.store, GROUP, &own, &distribution).expect("a good distribution");
    World { alice, fresh, bob, unread, read, distribution, group_messages }
});

/// The two kinds, as a script names them.
pub(crate) const fn kind(byte: u8) -> CiphertextKind {
    if byte.is_multiple_of(2) { CiphertextKind::Message } else { CiphertextKind::PreKey }
}

pub(crate) const fn kind_byte(kind: CiphertextKind) -> u8 {
    match kind {
        CiphertextKind::Message => 0,
        CiphertextKind::PreKey => 1,
    }
}
