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
    again(120);
}

fn again(seed: u64) {
    run(&Config { seed, clients: 4, phones: 4, steps: 200, sandbox: Calm::Faults });
}

/// Requests of an installation in between brought keys that were gone, and the present ones were passed over for them.
#[test]
fn keys_of_a_request_may_be_old() {
    [1_992, 3_824, 4_388].into_iter().for_each(again);
}

/// The session of an answer was dropped again before the answer was encrypted.
#[test]
fn a_new_session_may_be_gone_before_it_is_used() {
    [15_970, 19_374].into_iter().for_each(again);
}

/// A late answer brought a block back that was taken back meanwhile.
#[test]
fn a_late_blocklist_is_an_old_one() {
    [14_915, 19_661].into_iter().for_each(again);
}

/// The model's own: keys overtook a message of the identity before; a block was asked for while the client still took the
/// one before back.
#[test]
fn the_model_knows_what_is_no_mistake() {
    [4_766, 11_075].into_iter().for_each(again);
}

#[test]
fn two_hundred_parties() {
    let report = run(&Config { seed: 1, clients: 100, phones: 100, steps: 600, sandbox: Calm::Faults });
    assert!(report.shown > 300, "{report:?}");
}
