//! From a URL to connections.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{PostgresConfig, PostgresError, STATEMENT_MS};

/// How long to wait for a free connection (ASSUMED).
const WAIT: Duration = Duration::from_secs(2);
/// How long to wait for a new one, and for one of several addresses (ASSUMED).
const CREATE: Duration = Duration::from_secs(4);
const CONNECT: Duration = Duration::from_secs(3);
/// How long what was sent may stay unanswered by the other machine (ASSUMED).
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);
/// After how long an idle connection is probed (ASSUMED).
const IDLE: Duration = Duration::from_secs(30);

/// Where the tables are, so that they are nobody else's by accident.
pub(super) const SCHEMA: &str = "landbridge_partner";

pub(super) fn pool(config: &PostgresConfig) -> Result<Pool, PostgresError> {
    let tls = MakeRustlsConnect::new(tls(config.ca_file.as_deref())?);
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let mut server = parse(&config.url)?;
    // Whoever says which certificates are believed means that there are some.
    if config.ca_file.is_some() && !config.url.contains("sslmode=") {
        server.ssl_mode(SslMode::Require);
    }
    let manager = Manager::from_config(server, tls, recycling);
    Pool::builder(manager)
        .max_size(config.pool.max(1))
        .wait_timeout(Some(WAIT))
        .create_timeout(Some(CREATE))
        .recycle_timeout(Some(WAIT))
        .runtime(Runtime::Tokio1)
        .post_create(Hook::async_fn(|client, _| {
            Box::pin(async move { client.batch_execute(&session()).await.map_err(HookError::Backend) })
        }))
        .build()
        .map_err(|cause| PostgresError::SetUp(cause.into()))
}

/// What holds for every connection, whatever the server's settings are.
fn session() -> String {
    format!(
        "SET synchronous_commit = on;
         SET statement_timeout = {STATEMENT_MS};
         SET idle_in_transaction_session_timeout = {};
         SET search_path = {SCHEMA}",
        2 * STATEMENT_MS
    )
}

fn parse(url: &str) -> Result<Config, PostgresError> {
    // Certificates and names are verified in every mode, so these say nothing more.
    let said = ["sslmode=verify-full", "sslmode=verify-ca"]
        .iter()
        .fold(url.to_owned(), |url, mode| url.replace(mode, "sslmode=require"));
    let mut config: Config = said.parse().map_err(PostgresError::Url)?;
    let here = config.get_hosts().iter().all(is_here);
    if !url.contains("sslmode=") {
        config.ssl_mode(if here { SslMode::Disable } else { SslMode::Require });
    }
    // Whoever is between could say that there is no TLS.
    if !here && config.get_ssl_mode() == SslMode::Prefer {
        config.ssl_mode(SslMode::Require);
    }
    if config.get_application_name().is_none() {
        config.application_name("landbridge-partner");
    }
    config.connect_timeout(CONNECT).tcp_user_timeout(UNACKNOWLEDGED).keepalives_idle(IDLE);
    Ok(config)
}

/// Whether nothing goes over a network.
fn is_here(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            let address: Option<std::net::IpAddr> = name.parse().ok();
            name == "localhost" || address.is_some_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

fn tls(ca_file: Option<&Path>) -> Result<ClientConfig, PostgresError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => {
            let failed = |cause: Box<dyn std::error::Error + Send + Sync>| PostgresError::Roots {
                path: path.to_owned(),
                cause,
            };
            for certificate in CertificateDer::pem_file_iter(path).map_err(|cause| failed(cause.into()))? {
                let certificate = certificate.map_err(|cause| failed(cause.into()))?;
                roots.add(certificate).map_err(|cause| failed(cause.into()))?;
            }
            if roots.is_empty() {
                return Err(failed("there is no certificate in it".into()));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|cause| PostgresError::SetUp(cause.into()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_for_networks() {
        let mode = |url: &str| parse(url).unwrap().get_ssl_mode();
        for here in [
            "postgresql://a@localhost/b",
            "postgresql://a@[::1]/b",
            "postgresql://a@%2Frun/b",
            "host=127.0.0.1",
        ] {
            assert_eq!(mode(here), SslMode::Disable, "{here}");
        }
        for away in [
            "postgresql://a@db.example/b",
            "postgresql://a@db.example/b?sslmode=prefer",
            "postgresql://a@10.0.0.1,localhost/b",
        ] {
            assert_eq!(mode(away), SslMode::Require, "{away}");
        }
        assert_eq!(mode("postgresql://a@db.example/b?sslmode=disable"), SslMode::Disable);
        assert_eq!(mode("postgresql://a@localhost/b?sslmode=verify-full"), SslMode::Require);
    }

    #[test]
    fn passwords_are_not_told() {
        let config = PostgresConfig::new("postgresql://a:hunter2@db.example/b?sslmode=what");
        let refused = pool(&config).unwrap_err();
        let mut told = format!("{config:?} {refused} {refused:?}");
        let mut cause: Option<&dyn std::error::Error> = Some(&refused);
        while let Some(at) = cause {
            told += &at.to_string();
            cause = at.source();
        }
        assert!(!told.contains("hunter2"), "{told}");
    }
}
