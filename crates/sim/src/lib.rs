//! A simulation of the whole system: many clients and phones in one thread, in virtual time, with faults of every layer,
//! and a reference model beside it that knows what must have come of it.
//!
//! Everything random comes from one seed, so a run can be repeated to the bit; the hash over all that happened shows it.
//!
//! ```
//! use landbridge_sim::{Calm, Config, simulate};
//!
//! let config = Config { seed: 1, clients: 2, phones: 2, steps: 20, sandbox: Calm::Faults };
//! let report = simulate(&config).map_err(|failure| failure.to_string())?;
//! assert_eq!(report.hash, simulate(&config).map_err(|failure| failure.to_string())?.hash);
//! # Ok::<(), String>(())
//! ```
//!
//! | module | what |
//! |---|---|
//! | `steps`, `choice` | what may happen next, and what decides it |
//! | `wire`, `disk` | networks that fail, processes that are killed |
//! | `client`, `partner`, `world` | the parties |
//! | `ledger`, `recorder` | the reference model, and the book of all ciphertexts |
//! | `excuses`, `overtaken` | what the sandbox did wrong on purpose and what came too late, and what that explains |
//! | `heal` | the end: everything has to come right |
//! | `trace` | what happened, and the hash over it |

mod choice;
mod client;
mod disk;
mod excuses;
mod heal;
mod ledger;
mod logs;
mod overtaken;
mod partner;
mod recorder;
mod seed;
mod steps;
mod trace;
mod wire;
mod world;

use choice::Choices;
pub use landbridge_sandbox::Calm;
use trace::Trace;
use world::{World, lock};

/// Whatever keeps the simulation itself from going on.
type Broken = Box<dyn std::error::Error + Send + Sync>;

/// What to simulate.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "settings, written out by their users")]
pub struct Config {
    /// Seed of everything random.
    pub seed: u64,
    /// Partner clients, at least 1.
    pub clients: usize,
    /// Test phones, 1 to 9,999.
    pub phones: usize,
    /// Steps before the faults stop.
    pub steps: usize,
    /// What the sandbox does wrong on purpose meanwhile.
    pub sandbox: Calm,
}

/// What came of a run in which everything held.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Steps taken.
    pub steps: usize,
    /// Simulated seconds.
    pub seconds: f64,
    /// Seconds from the end of the faults until everything had come right.
    pub healed_after: u32,
    /// Messages that were promised.
    pub promised: usize,
    /// Messages that were shown.
    pub shown: usize,
    /// Hash over everything that happened, 16 hex digits.
    pub hash: String,
}

/// A run in which something did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The step; one more than there are stands for the end.
    pub step: usize,
    /// What did not hold.
    pub violations: Vec<String>,
    /// What happened last.
    pub trace: Vec<String>,
    /// Hash over everything that happened, 16 hex digits.
    pub hash: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "seed {} failed at step {}, hash {}", self.seed, self.step, self.hash)?;
        for violation in &self.violations {
            writeln!(f, "  {violation}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// Runs one simulation on this thread.
///
/// # Errors
/// [`Failure`]: something did not hold, or the simulation itself could not go on.
pub fn simulate(config: &Config) -> Result<Report, Box<Failure>> {
    on_this_thread(config, Choices::of_seed(config.seed))
}

/// As [`simulate`], but the steps are those of a script, which any bytes are: for fuzzers, which learn what the bytes do.
/// The run has at most `config.steps` steps and ends with the script.
///
/// # Errors
/// The same.
pub fn follow(config: &Config, script: &[u8]) -> Result<Report, Box<Failure>> {
    on_this_thread(config, Choices::of_script(script))
}

fn on_this_thread(config: &Config, choices: Choices) -> Result<Report, Box<Failure>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let failed = |violation: String| {
        Box::new(Failure {
            seed: config.seed,
            step: 0,
            violations: vec![violation],
            trace: Vec::new(),
            hash: String::new(),
        })
    };
    let runtime = runtime.map_err(|error| failed(heal::broken(&error)))?;
    if config.clients == 0 || !(1..10_000).contains(&config.phones) {
        return Err(failed("a run has at least one client and 1 to 9,999 phones".to_owned()));
    }
    let enter = runtime.enter();
    let trace = Trace::new();
    drop(enter);
    let logs = tracing::Dispatch::new(logs::Logs(trace.clone()));
    tracing::dispatcher::with_default(&logs, || runtime.block_on(run(config, choices, &trace)))
}

async fn run(config: &Config, choices: Choices, trace: &Trace) -> Result<Report, Box<Failure>> {
    let mut step = 0;
    let outcome = scenario(config, choices, trace, &mut step).await;
    if let Err(error) = &outcome {
        trace.violation(heal::broken(&**error));
    }
    match outcome {
        Ok(report) if trace.violations().is_empty() => Ok(report),
        _ => Err(Box::new(Failure {
            seed: config.seed,
            step,
            violations: trace.violations(),
            trace: trace.tail(),
            hash: trace.hash(),
        })),
    }
}

async fn scenario(
    config: &Config,
    choices: Choices,
    trace: &Trace,
    step: &mut usize,
) -> Result<Report, Broken> {
    let mut world = World::new(config, choices, trace)?;
    let mut healed_after = 0;
    world.begin().await?;
    while *step < config.steps && !world.choices.are_over() && trace.violations().is_empty() {
        *step += 1;
        world.take_step().await?;
    }
    if trace.violations().is_empty() {
        *step += 1;
        healed_after = world.heal().await?;
    }
    let (promised, shown) = {
        let ledger = lock(&world.shared.ledger);
        (ledger.promised(), ledger.shown_once())
    };
    let report = Report {
        seed: config.seed,
        steps: *step,
        seconds: trace.seconds(),
        healed_after,
        promised,
        shown,
        hash: trace.hash(),
    };
    world.shutdown().await;
    Ok(report)
}
