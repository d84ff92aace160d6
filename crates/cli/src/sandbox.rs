//! `landbridge sandbox`

use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use landbridge::transport::http_client::roots_from_pem;
use landbridge_sandbox::faults::{Fault, FaultReport, Probability};
use landbridge_sandbox::{Calm, Pushing, Sandbox, SandboxConfig, SandboxError};
use landbridge_stanza::Profile;
use serde::{Deserialize, Serialize};

use crate::bind::check_loopback;
use crate::config::{Config, SandboxSection};
use crate::failure::Failure;
use crate::output;
use crate::private_dir;
use crate::shutdown::Shutdown;

/// Whether enlistment and sending are limited in rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RateLimits {
    /// As the real service does.
    On,
    /// For load tests.
    Off,
}

/// Whether pushes go to partners, and in which version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
pub(crate) enum Push {
    /// HTTP/1.1.
    #[value(name = "1.1")]
    #[serde(rename = "1.1")]
    Http1,
    /// HTTP/2.
    #[value(name = "2")]
    #[serde(rename = "2")]
    Http2,
    /// None go.
    #[serde(rename = "off")]
    Off,
}

/// How many faults are injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Faults {
    /// None.
    Calm,
    /// At low rates.
    Default,
    /// At ten times those.
    Storm,
}

/// What was typed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A partner: its integrator id (1 to 999) and base URL; repeatable
    #[arg(
        long = "partner",
        value_name = "ID=URL",
        env = "LANDBRIDGE_SANDBOX_PARTNERS",
        value_delimiter = ','
    )]
    partners: Vec<String>,
    /// Where the chat server listens; port 0 takes a free one [default: 127.0.0.1:5222]
    #[arg(long, value_name = "ADDR", env = "LANDBRIDGE_SANDBOX_CHAT")]
    chat: Option<SocketAddr>,
    /// Where enlistment, key set and control API listen [default: 127.0.0.1:8090]
    #[arg(long, value_name = "ADDR", env = "LANDBRIDGE_SANDBOX_HTTP")]
    http: Option<SocketAddr>,
    /// Where the media server listens [default: the port after that of --http]
    #[arg(long, value_name = "ADDR", env = "LANDBRIDGE_SANDBOX_MEDIA")]
    media: Option<SocketAddr>,
    /// Root certificates (PEM) of partners that are believed besides the system's: for pushes, key sets and files
    #[arg(long, value_name = "FILE", env = "LANDBRIDGE_SANDBOX_TRUST_ROOTS")]
    trust_roots: Option<PathBuf>,
    /// Where state lives; without it, in memory
    #[arg(long, value_name = "DIR", env = "LANDBRIDGE_SANDBOX_DATA")]
    data: Option<PathBuf>,
    /// Whether enlistment and sending are limited in rate [default: on]
    #[arg(long, value_name = "WHETHER", env = "LANDBRIDGE_SANDBOX_RATE_LIMITS")]
    rate_limits: Option<RateLimits>,
    /// The version of HTTP in which pushes go to partners [default: 1.1]
    #[arg(long, value_name = "VERSION", env = "LANDBRIDGE_SANDBOX_PUSH")]
    push: Option<Push>,
    /// Inject no faults [default: some of every kind, at low rates]
    #[arg(long, env = "LANDBRIDGE_SANDBOX_CALM", conflicts_with = "storm")]
    calm: bool,
    /// Inject ten times as many faults
    #[arg(long, env = "LANDBRIDGE_SANDBOX_STORM")]
    storm: bool,
    /// How likely one fault is, from 0 to 1, whatever the others are; repeatable. GET /control/faults lists them
    #[arg(
        long = "fault",
        value_name = "NAME=PROBABILITY",
        env = "LANDBRIDGE_SANDBOX_FAULTS",
        value_delimiter = ','
    )]
    faults: Vec<String>,
    /// Draw everything random from this seed, so that a run can be repeated; its keys are then no secrets
    #[arg(long, value_name = "N", env = "LANDBRIDGE_SANDBOX_SEED")]
    seed: Option<u64>,
    /// Listen where other machines can connect: the control API has no password
    #[arg(long, env = "LANDBRIDGE_SANDBOX_ALLOW_REMOTE")]
    allow_remote: bool,
    /// Print one line of JSON once everything listens
    #[arg(long)]
    ready_json: bool,
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
    chat: String,
    enlist: String,
    jwks: String,
    control: String,
    media: String,
    root_key: String,
    /// `calm`, `default` or `storm`.
    faults: Calm,
}

pub(crate) async fn run(args: Args, config: Config) -> Result<(), Failure> {
    let ready_json = args.ready_json;
    let settings = resolve(args, config.sandbox, config.profile)?;
    let _claim = settings.data_dir.as_deref().map(claim).transpose()?;
    let mut shutdown = Shutdown::listen()?;
    let sandbox = tokio::select! {
        started = Sandbox::start(settings) => started.map_err(failure)?,
        () = shutdown.requested() => return Ok(()),
    };
    let report = sandbox.handle().faults();
    let ready = Ready {
        ready: true,
        chat: sandbox.chat_addr().to_string(),
        enlist: sandbox.enlist_url(),
        jwks: sandbox.jwks_url(),
        control: sandbox.control_url(),
        media: sandbox.media_url(),
        root_key: hex::encode(sandbox.root_key().as_bytes()),
        faults: report.profile,
    };
    if ready_json {
        output::json(&ready)?;
    } else {
        output::line(&banner(&ready, &report))?;
    }
    shutdown.requested().await;
    tokio::select! {
        () = sandbox.shutdown() => {}
        () = shutdown.requested() => tracing::warn!("stopped without waiting for connections"),
    }
    Ok(())
}

/// Takes a data directory for this process, until the file is dropped or the process ends, however it does.
fn claim(data: &Path) -> Result<File, Failure> {
    let refused = |cause: &(dyn std::error::Error + 'static)| {
        let cause = crate::failure::with_causes(cause);
        Failure::runtime(format!("the data directory {} cannot be used: {cause}", data.display()))
    };
    private_dir::make(data).map_err(|cause| refused(&cause))?;
    let file = File::create(data.join("sandbox.lock")).map_err(|cause| refused(&cause))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let text = format!("another sandbox uses the data directory {}", data.display());
            Err(Failure::runtime(text).hint("stop it, or choose another --data"))
        }
        Err(TryLockError::Error(cause)) => Err(refused(&cause)),
    }
}

fn banner(ready: &Ready, report: &FaultReport) -> String {
    let faults = match report.faults.iter().filter(|fault| fault.probability > 0.0).count() {
        0 => "none (without --calm: some, at low rates)".to_owned(),
        some => format!(
            "ON, {some} kinds {}, with seed {}: things go wrong on purpose\n  \
             {:13} (--calm turns them off; the journal names each one)",
            match report.profile {
                Calm::Storm => "at ten times the usual rates",
                Calm::Faults => "at low rates",
                _ => "as --fault says",
            },
            report.seed,
            "",
        ),
    };
    let Ready { chat, enlist, jwks, control, media, root_key, .. } = ready;
    format!(
        "landbridge sandbox: this is a simulator, not WhatsApp\n  \
         chat server   {chat}\n  \
         enlistment    {enlist}\n  \
         key set       {jwks}\n  \
         control API   {control} (OpenAPI at {control}/openapi.json)\n  \
         media server  {media}\n  \
         root key      {root_key}\n  \
         faults        {faults}\n\
         Ctrl-C stops it."
    )
}

/// Flags and environment over the file over defaults.
fn resolve(args: Args, file: SandboxSection, profile: Profile) -> Result<SandboxConfig, Failure> {
    let chat_addr = args.chat.or(file.chat).unwrap_or(SocketAddr::from(([127, 0, 0, 1], 5222)));
    let http_addr = args.http.or(file.http).unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8090)));
    // A free port beside a free port.
    let beside = |port: u16| if port == 0 { 0 } else { port.checked_add(1).unwrap_or_default() };
    let media_addr = args.media.or(file.media);
    let media_addr = media_addr.unwrap_or_else(|| SocketAddr::new(http_addr.ip(), beside(http_addr.port())));
    let allow_remote = args.allow_remote || file.allow_remote.unwrap_or(false);
    let why = "anyone there could use its control API";
    check_loopback("the sandbox's chat server", chat_addr, allow_remote, why)?;
    check_loopback("the sandbox's HTTP server", http_addr, allow_remote, why)?;
    check_loopback("the sandbox's media server", media_addr, allow_remote, why)?;
    let seed = args.seed.or(file.seed);
    let mut settings =
        SandboxConfig { chat_addr, http_addr, media_addr, profile, seed, ..Default::default() };
    if let Some(path) = args.trust_roots.or(file.trust_roots) {
        let refused = |cause: &(dyn std::error::Error + 'static)| {
            Failure::usage(format!("{}: {}", path.display(), crate::failure::with_causes(cause)))
        };
        let pem = std::fs::read(&path).map_err(|error| refused(&error))?;
        settings.trust_roots = roots_from_pem(&pem).map_err(|error| refused(&error))?;
    }
    settings.data_dir = args.data.or(file.data);
    settings.rate_limits = match args.rate_limits.or(file.rate_limits) {
        Some(RateLimits::Off) => landbridge_sandbox::RateLimits::Off,
        Some(RateLimits::On) | None => landbridge_sandbox::RateLimits::On,
    };
    settings.pushing = match args.push.or(file.push) {
        Some(Push::Http1) | None => Pushing::Http1,
        Some(Push::Http2) => Pushing::Http2,
        Some(Push::Off) => Pushing::Off,
    };
    settings.calm = match (args.calm, args.storm, file.faults) {
        (true, ..) | (_, false, Some(Faults::Calm)) => Calm::Calm,
        (_, true, _) | (.., Some(Faults::Storm)) => Calm::Storm,
        (.., Some(Faults::Default) | None) => Calm::Faults,
    };
    settings.faults = args.faults.iter().map(|fault| parse_fault(fault)).collect::<Result<_, _>>()?;
    // Partners of the command line come in the place of those of the file: a list cannot be taken from otherwise.
    let partners = if args.partners.is_empty() {
        file.partners.into_iter().map(|(id, url)| format!("{id}={url}")).collect()
    } else {
        args.partners
    };
    for partner in &partners {
        let (id, url) = partner
            .split_once('=')
            .and_then(|(id, url)| Some((id.parse::<u16>().ok()?, url)))
            .filter(|(id, _)| (1..=999).contains(id))
            .ok_or_else(|| {
                Failure::usage(format!("the partner {partner:?} is not ID=URL with an id from 1 to 999"))
            })?;
        if !(url.starts_with("http://") || url.starts_with("https://")) {
            return Err(Failure::usage(format!("the partner {partner:?} has no http or https URL")));
        }
        settings = settings.partner(id, url);
    }
    Ok(settings)
}

/// `NAME=PROBABILITY`
fn parse_fault(text: &str) -> Result<(Fault, Probability), Failure> {
    let (name, probability) = text
        .split_once('=')
        .and_then(|(name, probability)| Some((name, probability.parse::<f64>().ok()?)))
        .ok_or_else(|| Failure::usage(format!("the fault {text:?} is not NAME=PROBABILITY")))?;
    let fault = name.parse::<Fault>().map_err(|error| {
        let known: Vec<_> = Fault::ALL.iter().map(|fault| fault.name()).collect();
        Failure::usage(error.to_string()).hint(&format!("known: {}", known.join(", ")))
    })?;
    let probability = Probability::new(probability)
        .map_err(|error| Failure::usage(format!("the fault {text:?}: {error}")))?;
    Ok((fault, probability))
}

fn failure(error: SandboxError) -> Failure {
    let text = crate::failure::with_causes(&error);
    match error {
        SandboxError::Integrator { .. } => Failure::usage(text),
        SandboxError::Listen { .. } => {
            Failure::runtime(text).hint("choose another address, or stop what uses this one")
        }
        SandboxError::NewerSchema { .. } => {
            Failure::runtime(text).hint("use a newer release or another --data")
        }
        SandboxError::DataDir { .. } | SandboxError::Database(_) => {
            Failure::runtime(text).hint("check --data")
        }
        _ => Failure::runtime(text),
    }
}
