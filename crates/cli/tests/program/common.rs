//! Runs the real program.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};

/// The program with a clean environment, in `directory`, where no configuration file is unless a test puts it there.
pub(crate) fn landbridge(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_landbridge"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LANDBRIDGE_") {
            command.env_remove(name);
        }
    }
    command.current_dir(directory).stdin(Stdio::null());
    command
}

pub(crate) fn run(directory: &Path, args: &[&str]) -> Output {
    landbridge(directory).args(args).output().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A server of ours in a process of its own, ready when it has said so. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub(crate) ready: serde_json::Value,
}

impl Server {
    pub(crate) fn start(directory: &Path, args: &[&str]) -> Self {
        let mut child = landbridge(directory)
            .args(args)
            .args(["--ready-json", "--log", "warn"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let ready =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?} of {args:?}"));
        Self { child, stdout, ready }
    }

    pub(crate) fn text(&self, key: &str) -> String {
        self.ready[key].as_str().unwrap_or_else(|| panic!("no {key} in {}", self.ready)).to_owned()
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, signal: &str) {
        let kill =
            Command::new("kill").arg(format!("-{signal}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(kill.success());
    }

    /// Sends a signal by name, waits, and gives the exit status and what else was printed on standard output.
    pub(crate) fn stop(mut self, signal: &str) -> (ExitStatus, String) {
        self.signal(signal);
        let status = self.child.wait().unwrap();
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        (status, rest)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
