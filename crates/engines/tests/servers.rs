//! Several servers on one database.
#![allow(clippy::unwrap_used, reason = "helpers of tests may stop the test")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use landbridge_engines::{PostgresConfig, PostgresKeys, PostgresStore, SealKey};
use landbridge_enlist::jwks::KeySet;
use landbridge_enlist::jwt::{Profile, Verifier};
use landbridge_localservices::{Fsync, Postgres};
use landbridge_partner::wake::WebPushConfig;
use landbridge_partner::{KeyShelf as _, KeyShelfError, Partner, PartnerConfig, RotateError, StartError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const ISSUER: &str = "https://partner.example/whatsapp";

/// One of several servers of the same partner.
async fn server(url: &str, seal: u8, data_dir: &Path) -> Result<Partner, StartError> {
    let store = PostgresStore::open(&PostgresConfig { pool: 4, ..PostgresConfig::new(url) }).await.unwrap();
    let keys = PostgresKeys::new(store.clone(), SealKey::new(&[seal; 32]).unwrap());
    let config = PartnerConfig {
        addr: "127.0.0.1:0".parse().unwrap(),
        admin_addr: "127.0.0.1:0".parse().unwrap(),
        base_url: Some(ISSUER.to_owned()),
        // For the operator's token, which is each server's own.
        data_dir: Some(data_dir.to_owned()),
        dev_users: [("session".to_owned(), "alice".to_owned())].into(),
        insecure_dev_auth: true,
        web_push: Some(WebPushConfig { subject: "mailto:a@partner.example".to_owned(), hosts: Vec::new() }),
        ..PartnerConfig::default()
    };
    Partner::builder(config).store(Arc::new(store)).key_shelf(Arc::new(keys)).start().await
}

/// Status and body.
async fn send(addr: SocketAddr, line: &str, bearer: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = format!(
        "{line} HTTP/1.1\r\nHost: p\r\nConnection: close\r\nAuthorization: Bearer {bearer}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

async fn key_set(partner: &Partner) -> String {
    let (status, keys) = send(partner.addr(), "GET /.well-known/oauth/openid/jwks", "", "").await;
    assert_eq!(status, 200);
    keys
}

async fn json(addr: SocketAddr, line: &str, body: &str) -> serde_json::Value {
    let (status, answer) = send(addr, line, "session", body).await;
    assert_eq!(status, 200, "{answer}");
    serde_json::from_str(&answer).unwrap()
}

/// Whether a token of `issuer` verifies with what `publisher` publishes.
async fn believed(issuer: &Partner, publisher: &Partner) -> bool {
    let token = json(issuer.addr(), "POST /v1/token", "{}").await["token"].as_str().unwrap().to_owned();
    let set = KeySet::parse(key_set(publisher).await.as_bytes()).unwrap().set;
    let verifier = Verifier::new(Profile::user_token());
    let open = verifier.open(&token).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    verifier.verify(&open, ISSUER, set.get(open.kid()), now).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_sign_with_the_same_keys() {
    let url = Postgres::shared().unwrap().database().unwrap();
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    // Both find nothing at the same time; one's keys count.
    let (first, second) =
        tokio::join!(server(&url, 7, directories[0].path()), server(&url, 7, directories[1].path()));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(key_set(&first).await, key_set(&second).await);
    assert!(believed(&first, &second).await && believed(&second, &first).await);
    let me = |partner: &Partner| json(partner.addr(), "GET /v1/me", "");
    let key = me(&first).await["web_push_key"].clone();
    assert!(key.is_string());
    assert_eq!(me(&second).await["web_push_key"], key);
    for directory in &directories {
        assert!(!directory.path().join("keys").exists(), "no key lies in a file");
    }

    // What one rotates, the other finds rotated as soon as it looks; a rotation looks first.
    let admin = |n: usize| std::fs::read_to_string(directories[n].path().join("admin-token")).unwrap();
    let rotate = "POST /admin/keys/rotate";
    let before = key_set(&first).await;
    let emergency = send(first.admin_addr(), rotate, &admin(0), r#"{"emergency":true}"#).await;
    assert_eq!(emergency.0, 204, "{}", emergency.1);
    let after = key_set(&first).await;
    assert_ne!(after, before);
    assert_eq!(
        send(second.admin_addr(), rotate, &admin(0), "").await.0,
        401,
        "each has its own operator's token"
    );
    assert_eq!(send(second.admin_addr(), rotate, &admin(1), "").await.0, 204, "what it wanted is done");
    assert_eq!(key_set(&second).await, after);
    assert_eq!(
        send(second.admin_addr(), rotate, &admin(1), "").await.0,
        409,
        "the new standby is known to nobody"
    );
    assert!(believed(&first, &second).await && believed(&second, &first).await);

    let third = tempfile::tempdir().unwrap();
    let refused = server(&url, 8, third.path()).await.unwrap_err();
    assert!(matches!(refused, StartError::Rotate(RotateError::Shelf(KeyShelfError::Sealed))), "{refused:?}");
}

/// Nothing of a key is readable in the database.
#[tokio::test]
async fn keys_are_sealed() {
    let url = Postgres::shared().unwrap().database().unwrap();
    let directory = tempfile::tempdir().unwrap();
    server(&url, 7, directory.path()).await.unwrap().shutdown().await;
    let store = PostgresStore::open(&PostgresConfig::new(&url)).await.unwrap();
    let keys = PostgresKeys::new(store, SealKey::new(&[7; 32]).unwrap());
    let kept = keys.load().await.unwrap();
    let pem = kept.state.active.unwrap();
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let sealed: Vec<u8> =
        client.query_one("SELECT sealed FROM landbridge_partner.keyring", &[]).await.unwrap().get(0);
    let line = pem.as_str().lines().nth(5).unwrap().as_bytes();
    assert!(line.len() > 40 && !sealed.windows(line.len()).any(|part| part == line));
    assert!(!sealed.windows(7).any(|part| part == b"PRIVATE"));
    // Another version's row is not taken for this one's.
    client.execute("UPDATE landbridge_partner.keyring SET version = version + 1", &[]).await.unwrap();
    assert!(matches!(keys.load().await, Err(KeyShelfError::Sealed)));
    drop(client);
    connection.await.unwrap().unwrap();
}

/// What needs the database is asked for later, what does not goes on, and nobody has to restart anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away() {
    let postgres = Postgres::start(Fsync::Off).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let partner = server(&postgres.url(), 7, directory.path()).await.unwrap();
    assert_eq!(send(partner.admin_addr(), "GET /health/ready", "", "").await.0, 200);
    let keys = key_set(&partner).await;
    let target = r#"{"kind":"socket"}"#;
    let put = async || send(partner.addr(), "PUT /v1/wake-targets/phone", "session", target).await;
    postgres.kill().unwrap();
    let (status, problem) = put().await;
    assert_eq!(status, 503, "{problem}");
    assert!(problem.contains("/problems/unavailable"), "{problem}");
    assert_eq!(send(partner.admin_addr(), "GET /health/ready", "", "").await.0, 503);
    assert_eq!(key_set(&partner).await, keys);
    postgres.restart().unwrap();
    let (status, problem) = put().await;
    assert!(matches!(status, 200 | 204), "{status} {problem}");
    assert_eq!(send(partner.admin_addr(), "GET /health/ready", "", "").await.0, 200);
}
