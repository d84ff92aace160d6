//! What an operator sets.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use landbridge_partner::{KeyFileError, read_key_file};
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::{BackoffConfig, Certificate, ClientOptions, ObjectStore, RetryConfig};
use serde::Deserialize;
use thiserror::Error;
use zeroize::Zeroizing;

/// How long connecting may take.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// How long one request may take, its body included: the largest is one part.
const REQUEST_TIME: Duration = Duration::from_secs(30);
/// The first wait before a request is repeated, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));

/// Where the bucket is, and how to come in. Unknown keys are refused when it is read from a file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::exhaustive_structs, reason = "settings, built with struct update syntax")]
pub struct ObjectsConfig {
    /// The bucket. It has to be there.
    pub bucket: String,
    /// The URL of the store; by default that of AWS in the region.
    pub endpoint: Option<String>,
    /// The region; stores that have none take any.
    pub region: String,
    /// Who comes in. Without it, the ways of AWS are tried: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and
    /// `AWS_SESSION_TOKEN` of the environment, web identity, the metadata of container and machine.
    pub access_key_id: Option<String>,
    /// The file with the secret that belongs to it, mode 0600; a line break at its end does not count.
    pub secret_access_key_file: Option<PathBuf>,
    /// Roots that are believed instead of the system's, in PEM.
    pub ca_file: Option<PathBuf>,
    /// Whether the bucket is the first part of the host's name instead of the path's.
    pub virtual_hosted: bool,
    /// Speaks HTTP without TLS, for a store on the same machine or in the same enclosed network.
    pub allow_http: bool,
    /// How long a request is repeated that the store answers with 5xx or 429, or does not answer, in seconds.
    pub patience_seconds: u16,
}

impl Default for ObjectsConfig {
    fn default() -> Self {
        Self {
            bucket: String::new(),
            endpoint: None,
            region: "us-east-1".to_owned(),
            access_key_id: None,
            secret_access_key_file: None,
            ca_file: None,
            virtual_hosted: false,
            allow_http: false,
            patience_seconds: 15,
        }
    }
}

/// Why a bucket cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ObjectsError {
    /// No bucket is named.
    #[error("no bucket is named for media")]
    NoBucket,
    /// A URL without TLS, and nobody said that this is meant.
    #[error(
        "the endpoint {endpoint:?} of the object store is no https:// URL; allow_http would allow http://"
    )]
    PlainHttp {
        /// As it was given.
        endpoint: String,
    },
    /// An access key without a secret, or the other way round.
    #[error("access_key_id and secret_access_key_file of the object store go together")]
    Credentials,
    /// The file with the secret.
    #[error("the secret of the object store cannot be read")]
    Secret(#[source] KeyFileError),
    /// The file of roots.
    #[error("the certificates in {} cannot be read", path.display())]
    Roots {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The settings do not fit together.
    #[error("the settings of the object store cannot be used")]
    Settings(#[source] object_store::Error),
    /// The store was asked, and does not do what it has to.
    #[error("the object store cannot be used")]
    Unusable {
        /// What failed.
        #[source]
        cause: io::Error,
    },
}

impl ObjectsConfig {
    /// A client of the store.
    pub(super) fn connect(&self) -> Result<Arc<dyn ObjectStore>, ObjectsError> {
        if self.bucket.is_empty() {
            return Err(ObjectsError::NoBucket);
        }
        // The client of the store asks the process for its cryptography. If there is one already, that one is used.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = match self.secret()? {
            None => AmazonS3Builder::from_env(),
            Some((id, secret)) => AmazonS3Builder::new()
                .with_access_key_id(id)
                .with_secret_access_key(secret.trim_end_matches(['\r', '\n'])),
        };
        if let Some(endpoint) = &self.endpoint {
            let is_plain = self.allow_http && endpoint.starts_with("http://");
            if !is_plain && !endpoint.starts_with("https://") {
                return Err(ObjectsError::PlainHttp { endpoint: endpoint.clone() });
            }
            builder = builder.with_endpoint(endpoint);
        }
        let mut options = ClientOptions::new()
            .with_allow_http(self.allow_http)
            .with_connect_timeout(CONNECT_TIME)
            .with_timeout(REQUEST_TIME);
        if let Some(path) = &self.ca_file {
            options =
                roots(path, options).map_err(|cause| ObjectsError::Roots { path: path.clone(), cause })?;
        }
        builder
            .with_bucket_name(&self.bucket)
            .with_region(&self.region)
            .with_virtual_hosted_style_request(self.virtual_hosted)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_client_options(options)
            .with_retry(retry(Duration::from_secs(self.patience_seconds.into())))
            .build()
            .map(|store| Arc::new(store) as Arc<dyn ObjectStore>)
            .map_err(ObjectsError::Settings)
    }

    fn secret(&self) -> Result<Option<(&str, Zeroizing<String>)>, ObjectsError> {
        match (&self.access_key_id, &self.secret_access_key_file) {
            (None, None) => Ok(None),
            (Some(id), Some(path)) => Ok(Some((id, read_key_file(path).map_err(ObjectsError::Secret)?))),
            _ => Err(ObjectsError::Credentials),
        }
    }
}

/// Believes the certificates of a file.
fn roots(
    path: &Path,
    options: ClientOptions,
) -> Result<ClientOptions, Box<dyn std::error::Error + Send + Sync>> {
    let certificates = Certificate::from_pem_bundle(&fs::read(path)?)?;
    if certificates.is_empty() {
        return Err("there is no certificate in it".into());
    }
    let options = options.with_no_system_certificates(true);
    Ok(certificates.into_iter().fold(options, ClientOptions::with_root_certificate))
}

fn retry(patience: Duration) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig { init_backoff: BACKOFF.0, max_backoff: BACKOFF.1, base: 2. },
        // The time decides.
        max_retries: usize::MAX,
        retry_timeout: patience,
    }
}
