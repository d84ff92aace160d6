//! Keys made here can be read, published and used here.
#![cfg(feature = "generate")]

use landbridge_enlist::generate_rsa_pem;
use landbridge_enlist::jwks::{self, KeySet};
use landbridge_enlist::jwt::{RsaSigner, Signer as _};

#[test]
fn a_generated_key_signs() {
    let pem = generate_rsa_pem(&mut rand::rng()).unwrap();
    assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));
    let signer = RsaSigner::from_pkcs8_pem(&pem).unwrap();
    let set = KeySet::parse(jwks::to_json([signer.public_key()]).as_bytes()).unwrap().set;
    let key = set.get(signer.kid()).unwrap();
    let signature = signer.sign(b"message").unwrap();
    assert_eq!(signature.len(), 256);
    assert!(key.verify(b"message", &signature));
    assert!(!key.verify(b"another", &signature));
}
