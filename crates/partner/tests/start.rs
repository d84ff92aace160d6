//! What lets a server start, and what it keeps.
#![allow(clippy::unwrap_used, reason = "helpers of tests may stop the test")]

mod common;

use std::path::Path;

use common::{config, send};
use landbridge_partner::media::MediaConfig;
use landbridge_partner::{BadBaseUrl, KeyFileError, Partner, PartnerConfig, StartError};
use tokio::net::TcpListener;

async fn refusal(config: PartnerConfig) -> StartError {
    Partner::start(config).await.unwrap_err()
}

async fn key_set(data_dir: &Path) -> String {
    let partner =
        Partner::start(PartnerConfig { data_dir: Some(data_dir.to_owned()), ..config() }).await.unwrap();
    let keys = send(partner.addr(), "GET /.well-known/oauth/openid/jwks", &[], "").await.body;
    partner.shutdown().await;
    keys
}

#[tokio::test]
async fn development_users_need_the_flag() {
    let without = PartnerConfig { insecure_dev_auth: false, ..config() };
    let refused = refusal(without.clone()).await;
    assert!(matches!(refused, StartError::InsecureDevAuth));
    assert!(refused.to_string().contains("insecure_dev_auth"));
    let nobody = PartnerConfig { dev_users: Default::default(), ..without };
    assert!(matches!(refusal(nobody).await, StartError::NoAuthenticator));
    let long = PartnerConfig { dev_users: [("s".to_owned(), "x".repeat(41))].into(), ..config() };
    assert!(matches!(refusal(long).await, StartError::DevUser(_)));
}

#[tokio::test]
async fn addresses_and_urls() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = taken.local_addr().unwrap();
    assert!(matches!(refusal(PartnerConfig { addr, ..config() }).await, StartError::Listen { .. }));
    assert!(matches!(
        refusal(PartnerConfig { admin_addr: addr, ..config() }).await,
        StartError::Listen { .. }
    ));
    let anywhere = PartnerConfig { addr: "0.0.0.0:0".parse().unwrap(), allow_plain_http: true, ..config() };
    assert!(matches!(refusal(anywhere).await, StartError::NoBaseUrl { .. }));
    let url = |url: &str| PartnerConfig { base_url: Some(url.to_owned()), ..config() };
    assert!(matches!(refusal(url("partner.example")).await, StartError::BaseUrl { .. }));
    let long = format!("https://partner.example/{}", "x".repeat(4000));
    assert!(matches!(refusal(url(&long)).await, StartError::Token(_)));
}

#[tokio::test]
async fn keys_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let first = key_set(directory.path()).await;
    assert_eq!(key_set(directory.path()).await, first);
    let other = tempfile::tempdir().unwrap();
    assert_ne!(key_set(other.path()).await, first);
    // A standby that was lost is replaced; the active one stays.
    std::fs::remove_file(directory.path().join("keys/standby.pem")).unwrap();
    let third: serde_json::Value = serde_json::from_str(&key_set(directory.path()).await).unwrap();
    let first: serde_json::Value = serde_json::from_str(&first).unwrap();
    assert_eq!(third["keys"][0], first["keys"][0]);
    assert_ne!(third["keys"][1], first["keys"][1]);
}

#[cfg(unix)]
#[tokio::test]
async fn key_files_are_the_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    key_set(directory.path()).await;
    let keys = directory.path().join("keys");
    assert_eq!(std::fs::metadata(&keys).unwrap().permissions().mode() & 0o777, 0o700);
    let mut names: Vec<_> =
        std::fs::read_dir(&keys).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["active.pem", "standby.pem", "times.json"]);
    for name in names {
        let path = keys.join(name);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for mode in [0o640, 0o604, 0o620, 0o666] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let data_dir = Some(directory.path().to_owned());
            let refused = refusal(PartnerConfig { data_dir, ..config() }).await;
            assert!(matches!(refused, StartError::KeyFiles(KeyFileError::Mode { .. })), "{refused:?}");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// Fetches of media would be taken for calls of clients.
#[tokio::test]
async fn media_where_clients_call() {
    for path in ["/v1/media", "/v1/uploads/", "/v1/wake-targets"] {
        let base_url = Some(format!("https://partner.example{path}"));
        let media = MediaConfig { base_url, ..MediaConfig::default() };
        let refused = refusal(PartnerConfig { media, ..config() }).await;
        assert!(
            matches!(refused, StartError::BaseUrl { cause: BadBaseUrl::Taken { .. }, .. }),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn broken_key_files() {
    let directory = tempfile::tempdir().unwrap();
    key_set(directory.path()).await;
    std::fs::write(directory.path().join("keys/active.pem"), "junk").unwrap();
    let data_dir = Some(directory.path().to_owned());
    let refused = refusal(PartnerConfig { data_dir, ..config() }).await;
    assert!(matches!(refused, StartError::KeyFiles(KeyFileError::Key { .. })), "{refused:?}");
    let file = tempfile::NamedTempFile::new().unwrap();
    let refused = refusal(PartnerConfig { data_dir: Some(file.path().to_owned()), ..config() }).await;
    assert!(matches!(refused, StartError::KeyFiles(_)), "{refused:?}");
}

#[test]
fn unknown_settings_are_refused() {
    let read = |text: &str| serde_json::from_str::<PartnerConfig>(text);
    let config = read(r#"{"addr":"127.0.0.1:1","integrator_id":7}"#).unwrap();
    assert_eq!((config.addr.port(), config.integrator_id.get()), (1, 7));
    assert!(read(r#"{"adress":"127.0.0.1:1"}"#).is_err());
    assert!(read(r#"{"integrator_id":1000}"#).is_err());
}
