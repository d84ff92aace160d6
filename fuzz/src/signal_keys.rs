//! What begins and what confirms a session: key bundles of a server, safety numbers off a screen.

use std::sync::LazyLock;

use landbridge_curve::{PublicKey, SIGNATURE_LEN};
use landbridge_proto::signal::CombinedFingerprints;
use landbridge_signal::{
    IdentityStore as _, PreKeyBundle, PreKeyPublic, SignedPreKeyPublic, TrustPolicy, decrypt, encrypt,
    fingerprint::{Fingerprint, compare_scannable},
    process_bundle,
};
use prost::Message as _;

use crate::{
    input::{Input, rng},
    signal_world::{Party, State, WORLD, prekey_id, signed_id},
};

/// Keys worth trying: 0, 1, points of low order, numbers at and above the prime, the top bit set.
fn key(script: &mut Input<'_>, genuine: &PublicKey) -> PublicKey {
    let mut bytes = *genuine.as_bytes();
    match script.u8() % 8 {
        0 => bytes = [0; 32],
        1 => {
            bytes = [0; 32];
            bytes[0] = script.u8();
        }
        2 => {
            bytes = [0xff; 32];
            bytes[0] = script.u8();
            bytes[31] = script.u8();
        }
        3 => bytes[31] ^= 0x80,
        4 => {
            let taken = script.take(32);
            bytes[..taken.len()].copy_from_slice(taken);
        }
        _ => {}
    }
    PublicKey::from_bytes(bytes)
}

/// A session begins only with a bundle whose prekey its identity signed and whose keys can be agreed with; a refusal
/// changes nothing, and what is then written opens at the owner of a genuine bundle.
pub(crate) fn bundle(bytes: &[u8]) {
    let world = &*WORLD;
    let mut script = Input::new(bytes);
    let mut carol = Party::new("carol", 1, &mut rng(30));
    let mut owner = world.fresh.clone();
    let genuine = owner.bundle(Some(prekey_id(2)));
    let one_time = genuine.prekey.expect("it was asked for");
    let signing = script.u8();
    let identity = key(&mut script, &genuine.identity);
    let signed = key(&mut script, &genuine.signed_prekey.key);
    let prekey = match script.u8() % 3 {
        0 => None,
        _ => Some(PreKeyPublic { key: key(&mut script, &one_time.key), ..one_time }),
    };
    let mut signature = genuine.signed_prekey.signature;
    if signing % 2 == 1 {
        // The owner signs what the script has, so that only the keys decide.
        let own = owner.store.identity_key().expect("memory does not fail");
        signature = own.private().sign(&[&signed.to_typed()], &mut rng(31));
    }
    if signing % 4 == 2 {
        let at = script.below(SIGNATURE_LEN);
        signature[at] ^= script.u8();
    }
    let signed_prekey = SignedPreKeyPublic { id: signed_id(1), key: signed, signature };
    let offered = PreKeyBundle { registration_id: u32::from(script.u16()), identity, signed_prekey, prekey };

    let before: State = carol.state(&owner.address);
    match process_bundle(&mut carol.store, &owner.address, &offered, TrustPolicy::Accept, &mut rng(32)) {
        Err(_) => assert_eq!(carol.state(&owner.address), before, "a refusal left a trace"),
        Ok(_) => {
            assert!(identity.verify(&[&signed.to_typed()], &signature).is_ok());
            let keys = [Some(identity), Some(signed), prekey.map(|prekey| prekey.key)];
            assert!(keys.into_iter().flatten().all(|key| !key.is_low_order()));
            let sent =
                encrypt(&mut carol.store, &owner.address, b"hello", TrustPolicy::Accept).expect("a session");
            let from = carol.address.clone();
            let opened =
                decrypt(&mut owner.store, &from, sent.kind, &sent.bytes, TrustPolicy::Accept, &mut rng(33));
            let whole = identity == genuine.identity
                && signed == genuine.signed_prekey.key
                && prekey.is_none_or(|prekey| prekey == one_time);
            match opened {
                Ok(opened) => assert_eq!(opened.plaintext, b"hello"),
                Err(error) => assert!(!whole, "a genuine bundle gave a session that does not open: {error}"),
            }
        }
    }
}

pub(crate) fn bundle_seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![
        vec![0, 7, 7, 1, 7],
        vec![0, 7, 7, 0],
        vec![1, 7, 0, 0],
        vec![1, 7, 7, 1, 0],
        vec![1, 7, 7, 1, 1, 1],
        vec![1, 3, 7, 0],
        vec![1, 7, 3, 0],
        vec![1, 7, 7, 1, 3],
        vec![2, 7, 7, 1, 7, 63, 0x80],
    ];
    seeds.push(vec![1, 7, 2, 0xec, 0x7f, 1, 2, 0xed, 0xff]);
    seeds
}

struct Codes {
    alice: Vec<u8>,
    bob: Vec<u8>,
}

static CODES: LazyLock<Codes> = LazyLock::new(|| {
    let public = |party: &Party| *party.store.identity_key().expect("memory does not fail").public();
    let (alice, bob) = (public(&WORLD.alice), public(&WORLD.bob));
    let code =
        |local: (&[u8], &PublicKey), remote| Fingerprint::with_iterations(2, local, remote).scannable(2);
    Codes { alice: code((b"alice", &alice), (b"bob", &bob)), bob: code((b"bob", &bob), (b"alice", &alice)) }
});

/// A scanned code fits only if it holds the own two halves, the other way round; another reading of it agrees.
pub(crate) fn code(bytes: &[u8]) {
    let codes = &*CODES;
    let read = |bytes: &[u8]| {
        let code = CombinedFingerprints::decode(bytes).ok()?;
        let half = |half: Option<landbridge_proto::signal::LogicalFingerprint>| half?.content;
        Some((code.version.unwrap_or(0), half(code.local)?, half(code.remote)?))
    };
    let (version, local, remote) = read(&codes.alice).expect("the own code reads");
    let fits = read(bytes) == Some((version, remote, local));
    match compare_scannable(&codes.alice, bytes) {
        Ok(same) => assert_eq!(same, fits),
        Err(_) => assert!(bytes != codes.bob),
    }
}

pub(crate) fn code_seeds() -> Vec<Vec<u8>> {
    vec![CODES.bob.clone(), CODES.alice.clone()]
}
