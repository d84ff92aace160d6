//! A client, a test phone and the sandbox between them, in memory and in virtual time, beside the simulation's model.

use landbridge_sim::{Calm, Config, follow};

use crate::input::Input;

/// Steps of one run.
const MOST_STEPS: usize = 24;

/// Whatever is written, read, lost, held back, blocked or killed, and in which order: everything is shown once and in order,
/// no key encrypts twice, no rule is broken, and in the end all states agree.
pub(crate) fn run(bytes: &[u8]) {
    let mut script = Input::new(bytes);
    let head = script.u8();
    let sandbox = if head & 0x80 == 0 { Calm::Calm } else { Calm::Faults };
    let config = Config { seed: u64::from(head & 7), clients: 1, phones: 1, steps: MOST_STEPS, sandbox };
    if let Err(failure) = follow(&config, script.rest()) {
        panic!("{failure}");
    }
}

/// Two bytes for each draw: the kind of step by weight, then client, phone, what the step itself draws, and the pause.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let step = |weight: u8, more: &[u8]| {
        let mut bytes = vec![weight, 0, 0, 0, 0, 0];
        bytes.extend(more.iter().flat_map(|draw| [*draw, 0]));
        bytes.extend([3, 0, 100, 0]);
        bytes
    };
    let (client_writes, phone_writes) = (step(0, &[]), step(30, &[]));
    let calm = [&[1][..], &client_writes, &phone_writes, &step(66, &[]), &step(72, &[])].concat();
    let away =
        [&[2][..], &step(78, &[]), &phone_writes, &phone_writes, &step(80, &[]), &client_writes].concat();
    let broken =
        [&[3][..], &client_writes, &step(86, &[1, 2, 0]), &phone_writes, &step(91, &[1, 2, 1])].concat();
    let killed =
        [&[0x84][..], &client_writes, &step(100, &[3, 1, 0]), &phone_writes, &step(110, &[])].concat();
    vec![calm, away, broken, killed]
}
