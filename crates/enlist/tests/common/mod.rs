//! Vectors and builders that several test files share.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken vector file must stop the test")]

use landbridge_curve::PrivateKey;
use landbridge_enlist::jwks::KeySet;
use landbridge_enlist::jwt::{RsaSigner, Token};
use landbridge_enlist::{DeviceKeys, EnlistmentRequest, IntegratorId, SignedPreKeyPublic};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::Value;

pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const PARTNER_ONE: &str = "https://partner-one.example";
pub(crate) const PARTNER_TWO: &str = "https://partner-two.example";

pub(crate) fn vector(name: &str) -> String {
    let path = format!("{}/tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|cause| panic!("{path}: {cause}"))
}

pub(crate) fn json(name: &str) -> Value {
    serde_json::from_str(&vector(name)).unwrap()
}

pub(crate) fn key_set(name: &str) -> KeySet {
    KeySet::parse(vector(name).as_bytes()).unwrap().set
}

/// A signer out of `private-keys.json`, such as `partner-1/p1-2026-10`.
pub(crate) fn signer(name: &str) -> RsaSigner {
    let keys = json("private-keys.json");
    let kid = name.rsplit('/').next().unwrap();
    RsaSigner::from_pkcs8_pem(keys["keys"][name].as_str().unwrap()).unwrap().with_kid(kid).unwrap()
}

pub(crate) fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

pub(crate) fn request(seed: u64) -> EnlistmentRequest {
    let mut rng = rng(seed);
    let [noise, identity, prekey] = [(); 3].map(|()| PrivateKey::generate(&mut rng));
    EnlistmentRequest {
        keys: DeviceKeys {
            auth_key: noise.public(),
            registration_id: 0xc7a8_3ab4,
            identity_key: identity.public(),
            signed_prekey: SignedPreKeyPublic {
                id: 0xff_fffe,
                key: prekey.public(),
                signature: identity.sign(&[&prekey.public().to_typed()], &mut rng),
            },
        },
        integrator: IntegratorId::new(1).unwrap(),
        identifier: "alice".parse().unwrap(),
        token: Token::new("a.b.c"),
    }
}
