//! Fifty seeds, small; one of them twice; and the seeds that have once shown something.

#![allow(clippy::panic, reason = "helpers of tests fail as tests do")]

use landbridge_sim::{Calm, Config, Report, simulate};

fn run(config: &Config) -> Report {
    match simulate(config) {
        Ok(report) => report,
        Err(failure) => panic!("{failure}{}", failure.trace.join("\n")),
    }
}

fn seeds(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let report = run(&Config { seed, clients: 3, phones: 3, steps: 120, sandbox: Calm::Faults });
        assert!(report.shown > 0 && report.shown <= report.promised + 1, "{report:?}");
    }
}

#[test]
fn fifty_seeds_first_half() {
    seeds(1..26);
}

#[test]
fn fifty_seeds_second_half() {
    seeds(26..51);
}

#[test]
fn a_seed_replays_bit_for_bit() {
    let config = Config { seed: 7, clients: 5, phones: 5, steps: 150, sandbox: Calm::Faults };
    let (first, second) = (run(&config), run(&config));
    assert_eq!(first, second);
    let other = run(&Config { seed: 8, ..config });
    assert_ne!(first.hash, other.hash);
}

/// Delivered and read receipt of one message came together, and only one of them was acked.
#[test]
fn two_receipts_of_one_message_are_two_acks() {
    run(&Config { seed: 120, clients: 4, phones: 4, steps: 200, sandbox: Calm::Faults });
}

#[test]
fn two_hundred_parties() {
    let report = run(&Config { seed: 1, clients: 100, phones: 100, steps: 600, sandbox: Calm::Faults });
    assert!(report.shown > 300, "{report:?}");
}
