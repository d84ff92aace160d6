//! Pushes over TLS, with handshakes that are real, and what is refused before a byte of a push is said.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::path::Path;
use std::sync::Arc;

use landbridge_sandbox::events::{EventKind, PushExchange};
use landbridge_sandbox::{PushVersion, Pushing};
use landbridge_transport::http_client::roots_from_pem;
use landbridge_transport::http_server::{Certificates, TlsVersions};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use support::partner::Receiver;
use support::*;

const NUMBER: &str = "14155551001";

/// An authority that nobody but this test believes.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    directory: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = parameters.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(parameters, key), pem, directory: tempfile::tempdir().unwrap() }
    }

    /// Files of a certificate for this name, which ends in this year.
    fn issue(&self, name: &str, end: i32) -> (std::path::PathBuf, std::path::PathBuf) {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2000, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(end, 1, 1);
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let file = |kind: &str, text: String| {
            let path = self.directory.path().join(format!("{name}-{end}-{kind}.pem"));
            std::fs::write(&path, text).unwrap();
            path
        };
        (file("chain", certificate.pem()), file("key", key.serialize_pem()))
    }

    fn certificates(&self, name: &str, end: i32) -> Arc<Certificates> {
        let (chain, key) = self.issue(name, end);
        Certificates::load(chain, key, TlsVersions::Tls13).unwrap()
    }
}

/// A sandbox pushes to this partner, believing these roots; gives what came of it.
async fn push(base: &str, roots: &str, pushing: Pushing) -> PushExchange {
    let mut config = config();
    config.partners = vec![(INTEGRATOR, base.to_owned())];
    config.pushing = pushing;
    config.trust_roots =
        if roots.is_empty() { Vec::new() } else { roots_from_pem(roots.as_bytes()).unwrap() };
    let world = World::with(config).await;
    let handle = world.sandbox.handle();
    handle.create_phone(NUMBER, "Joe").unwrap();
    world.enlist("alice");
    handle.phone_send_text(NUMBER, "alice", "hi").unwrap();
    let pushed = handle.wait_for(0, |event| matches!(event.kind, EventKind::Push(_))).await;
    match pushed.kind {
        EventKind::Push(exchange) => *exchange,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn pushes_travel_over_tls_in_both_versions_of_http() {
    let authority = Authority::new();
    for (pushing, version, seen) in [
        (Pushing::Http1, PushVersion::Http1, axum::http::Version::HTTP_11),
        (Pushing::Http2, PushVersion::Http2, axum::http::Version::HTTP_2),
    ] {
        let mut partner = Receiver::start_tls(authority.certificates("localhost", 2999)).await;
        let exchange = push(&partner.base, &authority.pem, pushing).await;
        assert_eq!((exchange.status, exchange.version), (Some(200), version), "{exchange:?}");
        let got = partner.next().await;
        assert_eq!((got.version, got.body.as_str()), (seen, r#"{"to":"alice"}"#));
    }
}

/// A partner that speaks TLS 1.2 alone.
async fn old_partner(chain: &Path, key: &Path) -> String {
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_file(chain).unwrap()],
                PrivateKeyDer::from_pem_file(key).unwrap(),
            )
            .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let _ = acceptor.accept(socket).await;
        }
    });
    format!("https://localhost:{port}/whatsapp")
}

#[tokio::test]
async fn who_cannot_prove_its_name_gets_no_push_and_the_journal_says_why() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (chain, key) = authority.issue("localhost", 2999);
    let old = old_partner(&chain, &key).await;
    for (name, end, roots, why) in [
        ("localhost", 2999, "", "UnknownIssuer"),
        ("localhost", 2999, other.pem.as_str(), "BadSignature"),
        ("partner.example", 2999, authority.pem.as_str(), "NotValidForName"),
        ("localhost", 2001, authority.pem.as_str(), "Expired"),
    ] {
        let mut partner = Receiver::start_tls(authority.certificates(name, end)).await;
        let exchange = push(&partner.base, roots, Pushing::Http1).await;
        assert_eq!(exchange.status, None, "{why}: {exchange:?}");
        // rustls has words of its own for names and times.
        let failure = exchange.failure.unwrap_or_default();
        let told = match why {
            "NotValidForName" => failure.contains("not valid for name"),
            "Expired" => failure.contains("expired"),
            other => failure.contains(other),
        };
        assert!(told, "{why}: {failure}");
        assert_eq!(partner.waiting(), 0, "{why}");
    }
    let exchange = push(&old, &authority.pem, Pushing::Http1).await;
    assert_eq!(exchange.status, None, "{exchange:?}");
    assert!(exchange.failure.is_some_and(|why| why.contains("ProtocolVersion")));
}

#[test]
fn only_certificates_are_roots() {
    let authority = Authority::new();
    assert_eq!(roots_from_pem(authority.pem.repeat(2).as_bytes()).unwrap().len(), 2);
    let key = KeyPair::generate().unwrap().serialize_pem();
    for pem in ["", "junk", &key, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert!(roots_from_pem(pem.as_bytes()).is_err(), "{pem}");
    }
}
