//! TLS in front of the accept loop: versions, ALPN, silence, and certificates that change.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Version;
use axum::routing::get;
use landbridge_transport::http_client::{HttpClient, HttpError, OldestTls, Versions};
use landbridge_transport::http_server::{
    Certificates, HttpLimits, Reloaded, ServerHandle, TlsError, TlsVersions, serve_tls,
};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

/// A certificate for localhost with its key, in two files. Gives the certificate.
fn write(directory: &Path, name: &str) -> CertificateDer<'static> {
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), name.to_owned()];
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    std::fs::write(directory.join("key.pem"), key.serialize_pem()).unwrap();
    std::fs::write(directory.join("chain.pem"), certificate.pem()).unwrap();
    certificate.der().clone()
}

fn load(directory: &Path, versions: TlsVersions) -> Result<Arc<Certificates>, TlsError> {
    Certificates::load(directory.join("chain.pem"), directory.join("key.pem"), versions)
}

async fn start(certificates: &Arc<Certificates>) -> ServerHandle {
    let router = Router::new().route("/", get(|version: Version| async move { format!("{version:?}") }));
    let mut limits = HttpLimits::default();
    limits.tls = Duration::from_millis(300);
    limits.first_byte = Duration::from_millis(300);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    serve_tls(listener, Arc::clone(certificates), router, limits, std::future::pending()).unwrap()
}

fn client(root: &CertificateDer<'_>, versions: Versions) -> HttpClient {
    HttpClient::builder().extra_root(root.to_vec()).versions(versions).build().unwrap()
}

async fn read_all(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Vec<u8> {
    let mut answer = Vec::new();
    let mut chunk = [0; 1024];
    while let Ok(n @ 1..) = stream.read(&mut chunk).await {
        answer.extend_from_slice(&chunk[..n]);
    }
    answer
}

/// A handshake with these versions and protocols of the application.
async fn shake(
    addr: SocketAddr,
    root: &CertificateDer<'static>,
    versions: &[&'static rustls::SupportedProtocolVersion],
    protocols: &[&[u8]],
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let stream = TcpStream::connect(addr).await.unwrap();
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

#[tokio::test]
async fn both_versions_of_http_on_one_port() {
    let directory = tempfile::tempdir().unwrap();
    let root = write(directory.path(), "a");
    let server = start(&load(directory.path(), TlsVersions::Tls13).unwrap()).await;
    let url = format!("https://localhost:{}/", server.local_addr().port());
    for versions in [Versions::Any, Versions::Http2] {
        let answer = client(&root, versions).get(&url, &[]).await.unwrap();
        assert_eq!(&answer.body[..], b"HTTP/2.0");
    }
    // Without a word about it, and with the older one asked for.
    for protocols in [&[][..], &[b"http/1.1".as_slice()]] {
        let versions = [&rustls::version::TLS13];
        let mut stream = shake(server.local_addr(), &root, &versions, protocols).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
        assert!(read_all(&mut stream).await.ends_with(b"HTTP/1.1"));
    }
    // What was agreed on is what has to be spoken.
    let versions = [&rustls::version::TLS13];
    let mut stream = shake(server.local_addr(), &root, &versions, &[b"h2"]).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert_eq!(read_all(&mut stream).await, b"");
}

/// A server that speaks TLS 1.2 alone, for as many connections as come.
async fn old_server(directory: &Path) -> (SocketAddr, CertificateDer<'static>) {
    use rustls::pki_types::pem::PemObject as _;
    let root = write(directory, "old.example");
    let key = rustls::pki_types::PrivateKeyDer::from_pem_file(directory.join("key.pem")).unwrap();
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![root.clone()], key)
            .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(socket).await else { continue };
            let _ = stream.read(&mut [0; 1024]).await;
            let _ =
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
            let _ = stream.shutdown().await;
        }
    });
    (addr, root)
}

#[tokio::test]
async fn a_client_may_insist_on_tls_1_3() {
    let directory = tempfile::tempdir().unwrap();
    let (addr, root) = old_server(directory.path()).await;
    let url = format!("https://localhost:{}/", addr.port());
    for (oldest, answers) in [(OldestTls::BuiltIn, true), (OldestTls::Tls13, false)] {
        let client = HttpClient::builder().extra_root(root.to_vec()).oldest_tls(oldest).build().unwrap();
        match client.get(&url, &[]).await {
            Ok(answer) => assert!(answers && answer.status == 200),
            Err(error) => assert!(!answers && matches!(error, HttpError::Connect { .. }), "{error:?}"),
        }
    }
}

#[tokio::test]
async fn tls_1_2_is_a_setting() {
    let directory = tempfile::tempdir().unwrap();
    let root = write(directory.path(), "a");
    let old = [&rustls::version::TLS12];
    let strict = start(&load(directory.path(), TlsVersions::Tls13).unwrap()).await;
    assert!(shake(strict.local_addr(), &root, &old, &[]).await.is_err());
    let generous = start(&load(directory.path(), TlsVersions::Tls12).unwrap()).await;
    assert!(shake(generous.local_addr(), &root, &old, &[]).await.is_ok());
}

#[tokio::test]
async fn who_says_nothing_is_cut_before_and_after_the_handshake() {
    let directory = tempfile::tempdir().unwrap();
    let root = write(directory.path(), "a");
    let server = start(&load(directory.path(), TlsVersions::Tls13).unwrap()).await;
    for beginning in [&b""[..], b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
        let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        // At most an alert.
        assert!(read_all(&mut stream).await.len() < 16, "{beginning:?}");
    }
    let versions = [&rustls::version::TLS13];
    let mut shaken = shake(server.local_addr(), &root, &versions, &[]).await.unwrap();
    assert_eq!(read_all(&mut shaken).await, b"");
}

#[tokio::test]
async fn a_certificate_that_was_exchanged_is_used_by_new_connections() {
    let directory = tempfile::tempdir().unwrap();
    let first = write(directory.path(), "first");
    let certificates = load(directory.path(), TlsVersions::Tls13).unwrap();
    let server = start(&certificates).await;
    let url = format!("https://localhost:{}/", server.local_addr().port());
    let old = client(&first, Versions::Any);
    assert_eq!(old.get(&url, &[]).await.unwrap().status, 200);
    assert_eq!(certificates.reload().unwrap(), Reloaded::Unchanged);
    assert!(certificates.not_after().is_some());

    let second = write(directory.path(), "second");
    let watch = tokio::spawn(Arc::clone(&certificates).watch(Duration::from_millis(20)));
    let waiting = async {
        while client(&second, Versions::Any).get(&url, &[]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap();
    assert!(client(&first, Versions::Any).get(&url, &[]).await.is_err());
    assert_eq!(old.get(&url, &[]).await.unwrap().status, 200, "a connection that is open stays so");
    watch.abort();

    // A key that does not belong to it, and no PEM at all: the last good one stays.
    let chain = std::fs::read(directory.path().join("chain.pem")).unwrap();
    write(directory.path(), "third");
    std::fs::write(directory.path().join("chain.pem"), chain).unwrap();
    assert!(matches!(certificates.reload(), Err(TlsError::Unfit { .. })));
    std::fs::write(directory.path().join("chain.pem"), "junk").unwrap();
    assert!(matches!(certificates.reload(), Err(TlsError::Empty { .. })));
    std::fs::remove_file(directory.path().join("key.pem")).unwrap();
    assert!(certificates.reload().is_err());
    assert_eq!(client(&second, Versions::Any).get(&url, &[]).await.unwrap().status, 200);
    assert!(load(directory.path(), TlsVersions::Tls13).is_err());
}
