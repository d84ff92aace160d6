//! `landbridge demo`: the whole of it in one process, over real sockets, checked step by step.

mod channel;
mod chat;
mod exchange;
mod files;
mod identities;
mod integrity;
mod push;
mod report;
mod watch;
mod world;

use std::path::PathBuf;

use crate::failure::Failure;
use crate::output;
use crate::shutdown::Shutdown;
use report::{Completeness, Report, Stop};
use world::World;

/// What was typed.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The text of the first message
    #[arg(long, default_value = "Hello from the other side of the bridge! 🌉")]
    text: String,
    /// The file that the user sends, in place of 20 MB of random bytes
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Chat with a test phone in this terminal instead of running the checks
    #[arg(long)]
    interactive: bool,
    /// Leave the servers up afterwards and print commands to try, until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Print every stanza of the client as XML, with direction and size on the wire
    #[arg(long)]
    trace: bool,
    /// Seed of the order in which held messages are released
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    if args.text.is_empty() {
        return Err(Failure::usage("the --text is empty; a message has a character at least"));
    }
    if let Some(path) = args.file.as_deref()
        && !path.is_file()
    {
        return Err(Failure::usage(format!("the --file {} is no file", path.display())));
    }
    let mut shutdown = Shutdown::listen()?;
    let work = demo(&args);
    let outcome = tokio::select! {
        outcome = work => outcome?,
        () = shutdown.requested() => return Err(Failure::runtime("stopped before the end")),
    };
    let (world, outcome) = outcome;
    if args.keep && outcome.is_ok() {
        world.print_commands()?;
        shutdown.requested().await;
    }
    world.shutdown().await;
    outcome
}

/// Runs checks or chat. The world comes back whatever came of them, so that it can be kept or taken down.
async fn demo(args: &Args) -> Result<(World, Result<(), Failure>), Failure> {
    output::line(
        "Landbridge demo: a partner's server, a simulated WhatsApp and a partner's client talk over sockets of this \
         machine.\nNothing leaves it; the real service needs an agreement with WhatsApp.",
    )?;
    let mut world = World::start(args.trace).await?;
    world.introduce()?;
    if args.interactive {
        let outcome = chat::run(&mut world).await;
        return Ok((world, outcome));
    }
    let mut report = Report::new();
    let completeness = match checks(&mut report, &mut world, args).await {
        Ok(()) => Completeness::Whole,
        Err(Stop) => Completeness::CutShort,
    };
    report.finish(completeness);
    let outcome = if report.all_passed() && completeness == Completeness::Whole {
        Ok(())
    } else {
        Err(Failure::runtime("not all checks passed; --trace shows every stanza"))
    };
    Ok((world, outcome))
}

async fn checks(report: &mut Report, world: &mut World, args: &Args) -> Result<(), Stop> {
    identities::run(report, world).await?;
    channel::run(report, world).await?;
    exchange::run(report, world, &args.text, args.seed).await?;
    files::run(report, world, args.file.as_deref()).await?;
    push::run(report, world).await?;
    integrity::blocking(report, world).await?;
    integrity::deletion(report, world).await
}
