//! `landbridge-sim`: seeds on the command line, one line per seed, the trace of what failed.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use landbridge_sim::{Calm, Config, simulate};

/// Simulates clients and phones under seeded faults and checks that nothing is lost, doubled or out of order.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds.
    #[arg(long, default_value_t = 1)]
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
    /// What the sandbox does wrong on purpose: nothing, its default rates, or ten times as much.
    #[arg(long, value_enum, default_value_t = Weather::Default)]
    sandbox: Weather,
    /// Lines of the trace that are printed when something fails.
    #[arg(long, default_value_t = 200)]
    lines: usize,
}

/// See [`Calm`].
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Weather {
    Calm,
    Default,
    Storm,
}

impl From<Weather> for Calm {
    fn from(weather: Weather) -> Self {
        match weather {
            Weather::Calm => Self::Calm,
            Weather::Default => Self::Faults,
            Weather::Storm => Self::Storm,
        }
    }
}

impl std::fmt::Display for Weather {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Calm => "calm",
            Self::Default => "default",
            Self::Storm => "storm",
        })
    }
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program on the command line")]
fn main() -> ExitCode {
    let cli = Cli::parse();
    let begun = Instant::now();
    let (mut promised, mut shown) = (0, 0);
    for seed in cli.seed..cli.seed.saturating_add(cli.seeds) {
        let config = Config {
            seed,
            clients: cli.clients,
            phones: cli.phones,
            steps: cli.steps,
            sandbox: cli.sandbox.into(),
        };
        match simulate(&config) {
            Ok(report) => {
                promised += report.promised;
                shown += report.shown;
                println!(
                    "seed {} steps {} simulated {:.1} s healed {} s promised {} shown {} hash {}",
                    report.seed,
                    report.steps,
                    report.seconds,
                    report.healed_after,
                    report.promised,
                    report.shown,
                    report.hash
                );
            }
            Err(failure) => {
                let skip = failure.trace.len().saturating_sub(cli.lines);
                for line in failure.trace.iter().skip(skip) {
                    eprintln!("{line}");
                }
                eprintln!("{failure}");
                eprintln!(
                    "again: landbridge-sim --seed {seed} --clients {} --phones {} --steps {} --sandbox {}",
                    cli.clients, cli.phones, cli.steps, cli.sandbox
                );
                return ExitCode::FAILURE;
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{} seeds in {seconds:.1} s, {:.0} a minute; {promised} messages promised, {shown} shown, each once",
        cli.seeds,
        cli.seeds as f64 * 60.0 / seconds
    );
    ExitCode::SUCCESS
}
