//! The certificate chain: chains of others, and chains that the authority itself signed over anything.

use std::sync::LazyLock;

use landbridge_noise::{CertificateError, PrivateKey, ServerTrust as _};
use landbridge_proto::handshake::{CertChain, NoiseCertificate, noise_certificate::Details};
use prost::Message as _;

use crate::{
    input::{Input, put_long},
    noise_handshake::{NOW, WORLD, nobody},
    vectors,
};

/// A chain is believed only if it is the authority's, and then only if every rule holds that a second reading checks.
pub(crate) fn run(bytes: &[u8]) {
    let mut script = Input::new(bytes);
    if script.one_in(2) {
        foreign(script.rest());
    } else {
        signed(&mut script);
    }
}

/// Without the authority's keys nothing but its own chain is believed, and that for its server alone.
fn foreign(chain: &[u8]) {
    let world = &*WORLD;
    let trust = world.authority.trust();
    let server = world.identity.keys().public();
    if let Ok(verified) = trust.verify(chain, server, NOW) {
        assert_eq!(verified.known(), &world.known);
        let read = |bytes| CertChain::decode(bytes).expect("it was believed");
        assert_eq!(read(chain), read(world.identity.chain()));
        assert!(matches!(trust.verify(chain, &nobody(), NOW), Err(CertificateError::LeafKeyMismatch)));
        assert!(trust.verify(chain, server, NOW + 1_000).is_ok());
        assert!(trust.verify(chain, server, NOW + 1_001).is_err_and(|error| error.is_about_time()));
        assert!(trust.verify(chain, server, NOW - 1_001).is_err_and(|error| error.is_about_time()));
    }
}

/// Details as the script has them, signed as they should be.
fn signed(script: &mut Input<'_>) {
    let world = &*WORLD;
    let (intermediate, leaf) = (script.long().to_vec(), script.rest().to_vec());
    // The random bytes of a signature do not matter to its checking.
    let sign = |key: &PrivateKey, details: &[u8]| key.sign_with(&[details], &[7; 64]).to_vec();
    let signed = |key: &PrivateKey, details: Vec<u8>| NoiseCertificate {
        signature: Some(sign(key, &details)),
        details: Some(details),
    };
    let chain = CertChain {
        intermediate: Some(signed(world.authority.root_private(), intermediate.clone())),
        leaf: Some(signed(world.authority.intermediate_private(), leaf.clone())),
    };
    let server = world.identity.keys().public();
    let verdict = world.authority.trust().verify(&chain.encode_to_vec(), server, NOW);
    let expected = Details::decode(&*intermediate).ok().zip(Details::decode(&*leaf).ok());
    let good = expected.is_some_and(|(intermediate, leaf)| {
        let in_time = |details: &Details| details.not_before() <= NOW && NOW <= details.not_after();
        // To who verifies with it, the top bit of a coordinate means nothing (RFC 7748).
        let mut key = intermediate.key().to_vec();
        key.last_mut().into_iter().for_each(|byte| *byte &= 0x7f);
        intermediate.issuer_serial() == 0
            && key == world.known.intermediate_key.as_bytes()
            && leaf.issuer_serial() == intermediate.serial()
            && leaf.key() == server.as_bytes()
            && in_time(&intermediate)
            && in_time(&leaf)
    });
    assert_eq!(verdict.is_ok(), good, "{verdict:?}");
}

/// The genuine details, intermediate and leaf.
static DETAILS: LazyLock<[Details; 2]> = LazyLock::new(|| {
    let chain = CertChain::decode(WORLD.identity.chain()).expect("the own chain is one");
    let read = |certificate: Option<NoiseCertificate>| {
        let details = certificate.and_then(|certificate| certificate.details).expect("the chain is whole");
        Details::decode(&*details).expect("details are protobuf")
    };
    [read(chain.intermediate), read(chain.leaf)]
});

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![[&[0], WORLD.identity.chain()].concat()];
    for chain in vectors::hex_under(&vectors::certificates(), &["chain"]) {
        seeds.push([&[0], &*chain].concat());
    }
    let mut push = |intermediate: &Details, leaf: &Details| {
        let mut seed = vec![1];
        put_long(&mut seed, &intermediate.encode_to_vec());
        seed.extend(leaf.encode_to_vec());
        seeds.push(seed);
    };
    let [intermediate, leaf] = &*DETAILS;
    push(intermediate, leaf);
    push(intermediate, &Details { not_after: Some(NOW - 1), ..leaf.clone() });
    push(intermediate, &Details { not_before: Some(NOW + 1), ..leaf.clone() });
    push(intermediate, &Details { key: Some(nobody().as_bytes().to_vec()), ..leaf.clone() });
    push(intermediate, &Details { issuer_serial: None, ..leaf.clone() });
    push(&Details { issuer_serial: Some(1), ..intermediate.clone() }, leaf);
    push(&Details { key: None, ..intermediate.clone() }, leaf);
    push(&Details { serial: None, ..intermediate.clone() }, &Details { issuer_serial: None, ..leaf.clone() });
    seeds
}
