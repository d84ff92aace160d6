//! The servers under load, each a process of its own, and what they use.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::net::TcpStream;

use crate::Failed;
use crate::load::Http;

/// A child that ends with this program.
pub(crate) struct Process {
    pub(crate) name: &'static str,
    child: Child,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    fn spawn(name: &'static str, command: &mut Command) -> Result<Self, Failed> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let child = child.map_err(|cause| format!("{}: {cause}", command.get_program().display()))?;
        Ok(Self { name, child })
    }

    /// Processor time so far, of all its threads.
    pub(crate) fn cpu(&self) -> Result<Duration, Failed> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name in parentheses may have spaces.
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: u64 =
            fields.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
        // A tick is 10 ms on every Linux that runs this.
        Ok(Duration::from_millis(ticks * 10))
    }

    /// A figure of `/proc/…/status` in bytes.
    pub(crate) fn memory(&self, figure: &str) -> Result<u64, Failed> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(':'));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        Ok(kilobytes.ok_or("no such figure")? * 1024)
    }

    /// From here on, the peak is counted anew.
    pub(crate) fn forget_peak(&self) -> Result<(), Failed> {
        Ok(fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")?)
    }
}

/// `landbridge partner` of the release build.
pub(crate) struct Partner {
    pub(crate) process: Process,
    pub(crate) addr: SocketAddr,
    pub(crate) base_url: String,
}

/// What a partner server is told besides where it listens.
pub(crate) struct Settings<'a> {
    /// Its data directory is made in this one.
    pub(crate) dir: &'a Path,
    pub(crate) keys_url: &'a str,
    pub(crate) users: Users<'a>,
    /// Tables of the file, of engines in place of the data directory.
    pub(crate) engines: &'a str,
    /// Where the clients and WhatsApp go to; by default the server itself.
    pub(crate) base_url: Option<&'a str>,
}

/// How a server knows its users.
#[derive(Clone, Copy)]
pub(crate) enum Users<'a> {
    /// So many, by a table of sessions.
    Table(usize),
    /// By the word of a front, whose key is in this file.
    Front(&'a Path),
}

impl Users<'_> {
    fn config(self) -> String {
        match self {
            Self::Table(users) => {
                let session = |n| format!("session{n} = \"user{n}\"\n");
                format!("[partner.dev_users]\n{}", (0..users).map(session).collect::<String>())
            }
            Self::Front(key) => format!("[partner.users.front]\nkey = \"{}\"\n", key.display()),
        }
    }
}

impl Partner {
    pub(crate) async fn start(settings: Settings<'_>) -> Result<Self, Failed> {
        let Settings { dir, keys_url, users, engines, base_url } = settings;
        let (addr, admin) = (free()?, free()?);
        let base_url = base_url.map_or_else(|| format!("http://{addr}"), str::to_owned);
        let dir = dir.join(format!("partner-{}", addr.port()));
        fs::create_dir_all(&dir)?;
        let config = format!(
            "[partner]\naddr = \"{addr}\"\nadmin_addr = \"{admin}\"\nbase_url = \"{base_url}\"\ndata = \"{}\"\n\
             insecure_dev_auth = {}\ntokens_per_hour = 4294967295\n\
             [partner.media]\nmax_bytes = 17179869194\nquota_per_day = 68719476736\nquota_stored = 68719476736\n\
             [partner.push]\nkeys_url = \"{keys_url}\"\nper_second = 1000000\n{engines}\n{}",
            dir.join("data").display(),
            matches!(users, Users::Table(_)),
            users.config()
        );
        let file = dir.join("landbridge.toml");
        fs::write(&file, config)?;
        let program = std::env::current_exe()?;
        let program = program.parent().and_then(Path::parent).ok_or("no such directory")?.join("landbridge");
        let mut command = Command::new(program);
        command
            .args(["--config".as_ref(), file.as_os_str(), "partner".as_ref()])
            .env("LANDBRIDGE_LOG", "error");
        let process = Process::spawn("landbridge", &mut command)?;
        reachable(addr).await?;
        Ok(Self { process, addr, base_url })
    }
}

/// nginx with one worker: a static 200 to everything, and files by `sendfile` under `/media/`.
pub(crate) struct Nginx {
    pub(crate) process: Process,
    http1: SocketAddr,
    http2: SocketAddr,
    pub(crate) files: std::path::PathBuf,
}

impl Nginx {
    pub(crate) async fn start(dir: &Path) -> Result<Self, Failed> {
        let (http1, http2) = (free()?, free()?);
        let dir = dir.join("nginx");
        let files = dir.join("media");
        fs::create_dir_all(&files)?;
        let at = dir.display();
        let config = format!(
            "daemon off; master_process off; worker_processes 1; pid {at}/pid; error_log {at}/error.log;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;\n\
             client_body_temp_path {at}/body; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f;\n\
             uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;\n\
             server {{ listen {http1}; location / {{ return 200; }} location /media/ {{ root {at}; }} }}\n\
             server {{ listen {http2} http2; location / {{ return 200; }} location /media/ {{ root {at}; }} }} }}\n"
        );
        let file = dir.join("nginx.conf");
        fs::write(&file, config)?;
        let mut command = Command::new("nginx");
        command.args(["-e".as_ref(), dir.join("error.log").as_os_str(), "-c".as_ref(), file.as_os_str()]);
        let process = Process::spawn("nginx", &mut command)?;
        reachable(http1).await?;
        Ok(Self { process, http1, http2, files })
    }

    pub(crate) fn addr(&self, http: Http) -> SocketAddr {
        match http {
            Http::One => self.http1,
            Http::Two => self.http2,
        }
    }
}

/// Serves a key set from this process; gives its URL.
pub(crate) async fn serve_keys(document: String) -> Result<String, Failed> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/jwks", listener.local_addr()?);
    let router = Router::new().route("/jwks", get(move || std::future::ready(document.clone())));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}

fn free() -> Result<SocketAddr, Failed> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

async fn reachable(addr: SocketAddr) -> Result<(), Failed> {
    for _ in 0..600 {
        if TcpStream::connect(addr).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(format!("nothing listens on {addr}").into())
}
