//! Safety numbers against Signal's library.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{bytes, vectors};
use landbridge_curve::PublicKey;
use landbridge_signal::fingerprint::{Fingerprint, ITERATIONS, ScanError, compare_scannable};
use serde_json::Value;

fn number(value: &Value) -> u32 {
    value.as_u64().unwrap().try_into().unwrap()
}

#[test]
fn numbers_and_scannable_forms_are_the_recorded_ones() {
    let file = vectors(include_str!("vectors/fingerprints.json"));
    let all = file["vectors"].as_array().unwrap();
    assert_eq!(all.len(), 10);
    for vector in all {
        let id = |name: &str| hex::decode(vector[name].as_str().unwrap()).unwrap();
        let key = |name: &str| PublicKey::from_typed(&bytes::<33>(&vector[name])).unwrap();
        let (local, remote) = (id("local_id"), id("remote_id"));
        let (ours, theirs) = (key("local_identity"), key("remote_identity"));
        let iterations = number(&vector["iterations"]);
        let here = Fingerprint::with_iterations(iterations, (&local, &ours), (&remote, &theirs));
        let there = Fingerprint::with_iterations(iterations, (&remote, &theirs), (&local, &ours));
        assert_eq!(here.numeric(), vector["numeric"]);
        assert_eq!(there.numeric(), vector["numeric"]);
        let version = number(&vector["version"]);
        let (a, b) = (here.scannable(version), there.scannable(version));
        assert_eq!(hex::encode(&a), vector["scannable_local"]);
        assert_eq!(hex::encode(&b), vector["scannable_remote"]);
        assert_eq!(compare_scannable(&a, &b), Ok(true));
        assert_eq!(compare_scannable(&a, &a), Ok(a == b));
        let other = there.scannable(3 - version);
        assert_eq!(
            compare_scannable(&a, &other),
            Err(ScanError::VersionMismatch { ours: version, theirs: 3 - version })
        );
        if iterations == ITERATIONS {
            assert_eq!(Fingerprint::new(&local, &ours, &remote, &theirs), here);
        }
    }
    assert_eq!(compare_scannable(&[], &[]), Err(ScanError::Malformed));
}
