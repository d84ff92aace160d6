//! PostgreSQL in a directory of its own.

use std::io::{self, BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;

use thiserror::Error;

use crate::keeper::Keeper;

/// Who runs the programs when the tests run as root, which these programs refuse.
const ACCOUNT: &str = "postgres";
/// Where Debian puts what it does not put into the path: one directory per version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// What the server says once it can be asked.
const READY: &str = "database system is ready to accept connections";
/// Where it listens, or what its socket is named after.
const PORT: u16 = 5432;
/// Who comes in how, if it listens on 127.0.0.1.
const HOSTS: &str = "\
local   all all                      trust
hostssl all tls_only 127.0.0.1/32    scram-sha-256
host    all tls_only 127.0.0.1/32    reject
host    all all      127.0.0.1/32    scram-sha-256
";
/// Lines of the server's log that an error shows.
const LAST_LINES: usize = 20;

/// Whether what is answered is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are two")]
pub enum Fsync {
    /// It is, as in production.
    On,
    /// It is in the system's memory: it survives the server's end and not the machine's. For suites of many tests.
    Off,
}

/// PostgreSQL does not run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PostgresError {
    /// It is not installed.
    #[error(
        "the program {program} is neither in the path nor in {VERSIONS}; Debian's package postgresql has it"
    )]
    Missing {
        /// Its name.
        program: &'static str,
    },
    /// Root has nobody to run it as.
    #[error("root may not run PostgreSQL, and there is no account {ACCOUNT}")]
    NoAccount,
    /// The system refuses.
    #[error("{what}")]
    System {
        /// What was to be done.
        what: &'static str,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// A program ended with an error.
    #[error("{program} has failed: {said}")]
    Failed {
        /// Its name.
        program: &'static str,
        /// What it said at the end.
        said: String,
    },
}

/// A cluster with one superuser, `postgres`, who needs no password. It listens on a socket in its own directory and
/// nowhere else, unless it was [started with TLS](Self::start_tls).
///
/// It ends with this value, and with this process however that ends: a shell of its own waits for that, kills the server and
/// removes the directory.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    account: Option<(u32, u32)>,
    directory: PathBuf,
    fsync: Fsync,
    /// Where it listens on 127.0.0.1, if it does.
    port: Option<u16>,
    server: Mutex<Option<Server>>,
    keeper: Mutex<Keeper>,
    databases: AtomicU64,
}

#[derive(Debug)]
struct Server {
    process: Child,
    /// Ends when the last process of the server has closed its end of the log.
    log: JoinHandle<()>,
}

impl Postgres {
    /// Makes a cluster and starts it. Blocks for about a second.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub fn start(fsync: Fsync) -> Result<Self, PostgresError> {
        let postgres = Self::prepare(fsync, None)?;
        postgres.restart()?;
        Ok(postgres)
    }

    /// Makes a cluster that listens at a free port of 127.0.0.1, too, and starts it. There it shows this chain (PEM, with its
    /// key), and asks everybody for a password; the role `tls_only` comes in with TLS only. Blocks for about a second.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub fn start_tls(chain: &str, key: &str) -> Result<Self, PostgresError> {
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.map_err(system("there is no free port"))?.port();
        let postgres = Self::prepare(Fsync::Off, Some(port))?;
        postgres.write("server.crt", chain, 0o644)?;
        postgres.write("server.key", key, 0o600)?;
        postgres.write("pg_hba.conf", HOSTS, 0o600)?;
        postgres.restart()?;
        postgres.sql("ALTER SYSTEM SET ssl = on")?;
        postgres.kill()?;
        postgres.restart()?;
        Ok(postgres)
    }

    fn prepare(fsync: Fsync, port: Option<u16>) -> Result<Self, PostgresError> {
        let programs = find_programs()?;
        let account = own_account()?;
        let directory = tempfile::Builder::new()
            .prefix("landbridge-postgres-")
            .tempdir()
            .map_err(system("a directory for PostgreSQL cannot be made"))?
            .keep();
        let keeper = Keeper::start(&directory).map_err(system("a shell cannot be started"))?;
        if let Some((user, group)) = account {
            std::os::unix::fs::chown(&directory, Some(user), Some(group))
                .map_err(system("a directory cannot be given to another user"))?;
        }
        let (server, keeper) = (Mutex::new(None), Mutex::new(keeper));
        let postgres =
            Self { programs, account, directory, fsync, port, server, keeper, databases: AtomicU64::new(0) };
        let data = postgres.data();
        postgres.run("initdb", |initdb| {
            initdb.arg("-D").arg(&data).args(["-U", ACCOUNT, "-A", "trust", "-E", "UTF8"]);
            initdb.args(["--locale=C", "--no-sync"]);
        })?;
        Ok(postgres)
    }

    /// Writes a file of the cluster.
    fn write(&self, name: &str, text: &str, mode: u32) -> Result<(), PostgresError> {
        use std::os::unix::fs::{PermissionsExt as _, chown};
        let path = self.data().join(name);
        let (user, group) = self.account.unzip();
        std::fs::write(&path, text)
            .and_then(|()| chown(&path, user, group))
            .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)))
            .map_err(system("a file of the cluster cannot be written"))
    }

    /// One for the whole process, which does not wait for the disk. For suites; give each test a
    /// [`database`](Self::database). Blocks the first time.
    ///
    /// # Errors
    /// [`PostgresError`]; a later call tries again.
    pub fn shared() -> Result<&'static Self, PostgresError> {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        static STARTING: Mutex<()> = Mutex::new(());
        let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        match SHARED.get() {
            Some(shared) => Ok(shared),
            None => {
                let started = Self::start(Fsync::Off)?;
                Ok(SHARED.get_or_init(|| started))
            }
        }
    }

    /// The URL of the database that is always there.
    pub fn url(&self) -> String {
        self.url_of(ACCOUNT)
    }

    /// The URL of the database that is always there, over 127.0.0.1 by one of its names, for a role with a password.
    ///
    /// Only if it was [started with TLS](Self::start_tls); otherwise nobody listens there.
    pub fn url_by(&self, host: &str, role: &str, password: &str) -> String {
        format!("postgresql://{role}:{password}@{host}:{}/{ACCOUNT}", self.port.unwrap_or(PORT))
    }

    /// Makes an empty database and gives its URL. Blocks for some 50 ms.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub fn database(&self) -> Result<String, PostgresError> {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql(&format!("CREATE DATABASE {name}"))?;
        Ok(self.url_of(&name))
    }

    /// Runs statements as the superuser in the database that is always there. Blocks.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub fn sql(&self, statements: &str) -> Result<(), PostgresError> {
        self.run("psql", |psql| {
            psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", ACCOUNT, "-d", ACCOUNT, "-h"]);
            psql.arg(&self.directory).args(["-p", &self.port.unwrap_or(PORT).to_string(), "-c", statements]);
        })
        .map(drop)
    }

    /// Everything that is in the database with this URL, as `pg_dump` writes it. Blocks.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub fn dump(&self, url: &str) -> Result<String, PostgresError> {
        self.run("pg_dump", |pg_dump| {
            pg_dump.arg(url);
        })
    }

    /// Kills the server as a crash would, and waits until all of its processes are gone. Blocks.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub fn kill(&self) -> Result<(), PostgresError> {
        let Some(mut server) = lock(&self.server).take() else { return Ok(()) };
        server.process.kill().map_err(system("PostgreSQL cannot be killed"))?;
        server.process.wait().map_err(system("PostgreSQL cannot be waited for"))?;
        // The server's other processes end by themselves when they notice; the last one closes the log.
        let _ = server.log.join();
        lock(&self.keeper).watch(None).map_err(system("the shell that watches PostgreSQL is gone"))
    }

    /// Starts the server if it does not run, and waits until it can be asked. Blocks.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub fn restart(&self) -> Result<(), PostgresError> {
        let mut server = lock(&self.server);
        if server.is_some() {
            return Ok(());
        }
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).arg("-k").arg(&self.directory);
        command.args(["-c", "max_connections=300", "-c", "shared_buffers=64MB", "-c"]);
        match self.port {
            None => command.arg("listen_addresses="),
            Some(port) => command.args(["listen_addresses=127.0.0.1", "-p", &port.to_string()]),
        };
        if self.fsync == Fsync::Off {
            command.args(["-c", "fsync=off", "-c", "full_page_writes=off"]);
        }
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(system("PostgreSQL cannot be started"))?;
        let watched = lock(&self.keeper).watch(Some(process.id()));
        watched.map_err(system("the shell that watches PostgreSQL is gone"))?;
        let (ready, readiness) = channel();
        let stderr = process.stderr.take();
        let log = std::thread::spawn(move || read_log(stderr, &ready));
        match readiness.recv() {
            Ok(Said::Ready) => *server = Some(Server { process, log }),
            ended => {
                let _ = process.wait();
                let said = if let Ok(Said::Ended(said)) = ended { said } else { String::new() };
                return Err(PostgresError::Failed { program: "postgres", said });
            }
        }
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// The directory is named in the host's place: a socket and no address.
    fn url_of(&self, database: &str) -> String {
        let host = self.directory.display().to_string().replace('/', "%2F");
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("postgresql://{ACCOUNT}@{host}{port}/{database}")
    }

    fn command(&self, program: &'static str) -> Command {
        // Another package has the client's programs, and may put them elsewhere.
        let beside = self.programs.join(program);
        let mut command = Command::new(if beside.is_file() { beside } else { program.into() });
        if let Some((user, group)) = self.account {
            command.uid(user).gid(group);
        }
        command.current_dir(&self.directory);
        command
    }

    /// What it printed.
    fn run(
        &self,
        program: &'static str,
        arguments: impl FnOnce(&mut Command),
    ) -> Result<String, PostgresError> {
        let mut command = self.command(program);
        arguments(&mut command);
        let output = command
            .stdin(Stdio::null())
            .output()
            .map_err(system("a program of PostgreSQL cannot be started"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(PostgresError::Failed { program, said })
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The keeper goes after this and removes the directory.
        let _ = self.kill();
    }
}

/// What the log's reader says.
enum Said {
    Ready,
    /// It is over; the last lines.
    Ended(String),
}

fn read_log(stderr: Option<ChildStderr>, ready: &Sender<Said>) {
    let mut last = std::collections::VecDeque::new();
    for line in stderr.into_iter().flat_map(|stderr| BufReader::new(stderr).split(b'\n')) {
        let Ok(line) = line else { break };
        let line = String::from_utf8_lossy(&line).into_owned();
        if line.contains(READY) {
            // Nobody waits for the second time.
            let _ = ready.send(Said::Ready);
        }
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
    let _ = ready.send(Said::Ended(Vec::from(last).join("\n")));
}

/// The directory with the programs: the path's, or the newest version's.
fn find_programs() -> Result<PathBuf, PostgresError> {
    const PROGRAM: &str = "initdb";
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has = |directory: &Path| directory.join(PROGRAM).is_file();
    if let Some(found) = std::env::split_paths(&path).find(|directory| has(directory)) {
        return Ok(found);
    }
    let versions = std::fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    versions
        .map(|version| version.path().join("bin"))
        .filter(|directory| has(directory))
        // "9.6" is older than "15".
        .max_by_key(|bin| {
            let version =
                bin.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
            version.and_then(|version| version.split('.').next()?.parse::<u32>().ok())
        })
        .ok_or(PostgresError::Missing { program: PROGRAM })
}

/// User and group to run the programs as; `None` for whoever runs this.
fn own_account() -> Result<Option<(u32, u32)>, PostgresError> {
    let own = std::fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own));
    if own.is_ok_and(|uid| uid != 0) {
        return Ok(None);
    }
    let accounts =
        std::fs::read_to_string("/etc/passwd").map_err(system("the list of accounts cannot be read"))?;
    let account = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, user, group) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        (name == ACCOUNT).then_some(())?;
        Some((user.parse().ok()?, group.parse().ok()?))
    });
    account.map(Some).ok_or(PostgresError::NoAccount)
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> PostgresError {
    move |cause| PostgresError::System { what, cause }
}

/// A panic elsewhere leaves nothing half done in here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
