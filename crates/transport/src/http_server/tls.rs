//! Certificates that can be exchanged while the server runs.

mod expiry;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

/// Which versions of TLS are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TlsVersions {
    /// 1.3 only.
    #[default]
    Tls13,
    /// 1.3 and 1.2.
    Tls12,
}

/// A certificate chain and its key, read from two PEM files and read again when they change.
///
/// New connections use what was read last; what cannot be read leaves the last good one in force.
#[derive(Debug)]
pub struct Certificates {
    chain: PathBuf,
    key: PathBuf,
    versions: TlsVersions,
    current: RwLock<Current>,
}

#[derive(Debug)]
struct Current {
    /// What the files held, to see whether they have changed.
    files: Files,
    config: Arc<ServerConfig>,
    not_after: Option<u64>,
}

#[derive(Debug, PartialEq, Eq)]
struct Files {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
}

/// What was found when the files were read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reloaded {
    /// What is in force already.
    Unchanged,
    /// Something else, which is in force now.
    Changed,
}

/// Certificates that cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file is not readable, or holds no PEM of the kind.
    #[error("the file {} cannot be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// No certificate in the file.
    #[error("the file {} holds no certificate", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Certificate and key do not fit together, or are of a kind that is not spoken.
    #[error("certificate and key cannot be used together")]
    Unfit {
        /// What rustls says.
        #[source]
        source: rustls::Error,
    },
}

impl Certificates {
    /// Reads the chain (the server's certificate first) and the key. Blocks.
    ///
    /// # Errors
    ///
    /// [`TlsError`].
    pub fn load(
        chain: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
        versions: TlsVersions,
    ) -> Result<Arc<Self>, TlsError> {
        let (chain, key) = (chain.into(), key.into());
        let current = RwLock::new(Current::of(Files::read(&chain, &key)?, versions)?);
        Ok(Arc::new(Self { chain, key, versions, current }))
    }

    /// Reads the files again. Blocks.
    ///
    /// # Errors
    ///
    /// [`TlsError`]; what was in force stays so.
    pub fn reload(&self) -> Result<Reloaded, TlsError> {
        let files = Files::read(&self.chain, &self.key)?;
        if self.read(|current| current.files == files) {
            return Ok(Reloaded::Unchanged);
        }
        let fresh = Current::of(files, self.versions)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(Reloaded::Changed)
    }

    /// Reads the files again and again, for as long as the future is polled.
    pub async fn watch(self: Arc<Self>, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            self.refresh().await;
        }
    }

    /// Reads the files again now, and logs what came of it.
    pub async fn refresh(self: &Arc<Self>) {
        let certificates = Arc::clone(self);
        let reloaded = tokio::task::spawn_blocking(move || certificates.reload()).await;
        match reloaded {
            Ok(Ok(Reloaded::Changed)) => tracing::info!("new connections use the new certificate"),
            Ok(Err(error)) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the certificate stays as it was: the new one cannot be used"
                );
            }
            Ok(Ok(Reloaded::Unchanged)) | Err(_) => {}
        }
    }

    /// When the server's certificate ends, unix seconds. `None` if it does not say so in a way that is understood.
    pub fn not_after(&self) -> Option<u64> {
        self.read(|current| current.not_after)
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.read(|current| Arc::clone(&current.config)))
    }

    fn read<T>(&self, read: impl FnOnce(&Current) -> T) -> T {
        read(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Files {
    fn read(chain: &Path, key: &Path) -> Result<Self, TlsError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| TlsError::File { path, source }
        };
        let certificates: Vec<_> =
            CertificateDer::pem_file_iter(chain).and_then(Iterator::collect).map_err(failed(chain))?;
        if certificates.is_empty() {
            return Err(TlsError::Empty { path: chain.to_owned() });
        }
        let key = PrivateKeyDer::from_pem_file(key).map_err(failed(key))?;
        Ok(Self { chain: certificates, key: Arc::new(key) })
    }
}

impl Current {
    fn of(files: Files, versions: TlsVersions) -> Result<Self, TlsError> {
        let unfit = |source| TlsError::Unfit { source };
        let spoken: &[&rustls::SupportedProtocolVersion] = match versions {
            TlsVersions::Tls13 => &[&rustls::version::TLS13],
            TlsVersions::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(spoken)
            .map_err(unfit)?
            .with_no_client_auth()
            .with_single_cert(files.chain.clone(), files.key.clone_key())
            .map_err(unfit)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let not_after = files.chain.first().and_then(|certificate| expiry::not_after(certificate));
        Ok(Self { files, config: Arc::new(config), not_after })
    }
}
