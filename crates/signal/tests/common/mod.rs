//! What several tests need: a replaying random source, parties, and the recorded kinds of error.
#![allow(dead_code, unreachable_pub, missing_docs)]

use std::{collections::VecDeque, convert::Infallible};

use landbridge_curve::PrivateKey;
use landbridge_signal::{
    Address, BundleError, Ciphertext, DecryptError, Decrypted, EncryptError, IdentityKeyPair,
    MemorySignalStore, PreKey, PreKeyBundle, PreKeyId, SignedPreKey, SignedPreKeyId, TrustPolicy, decrypt,
    encrypt, prekeys, process_bundle,
};
use rand_core::{CryptoRng, TryCryptoRng, TryRng};
use serde_json::Value;

/// Gives recorded keys in the order in which they were drawn, and nothing else.
pub struct Replay(pub VecDeque<[u8; 32]>);

impl TryRng for Replay {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        panic!("only keys are drawn")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        panic!("only keys are drawn")
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.copy_from_slice(&self.0.pop_front().expect("a key was recorded for this draw"));
        Ok(())
    }
}

impl TryCryptoRng for Replay {}

pub fn bytes<const N: usize>(value: &Value) -> [u8; N] {
    hex::decode(value.as_str().unwrap()).unwrap().try_into().unwrap()
}

pub fn vectors(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

pub fn bundle_error(error: &BundleError) -> &'static str {
    match error {
        BundleError::UntrustedIdentity { .. } => "untrusted_identity",
        BundleError::BadSignature => "bad_signature",
        BundleError::LowOrderKey(_) => "invalid_key",
        _ => "internal",
    }
}

pub fn encrypt_error(error: &EncryptError) -> &'static str {
    match error {
        EncryptError::NoSession { .. } => "no_session",
        EncryptError::UntrustedIdentity { .. } => "untrusted_identity",
        _ => "internal",
    }
}

pub fn decrypt_error(error: &DecryptError) -> &'static str {
    match error {
        DecryptError::LegacyVersion { .. } => "legacy_version",
        DecryptError::UnknownVersion { .. } => "unknown_version",
        DecryptError::InvalidKey(_) | DecryptError::LowOrderKey(_) => "invalid_key",
        DecryptError::UntrustedIdentity { .. } => "untrusted_identity",
        DecryptError::NoSession { .. } => "no_session",
        DecryptError::NoPreKey { .. } => "no_prekey",
        DecryptError::NoSignedPreKey { .. } => "no_signed_prekey",
        DecryptError::Duplicate { .. } => "duplicate",
        DecryptError::TooFar { .. } => "too_far",
        DecryptError::Malformed(_) | DecryptError::NoSessionFits { .. } | DecryptError::BadPadding => {
            "invalid_message"
        }
        _ => "internal",
    }
}

/// A party with prekeys 1 to 20 and signed prekey 1.
#[derive(Clone)]
pub struct Party {
    pub name: &'static str,
    pub store: MemorySignalStore,
    pub policy: TrustPolicy,
}

pub fn signed_id(id: u32) -> SignedPreKeyId {
    SignedPreKeyId::new(id).unwrap()
}

pub fn prekey_id(id: u32) -> PreKeyId {
    PreKeyId::new(id).unwrap()
}

impl Party {
    pub fn new(name: &'static str, rng: &mut impl CryptoRng) -> Self {
        let identity = IdentityKeyPair::generate(rng);
        let mut store = MemorySignalStore::new(identity.clone(), prekeys::generate_registration_id(rng));
        store.add_prekeys(prekeys::generate(prekey_id(1), 20, rng));
        store.add_signed_prekey(SignedPreKey::generate(signed_id(1), &identity, rng));
        Self { name, store, policy: TrustPolicy::Reject }
    }

    pub fn address(&self) -> Address {
        Address::new(self.name, 0)
    }

    pub fn bundle(&self, prekey: Option<u32>) -> PreKeyBundle {
        use landbridge_signal::{IdentityStore as _, PreKeyStore as _, SignedPreKeyStore as _};
        let signed = *self.store.signed_prekey_ids().last().unwrap();
        PreKeyBundle {
            registration_id: self.store.registration_id().unwrap(),
            identity: *self.store.identity_key().unwrap().public(),
            signed_prekey: self.store.load_signed_prekey(signed).unwrap().unwrap().public(),
            prekey: prekey.map(|id| {
                let id = prekey_id(id);
                PreKey { id, key: self.store.load_prekey(id).unwrap().unwrap() }.public()
            }),
        }
    }

    pub fn meet(&mut self, other: &Self, prekey: Option<u32>, rng: &mut impl CryptoRng) {
        let change =
            process_bundle(&mut self.store, &other.address(), &other.bundle(prekey), self.policy, rng)
                .unwrap();
        let _ = change;
    }

    pub fn send(&mut self, to: &Self, text: &[u8]) -> Ciphertext {
        encrypt(&mut self.store, &to.address(), text, self.policy).unwrap()
    }

    pub fn read(
        &mut self,
        from: &Address,
        message: &Ciphertext,
        rng: &mut impl CryptoRng,
    ) -> Result<Decrypted, DecryptError> {
        decrypt(&mut self.store, from, message.kind, &message.bytes, self.policy, rng)
    }

    /// The stored form of the session with `peer`.
    pub fn state(&self, peer: &Address) -> Option<Vec<u8>> {
        use landbridge_signal::SessionStore as _;
        self.store.load_session(peer).unwrap().map(|record| record.to_bytes().to_vec())
    }
}

pub fn private(value: &Value) -> PrivateKey {
    PrivateKey::from_bytes(bytes(value))
}
