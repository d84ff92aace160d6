//! Live runs against programs of others: a few of each in the leg `peers`, many by `cargo xtask peers`.

use clap::Args;

use crate::{
    legs::Missing,
    run::{Outcome, Program, cargo, root, target_dir},
};

#[derive(Args)]
pub(crate) struct PeersArgs {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds of each kind of run: pairs with either library, and groups.
    #[arg(long, default_value_t = 20)]
    seeds: u64,
    /// Operations of each run.
    #[arg(long, default_value_t = 5_000)]
    operations: u64,
}

/// Random conversations with Signal's own library, seed after seed; each reports what it did and how long it took.
pub(crate) fn run(args: &PeersArgs) -> Outcome {
    let PeersArgs { seed, seeds, operations } = args;
    install_signal_peer(Missing::Fails)?;
    signal_tests(&["--release"], "random_")
        .env("LANDBRIDGE_SEED", seed.to_string())
        .env("LANDBRIDGE_SEEDS", seeds.to_string())
        .env("LANDBRIDGE_OPERATIONS", operations.to_string())
        .run()
}

/// The leg.
pub(crate) fn run_leg(missing: Missing) -> Outcome {
    if install_signal_peer(missing)? == Installed::Yes {
        signal_tests(&[], "").run()?;
    }
    python_client(missing)
}

#[derive(PartialEq, Eq)]
enum Installed {
    Yes,
    No,
}

/// Signal's own library, driven through Node.js.
fn install_signal_peer(missing: Missing) -> Result<Installed, String> {
    if !Program::new("node").args(["--version"]).succeeds()
        || !Program::new("npm").args(["--version"]).succeeds()
    {
        missing.report("peers", "Node.js with npm is not installed (18 or newer)")?;
        return Ok(Installed::No);
    }
    let dir = root().join("peers/signal-peer");
    if !dir.join("node_modules").is_dir() {
        Program::new("npm").args(["ci", "--no-audit", "--no-fund"]).dir(&dir).run()?;
    }
    Ok(Installed::Yes)
}

/// The tests that talk with it, one after the other so that each one's time is its own.
fn signal_tests(profile: &[&str], filter: &str) -> Program {
    cargo(&["test"])
        .args(profile)
        .args(["--package", "landbridge-cli", "--test", "peers", "--", "--nocapture", "--test-threads=1"])
        .args(Some(filter).filter(|filter| !filter.is_empty()))
        .env("LANDBRIDGE_PEERS", "1")
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
