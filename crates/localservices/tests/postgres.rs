//! A cluster is there when it is needed, and gone afterwards.
#![allow(clippy::unwrap_used, reason = "helpers of tests may stop the test")]

use std::path::PathBuf;

use landbridge_localservices::{Fsync, Postgres, PostgresError};

/// The directory in a URL.
fn directory(url: &str) -> PathBuf {
    let host = url.split(['@', '/']).find(|part| part.contains("%2F")).unwrap();
    PathBuf::from(host.replace("%2F", "/"))
}

#[test]
fn what_was_answered_survives_a_kill() {
    let postgres = Postgres::start(Fsync::On).unwrap();
    postgres.sql("CREATE TABLE t (x INT); INSERT INTO t VALUES (1)").unwrap();
    postgres.kill().unwrap();
    assert!(matches!(postgres.sql("SELECT 1"), Err(PostgresError::Failed { program: "psql", .. })));
    postgres.kill().unwrap();
    postgres.restart().unwrap();
    postgres.restart().unwrap();
    postgres.sql("INSERT INTO t SELECT 1 / x FROM t").unwrap();
    let refused = postgres.sql("SELECT 1 / 0").unwrap_err();
    assert!(refused.to_string().contains("division by zero"), "{refused}");
    let directory = directory(&postgres.url());
    assert!(directory.is_dir());
    drop(postgres);
    assert!(!directory.exists(), "it leaves nothing behind");
}

#[test]
fn databases_are_ones_own() {
    let postgres = Postgres::shared().unwrap();
    let (first, second) = (postgres.database().unwrap(), postgres.database().unwrap());
    assert_ne!(first, second);
    assert_eq!(directory(&first), directory(&second));
    assert_eq!(directory(&Postgres::shared().unwrap().url()), directory(&first));
}
