//! Kills of the client in numbers, on a release build.

use clap::Args;

use crate::run::{Outcome, cargo};

#[derive(Args)]
pub(crate) struct KillArgs {
    /// How many kills at random, beside one at every commit.
    #[arg(long, default_value_t = 300)]
    times: u32,
    /// The seed of the instants.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) fn run(args: &KillArgs) -> Outcome {
    let KillArgs { times, seed } = args;
    cargo(&["run", "--release", "--package", "landbridge-kill", "--"])
        .args([format!("--times={times}"), format!("--seed={seed}")])
        .run()
}
