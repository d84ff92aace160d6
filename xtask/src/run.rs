//! Running programs: each is printed before it runs, so that it can be repeated by hand.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Nothing, or the sentence that says what failed.
pub(crate) type Outcome = Result<(), String>;

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where cargo builds.
pub(crate) fn target_dir() -> Result<PathBuf, String> {
    let metadata = cargo(&["metadata", "--format-version", "1", "--no-deps"]).output()?;
    let field = metadata.split("\"target_directory\":\"").nth(1).and_then(|rest| rest.split('"').next());
    field.map(PathBuf::from).ok_or_else(|| "cargo metadata names no target directory".to_owned())
}

/// A command of the cargo that runs this program, at the root of the workspace.
pub(crate) fn cargo(args: &[&str]) -> Program {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    Program::new(&cargo).args(args)
}

/// A program to run.
pub(crate) struct Program(Command);

impl Program {
    pub(crate) fn new(name: &str) -> Self {
        let mut command = Command::new(name);
        command.current_dir(root());
        Self(command)
    }

    pub(crate) fn args<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(mut self, args: I) -> Self {
        self.0.args(args);
        self
    }

    pub(crate) fn env(mut self, key: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.0.env(key, value);
        self
    }

    pub(crate) fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.0.current_dir(dir);
        self
    }

    /// Runs with the output shown.
    pub(crate) fn run(mut self) -> Outcome {
        let line = self.line();
        eprintln!("$ {line}");
        match self.0.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("`{line}` ended with {status}")),
            Err(error) => Err(format!("`{line}` could not be started: {error}")),
        }
    }

    /// Runs silently; whether it exists and exits with 0.
    pub(crate) fn succeeds(mut self) -> bool {
        self.0.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }

    /// Runs and gives what it printed on standard output.
    pub(crate) fn output(mut self) -> Result<String, String> {
        let line = self.line();
        let output = self
            .0
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("`{line}` could not be started: {error}"))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(format!("`{line}` ended with {}", output.status))
        }
    }

    fn line(&self) -> String {
        let program = Path::new(self.0.get_program());
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
        let args = self.0.get_args().map(|arg| arg.to_string_lossy().into_owned());
        std::iter::once(name).chain(args).collect::<Vec<_>>().join(" ")
    }
}
