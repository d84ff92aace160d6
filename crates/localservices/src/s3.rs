//! An S3 store over a directory, with signatures checked: in this process, where faults can be set, or as a process of its
//! own, which can be killed.

mod process;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use s3s::Body;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

pub use process::{S3Process, serve_if_asked};

/// Who may come in.
pub const ACCESS_KEY: &str = "AKIALANDBRIDGETEST";
/// The secret that belongs to it.
pub const SECRET_KEY: &str = "an-object-store-for-tests-only";
/// The bucket that is there.
pub const BUCKET: &str = "media";

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It is not done, and answered with 503 `SlowDown`.
    SlowDown,
    /// It is done, but the connection breaks off instead of the answer.
    Silent,
    /// The connection breaks off before it is done.
    Refused,
}

/// What happens to the requests to come.
#[derive(Debug, Default)]
struct Faults {
    next: VecDeque<Fault>,
    /// So many are let through, and then none; `None` lets all through.
    let_through: Option<usize>,
}

impl Faults {
    /// None, ever.
    fn none() -> Arc<Mutex<Self>> {
        Arc::default()
    }

    fn take(&mut self) -> Option<Fault> {
        match &mut self.let_through {
            Some(0) => Some(Fault::Refused),
            Some(left) => {
                *left -= 1;
                self.next.pop_front()
            }
            None => self.next.pop_front(),
        }
    }
}

/// An S3 store on 127.0.0.1. Dropping it stops it and removes the directory.
pub struct S3 {
    directory: tempfile::TempDir,
    addr: SocketAddr,
    tls: Option<TlsAcceptor>,
    faults: Arc<Mutex<Faults>>,
    running: Option<JoinSet<()>>,
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3")
            .field("directory", &self.directory)
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}

impl S3 {
    /// Starts one over an empty bucket, at a free port.
    ///
    /// # Errors
    /// The directory or the socket.
    pub async fn start() -> io::Result<Self> {
        Self::start_over(None).await
    }

    /// Starts one that speaks TLS with this chain and key, in PEM.
    ///
    /// # Errors
    /// The directory, the socket, or what was given.
    pub async fn start_tls(chain: &str, key: &str) -> io::Result<Self> {
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(io::Error::other)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(chain.map_err(io::Error::other)?, key)
            .map_err(io::Error::other)?;
        Self::start_over(Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn start_over(tls: Option<TlsAcceptor>) -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix("landbridge-s3-").tempdir()?;
        std::fs::create_dir(directory.path().join(BUCKET))?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (addr, faults) = (listener.local_addr()?, Faults::none());
        let mut s3 = Self { directory, addr, tls, faults, running: None };
        s3.run(listener)?;
        Ok(s3)
    }

    /// The URL of the store.
    pub fn endpoint(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.addr)
    }

    /// Where the objects of the bucket are, as files.
    pub fn objects(&self) -> PathBuf {
        self.directory.path().join(BUCKET)
    }

    /// Goes away at once: connections break off, and new ones are refused.
    pub async fn stop(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.shutdown().await;
        }
    }

    /// Comes back at the same address with the same objects.
    ///
    /// # Errors
    /// Somebody else has the address.
    pub async fn restart(&mut self) -> io::Result<()> {
        self.stop().await;
        let listener = TcpListener::bind(self.addr).await?;
        self.run(listener)
    }

    /// What happens to the next requests, one each, in this order.
    pub fn fail_next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults().next.extend(faults);
    }

    /// Lets so many requests through and refuses all others; `None` ends that.
    pub fn let_through(&self, requests: Option<usize>) {
        self.faults().let_through = requests;
    }

    /// Faults that no request has met yet.
    pub fn faults_left(&self) -> usize {
        self.faults().next.len()
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&mut self, listener: TcpListener) -> io::Result<()> {
        let service = service(self.directory.path())?;
        let mut running = JoinSet::new();
        running.spawn(accept(listener, service, Arc::clone(&self.faults), self.tls.clone()));
        self.running = Some(running);
        Ok(())
    }
}

/// Serves whoever comes, until it is dropped.
async fn accept(
    listener: TcpListener,
    service: S3Service,
    faults: Arc<Mutex<Faults>>,
    tls: Option<TlsAcceptor>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let (service, faults, tls) = (service.clone(), Arc::clone(&faults), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, service, faults).await,
                        // Whoever does not come through knows why.
                        Some(tls) => if let Ok(stream) = tls.accept(stream).await {
                            serve(stream, service, faults).await;
                        }
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

fn service(root: &Path) -> io::Result<S3Service> {
    let files = FileSystem::new(root).map_err(|cause| io::Error::other(format!("{cause:?}")))?;
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
    Ok(builder.build())
}

async fn serve<S>(stream: S, service: S3Service, faults: Arc<Mutex<Faults>>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answer = move |request: Request<Incoming>| {
        let fault = faults.lock().unwrap_or_else(PoisonError::into_inner).take();
        let service = service.clone();
        async move {
            let answer = match fault {
                Some(Fault::Refused) => return Err(BrokenOff),
                Some(Fault::SlowDown) => return Ok(slow_down()),
                None | Some(Fault::Silent) => service.call(request.map(Body::from)).await,
            };
            answer.ok().filter(|_| fault.is_none()).ok_or(BrokenOff)
        }
    };
    let builder = Builder::new(TokioExecutor::new());
    // Whoever breaks a connection off knows why.
    let _ = builder.serve_connection(TokioIo::new(stream), hyper::service::service_fn(answer)).await;
}

/// Instead of an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection breaks off")]
struct BrokenOff;

fn slow_down() -> Response<Body> {
    let body = "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
    let mut answer = Response::new(Body::from(body.to_owned()));
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    answer
}
