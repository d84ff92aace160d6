//! `landbridge-kill`: kills in numbers, and a summary. The subcommand `life` is the process that is killed.

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use landbridge_kill::life::{self, Orders};
use landbridge_kill::{KillError, Script, Share, at_commit_points, at_random};

/// Kills a client at random instants and at every commit, and checks that nothing is lost, doubled or used twice.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// How many kills at random.
    #[arg(long, default_value_t = 300)]
    times: u32,
    /// The seed of the instants.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Subcommand)]
enum Role {
    /// Be the client.
    #[command(hide = true)]
    Life(Orders),
}

#[expect(clippy::print_stderr, reason = "a program on the command line")]
fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match &cli.role {
        Some(Role::Life(orders)) => life::live(orders),
        None => supervise(&cli),
    };
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    eprintln!("landbridge-kill: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
    ExitCode::FAILURE
}

#[expect(clippy::print_stdout, reason = "a program on the command line")]
fn supervise(cli: &Cli) -> Result<(), KillError> {
    let broken = |doing| move |source: std::io::Error| KillError::Broken { doing, source: source.into() };
    let program = std::env::current_exe().map_err(broken("find this program"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(broken("start the runtime"))?.block_on(async {
        let begun = Instant::now();
        println!("seed {}", cli.seed);
        println!("at random: {}", at_random(&program, cli.seed, cli.times).await?);
        for (name, script) in [("first", Script::First), ("later", Script::Later)] {
            let report = at_commit_points(&program, script, Share::ALL).await?;
            println!("at every commit of the {name} login: {report}");
        }
        println!("in {:.1} s", begun.elapsed().as_secs_f64());
        Ok(())
    })
}
