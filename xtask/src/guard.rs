//! Instruction counts beside their limits. The work is done by a program in a workspace of its own, so that it can be
//! built with the symbols that callgrind needs.

use clap::Args;

use crate::run::{Outcome, Program, root};

#[derive(Args)]
pub(crate) struct GuardArgs {
    /// Make what is counted now the limits.
    #[arg(long)]
    accept: bool,
}

/// Counts and compares; says "skipped" where there is no valgrind.
pub(crate) fn run(args: &GuardArgs) -> Outcome {
    let guard = Program::new("cargo").args(["run", "--release"]).dir(root().join("bench/guard"));
    if args.accept { guard.args(["--", "--accept"]) } else { guard }.run()
}
