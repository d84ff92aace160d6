//! What an operator sets.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use landbridge_enlist::IntegratorId;
use serde::Deserialize;

use crate::auth::UsersConfig;
use crate::media::MediaConfig;
use crate::push::PushConfig;
use crate::wake::{ApnsConfig, FcmConfig, WebPushConfig};

/// Settings of a [`Partner`](crate::Partner). Unknown keys are refused when it is read from a file.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::exhaustive_structs, reason = "settings, built with struct update syntax")]
pub struct PartnerConfig {
    /// Where WhatsApp and the clients come in. Port 0 takes a free one.
    pub addr: SocketAddr,
    /// Where the operator comes in: health. Keep it off the internet.
    pub admin_addr: SocketAddr,
    /// The URL agreed with WhatsApp, and, to the letter, the issuer of tokens. By default `http://` and the bound
    /// address, which serves tests on one machine.
    pub base_url: Option<String>,
    /// The number WhatsApp gave this partner.
    pub integrator_id: IntegratorId,
    /// Certificate and key of the public listener.
    pub tls: Option<TlsConfig>,
    /// Lets the public listener speak HTTP without TLS elsewhere than on loopback, for a proxy that terminates TLS.
    pub allow_plain_http: bool,
    /// Where keys, the database and media are kept. Without it they live as long as the process.
    pub data_dir: Option<PathBuf>,
    /// How users are told; not together with `dev_users`.
    pub users: Option<UsersConfig>,
    /// Days after which another key signs (ASSUMED). Without it, keys change only when told to.
    pub rotate_keys_days: Option<u32>,
    /// Development only: session token → user-visible identifier.
    pub dev_users: BTreeMap<String, String>,
    /// Admits that [`dev_users`](Self::dev_users) is no way to authenticate anybody.
    pub insecure_dev_auth: bool,
    /// Tokens that one user may have in an hour (ASSUMED).
    pub tokens_per_hour: u32,
    /// Proxies in front of this server, whose `X-Forwarded-For` is believed.
    pub proxies: Vec<IpAddr>,
    /// Hosting of media.
    pub media: MediaConfig,
    /// WhatsApp's pushes.
    pub push: PushConfig,
    /// How Android devices are woken.
    pub fcm: Option<FcmConfig>,
    /// How Apple devices are woken.
    pub apns: Option<ApnsConfig>,
    /// How browsers are woken.
    pub web_push: Option<WebPushConfig>,
}

/// Where the certificate is. The files are read again when they change.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "settings, read from a file or built by hand")]
pub struct TlsConfig {
    /// The chain in PEM, the server's certificate first.
    pub certificate: PathBuf,
    /// The key in PEM.
    pub key: PathBuf,
    /// The oldest version that is spoken (SEED demands 1.3).
    #[serde(default)]
    pub min_version: MinTls,
}

/// The oldest version of TLS that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[non_exhaustive]
pub enum MinTls {
    /// TLS 1.3.
    #[default]
    #[serde(rename = "1.3")]
    V1_3,
    /// TLS 1.2.
    #[serde(rename = "1.2")]
    V1_2,
}

impl Default for PartnerConfig {
    fn default() -> Self {
        Self {
            addr: (Ipv4Addr::LOCALHOST, 8480).into(),
            admin_addr: (Ipv4Addr::LOCALHOST, 8481).into(),
            base_url: None,
            integrator_id: IntegratorId::ONE,
            tls: None,
            allow_plain_http: false,
            data_dir: None,
            users: None,
            rotate_keys_days: Some(90),
            dev_users: BTreeMap::new(),
            insecure_dev_auth: false,
            tokens_per_hour: 60,
            proxies: Vec::new(),
            media: MediaConfig::default(),
            push: PushConfig::default(),
            fcm: None,
            apns: None,
            web_push: None,
        }
    }
}

impl fmt::Debug for PartnerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            addr,
            admin_addr,
            base_url,
            integrator_id,
            tls,
            allow_plain_http,
            data_dir,
            users,
            rotate_keys_days,
            dev_users,
            insecure_dev_auth,
            tokens_per_hour,
            proxies,
            media,
            push,
            fcm,
            apns,
            web_push,
        } = self;
        f.debug_struct("PartnerConfig")
            .field("addr", addr)
            .field("admin_addr", admin_addr)
            .field("base_url", base_url)
            .field("integrator_id", integrator_id)
            .field("tls", tls)
            .field("allow_plain_http", allow_plain_http)
            .field("data_dir", data_dir)
            .field("users", users)
            .field("rotate_keys_days", rotate_keys_days)
            .field("dev_users", &format_args!("[{} redacted]", dev_users.len()))
            .field("insecure_dev_auth", insecure_dev_auth)
            .field("tokens_per_hour", tokens_per_hour)
            .field("proxies", proxies)
            .field("media", media)
            .field("push", push)
            .field("fcm", fcm)
            .field("apns", apns)
            .field("web_push", web_push)
            .finish()
    }
}
