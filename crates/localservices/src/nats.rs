//! NATS with JetStream in a directory of its own.

use std::io::{self, BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use thiserror::Error;

use crate::keeper::Keeper;

/// What the server says about where it listens, before the address.
const LISTENS: &str = "Listening for client connections on ";
/// What it says once it can be asked.
const READY: &str = "Server is ready";
/// Lines of the server's log that an error shows.
const LAST_LINES: usize = 20;

/// NATS does not run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NatsServerError {
    /// It is not installed.
    #[error("the program nats-server is not in the path; Debian's package nats-server has it")]
    Missing,
    /// The system refuses.
    #[error("{what}")]
    System {
        /// What was to be done.
        what: &'static str,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// It ended before it could be asked.
    #[error("nats-server has failed: {said}")]
    Failed {
        /// What it said at the end.
        said: String,
    },
}

/// A server on 127.0.0.1, at one port for its whole life.
///
/// It ends with this value, and with this process however that ends: a shell of its own waits for that, kills the server and
/// removes the directory.
#[derive(Debug)]
pub struct Nats {
    arguments: Vec<String>,
    directory: PathBuf,
    state: Mutex<State>,
    keeper: Mutex<Keeper>,
}

#[derive(Debug, Default)]
struct State {
    /// Known since the first start.
    port: Option<u16>,
    server: Option<Server>,
}

#[derive(Debug)]
struct Server {
    process: Child,
    log: JoinHandle<()>,
}

impl Nats {
    /// Starts a server that lets everybody in. Blocks until it can be asked.
    ///
    /// # Errors
    /// [`NatsServerError`].
    pub fn start() -> Result<Self, NatsServerError> {
        Self::start_with(&[])
    }

    /// Starts a server with further arguments, for example `--user` and `--pass`. Blocks until it can be asked.
    ///
    /// # Errors
    /// [`NatsServerError`].
    pub fn start_with(arguments: &[&str]) -> Result<Self, NatsServerError> {
        let directory = tempfile::Builder::new()
            .prefix("landbridge-nats-")
            .tempdir()
            .map_err(system("a directory for NATS cannot be made"))?
            .keep();
        let keeper = Keeper::start(&directory).map_err(system("a shell cannot be started"))?;
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let nats = Self { arguments, directory, state: Mutex::default(), keeper: Mutex::new(keeper) };
        nats.restart()?;
        Ok(nats)
    }

    /// Where clients come in.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", lock(&self.state).port.unwrap_or_default())
    }

    /// Kills the server as a crash would. Blocks until it is gone.
    ///
    /// # Errors
    /// [`NatsServerError`].
    pub fn kill(&self) -> Result<(), NatsServerError> {
        let Some(mut server) = lock(&self.state).server.take() else { return Ok(()) };
        server.process.kill().map_err(system("NATS cannot be killed"))?;
        server.process.wait().map_err(system("NATS cannot be waited for"))?;
        let _ = server.log.join();
        lock(&self.keeper).watch(None).map_err(system("the shell that watches NATS is gone"))
    }

    /// Kills the server and removes what it has stored, as if its machine had lost its disk. Blocks until it is gone.
    ///
    /// # Errors
    /// [`NatsServerError`].
    pub fn kill_with_store(&self) -> Result<(), NatsServerError> {
        self.kill()?;
        match std::fs::remove_dir_all(self.store()) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                Err(NatsServerError::System { what: "the store of NATS cannot be removed", cause })
            }
            _ => Ok(()),
        }
    }

    fn store(&self) -> PathBuf {
        self.directory.join("jetstream")
    }

    /// Starts the server at its old port if it does not run. Blocks until it can be asked.
    ///
    /// # Errors
    /// [`NatsServerError`].
    pub fn restart(&self) -> Result<(), NatsServerError> {
        let mut state = lock(&self.state);
        if state.server.is_some() {
            return Ok(());
        }
        let port = state.port.map_or_else(|| "-1".to_owned(), |port| port.to_string());
        let spawned = Command::new("nats-server")
            .args(["--addr", "127.0.0.1", "--port", &port, "--jetstream", "--store_dir"])
            .arg(self.store())
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn();
        let mut process = spawned.map_err(|cause| match cause.kind() {
            io::ErrorKind::NotFound => NatsServerError::Missing,
            _ => NatsServerError::System { what: "NATS cannot be started", cause },
        })?;
        let watched = lock(&self.keeper).watch(Some(process.id()));
        watched.map_err(system("the shell that watches NATS is gone"))?;
        let (ready, readiness) = channel();
        let stderr = process.stderr.take();
        let log = std::thread::spawn(move || read_log(stderr, &ready));
        match readiness.recv() {
            Ok(Said::Ready { port }) => {
                *state = State { port: Some(port), server: Some(Server { process, log }) };
                Ok(())
            }
            ended => {
                let _ = process.wait();
                let said = if let Ok(Said::Ended(said)) = ended { said } else { String::new() };
                Err(NatsServerError::Failed { said })
            }
        }
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        // The keeper goes after this and removes the directory.
        let _ = self.kill();
    }
}

/// What the log's reader says.
enum Said {
    Ready {
        port: u16,
    },
    /// It is over; the last lines.
    Ended(String),
}

fn read_log(stderr: Option<ChildStderr>, ready: &Sender<Said>) {
    let (mut last, mut port) = (std::collections::VecDeque::new(), None);
    for line in stderr.into_iter().flat_map(|stderr| BufReader::new(stderr).split(b'\n')) {
        let Ok(line) = line else { break };
        let line = String::from_utf8_lossy(&line).into_owned();
        if let Some((_, address)) = line.split_once(LISTENS) {
            port = address.trim().rsplit(':').next().and_then(|port| port.parse().ok());
        }
        if let Some(port) = port.filter(|_| line.contains(READY)) {
            let _ = ready.send(Said::Ready { port });
        }
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
    let _ = ready.send(Said::Ended(Vec::from(last).join("\n")));
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> NatsServerError {
    move |cause| NatsServerError::System { what, cause }
}

/// A panic elsewhere leaves nothing half done in here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn it_is_killed_and_comes_back_where_it_was() {
        let nats = Nats::start().unwrap();
        let url = nats.url();
        let address = url.strip_prefix("nats://").unwrap().to_owned();
        let directory = nats.directory.clone();
        TcpStream::connect(&address).unwrap();
        nats.kill().unwrap();
        TcpStream::connect(&address).unwrap_err();
        nats.kill().unwrap();
        nats.restart().unwrap();
        nats.restart().unwrap();
        assert_eq!(nats.url(), url);
        TcpStream::connect(&address).unwrap();
        assert!(nats.store().is_dir());
        nats.kill_with_store().unwrap();
        assert!(!nats.store().exists());
        nats.restart().unwrap();
        TcpStream::connect(&address).unwrap();
        drop(nats);
        TcpStream::connect(&address).unwrap_err();
        assert!(!directory.exists());
    }

    #[test]
    fn a_server_that_does_not_start_says_why() {
        let refused = Nats::start_with(&["--nonsense"]).unwrap_err();
        let NatsServerError::Failed { said } = &refused else { panic!("{refused}") };
        assert!(said.contains("nonsense"), "{said}");
    }
}
