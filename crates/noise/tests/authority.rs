//! The authority for servers that play WhatsApp.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails may panic, in its helpers too")]

mod common;

use common::NOW;
use landbridge_noise::{
    Certificate, CertificateAuthority, CertificateError, PinnedRoot, ServerTrust as _, StaticKeyPair,
    Validity, WHATSAPP_ROOT,
};
use landbridge_proto::handshake::{CertChain, NoiseCertificate, noise_certificate::Details};
use prost::Message as _;

fn details(certificate: Option<NoiseCertificate>) -> Details {
    Details::decode(certificate.unwrap().details.unwrap().as_slice()).unwrap()
}

#[test]
fn serials_keys_and_dates() {
    let mut rng = rand::rng();
    let authority = CertificateAuthority::generate(Validity::new(10, 40), &mut rng);
    let server = StaticKeyPair::generate(&mut rng);
    let chain = authority.issue(server.public(), Validity::new(20, 30), &mut rng);
    let parsed = CertChain::decode(chain.as_slice()).unwrap();
    let (leaf, intermediate) = (details(parsed.leaf), details(parsed.intermediate));
    assert_eq!((intermediate.issuer_serial, intermediate.serial), (Some(0), Some(1)));
    assert_eq!((leaf.issuer_serial, leaf.serial), (Some(1), Some(2)));
    assert_eq!((leaf.not_before, leaf.not_after), (Some(20), Some(30)));
    assert_eq!((intermediate.not_before, intermediate.not_after), (Some(10), Some(40)));

    let judge = |now| authority.trust().verify(&chain, server.public(), now);
    for now in [20, 30] {
        let verified = judge(now).unwrap();
        assert_eq!(verified.known().leaf, Validity::new(20, 30));
        assert_eq!(verified.known().intermediate_key, authority.intermediate_private().public());
    }
    let error = judge(31).unwrap_err();
    assert!(error.is_about_time());
    let CertificateError::Expired { certificate: Certificate::Leaf, not_after: 30, now: 31 } = error else {
        panic!("{error}")
    };
    assert_eq!(judge(9).unwrap_err().verdict(), "intermediate_not_yet_valid");
}

#[test]
fn an_authority_comes_back_from_its_keys() {
    let mut rng = rand::rng();
    let validity = Validity::new(0, u64::MAX);
    let first = CertificateAuthority::generate(validity, &mut rng);
    let again = CertificateAuthority::from_keys(
        first.root_private().clone(),
        first.intermediate_private().clone(),
        validity,
        &mut rng,
    );
    let server = StaticKeyPair::generate(&mut rng);
    let chain = again.issue(server.public(), validity, &mut rng);
    assert!(first.trust().verify(&chain, server.public(), NOW).is_ok());
    assert_eq!(
        PinnedRoot::whatsapp().verify(&chain, server.public(), NOW).unwrap_err().verdict(),
        "bad_intermediate_signature"
    );
    let pinned = "142375574d0a587166aae71ebe516437c4a28b73e3695c6ce1f7f9545da8ee6b";
    assert_eq!(hex::encode(WHATSAPP_ROOT.as_bytes()), pinned);
}
