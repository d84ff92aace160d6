//! The store as a process of its own, which can be killed as a crash would.

use std::io::{self, BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::net::TcpListener;

use super::{BUCKET, Faults, accept, service};
use crate::keeper::Keeper;

/// Tells a program that it is to be the store: the directory.
const DIRECTORY: &str = "LANDBRIDGE_LOCAL_S3_DIRECTORY";
/// The address it is to have.
const ADDRESS: &str = "LANDBRIDGE_LOCAL_S3_ADDRESS";

/// An S3 store on 127.0.0.1 in a process of its own, at one port for its whole life. It ends with this value, and with this
/// process however that ends.
///
/// The process is this program once more, so its `main` has to begin with [`serve_if_asked`].
#[derive(Debug)]
pub struct S3Process {
    directory: PathBuf,
    state: Mutex<State>,
    keeper: Mutex<Keeper>,
}

#[derive(Debug)]
struct State {
    /// Port 0 before the first start.
    addr: SocketAddr,
    process: Option<Child>,
}

impl S3Process {
    /// Starts one over an empty bucket, at a free port. Blocks until it can be asked.
    ///
    /// # Errors
    /// The directory or the process.
    pub fn start() -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix("landbridge-s3-").tempdir()?.keep();
        std::fs::create_dir(directory.join(BUCKET))?;
        let keeper = Mutex::new(Keeper::start(&directory)?);
        let state = State { addr: (Ipv4Addr::LOCALHOST, 0).into(), process: None };
        let s3 = Self { directory, state: Mutex::new(state), keeper };
        s3.restart()?;
        Ok(s3)
    }

    /// The URL of the store.
    pub fn endpoint(&self) -> String {
        format!("http://{}", lock(&self.state).addr)
    }

    /// Where the objects of the bucket are, as files.
    pub fn objects(&self) -> PathBuf {
        self.directory.join(BUCKET)
    }

    /// Kills it (SIGKILL). Blocks until it is gone.
    ///
    /// # Errors
    /// The system.
    pub fn kill(&self) -> io::Result<()> {
        let Some(mut process) = lock(&self.state).process.take() else { return Ok(()) };
        process.kill()?;
        process.wait()?;
        lock(&self.keeper).watch(None)
    }

    /// Starts it at its old address if it does not run. Blocks until it can be asked.
    ///
    /// # Errors
    /// The process; it says more on standard error.
    pub fn restart(&self) -> io::Result<()> {
        let mut state = lock(&self.state);
        if state.process.is_some() {
            return Ok(());
        }
        let mut process = Command::new(std::env::current_exe()?)
            .env(DIRECTORY, &self.directory)
            .env(ADDRESS, state.addr.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()?;
        lock(&self.keeper).watch(Some(process.id()))?;
        let mut said = String::new();
        if let Some(stdout) = process.stdout.take() {
            BufReader::new(stdout).read_line(&mut said)?;
        }
        let Ok(addr) = said.trim().parse() else {
            process.kill()?;
            process.wait()?;
            return Err(io::Error::other(format!("the store says {said:?} instead of its address")));
        };
        *state = State { addr, process: Some(process) };
        Ok(())
    }
}

impl Drop for S3Process {
    fn drop(&mut self) {
        // The keeper goes after this and removes the directory.
        let _ = self.kill();
    }
}

/// If an [`S3Process`] started this program, it is the store until it is killed; otherwise nothing happens.
///
/// # Errors
/// The store cannot run.
pub fn serve_if_asked() -> io::Result<()> {
    let (Some(directory), Ok(address)) = (std::env::var_os(DIRECTORY), std::env::var(ADDRESS)) else {
        return Ok(());
    };
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(Path::new(&directory), address))
}

async fn serve(directory: &Path, address: SocketAddr) -> io::Result<()> {
    let service = service(directory)?;
    let listener = TcpListener::bind(address).await?;
    println!("{}", listener.local_addr()?);
    accept(listener, service, Faults::none(), None).await;
    Ok(())
}

/// A panic elsewhere leaves nothing half done in here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
