//! An S3 store over a directory, with signatures checked.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::Body;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

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
#[derive(Debug)]
pub struct S3 {
    directory: tempfile::TempDir,
    addr: SocketAddr,
    faults: Arc<Mutex<Faults>>,
    running: Option<JoinSet<()>>,
}

impl S3 {
    /// Starts one over an empty bucket, at a free port.
    ///
    /// # Errors
    /// The directory or the socket.
    pub async fn start() -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix("landbridge-s3-").tempdir()?;
        std::fs::create_dir(directory.path().join(BUCKET))?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let mut s3 = Self { directory, addr: listener.local_addr()?, faults: Arc::default(), running: None };
        s3.run(listener)?;
        Ok(s3)
    }

    /// The URL of the store.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
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
        let faults = Arc::clone(&self.faults);
        let mut running = JoinSet::new();
        running.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        if let Ok((stream, _)) = accepted {
                            connections.spawn(serve(stream, service.clone(), Arc::clone(&faults)));
                        }
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        self.running = Some(running);
        Ok(())
    }
}

fn service(root: &Path) -> io::Result<S3Service> {
    let files = FileSystem::new(root).map_err(|cause| io::Error::other(format!("{cause:?}")))?;
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
    Ok(builder.build())
}

async fn serve(stream: TcpStream, service: S3Service, faults: Arc<Mutex<Faults>>) {
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
