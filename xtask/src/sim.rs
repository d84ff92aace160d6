//! Simulations: seeds in numbers, on a release build.

use clap::Args;

use crate::run::{Outcome, cargo};

#[derive(Args)]
pub(crate) struct SimArgs {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// Partner clients in each run.
    #[arg(long, default_value_t = 4)]
    clients: usize,
    /// Test phones in each run.
    #[arg(long, default_value_t = 4)]
    phones: usize,
    /// Steps of each run.
    #[arg(long, default_value_t = 200)]
    steps: usize,
    /// What the sandbox does wrong on purpose: `calm`, `default` or `storm`.
    #[arg(long, default_value = "default")]
    sandbox: String,
}

pub(crate) fn run(args: &SimArgs) -> Outcome {
    let SimArgs { seed, seeds, clients, phones, steps, sandbox } = args;
    cargo(&["run", "--release", "--package", "landbridge-sim", "--"])
        .args([
            format!("--seed={seed}"),
            format!("--seeds={seeds}"),
            format!("--clients={clients}"),
            format!("--phones={phones}"),
            format!("--steps={steps}"),
            format!("--sandbox={sandbox}"),
        ])
        .run()
}
