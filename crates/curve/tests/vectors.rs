//! Keys and signatures made by other implementations.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use landbridge_curve::{PrivateKey, PublicKey};
use serde_json::Value;

fn vectors(file: &str) -> Vec<Value> {
    let path = format!("{}/tests/vectors/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let doc: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    doc["vectors"].as_array().unwrap().clone()
}

fn bytes(row: &Value, field: &str) -> Vec<u8> {
    hex::decode(row[field].as_str().unwrap()).unwrap()
}

fn private(row: &Value) -> PrivateKey {
    PrivateKey::from_bytes(bytes(row, "private").try_into().unwrap())
}

#[test]
fn agreement() {
    for row in vectors("x25519") {
        let theirs = PublicKey::from_typed(&bytes(&row, "public")).unwrap();
        let shared = private(&row).agree(&theirs);
        match row["shared"].as_str() {
            Some(expected) => {
                assert_eq!(hex::encode(shared.unwrap().as_bytes()), expected, "{}", row["note"])
            }
            None => {
                assert!(shared.is_err(), "{}", row["note"]);
                assert!(theirs.is_low_order(), "{}", row["note"]);
            }
        }
    }
}

#[test]
fn signing() {
    let mut signs = [false; 2];
    for row in vectors("xeddsa_sign") {
        let random = bytes(&row, "random").try_into().unwrap();
        let signature = private(&row).sign_with(&[&bytes(&row, "message")], &random);
        assert_eq!(hex::encode(signature), row["signature"].as_str().unwrap());
        signs[usize::from(signature[63] >> 7)] = true;
    }
    assert_eq!(signs, [true; 2], "both sign bits are covered");
}

#[test]
fn verifying() {
    for row in vectors("xeddsa_verify") {
        if row["lenient"].as_bool() == Some(true) {
            continue; // both answers are right
        }
        let public = PublicKey::from_typed(&bytes(&row, "public")).unwrap();
        let verdict = public.verify(&[&bytes(&row, "message")], &bytes(&row, "signature"));
        assert_eq!(verdict.is_ok(), row["valid"].as_bool().unwrap(), "{}", row["note"]);
    }
}

#[test]
fn typed_form_is_checked() {
    let key = PrivateKey::from_bytes([7; 32]).public();
    assert_eq!(PublicKey::from_typed(&key.to_typed()).unwrap(), key);
    let mut wrong = key.to_typed();
    wrong[0] = 6;
    assert_eq!(
        PublicKey::from_typed(&wrong).unwrap_err().to_string(),
        "public key of type 0x06, expected 0x05 (Curve25519)"
    );
    assert_eq!(
        PublicKey::from_typed(key.as_bytes()).unwrap_err().to_string(),
        "public key of 32 bytes, expected 33"
    );
}
