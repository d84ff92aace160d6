//! What the tests share: vectors, keys, and a server with its authority.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails may panic, in its helpers too")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of this")]

use std::sync::Arc;

use landbridge_noise::{
    CertificateAuthority, ClientHandshake, FrameDecoder, Header, Intro, KnownServer, PREFIX_LEN, PrivateKey,
    PublicKey, ServerHandshake, ServerIdentity, StaticKeyPair, Validity,
};
use serde_json::Value;

pub const NOW: u64 = 1_767_225_600;

pub fn load(name: &str) -> Value {
    let path = format!("{}/tests/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

pub fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

pub fn array(value: &Value) -> [u8; 32] {
    bytes(value).try_into().unwrap()
}

pub fn private(value: &Value) -> PrivateKey {
    PrivateKey::from_bytes(array(value))
}

pub fn public(value: &Value) -> PublicKey {
    PublicKey::from_bytes(array(value))
}

pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(ring::digest::digest(&ring::digest::SHA256, bytes))
}

/// The one frame of `wire`, without its prefix.
pub fn body(wire: &[u8]) -> Vec<u8> {
    let mut decoder = FrameDecoder::new();
    decoder.feed(wire);
    let body = decoder.next_frame().unwrap().unwrap().to_vec();
    assert_eq!(wire.len(), body.len() + PREFIX_LEN, "one frame, and nothing else");
    body
}

/// The frame that follows a bare header.
pub fn first_body(wire: &[u8]) -> Vec<u8> {
    body(&wire[Header::DEFAULT.as_bytes().len()..])
}

/// A server that plays WhatsApp, and a client that believes it.
pub struct World {
    pub authority: CertificateAuthority,
    pub identity: Arc<ServerIdentity>,
    pub client_keys: StaticKeyPair,
    pub known: KnownServer,
}

impl World {
    pub fn new() -> Self {
        let mut rng = rand::rng();
        let validity = Validity::new(NOW - 1_000, NOW + 1_000);
        let authority = CertificateAuthority::generate(validity, &mut rng);
        let keys = StaticKeyPair::generate(&mut rng);
        let known = KnownServer {
            key: *keys.public(),
            leaf: validity,
            intermediate_key: authority.intermediate_private().public(),
            intermediate: validity,
        };
        let chain = authority.issue(keys.public(), validity, &mut rng);
        let identity = Arc::new(ServerIdentity::new(keys, chain));
        Self { authority, identity, client_keys: StaticKeyPair::generate(&mut rng), known }
    }

    pub fn client(&self) -> ClientHandshake {
        ClientHandshake::new(self.client_keys.clone(), Intro::default(), &mut rand::rng())
    }

    pub fn server(&self) -> ServerHandshake {
        ServerHandshake::new(Arc::clone(&self.identity), Header::DEFAULT, &mut rand::rng())
    }

    /// A known server whose key is not this server's any more.
    pub fn stale(&self) -> KnownServer {
        KnownServer { key: PrivateKey::generate(&mut rand::rng()).public(), ..self.known.clone() }
    }
}
