//! PostgreSQL over TLS, with passwords.

use std::path::PathBuf;

use landbridge_engines::{PostgresConfig, PostgresStore};
use landbridge_localservices::Postgres;
use landbridge_partner::store::Users as _;

use crate::authority::Authority;
use crate::whole;

const PASSWORD: &str = "Tr0ub4dor-and-3";

/// A cluster with a certificate for `localhost`, and two roles.
fn cluster(authority: &Authority) -> Postgres {
    let (chain, key) = authority.certify("localhost");
    let postgres = Postgres::start_tls(&chain, &key).unwrap();
    for role in ["tls_only", "anyhow"] {
        postgres.sql(&format!("CREATE ROLE {role} SUPERUSER LOGIN PASSWORD '{PASSWORD}'")).unwrap();
    }
    postgres
}

async fn open(url: String, ca_file: Option<PathBuf>) -> Result<PostgresStore, String> {
    let config = PostgresConfig { pool: 1, ca_file, ..PostgresConfig::new(url) };
    PostgresStore::open(&config).await.map_err(|refused| whole(&refused))
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_to_believe() {
    let (authority, other) = (Authority::new(), Authority::new());
    let postgres = cluster(&authority);
    let url = |host: &str, mode: &str| format!("{}{mode}", postgres.url_by(host, "tls_only", PASSWORD));
    for mode in ["?sslmode=verify-full", "?sslmode=verify-ca", "?sslmode=require", ""] {
        let store = open(url("localhost", mode), authority.file()).await.unwrap();
        store.remember_user("alice", "alice", 1).await.unwrap();
    }
    for (host, ca_file, expected) in [
        ("localhost", other.file(), "UnknownIssuer"),
        ("localhost", None, "UnknownIssuer"),
        // The right one, for somebody else.
        ("127.0.0.1", authority.file(), "NotValidForName"),
    ] {
        for mode in ["?sslmode=verify-full", "?sslmode=require"] {
            let refused = open(url(host, mode), ca_file.clone()).await.unwrap_err();
            assert!(refused.starts_with("the database cannot be reached"), "{refused}");
            assert!(refused.contains(expected), "{host} {mode}: {refused}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_and_tls() {
    let authority = Authority::new();
    let postgres = cluster(&authority);
    let url = |role: &str, mode: &str| format!("{}{mode}", postgres.url_by("localhost", role, PASSWORD));
    let refused = open(url("tls_only", "?sslmode=disable"), None).await.unwrap_err();
    assert!(refused.contains("28000") && refused.contains("no encryption"), "{refused}");
    open(url("anyhow", "?sslmode=disable"), None).await.unwrap();
    // A server that has no TLS is not given the password.
    postgres.sql("ALTER SYSTEM SET ssl = off").unwrap();
    tokio::task::block_in_place(|| {
        postgres.kill().unwrap();
        postgres.restart().unwrap();
    });
    for mode in ["?sslmode=verify-full", "?sslmode=require", ""] {
        let refused = open(url("anyhow", mode), authority.file()).await.unwrap_err();
        assert!(refused.contains("server does not support TLS"), "{refused}");
    }
    open(url("anyhow", "?sslmode=disable"), None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords() {
    let authority = Authority::new();
    let postgres = cluster(&authority);
    let wrong = "wr0ng-passw0rd";
    let refused = open(postgres.url_by("localhost", "tls_only", wrong), authority.file()).await.unwrap_err();
    assert!(refused.contains("28P01") && refused.contains("password authentication failed"), "{refused}");
    assert!(!refused.contains(wrong), "{refused}");
}
