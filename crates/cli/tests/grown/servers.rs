//! The engines, and servers over them as processes of the real program.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use landbridge_localservices::s3::{ACCESS_KEY, BUCKET, S3Process, SECRET_KEY};
use landbridge_localservices::{Fsync, Nats, Postgres};
use tempfile::TempDir;

use crate::load::{STREAMS, UPLOADER, session};

/// The base URL that WhatsApp knows all servers by.
pub(crate) const BASE_URL: &str = "https://partner.example";

/// Where a server's settings of the engines come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    File,
    Environment,
    Flags,
}

pub(crate) struct Engines {
    postgres: Postgres,
    s3: S3Process,
    nats: Nats,
    directory: TempDir,
}

impl Engines {
    pub(crate) fn start(keys_url: &str) -> Self {
        let nats = Nats::start_with(&["--user", "partner", "--pass", "nats-password"]).unwrap();
        let (postgres, s3) = (Postgres::start(Fsync::On).unwrap(), S3Process::start().unwrap());
        let engines = Self { postgres, s3, nats, directory: tempfile::tempdir().unwrap() };
        engines.private("seal.key", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n");
        engines.private("objects.secret", SECRET_KEY);
        engines.private("nats.password", "nats-password\n");
        engines.private("postgres.url", &engines.postgres.url());
        let mut common = format!(
            "[partner]\naddr = \"127.0.0.1:0\"\nbase_url = \"{BASE_URL}\"\ninsecure_dev_auth = true\n\
             [partner.push]\nkeys_url = \"{keys_url}\"\n\
             [partner.media]\nparallel = 100000\n[partner.dev_users]\n{UPLOADER} = \"uploader\"\n"
        );
        for n in 0..STREAMS {
            common += &format!("{} = \"stream{n}\"\n", session(n));
        }
        engines.private("common.toml", &common);
        let settings =
            engines.settings().into_iter().map(|(table, key, value)| (table, format!("{key} = {value}\n")));
        let mut file = common;
        for table in ["postgres", "objects", "nats"] {
            file += &format!("[partner.{table}]\n");
            file.extend(settings.clone().filter(|(of, _)| *of == table).map(|(_, line)| line));
        }
        engines.private("partner.toml", &file);
        engines
    }

    /// Table, key and value, as a configuration file has them.
    fn settings(&self) -> Vec<(&'static str, &'static str, String)> {
        let text = |value: &str| format!("{value:?}");
        let file = |name: &str| format!("{:?}", self.path(name));
        vec![
            ("postgres", "url_file", file("postgres.url")),
            ("postgres", "pool", "4".to_owned()),
            ("postgres", "seal_key_file", file("seal.key")),
            ("objects", "bucket", text(BUCKET)),
            ("objects", "endpoint", text(&self.s3.endpoint())),
            ("objects", "access_key_id", text(ACCESS_KEY)),
            ("objects", "secret_access_key_file", file("objects.secret")),
            ("objects", "allow_http", "true".to_owned()),
            ("objects", "patience_seconds", "1".to_owned()),
            ("nats", "url", text(&self.nats.url())),
            ("nats", "user", text("partner")),
            ("nats", "password_file", file("nats.password")),
            ("nats", "alive_seconds", "1".to_owned()),
        ]
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn private(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::write(self.path(name), text).unwrap();
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Starts a server at a free address, with a data directory of its own.
    pub(crate) fn server(&self, told: Told) -> Server {
        let data = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_landbridge"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("LANDBRIDGE_") {
                command.env_remove(name);
            }
        }
        let file = if told == Told::File { "partner.toml" } else { "common.toml" };
        command.args(["--log", "error", "--config"]).arg(self.path(file)).args([
            "partner",
            "--ready-json",
            "--data",
        ]);
        command.arg(data.path());
        for (table, key, value) in self.settings() {
            // The address of NATS and the seal key have names that are shorter.
            let name = match (table, key) {
                ("nats", "url") => "nats".to_owned(),
                ("postgres", "seal_key_file") => "seal-key-file".to_owned(),
                _ => format!("{table}-{}", key.replace('_', "-")),
            };
            let value = value.trim_matches('"');
            match told {
                Told::File => {}
                Told::Flags => drop(command.arg(format!("--{name}={value}"))),
                Told::Environment => {
                    let name = name.replace('-', "_").to_uppercase().replace("SEAL_KEY_FILE", "SEAL_KEY");
                    command.env(format!("LANDBRIDGE_PARTNER_{name}"), value);
                }
            }
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: serde_json::Value =
            serde_json::from_str(&line).unwrap_or_else(|cause| panic!("{cause} in {line:?}"));
        Server { child, addr: ready["addr"].as_str().unwrap().parse().unwrap(), _data: data }
    }
}

/// The process, killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) addr: SocketAddr,
    _data: TempDir,
}

impl Server {
    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and waits for the end.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        let kill = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status().unwrap();
        assert!(kill.success());
        self.child.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
