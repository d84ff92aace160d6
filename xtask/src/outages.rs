//! Kills of PostgreSQL, the object store and NATS under load, and of the servers over them, in numbers.

use clap::Args;

use crate::run::{Outcome, cargo};
use crate::services;

#[derive(Args)]
pub(crate) struct OutageArgs {
    /// How many kills of engines, a third of them each one's.
    #[arg(long, default_value_t = 300)]
    times: u32,
    /// How many kills of servers.
    #[arg(long, default_value_t = 100)]
    servers: u32,
    /// The seed of what is killed when, and of what is asked.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) fn run(args: &OutageArgs) -> Outcome {
    let OutageArgs { times, servers, seed } = args;
    cargo(&["test", "--package", "landbridge-engines", "--test", "outages", "--", "--nocapture"])
        .env("LANDBRIDGE_OUTAGES", times.to_string())
        .env("LANDBRIDGE_SEED", seed.to_string())
        .run()?;
    services::servers()
        .env("LANDBRIDGE_KILLS", servers.to_string())
        .env("LANDBRIDGE_SEED", seed.to_string())
        .run()
}
