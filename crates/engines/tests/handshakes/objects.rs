//! The object store over TLS.

use std::path::PathBuf;

use landbridge_engines::{ObjectBlobs, ObjectsConfig, ObjectsError};
use landbridge_localservices::s3::{ACCESS_KEY, BUCKET, S3, SECRET_KEY};

use crate::authority::Authority;
use crate::whole;

/// What the store says to whoever has this secret.
async fn check(endpoint: String, secret: &str, ca_file: Option<PathBuf>) -> Result<(), String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), secret).unwrap();
    let config = ObjectsConfig {
        bucket: BUCKET.to_owned(),
        endpoint: Some(endpoint),
        access_key_id: Some(ACCESS_KEY.to_owned()),
        secret_access_key_file: Some(file.path().to_owned()),
        ca_file,
        patience_seconds: 0,
        ..ObjectsConfig::default()
    };
    ObjectBlobs::open(&config).unwrap().check().await.map_err(|refused| whole(&refused))
}

#[tokio::test]
async fn whom_to_believe() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (chain, key) = authority.certify("127.0.0.1");
    let s3 = S3::start_tls(&chain, &key).await.unwrap();
    check(s3.endpoint(), SECRET_KEY, authority.file()).await.unwrap();
    for ca_file in [other.file(), None] {
        let refused = check(s3.endpoint(), SECRET_KEY, ca_file).await.unwrap_err();
        assert!(refused.starts_with("the object store cannot be used"), "{refused}");
        assert!(refused.contains("UnknownIssuer"), "{refused}");
    }
    let by_another_name = s3.endpoint().replace("127.0.0.1", "localhost");
    let refused = check(by_another_name, SECRET_KEY, authority.file()).await.unwrap_err();
    assert!(refused.contains("NotValidForName"), "{refused}");
    let refused = check(s3.endpoint(), "not-the-secret", authority.file()).await.unwrap_err();
    assert!(refused.contains("SignatureDoesNotMatch"), "{refused}");
    assert!(!refused.contains("not-the-secret"), "{refused}");
}

#[tokio::test]
async fn files_of_roots_that_are_none() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for text in ["", "nothing\n", "-----BEGIN CERTIFICATE-----\nAAAA\n"] {
        std::fs::write(file.path(), text).unwrap();
        let ca_file = Some(file.path().to_owned());
        let config = ObjectsConfig { bucket: BUCKET.to_owned(), ca_file, ..ObjectsConfig::default() };
        let refused = ObjectBlobs::open(&config).unwrap_err();
        assert!(matches!(refused, ObjectsError::Roots { .. }), "{text:?}: {refused:?}");
    }
}
