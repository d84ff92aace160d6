//! Live against Signal's own library (`peers/signal-peer`): pairs, groups, and a whole phone.
//!
//! Runs only with `LANDBRIDGE_PEERS=1`, after `npm ci` in `peers/signal-peer`; `cargo xtask test peers` does both, and
//! `cargo xtask peers` runs many seeds. Each run prints its seed, and `LANDBRIDGE_SEED` repeats it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod groups;
mod limits;
mod model;
mod pairs;
mod phone;
mod process;

use std::{process::Command, time::Instant};

use process::{peer_directory, switched_on};
use rand::RngExt as _;

/// What to run: from the environment, or a little.
struct Plan {
    first: u64,
    seeds: u64,
    operations: usize,
}

impl Plan {
    /// `operations` if the environment says nothing.
    fn new(operations: usize) -> Self {
        let number = |name: &str| {
            let text = std::env::var(name).ok();
            text.map(|text| text.parse::<u64>().unwrap_or_else(|_| panic!("{name}={text} is no number")))
        };
        Self {
            first: number("LANDBRIDGE_SEED").unwrap_or_else(|| rand::rng().random_range(0..1_000_000)),
            seeds: number("LANDBRIDGE_SEEDS").unwrap_or(2),
            operations: number("LANDBRIDGE_OPERATIONS")
                .map_or(operations, |count| usize::try_from(count).unwrap()),
        }
    }

    /// Runs every seed and says what came of it.
    fn run(&self, what: &str, run: impl Fn(u64, usize) -> String) {
        for seed in self.first..self.first + self.seeds {
            println!("{what}: LANDBRIDGE_SEED={seed} LANDBRIDGE_OPERATIONS={}", self.operations);
            let begin = Instant::now();
            let came = run(seed, self.operations);
            let seconds = begin.elapsed().as_secs_f64();
            println!("{what}: seed {seed}: {} operations in {seconds:.1} s: {came}", self.operations);
        }
    }
}

#[test]
fn the_tests_of_the_line_protocol() {
    if !switched_on() {
        return;
    }
    let other = format!("{} peer signal", env!("CARGO_BIN_EXE_landbridge"));
    let status = Command::new("npm")
        .args(["test", "--silent"])
        .current_dir(peer_directory())
        .env("OTHER_PEER", other)
        .status()
        .expect("npm starts");
    assert!(status.success());
}
