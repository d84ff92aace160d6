//! Our side.

#![expect(clippy::expect_used, reason = "messages of our own")]

use std::hint::black_box;

use landbridge_signal::{
    Address, Ciphertext, IdentityKeyPair, IdentityStore as _, MemorySignalStore, PreKeyBundle, PreKeyId,
    SessionStore as _, SignedPreKey, SignedPreKeyId, TrustPolicy, decrypt, encrypt, prekeys, process_bundle,
};

use super::{Conversation, Order, Side, TEXT};

const POLICY: TrustPolicy = TrustPolicy::Accept;

struct Party {
    store: MemorySignalStore,
    /// The other one.
    peer: Address,
}

pub struct Pair {
    first: Party,
    second: Party,
    bundle: PreKeyBundle,
    waiting: Vec<Ciphertext>,
}

fn party(peer: &str) -> (Party, PreKeyBundle) {
    let mut rng = rand::rng();
    let identity = IdentityKeyPair::generate(&mut rng);
    let signed = SignedPreKey::generate(SignedPreKeyId::new(1).expect("in range"), &identity, &mut rng);
    let one_time = prekeys::generate(PreKeyId::new(1).expect("in range"), 1, &mut rng);
    let mut store = MemorySignalStore::new(identity, 7);
    let bundle = PreKeyBundle {
        registration_id: 7,
        identity: *store.identity_key().expect("in memory").public(),
        signed_prekey: signed.public(),
        prekey: one_time.first().map(|key| key.public()),
    };
    store.add_signed_prekey(signed);
    store.add_prekeys(one_time);
    (Party { store, peer: Address::new(peer, 0) }, bundle)
}

impl Party {
    fn encrypt(&mut self) -> Ciphertext {
        encrypt(&mut self.store, &self.peer, &TEXT, POLICY).expect("encrypts")
    }

    fn decrypt(&mut self, message: &Ciphertext) {
        let opened =
            decrypt(&mut self.store, &self.peer, message.kind, &message.bytes, POLICY, &mut rand::rng());
        black_box(opened.expect("decrypts"));
    }
}

impl Conversation for Pair {
    fn strangers() -> Self {
        let ((first, _), (second, bundle)) = (party("second"), party("first"));
        Self { first, second, bundle, waiting: Vec::new() }
    }

    fn set_up(&mut self) {
        let Party { store, peer } = &mut self.first;
        let _ = process_bundle(store, peer, &self.bundle, POLICY, &mut rand::rng()).expect("agrees");
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
        let Party { store, peer } = &self.second;
        store.load_session(peer).expect("in memory").expect("begun").to_bytes().len()
    }
}
