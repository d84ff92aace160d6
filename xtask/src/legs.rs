//! The legs of the tests: which there are, what each needs, what happens when that is missing.

use clap::ValueEnum;

use crate::run::{Outcome, Program, cargo, root, target_dir};

/// One leg.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Leg {
    /// Unit, property, vector and end-to-end tests of all crates, documentation examples: `cargo test`.
    Core,
    /// The demo, built as a user builds it and run whole.
    Demo,
    /// Live runs against programs of others: Signal's own library (Node.js).
    Peers,
}

const ALL: [Leg; 3] = [Leg::Core, Leg::Demo, Leg::Peers];

/// What a missing tool means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The leg is skipped, and that is said.
    Skips,
    /// The leg fails: the switch that CI sets.
    Fails,
}

impl Missing {
    pub(crate) fn from_flag(require_all: bool) -> Self {
        if require_all { Self::Fails } else { Self::Skips }
    }

    /// Says that `leg` cannot run because of `why`.
    pub(crate) fn report(self, leg: &str, why: &str) -> Outcome {
        match self {
            Self::Skips => {
                eprintln!("xtask: leg `{leg}` SKIPPED: {why}");
                Ok(())
            }
            Self::Fails => Err(format!("leg `{leg}` cannot run: {why}")),
        }
    }
}

/// Runs `legs` (all if empty) in order; the first failure ends the run.
pub(crate) fn run(legs: &[Leg], missing: Missing) -> Outcome {
    for leg in if legs.is_empty() { &ALL } else { legs } {
        match leg {
            Leg::Core => cargo(&["test", "--workspace", "--all-features"]).run()?,
            Leg::Demo => demo()?,
            Leg::Peers => peers(missing)?,
        }
    }
    Ok(())
}

fn demo() -> Outcome {
    for text in ["Good day! Grüße, שלום, 你好 👩‍👩‍👧", ""] {
        let text: &[&str] = if text.is_empty() { &[] } else { &["--text", text] };
        cargo(&["run", "--release", "--quiet", "--package", "landbridge-cli", "--", "demo"])
            .args(text)
            .run()?;
    }
    Ok(())
}

fn peers(missing: Missing) -> Outcome {
    signal_peer(missing)?;
    python_client(missing)
}

/// Signal's own library, driven through Node.js.
fn signal_peer(missing: Missing) -> Outcome {
    if !Program::new("node").args(["--version"]).succeeds()
        || !Program::new("npm").args(["--version"]).succeeds()
    {
        return missing.report("peers", "Node.js with npm is not installed (18 or newer)");
    }
    let dir = root().join("peers/signal-peer");
    if !dir.join("node_modules").is_dir() {
        Program::new("npm").args(["ci", "--no-audit", "--no-fund"]).dir(&dir).run()?;
    }
    cargo(&["test", "--package", "landbridge-cli", "--test", "peer_signal", "--", "--nocapture"])
        .env("LANDBRIDGE_PEERS", "1")
        .run()
}

/// A client in another language against the sandbox.
fn python_client(missing: Missing) -> Outcome {
    let venv = root().join("target/peers-python");
    let python = venv.join("bin/python");
    let dir = root().join("peers/python-client");
    if !python.exists() {
        if !Program::new("python3").args(["-c", "import venv, ensurepip"]).succeeds() {
            return missing.report("peers", "Python 3 with venv is not installed");
        }
        Program::new("python3").args(["-m".as_ref(), "venv".as_ref(), venv.as_os_str()]).run()?;
        Program::new(&python.to_string_lossy())
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "-r",
                "requirements.txt",
            ])
            .dir(&dir)
            .run()?;
    }
    cargo(&["build", "--package", "landbridge-cli"]).run()?;
    let binary = target_dir()?.join("debug/landbridge");
    Program::new(&python.to_string_lossy())
        .args(["client.py".as_ref(), "--binary".as_ref(), binary.as_os_str()])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .dir(&dir)
        .run()
}
