//! `landbridge partner`

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use landbridge_enlist::IntegratorId;
use landbridge_partner::store::OpenError;
use landbridge_partner::{
    Partner, PartnerConfig, PushConfig, StartError, TlsConfig, WHATSAPP_KEYS_URL, prepare_keys,
};
use serde::Serialize;

use crate::bind::check_loopback;
use crate::config::{Config, PartnerSection};
#[cfg(feature = "engines")]
use crate::engines;
use crate::failure::Failure;
use crate::output;
use crate::shutdown::{Hangup, Shutdown};

/// What was typed.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Sub>,
    #[command(flatten)]
    serve: Serve,
    #[cfg(feature = "engines")]
    #[command(flatten)]
    engines: engines::Flags,
}

/// What else there is to do than to serve.
#[derive(clap::Subcommand)]
enum Sub {
    /// Make the signing keys of a data directory, if it has none, and print their names
    Keys {
        /// The data directory
        #[arg(long, value_name = "DIR", env = "LANDBRIDGE_PARTNER_DATA")]
        data: PathBuf,
    },
}

#[derive(clap::Args)]
struct Serve {
    /// Where WhatsApp and the clients come in; port 0 takes a free one [default: 127.0.0.1:8480]
    #[arg(long, value_name = "ADDR", env = "LANDBRIDGE_PARTNER_ADDR")]
    addr: Option<SocketAddr>,
    /// Where the operator comes in: health [default: 127.0.0.1:8481, or a free port if --addr has port 0]
    #[arg(long, value_name = "ADDR", env = "LANDBRIDGE_PARTNER_ADMIN_ADDR")]
    admin_addr: Option<SocketAddr>,
    /// The URL agreed with WhatsApp, and the issuer of tokens [default: http:// and the address]
    #[arg(long, value_name = "URL", env = "LANDBRIDGE_PARTNER_BASE_URL")]
    base_url: Option<String>,
    /// The number WhatsApp gave this partner, 1 to 999 [default: 1]
    #[arg(long, value_name = "ID", env = "LANDBRIDGE_PARTNER_INTEGRATOR")]
    integrator: Option<u16>,
    /// Where keys, the database and media are kept; without it they live as long as the process
    #[arg(long, value_name = "DIR", env = "LANDBRIDGE_PARTNER_DATA")]
    data: Option<PathBuf>,
    /// A user and the session token that proves it; repeatable, development only
    #[arg(long = "dev-user", value_name = "TOKEN=IDENTIFIER")]
    dev_users: Vec<String>,
    /// Admit that --dev-user is no way to authenticate anybody
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        env = "LANDBRIDGE_PARTNER_INSECURE_DEV_AUTH"
    )]
    insecure_dev_auth: Option<bool>,
    /// Tokens that one user may have in an hour [default: 60]
    #[arg(long, value_name = "N", env = "LANDBRIDGE_PARTNER_TOKENS_PER_HOUR")]
    tokens_per_hour: Option<u32>,
    /// Where WhatsApp publishes the keys of its push bearers; a sandbox prints its own [default: WhatsApp's]
    #[arg(long, value_name = "URL", env = "LANDBRIDGE_PARTNER_WHATSAPP_KEYS")]
    whatsapp_keys: Option<String>,
    /// Certificate chain in PEM; read again when it changes
    #[arg(long, value_name = "FILE", env = "LANDBRIDGE_PARTNER_TLS_CERTIFICATE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// Its key in PEM
    #[arg(long, value_name = "FILE", env = "LANDBRIDGE_PARTNER_TLS_KEY", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// Speak HTTP without TLS elsewhere than on loopback, to a proxy that terminates TLS
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        env = "LANDBRIDGE_PARTNER_ALLOW_PLAIN_HTTP"
    )]
    allow_plain_http: Option<bool>,
    /// A proxy whose X-Forwarded-For is believed; repeatable, or with commas between
    #[arg(long = "proxy", value_name = "ADDR", value_delimiter = ',', env = "LANDBRIDGE_PARTNER_PROXIES")]
    proxies: Option<Vec<IpAddr>>,
    /// Listen where other machines can connect, even with --insecure-dev-auth
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        env = "LANDBRIDGE_PARTNER_ALLOW_REMOTE"
    )]
    allow_remote: Option<bool>,
    /// Print one line of JSON once everything listens
    #[arg(long)]
    ready_json: bool,
}

#[derive(Serialize)]
struct Ready<'a> {
    ready: bool,
    base_url: &'a str,
    jwks: String,
    token: String,
    push: String,
    addr: SocketAddr,
    admin: SocketAddr,
}

pub(crate) async fn run(args: Args, config: Config) -> Result<(), Failure> {
    let Args {
        command,
        serve,
        #[cfg(feature = "engines")]
        engines,
    } = args;
    if let Some(Sub::Keys { data }) = command {
        return keys(&data).await;
    }
    let (ready_json, file) = (serve.ready_json, config.partner);
    let (mut shutdown, mut hangup) = (Shutdown::listen()?, Hangup::listen()?);
    let start = async {
        #[cfg(feature = "engines")]
        let engines = engines::Engines::resolve(engines, &file)?;
        let builder = Partner::builder(resolve(serve, file)?);
        #[cfg(feature = "engines")]
        let builder = engines.install(builder).await?;
        builder.start().await.map_err(failure)
    };
    let partner = tokio::select! {
        started = start => started?,
        () = shutdown.requested() => return Ok(()),
    };
    let url = partner.base_url().trim_end_matches('/');
    let ready = Ready {
        ready: true,
        base_url: partner.base_url(),
        jwks: format!("{url}/.well-known/oauth/openid/jwks"),
        // The clients' calls lie at the root, whatever path was agreed on with WhatsApp.
        token: format!("{}/v1/token", origin(url)),
        push: format!("{url}/push"),
        addr: partner.addr(),
        admin: partner.admin_addr(),
    };
    if ready_json {
        output::json(&ready)?;
    } else {
        output::line(&format!(
            "landbridge partner: a partner's server\n  base URL    {}\n  key set     {}\n  tokens      {}\n  pushes      {}\n  health      http://{}/health/ready\nCtrl-C stops it.",
            ready.base_url, ready.jwks, ready.token, ready.push, ready.admin
        ))?;
    }
    loop {
        tokio::select! {
            () = shutdown.requested() => break,
            () = hangup.received() => {
                tracing::info!("certificates are read again; other settings take a restart");
                partner.reload().await;
            }
        }
    }
    tokio::select! {
        () = partner.shutdown() => {}
        () = shutdown.requested() => tracing::warn!("stopped without waiting for running requests"),
    }
    Ok(())
}

/// Scheme, host and port of a base URL.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let path = url.get(host..).and_then(|rest| rest.find('/'));
    path.and_then(|path| url.get(..host + path)).unwrap_or(url)
}

async fn keys(data: &Path) -> Result<(), Failure> {
    let [active, standby] =
        prepare_keys(data).await.map_err(|cause| Failure::runtime(crate::failure::with_causes(&cause)))?;
    output::line(&format!("active   {active}\nstandby  {standby}"))
}

/// Flags and environment over the file over defaults.
fn resolve(args: Serve, file: PartnerSection) -> Result<PartnerConfig, Failure> {
    let defaults = PartnerConfig::default();
    let addr = args.addr.or(file.addr).unwrap_or(defaults.addr);
    let mut default_admin = defaults.admin_addr;
    if addr.port() == 0 {
        default_admin.set_port(0);
    }
    let admin_addr = args.admin_addr.or(file.admin_addr).unwrap_or(default_admin);
    let integrator = args.integrator.or(file.integrator);
    let integrator_id = match integrator {
        None => defaults.integrator_id,
        Some(id) => IntegratorId::new(id)
            .ok_or_else(|| Failure::usage(format!("integrator {id} is not from 1 to 999")))?,
    };
    let mut dev_users: BTreeMap<String, String> = file.dev_users;
    for pair in args.dev_users {
        // The pair is not repeated: its first half is a credential.
        let (token, identifier) = (pair.split_once('='))
            .filter(|(token, identifier)| !token.is_empty() && !identifier.is_empty())
            .ok_or_else(|| Failure::usage("a --dev-user is not TOKEN=IDENTIFIER with both halves"))?;
        dev_users.insert(token.to_owned(), identifier.to_owned());
    }
    let insecure_dev_auth = args.insecure_dev_auth.or(file.insecure_dev_auth).unwrap_or(false);
    let allow_remote = args.allow_remote.or(file.allow_remote).unwrap_or(false);
    if insecure_dev_auth {
        let why = "--insecure-dev-auth lets anyone in who knows a token of a table";
        check_loopback("the partner server", addr, allow_remote, why)?;
    }
    let push = file.push.unwrap_or_default();
    let keys_url = args.whatsapp_keys.or(push.keys_url).unwrap_or_else(|| WHATSAPP_KEYS_URL.to_owned());
    Ok(PartnerConfig {
        addr,
        admin_addr,
        base_url: args.base_url.or(file.base_url),
        integrator_id,
        tls: args_tls(args.tls_certificate, args.tls_key, file.tls)?,
        allow_plain_http: args.allow_plain_http.or(file.allow_plain_http).unwrap_or(false),
        data_dir: args.data.or(file.data),
        users: file.users,
        rotate_keys_days: match file.rotate_keys_days {
            None => defaults.rotate_keys_days,
            Some(0) => None,
            days => days,
        },
        dev_users,
        insecure_dev_auth,
        tokens_per_hour: args.tokens_per_hour.or(file.tokens_per_hour).unwrap_or(defaults.tokens_per_hour),
        push: PushConfig { keys_url: Some(keys_url), ..push },
        proxies: args.proxies.unwrap_or(file.proxies),
        media: file.media.unwrap_or_default(),
        fcm: file.fcm,
        apns: file.apns,
        web_push: file.web_push,
    })
}

/// Flags over the file; the oldest version is a matter of the file.
fn args_tls(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    file: Option<TlsConfig>,
) -> Result<Option<TlsConfig>, Failure> {
    let min_version = file.as_ref().map_or_else(Default::default, |tls| tls.min_version);
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some(TlsConfig { certificate, key, min_version })),
        (None, None) => Ok(file),
        _ => Err(Failure::usage("--tls-certificate and --tls-key belong together")),
    }
}

fn failure(error: StartError) -> Failure {
    let text = crate::failure::with_causes(&error);
    match error {
        StartError::NoAuthenticator => Failure::usage(
            "nothing says how users are told: set [partner.users] in the configuration file, or --dev-user with --insecure-dev-auth for development",
        ),
        StartError::InsecureDevAuth => Failure::usage(
            "--dev-user is no way to authenticate anybody; add --insecure-dev-auth to use it for development",
        ),
        StartError::PlainHttp { .. } => Failure::usage(text),
        StartError::DevUser(_) | StartError::BaseUrl { .. } | StartError::NoBaseUrl { .. } => {
            Failure::usage(text)
        }
        StartError::Listen { .. } => {
            Failure::runtime(text).hint("choose another address, or stop what uses this one")
        }
        StartError::Store(OpenError::InUse { .. }) => {
            Failure::runtime(text).hint("stop that one, or choose another directory with --data")
        }
        _ => Failure::runtime(text),
    }
}
