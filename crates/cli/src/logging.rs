//! Logs go to standard error; standard output belongs to results.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;

/// How log lines look.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Flags about logs, valid for every command.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to log: a level (error, warn, info, debug, trace) or a filter such as `landbridge=debug`
    #[arg(long, global = true, value_name = "FILTER", env = "LANDBRIDGE_LOG")]
    log: Option<String>,
    /// How log lines look
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text", env = "LANDBRIDGE_LOG_FORMAT")]
    log_format: Format,
}

/// Starts logging, with `default` where no filter was given.
pub(crate) fn start(args: &Args, default: &str) -> Result<(), Failure> {
    let filter = args.log.as_deref().unwrap_or(default);
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| Failure::usage(format!("the log filter {filter:?} does not parse: {error}")))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    let started = match args.log_format {
        Format::Text => builder.try_init(),
        Format::Json => builder.json().try_init(),
    };
    started.map_err(|error| Failure::runtime(format!("logging does not start: {error}")))
}
