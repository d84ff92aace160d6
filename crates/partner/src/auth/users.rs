//! From settings to an authenticator.

use std::sync::Arc;
use std::time::Duration;

use landbridge_transport::HttpClient;
use landbridge_transport::http_client::HttpError;
use serde::Deserialize;
use thiserror::Error;

use super::{
    FrontConfig, Introspection, IntrospectionConfig, JwtUsers, JwtUsersConfig, TrustedFront,
    UserAuthenticator,
};
use crate::clock::Clock;
use crate::key_files::{self, KeyFileError};
use crate::key_source::KeySource;
use crate::metrics::Metrics;

/// What an answer of the authorization server may take.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// How users are told: one of these.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum UsersConfig {
    /// Sessions are tokens of the partner's own issuer.
    Jwt(JwtUsersConfig),
    /// An authorization server knows the sessions.
    Introspection(IntrospectionConfig),
    /// A front has authenticated the users, and signs that.
    Front(FrontConfig),
}

/// Users cannot be told this way.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UsersError {
    /// The file with a secret.
    #[error("the secret cannot be loaded")]
    File(#[source] KeyFileError),
    /// The front's key.
    #[error("the key of the front has less than 32 bytes")]
    FrontKey,
    /// The HTTP client.
    #[error("no HTTP client could be made")]
    Http(#[source] HttpError),
}

/// An authenticator, and the keys that have to be kept fresh for it.
pub(crate) struct Chosen {
    pub(crate) authenticator: Arc<dyn UserAuthenticator>,
    pub(crate) keys: Option<Arc<KeySource>>,
}

impl Chosen {
    /// Reads the files that the settings name. Blocks.
    pub(crate) fn load(
        config: &UsersConfig,
        clock: &Clock,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, UsersError> {
        let clock = clock.clone();
        match config {
            UsersConfig::Jwt(config) => {
                let keys = KeySource::new("users", Some(config.keys_url.clone()), &clock, metrics);
                let users = JwtUsers::new(config.clone(), Arc::clone(&keys), clock);
                Ok(Self { authenticator: Arc::new(users), keys: Some(keys) })
            }
            UsersConfig::Introspection(config) => {
                let secret = key_files::read_existing(&config.client_secret).map_err(UsersError::File)?;
                let http =
                    HttpClient::builder().total_timeout(ANSWER_TIME).build().map_err(UsersError::Http)?;
                let users = Introspection::new(config.clone(), &secret, http, clock);
                Ok(Self { authenticator: Arc::new(users), keys: None })
            }
            UsersConfig::Front(config) => {
                let key = key_files::read_existing(&config.key).map_err(UsersError::File)?;
                let front =
                    TrustedFront::new(key.trim_end().as_bytes(), clock).ok_or(UsersError::FrontKey)?;
                Ok(Self { authenticator: Arc::new(front), keys: None })
            }
        }
    }
}
