//! What an operator sets about NATS, and the way from there to a client.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::{ConnectOptions, ServerAddr};
use landbridge_partner::{KeyFileError, read_key_file};
use serde::Deserialize;
use thiserror::Error;
use zeroize::Zeroizing;

/// The connection to NATS. Secrets are in files of mode 0600.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "settings, built with struct update syntax")]
pub struct NatsConfig {
    /// `nats://host:4222`, or `tls://host:4222` for TLS; several of one cluster with commas between.
    pub url: String,
    /// A file of credentials (`.creds`: JWT and seed), as NATS makes it.
    #[serde(default)]
    pub credentials_file: Option<PathBuf>,
    /// A file with the seed of an NKey (`SU…`), on the first line.
    #[serde(default)]
    pub nkey_file: Option<PathBuf>,
    /// A name, with [`password_file`](Self::password_file).
    #[serde(default)]
    pub user: Option<String>,
    /// Its password, on the first line.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// A token, on the first line.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// Certificates in PEM that the server's is signed by, instead of the system's. With it, TLS is demanded whatever the URL
    /// says.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// What subjects and the name of the bucket begin with: 1 to 64 of `A-Z a-z 0-9 _ -`. The same at all servers of one
    /// partner, and nobody else's.
    #[serde(default = "default_prefix")]
    pub prefix: String,
    /// Seconds after which a server that nothing is heard of counts as gone, at least 1: two of the pings that keep
    /// streams open (ASSUMED).
    #[serde(default = "default_alive")]
    pub alive_seconds: u64,
    /// Copies of the routes in a cluster of NATS: 1 to 5. They may be lost.
    #[serde(default = "default_replicas")]
    pub replicas: usize,
}

fn default_prefix() -> String {
    "landbridge".to_owned()
}

fn default_alive() -> u64 {
    40
}

fn default_replicas() -> usize {
    1
}

impl Default for NatsConfig {
    fn default() -> Self {
        Self {
            url: "nats://127.0.0.1:4222".to_owned(),
            credentials_file: None,
            nkey_file: None,
            user: None,
            password_file: None,
            token_file: None,
            ca_file: None,
            prefix: default_prefix(),
            alive_seconds: default_alive(),
            replicas: default_replicas(),
        }
    }
}

/// Settings that cannot be used. That NATS is away is no error: it may come.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NatsError {
    /// The address.
    #[error("the address of NATS is not one")]
    Url(#[source] std::io::Error),
    /// The address has a secret in it.
    #[error("the address of NATS has a user or password in it, which belong into user and password_file")]
    UrlHasSecret,
    /// Two ways to prove who this is, or half of one.
    #[error("NATS takes one of credentials_file, nkey_file, token_file, and user with password_file")]
    Credentials,
    /// A file.
    #[error("the file {} cannot be used", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
    /// The prefix.
    #[error("the prefix {prefix:?} is not of 1 to 64 characters A-Z a-z 0-9 _ -")]
    Prefix {
        /// As it was given.
        prefix: String,
    },
    /// A number.
    #[error("{name} is not from {least} to {most}")]
    Range {
        /// The setting.
        name: &'static str,
        /// Its least value.
        least: u64,
        /// Its greatest.
        most: u64,
    },
    /// A file with a secret.
    #[error("the secret for NATS cannot be read")]
    Secret(#[source] KeyFileError),
    /// The thread that reads them ended early.
    #[error("the thread that reads the files of NATS ended early")]
    Panicked,
    /// The client.
    #[error("a client of NATS cannot be made")]
    Client(#[source] async_nats::ConnectError),
    /// The system.
    #[error("the system has no random bytes")]
    Random,
}

impl NatsConfig {
    pub(super) fn check(&self) -> Result<(), NatsError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !(1..=64).contains(&self.prefix.len()) || !self.prefix.bytes().all(plain) {
            return Err(NatsError::Prefix { prefix: self.prefix.clone() });
        }
        if !(1..=3600).contains(&self.alive_seconds) {
            return Err(NatsError::Range { name: "alive_seconds", least: 1, most: 3600 });
        }
        if !(1..=5).contains(&self.replicas) {
            return Err(NatsError::Range { name: "replicas", least: 1, most: 5 });
        }
        Ok(())
    }

    /// The servers to connect to.
    pub(super) fn addresses(&self) -> Result<Vec<ServerAddr>, NatsError> {
        let addresses = self.url.split(',').map(|url| url.trim().parse::<ServerAddr>());
        let addresses = addresses.collect::<Result<Vec<_>, _>>().map_err(NatsError::Url)?;
        if addresses.iter().any(|address| address.username().is_some() || address.password().is_some()) {
            return Err(NatsError::UrlHasSecret);
        }
        Ok(addresses)
    }

    /// Connects once and lets go again; `None` if that works. The client that keeps trying does not say what is wrong.
    pub(super) async fn trouble(&self) -> Option<Box<dyn std::error::Error + Send + Sync>> {
        let connected =
            async { Ok(self.options().await?.connect(self.addresses()?).await.map_err(NatsError::Client)?) };
        connected.await.map(|_: async_nats::Client| ()).err()
    }

    /// How to connect. Reads the files.
    pub(super) async fn options(&self) -> Result<ConnectOptions, NatsError> {
        let mut options = ConnectOptions::new()
            .name("landbridge partner")
            // The bucket's answers and the replies of other servers.
            .custom_inbox_prefix(format!("{}.inbox", self.prefix))
            .connection_timeout(Duration::from_secs(5))
            .ping_interval(Duration::from_secs(10))
            .reconnect_delay_callback(reconnect_delay);
        let password = (&self.user, &self.password_file);
        options = match (&self.credentials_file, &self.nkey_file, &self.token_file, password) {
            (None, None, None, (None, None)) => options,
            (Some(path), None, None, (None, None)) => {
                let credentials = secret(path).await?;
                let refused = |cause| NatsError::File { path: path.clone(), cause };
                options.credentials(&credentials).map_err(refused)?
            }
            (None, Some(path), None, (None, None)) => options.nkey(first_line(path).await?),
            (None, None, Some(path), (None, None)) => options.token(first_line(path).await?),
            (None, None, None, (Some(user), Some(path))) => {
                options.user_and_password(user.clone(), first_line(path).await?)
            }
            _ => return Err(NatsError::Credentials),
        };
        if let Some(path) = &self.ca_file {
            // Read when it connects; a mistake is better told now.
            let read = tokio::fs::read(path).await;
            read.map_err(|cause| NatsError::File { path: path.clone(), cause })?;
            options = options.add_root_certificates(path.clone()).require_tls(true);
        }
        Ok(options)
    }
}

/// 0.1, 0.2, 0.4 … 3.2 s.
fn reconnect_delay(attempts: usize) -> Duration {
    Duration::from_millis(100 << attempts.min(5))
}

async fn secret(path: &Path) -> Result<Zeroizing<String>, NatsError> {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || read_key_file(&path)).await;
    read.map_err(|_| NatsError::Panicked)?.map_err(NatsError::Secret)
}

async fn first_line(path: &Path) -> Result<String, NatsError> {
    Ok(secret(path).await?.lines().next().unwrap_or_default().trim().to_owned())
}
