//! All targets in one libFuzzer program; `LANDBRIDGE_FUZZ_TARGET` chooses. See the README one folder up.
#![no_main]

mod peer;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

/// Targets that need the trees of others, and so live here.
const PEER_TARGETS: &[(&str, fn(&[u8]))] = &[("peer_wire", peer::wire)];

static RUN: OnceLock<fn(&[u8])> = OnceLock::new();

fn chosen() -> fn(&[u8]) {
    let name = std::env::var("LANDBRIDGE_FUZZ_TARGET").unwrap_or_default();
    let ours = landbridge_fuzz::find(&name).map(|target| target.run);
    let run = ours.or_else(|| PEER_TARGETS.iter().find(|(known, _)| *known == name).map(|(_, run)| *run));
    run.unwrap_or_else(|| {
        eprintln!("LANDBRIDGE_FUZZ_TARGET={name:?} is no target");
        std::process::exit(2);
    })
}

fuzz_target!(|bytes: &[u8]| RUN.get_or_init(chosen)(bytes));
