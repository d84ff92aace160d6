//! Instruction counts beside their limits. The work is done by a program in a workspace of its own, so that it can be
//! built with the symbols that callgrind needs.

use clap::Args;

use crate::{
    legs::Missing,
    run::{Outcome, Program, root},
};

#[derive(Args)]
pub(crate) struct GuardArgs {
    /// Make what is counted now the limits.
    #[arg(long)]
    accept: bool,
}

impl GuardArgs {
    /// Counts, and makes them the limits if that was asked for; fails without valgrind.
    pub(crate) fn run(&self) -> Outcome {
        if self.accept { program(&["--", "--accept"]) } else { check(Missing::Fails) }
    }
}

/// Counts and compares.
pub(crate) fn check(missing: Missing) -> Outcome {
    if !Program::new("valgrind").args(["--version"]).succeeds() {
        return missing.report("guard", "valgrind is not installed");
    }
    program(&[])
}

fn program(args: &[&str]) -> Outcome {
    Program::new("cargo")
        .args(["run", "--release", "--locked"])
        .args(args)
        .dir(root().join("bench/guard"))
        .run()
}
