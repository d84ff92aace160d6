//! Kills of PostgreSQL, the object store and NATS under load, in numbers.

use clap::Args;

use crate::run::{Outcome, cargo};

#[derive(Args)]
pub(crate) struct OutageArgs {
    /// How many kills, a third of them each service's.
    #[arg(long, default_value_t = 300)]
    times: u32,
    /// The seed of what is killed when, and of what is asked.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) fn run(args: &OutageArgs) -> Outcome {
    let OutageArgs { times, seed } = args;
    cargo(&["test", "--package", "landbridge-engines", "--test", "outages", "--", "--nocapture"])
        .env("LANDBRIDGE_OUTAGES", times.to_string())
        .env("LANDBRIDGE_SEED", seed.to_string())
        .run()
}
