//! The `landbridge` program: sandbox, partner server, client and tools.
//!
//! Standard output carries results, standard error carries logs and one sentence if a command fails. Exit code 0: done; 1: it did not
//! work, and the sentence says what to do; 2: the command line or the configuration is wrong.
//!
//! The program is [`run_program`]; the library is here so that other programs of the workspace can look at its parts.
//!
//! ```
//! use landbridge_cli::check_config;
//!
//! assert_eq!(check_config("[client]\nidentifier = \"alice\"\n"), Ok(()));
//! let problem = check_config("[client]\nidentifer = \"alice\"\n").unwrap_err();
//! assert!(problem.starts_with(", line 2: unknown key `identifer`"));
//! ```

mod bind;
mod client;
mod config;
mod demo;
#[cfg(feature = "engines")]
mod engines;
mod explain;
mod failure;
mod logging;
mod media;
mod output;
mod partner;
mod peer;
mod private_dir;
mod progress;
mod sandbox;
mod shutdown;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use config::Config;
use failure::Failure;

// No `Debug` here and below: session tokens are among the arguments.
/// Interoperable messaging with WhatsApp under the Digital Markets Act: sandbox, partner server, client and tools
#[derive(Parser)]
#[command(name = "landbridge", version, subcommand_required = true)]
struct Cli {
    /// Configuration file [default: landbridge.toml, if there is one]
    #[arg(long, global = true, value_name = "FILE", env = "LANDBRIDGE_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    logging: logging::Args,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything in one process and check it: partner server, simulated WhatsApp, client
    Demo(demo::Args),
    /// Run a simulated WhatsApp: enlistment, chat server, test phones, control API
    Sandbox(sandbox::Args),
    /// Run a partner's server: key set, identity tokens, pushes, media
    Partner(Box<partner::Args>),
    /// Act as a partner's user: enlist, send, listen, block, delete
    Client(client::Args),
    /// Tell what happened to one message, step by step, without its text
    Explain(explain::Args),
    /// Play one party of a protocol behind JSON lines, to be tested against other implementations
    Peer(peer::PeerArgs),
    /// Encrypt, decrypt and inspect media files
    Media(media::Args),
    /// Turn stanzas between hex, XML and JSON
    Wire(wire::WireArgs),
}

impl Command {
    /// Servers tell what they do; the others only what goes wrong.
    fn default_log(&self) -> &'static str {
        match self {
            Self::Sandbox(_) | Self::Partner(_) => "info",
            Self::Client(_) | Self::Media(_) | Self::Explain(_) | Self::Peer(_) | Self::Wire(_) => "warn",
            // It refuses things on purpose, and says so itself.
            Self::Demo(_) => "error",
        }
    }
}

/// Whether a text is a configuration file: the file's settings would be taken.
///
/// # Errors
/// `, line n: what is wrong`, to be put behind the file's name; the number is missing if no line is at fault.
pub fn check_config(text: &str) -> Result<(), String> {
    Config::parse(text).map(drop)
}

/// Runs the program on the arguments and the environment of this process.
pub fn run_program() -> ExitCode {
    let parsed = Cli::command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let outcome = match parsed {
        Ok(cli) => run(cli),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                // A reader that closed the pipe has seen enough.
                let _ = error.print();
                return ExitCode::SUCCESS;
            }
            _ => Err(Failure::usage(usage_sentence(&error))),
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    config::check_environment(&Cli::command(), std::env::vars_os())?;
    let config = Config::load(cli.config.as_deref())?;
    logging::start(&cli.logging, cli.command.default_log())?;
    match cli.command {
        Command::Demo(args) => block_on(demo::run(args)),
        Command::Sandbox(args) => block_on(sandbox::run(args, config)),
        Command::Partner(args) => block_on(partner::run(*args, config)),
        Command::Client(args) => block_on(client::run(args, config)),
        Command::Explain(args) => explain::run(&args, config),
        Command::Peer(args) => Ok(peer::run(&args)?),
        Command::Media(args) => block_on(media::run(args)),
        Command::Wire(args) => wire::run(args),
    }
}

fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime
        .map_err(|error| Failure::runtime(format!("the runtime does not start: {error}")))?
        .block_on(command)
}

/// clap's message is a paragraph with a usage block; the first paragraph on one line says what is wrong.
fn usage_sentence(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let lines = text.lines().take_while(|line| !line.trim().is_empty() && !line.starts_with("Usage:"));
    let sentence = lines.map(str::trim).collect::<Vec<_>>().join(" ");
    let sentence = sentence.strip_prefix("error: ").unwrap_or(&sentence);
    match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            "a command is missing; see --help".to_owned()
        }
        _ => format!("{sentence}; see --help"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
