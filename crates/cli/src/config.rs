//! The configuration file. Flags win over environment variables, those over the file, the file over defaults.
//!
//! The file is read into structures that refuse unknown keys, since a mistyped key that is passed over is a setting that is
//! silently not in force. Environment variables belong to flags (see each flag's help); one that looks like a setting of a server or of the
//! client and is none is refused for the same reason.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use landbridge_partner::media::MediaConfig;
use landbridge_partner::wake::{ApnsConfig, FcmConfig, WebPushConfig};
use landbridge_partner::{PushConfig, TlsConfig, UsersConfig};
use landbridge_stanza::Profile;
use serde::Deserialize;

use crate::failure::Failure;

/// The file that is read if it is there and none is named.
pub(crate) const DEFAULT_FILE: &str = "landbridge.toml";

/// Everything that a configuration file may contain.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    #[serde(default)]
    pub(crate) sandbox: SandboxSection,
    #[serde(default)]
    pub(crate) partner: PartnerSection,
    #[serde(default)]
    pub(crate) client: ClientSection,
    /// What no public document settles, for client and sandbox alike.
    #[serde(default)]
    pub(crate) profile: Profile,
}

/// `[sandbox]`
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SandboxSection {
    pub(crate) chat: Option<SocketAddr>,
    pub(crate) http: Option<SocketAddr>,
    pub(crate) media: Option<SocketAddr>,
    /// PEM.
    pub(crate) trust_roots: Option<PathBuf>,
    pub(crate) data: Option<PathBuf>,
    pub(crate) rate_limits: Option<crate::sandbox::RateLimits>,
    /// `"1.1"`, `"2"` or `"off"`.
    pub(crate) push: Option<crate::sandbox::Push>,
    pub(crate) faults: Option<crate::sandbox::Faults>,
    pub(crate) seed: Option<u64>,
    pub(crate) allow_remote: Option<bool>,
    /// Integrator id to base URL.
    #[serde(default)]
    pub(crate) partners: BTreeMap<String, String>,
}

/// `[partner]`
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartnerSection {
    pub(crate) addr: Option<SocketAddr>,
    pub(crate) admin_addr: Option<SocketAddr>,
    pub(crate) base_url: Option<String>,
    pub(crate) integrator: Option<u16>,
    pub(crate) data: Option<PathBuf>,
    pub(crate) insecure_dev_auth: Option<bool>,
    pub(crate) tokens_per_hour: Option<u32>,
    pub(crate) allow_remote: Option<bool>,
    /// How users are told.
    pub(crate) users: Option<UsersConfig>,
    /// 0 for never.
    pub(crate) rotate_keys_days: Option<u32>,
    /// Certificate and key.
    pub(crate) tls: Option<TlsConfig>,
    pub(crate) allow_plain_http: Option<bool>,
    /// Proxies whose `X-Forwarded-For` is believed.
    #[serde(default)]
    pub(crate) proxies: Vec<IpAddr>,
    /// Hosting of media.
    pub(crate) media: Option<MediaConfig>,
    /// WhatsApp's pushes.
    pub(crate) push: Option<PushConfig>,
    /// How Android devices are woken.
    pub(crate) fcm: Option<FcmConfig>,
    /// How Apple devices are woken.
    pub(crate) apns: Option<ApnsConfig>,
    /// How browsers are woken.
    pub(crate) web_push: Option<WebPushConfig>,
    /// Where everything with a row is, in place of a file.
    #[cfg(feature = "engines")]
    pub(crate) postgres: Option<landbridge_engines::PostgresConfig>,
    /// Where the bytes of media are, in place of files.
    #[cfg(feature = "engines")]
    pub(crate) objects: Option<landbridge_engines::ObjectsConfig>,
    /// What ties several servers together.
    #[cfg(feature = "engines")]
    pub(crate) nats: Option<landbridge_engines::NatsConfig>,
    /// Session token to identifier, with `insecure_dev_auth`.
    #[serde(default)]
    pub(crate) dev_users: BTreeMap<String, String>,
}

/// `[client]`
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientSection {
    pub(crate) data: Option<PathBuf>,
    pub(crate) chat: Option<String>,
    pub(crate) enlist_url: Option<String>,
    pub(crate) root_key: Option<String>,
    pub(crate) token_url: Option<String>,
    pub(crate) upload_url: Option<String>,
    pub(crate) media_url: Option<String>,
    pub(crate) session: Option<String>,
    pub(crate) identifier: Option<String>,
    pub(crate) integrator: Option<u16>,
}

impl Config {
    /// Reads the named file, or the default one if it is there.
    pub(crate) fn load(named: Option<&Path>) -> Result<Self, Failure> {
        let path = named.unwrap_or(Path::new(DEFAULT_FILE));
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => {
                return Err(Failure::usage(format!(
                    "the configuration file {} cannot be read: {error}",
                    path.display()
                )));
            }
        };
        Self::parse(&text).map_err(|problem| Failure::usage(format!("{}{problem}", path.display())))
    }

    /// The configuration, or ", line n: what is wrong".
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| {
            let message = error.message().replace("unknown field", "unknown key");
            let message = plain(&message.replace('\n', " "));
            match error.span() {
                Some(span) => {
                    let line = text.get(..span.start).map_or(0, |before| before.matches('\n').count()) + 1;
                    let written = text.lines().nth(line - 1).and_then(|written| written.split_once('='));
                    // What is wrong with a value does not say whose value it is.
                    match written
                        .map(|(key, _)| key.trim())
                        .filter(|key| !message.contains(&format!("`{key}`")))
                    {
                        Some(key) => format!(", line {line}: {key}: {message}"),
                        None => format!(", line {line}: {message}"),
                    }
                }
                None => format!(": {message}"),
            }
        })
    }
}

/// Says what was expected where a library does not.
fn plain(message: &str) -> String {
    message
        .replace("invalid socket address syntax", "expected an address and a port such as \"127.0.0.1:8480\"")
        .replace("invalid IP address syntax", "expected an IP address such as \"10.0.0.1\"")
        .replace(
            "wanted exactly 1 element, more than 1 element",
            "expected one of several ways, found more than one",
        )
}

/// Refuses environment variables that look like settings of a command and are none.
pub(crate) fn check_environment(
    command: &clap::Command,
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<(), Failure> {
    let known = known_variables(command);
    for (name, _) in variables {
        let Some(name) = name.to_str() else { continue };
        let ours = ["LANDBRIDGE_SANDBOX_", "LANDBRIDGE_PARTNER_", "LANDBRIDGE_CLIENT_"];
        if ours.iter().any(|prefix| name.starts_with(prefix)) && !known.iter().any(|known| known == name) {
            return Err(Failure::usage(format!(
                "the environment variable {name} is no setting; see the flags' help"
            )));
        }
    }
    Ok(())
}

fn known_variables(command: &clap::Command) -> Vec<String> {
    let own = command.get_arguments().filter_map(|argument| argument.get_env()?.to_str().map(str::to_owned));
    own.chain(command.get_subcommands().flat_map(known_variables)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example is also the list of keys: it must name each of them.
    #[test]
    fn the_example_names_every_key() {
        let example = include_str!("../landbridge.example.toml");
        // What has no default is there as a comment: "# key = value" or "# [table]".
        let uncommented = example.lines().map(|line| {
            let setting = line.strip_prefix("# ").filter(|rest| {
                let name = rest.split_once(" = ").map_or("no name", |(name, _)| name);
                rest.starts_with('[') || name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            });
            setting.unwrap_or(line)
        });
        let whole = uncommented.collect::<Vec<_>>().join("\n");
        let Config { sandbox, partner, client, profile } = Config::parse(&whole).ok().unwrap();
        let SandboxSection {
            chat,
            http,
            media,
            trust_roots,
            data,
            rate_limits,
            push,
            faults,
            seed,
            allow_remote,
            partners,
        } = sandbox;
        assert!(
            chat.is_some()
                && http.is_some()
                && media.is_some()
                && trust_roots.is_some()
                && data.is_some()
                && rate_limits.is_some()
                && push.is_some()
        );
        assert!(faults.is_some() && seed.is_some() && allow_remote.is_some() && !partners.is_empty());
        let PartnerSection {
            addr,
            admin_addr,
            base_url,
            integrator,
            data,
            insecure_dev_auth,
            tokens_per_hour,
            allow_remote,
            users,
            rotate_keys_days,
            tls,
            allow_plain_http,
            proxies,
            media,
            push,
            fcm,
            apns,
            web_push,
            #[cfg(feature = "engines")]
            postgres,
            #[cfg(feature = "engines")]
            objects,
            #[cfg(feature = "engines")]
            nats,
            dev_users,
        } = partner;
        #[cfg(feature = "engines")]
        {
            let objects = objects.unwrap();
            assert!(objects.endpoint.is_some() && objects.access_key_id.is_some());
            assert!(objects.secret_access_key_file.is_some() && objects.ca_file.is_some());
            let landbridge_engines::NatsConfig { user, password_file, ca_file, .. } = nats.unwrap();
            assert!(user.is_some() && password_file.is_some() && ca_file.is_some());
        }
        #[cfg(feature = "engines")]
        {
            let postgres = postgres.unwrap();
            assert!(postgres.url_file.is_some() && postgres.ca_file.is_some());
            assert!(postgres.seal_key_file.is_some());
        }
        let PushConfig { keys_url, audience, unknown_user: _, queue_bound: 1.., per_second: 1.. } =
            push.unwrap()
        else {
            panic!("a bound of 0");
        };
        let media_base_url = media.and_then(|media| media.base_url);
        assert!(matches!(users, Some(UsersConfig::Jwt(_))) && rotate_keys_days.is_some());
        assert!(tls.is_some() && allow_plain_http.is_some());
        assert!(media_base_url.is_some() && !proxies.is_empty());
        assert!(keys_url.is_some() && audience.is_some());
        assert!(fcm.is_some() && apns.unwrap().alert.is_some() && !web_push.unwrap().hosts.is_empty());
        assert!(
            addr.is_some()
                && admin_addr.is_some()
                && base_url.is_some()
                && integrator.is_some()
                && data.is_some()
        );
        assert!(insecure_dev_auth.is_some() && tokens_per_hour.is_some() && allow_remote.is_some());
        assert!(!dev_users.is_empty());
        let ClientSection {
            data,
            chat,
            enlist_url,
            root_key,
            token_url,
            upload_url,
            media_url,
            session,
            identifier,
            integrator,
        } = client;
        assert!(upload_url.is_some() && media_url.is_some());
        assert!(data.is_some() && chat.is_some() && enlist_url.is_some() && root_key.is_some());
        assert!(token_url.is_some() && session.is_some() && identifier.is_some() && integrator.is_some());
        assert_eq!(profile, Profile::default(), "the example changes an assumption");
    }

    #[test]
    fn unknown_keys_and_wrong_types_name_line_and_key() {
        for (text, expected) in [
            ("[sandbox]\nchatt = 1\n", ", line 2: unknown key `chatt`"),
            ("[sandbx]\n", ", line 1: unknown key `sandbx`"),
            ("[client]\n\nintegrator = \"one\"\n", ", line 3: integrator: invalid type"),
            ("[sandbox]\nchat = \"nowhere\"\n", ", line 2: chat: expected an address and a port such as"),
            ("[partner]\nproxies = [\"x\"]\n", ", line 2: proxies: expected an IP address such as"),
            (
                "[partner.push]\nunknown_user = \"no\"\n",
                ", line 2: unknown_user: unknown variant `no`, expected",
            ),
            ("[partner.tls]\ncertificate = \"x\"\n", ", line 1: missing field `key`"),
            ("[sandbox\n", ", line 1: "),
        ] {
            let problem = Config::parse(text).err().unwrap();
            assert!(problem.starts_with(expected), "{problem}");
            assert!(!problem.contains('\n'), "{problem}");
        }
    }
}
