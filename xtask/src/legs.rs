//! The legs of the tests: which there are, what each needs, what happens when that is missing.

use clap::ValueEnum;

use crate::{
    peers,
    run::{Outcome, cargo},
};

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
            Leg::Peers => peers::run_leg(missing)?,
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
