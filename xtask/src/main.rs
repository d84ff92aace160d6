//! Chores of the workspace: `cargo xtask test | ci | bench | demo | fmt | lint | docs | deny`.

mod bench;
mod fuzz;
mod guard;
mod kill;
mod legs;
mod outages;
mod peers;
mod purity;
mod run;
mod services;
mod sim;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::{
    legs::{Leg, Missing},
    run::{Outcome, cargo},
};

#[derive(Parser)]
#[command(about = "Chores of the Landbridge workspace", version)]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Run the tests: all legs, or those named.
    Test(TestArgs),
    /// What CI runs: formatting, lints, documentation, dependencies, instruction counts, all tests.
    Ci {
        /// A leg whose tools are missing fails instead of being skipped.
        #[arg(long)]
        require_all: bool,
    },
    /// Measure, and print the figures as tables.
    Bench(bench::BenchArgs),
    /// Count instructions and compare with the limits (needs valgrind).
    Guard(guard::GuardArgs),
    /// Fuzz the readers of outside bytes, coverage-guided, on the stable toolchain.
    Fuzz(fuzz::FuzzArgs),
    /// Converse with Signal's own library at random, seed after seed: pairs and groups.
    Peers(peers::PeersArgs),
    /// Simulate many clients and phones under faults, in virtual time, seed after seed.
    Sim(sim::SimArgs),
    /// Kill a client's process at random and at every commit, and check that nothing is lost or used twice.
    Kill(kill::KillArgs),
    /// Kill PostgreSQL, the object store and NATS under two partner servers, and check that nothing acknowledged is lost.
    Outages(outages::OutageArgs),
    /// Run the demo; arguments go to `landbridge demo`.
    Demo {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Rules of the house that a program can check: dependencies, pure cores, secrets, public errors.
    Purity,
    /// Check formatting.
    Fmt,
    /// Clippy, warnings denied.
    Lint,
    /// Build the documentation, warnings denied.
    Docs,
    /// cargo-deny: bans, licences and sources.
    Deny {
        /// Also the advisory database, which has to be fetched.
        #[arg(long)]
        advisories: bool,
    },
}

#[derive(Args)]
struct TestArgs {
    /// Legs to run; all if none is named.
    #[arg(value_enum)]
    legs: Vec<Leg>,
    /// A leg whose tools are missing fails instead of being skipped.
    #[arg(long)]
    require_all: bool,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().chore {
        Chore::Test(args) => legs::run(&args.legs, Missing::from_flag(args.require_all)),
        Chore::Ci { require_all } => ci(Missing::from_flag(require_all)),
        Chore::Bench(args) => bench::run(&args),
        Chore::Guard(args) => args.run(),
        Chore::Fuzz(args) => fuzz::run(&args),
        Chore::Peers(args) => peers::run(&args),
        Chore::Sim(args) => sim::run(&args),
        Chore::Kill(args) => kill::run(&args),
        Chore::Outages(args) => outages::run(&args),
        Chore::Demo { args } => {
            cargo(&["run", "--release", "--package", "landbridge-cli", "--", "demo"]).args(args).run()
        }
        Chore::Purity => purity::run(),
        Chore::Fmt => fmt(),
        Chore::Lint => lint(),
        Chore::Docs => docs(),
        Chore::Deny { advisories } => {
            let checks: &[&str] = if advisories {
                &["advisories", "bans", "licenses", "sources"]
            } else {
                &["bans", "licenses", "sources"]
            };
            deny(checks, Missing::Fails)
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn ci(missing: Missing) -> Outcome {
    fmt()?;
    lint()?;
    docs()?;
    deny(&["bans", "licenses", "sources"], missing)?;
    purity::run()?;
    guard::check(missing)?;
    legs::run(&[], missing)
}

fn fmt() -> Outcome {
    cargo(&["fmt", "--all", "--check"]).run()
}

fn lint() -> Outcome {
    cargo(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"]).run()
}

fn docs() -> Outcome {
    cargo(&["doc", "--workspace", "--no-deps", "--all-features"]).env("RUSTDOCFLAGS", "-D warnings").run()
}

fn deny(checks: &[&str], missing: Missing) -> Outcome {
    if !cargo(&["deny", "--version"]).succeeds() {
        return missing.report("deny", "cargo-deny is not installed (cargo install cargo-deny --locked)");
    }
    cargo(&["deny", "check"]).args(checks).run()
}
