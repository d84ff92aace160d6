//! The legs of the tests: which there are, what each needs, what happens when that is missing.

use clap::ValueEnum;

use crate::{
    peers,
    run::{Outcome, cargo},
    services,
};

/// One leg.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Leg {
    /// Unit, property, vector and end-to-end tests, documentation examples: `cargo test` of all crates that need no engines.
    Core,
    /// The partner server over PostgreSQL, an S3 store and NATS, which it starts: what only they can show, and the server's own tests
    /// once more.
    Services,
    /// The demo, built as a user builds it and run whole.
    Demo,
    /// Live runs against programs of others: Signal's own library (Node.js).
    Peers,
}

const ALL: [Leg; 4] = [Leg::Core, Leg::Services, Leg::Demo, Leg::Peers];

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
            Leg::Core => core()?,
            Leg::Services => services::run_leg(missing)?,
            Leg::Demo => demo()?,
            Leg::Peers => peers::run_leg(missing)?,
        }
    }
    Ok(())
}

fn core() -> Outcome {
    let excluded = services::PACKAGES.iter().flat_map(|package| ["--exclude", package]);
    cargo(&["test", "--workspace", "--all-features"]).args(excluded).run()
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
