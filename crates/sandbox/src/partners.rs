//! Whose tokens are believed: one key set per partner, kept fresh by a poller that lives beside it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use landbridge_enlist::IntegratorId;
use landbridge_enlist::jwks::{Cache, CachePolicy, FetchReport, FetchRequest, Fetched, Lookup, VerifyingKey};
use landbridge_enlist::jwt::{Profile, RejectReason, Rejected, Verified, Verifier};
use tokio::sync::{Notify, watch};

use crate::state::lock;
use crate::{Clock, SandboxConfig, SandboxError};

/// All partners, and the rules for their tokens.
#[derive(Debug)]
pub struct Partners {
    by_id: BTreeMap<IntegratorId, Arc<Partner>>,
    verifier: Verifier,
    wait: Duration,
}

/// One partner: its number, its base URL, which is also the issuer of its tokens, and its key set.
///
/// A poller drives it: it takes fetches from [`due`](Self::due), reports their end to [`fetched`](Self::fetched), and
/// sleeps until [`next_fetch`](Self::next_fetch) or until [`wanted`](Self::wanted).
#[derive(Debug)]
pub struct Partner {
    integrator: IntegratorId,
    base_url: String,
    jwks_url: String,
    cache: Mutex<Cache>,
    wanted: Notify,
    changed: watch::Sender<u64>,
}

impl Partners {
    pub(crate) fn new(config: &SandboxConfig) -> Result<Self, SandboxError> {
        let (keys, token) = (&config.profile.key_sets, &config.profile.token);
        let policy = CachePolicy {
            min_refresh: keys.refresh_min_s,
            max_refresh: keys.refresh_max_s,
            default_refresh: keys.refresh_default_s,
            miss_interval: keys.unknown_key_s,
            max_age: keys.dead_after_s,
            ..CachePolicy::default()
        };
        let mut by_id: BTreeMap<IntegratorId, Arc<Partner>> = BTreeMap::new();
        for (integrator, base_url) in &config.partners {
            let wrong = SandboxError::Integrator { integrator: *integrator };
            let Some(id) = IntegratorId::new(*integrator) else { return Err(wrong) };
            // An issuer stands for exactly one integrator.
            let taken = by_id.values().any(|partner| partner.base_url == *base_url);
            let origin = origin(base_url).filter(|_| !taken);
            let Some(origin) = origin else {
                return Err(SandboxError::PartnerUrl { integrator: *integrator });
            };
            let partner = Partner {
                integrator: id,
                jwks_url: format!("{origin}{}", keys.partner_path),
                base_url: base_url.clone(),
                cache: Mutex::new(Cache::new(policy.clone())),
                wanted: Notify::new(),
                changed: watch::Sender::new(0),
            };
            if by_id.insert(id, Arc::new(partner)).is_some() {
                return Err(wrong);
            }
        }
        let mut profile = Profile::user_token();
        profile.audience.clone_from(&token.audience);
        profile.identifier_claim = Some(token.identifier.as_str().to_owned());
        profile.max_bytes = config.profile.login.max_token_bytes;
        profile.max_life = token.max_life_s;
        profile.leeway = token.leeway_s;
        Ok(Self { by_id, verifier: Verifier::new(profile), wait: Duration::from_secs(keys.wait_s) })
    }

    /// All of them, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Partner>> {
        self.by_id.values()
    }

    /// One of them.
    pub fn get(&self, integrator: IntegratorId) -> Option<&Arc<Partner>> {
        self.by_id.get(&integrator)
    }

    /// The one that issues tokens under a URL.
    pub fn by_issuer(&self, issuer: &str) -> Option<&Arc<Partner>> {
        self.iter().find(|partner| partner.base_url == issuer)
    }

    /// Lets every poller look at the clock again, which was moved.
    pub(crate) fn clock_moved(&self) {
        for partner in self.iter() {
            partner.wanted.notify_one();
        }
    }

    /// Verifies a user token. A key id that is not known yet is fetched once and waited for.
    ///
    /// # Errors
    /// [`Rejected`] with the first rule that the token breaks.
    pub async fn verify(&self, token: &str, clock: &Clock) -> Result<(IntegratorId, Verified), Rejected> {
        let unverified = self.verifier.open(token)?;
        let issuer = unverified.claimed_issuer()?.to_owned();
        let partner = self.by_issuer(&issuer).ok_or(RejectReason::WrongIssuer)?;
        let key = partner.key(unverified.kid(), clock, self.wait).await?;
        let verified = self.verifier.verify(&unverified, &issuer, Some(&key), clock.now())?;
        Ok((partner.integrator, verified))
    }
}

impl Partner {
    /// Its number.
    pub fn integrator(&self) -> IntegratorId {
        self.integrator
    }

    /// Its base URL, to the letter: the issuer of its tokens.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Where its key set is: below the root of the base URL's origin (ASSUMED), whatever the base URL's own path.
    pub fn jwks_url(&self) -> &str {
        &self.jwks_url
    }

    /// The fetch to start now, if there is one.
    pub fn due(&self, now: u64) -> Option<FetchRequest> {
        lock(&self.cache).poll(now)
    }

    /// When to ask for a fetch again, unix seconds; `None` while one is under way.
    pub fn next_fetch(&self) -> Option<u64> {
        lock(&self.cache).next_fetch()
    }

    /// Waits until somebody needs a fetch sooner than planned.
    ///
    /// # Cancel safety
    /// A wish that comes while nobody waits is kept.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Takes the end of a fetch and wakes everybody who waits for it.
    pub fn fetched(&self, outcome: Fetched<'_>, now: u64) -> FetchReport {
        let report = lock(&self.cache).fetched(outcome, now);
        self.changed.send_modify(|generation| *generation += 1);
        report
    }

    /// Asks for a fetch at once.
    pub fn refresh_soon(&self) {
        lock(&self.cache).refresh_soon();
        self.wanted.notify_one();
    }

    async fn key(&self, kid: &str, clock: &Clock, wait: Duration) -> Result<Arc<VerifyingKey>, RejectReason> {
        let deadline = tokio::time::Instant::now() + wait;
        let mut changed = self.changed.subscribe();
        loop {
            let looked_up = lock(&self.cache).lookup(kid, clock.now());
            match looked_up {
                Lookup::Key(key) => return Ok(key),
                Lookup::Unknown => return Err(RejectReason::KidUnknown),
                Lookup::NoSet => return Err(RejectReason::KeysUnavailable),
                Lookup::Wait => self.wanted.notify_one(),
            }
            if !matches!(tokio::time::timeout_at(deadline, changed.changed()).await, Ok(Ok(()))) {
                // With a set at hand, a key that does not turn up in time is a key that is not there.
                let held = lock(&self.cache).live(clock.now()).is_some();
                return Err(if held { RejectReason::KidUnknown } else { RejectReason::KeysUnavailable });
            }
        }
    }
}

/// Scheme and authority of an absolute `http` or `https` URL without user info, query or fragment.
fn origin(url: &str) -> Option<String> {
    let uri: axum::http::Uri = url.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    let plain = uri.query().is_none() && !url.contains('#') && !authority.as_str().contains('@');
    let plain = plain && may_be_called(authority.host());
    (plain && matches!(scheme, "http" | "https")).then(|| format!("{scheme}://{authority}"))
}

/// Whether a host may be a partner's: a name, or the address of a machine. Link-local addresses are refused, for that is
/// where clouds give credentials to whoever asks; so are spellings of addresses that only resolvers understand.
fn may_be_called(host: &str) -> bool {
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    let Ok(addr) = literal.parse::<IpAddr>() else {
        let last = literal.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
        let number =
            last.bytes().all(|byte| byte.is_ascii_digit()) || last.to_ascii_lowercase().starts_with("0x");
        return !number && !literal.contains(':');
    };
    match addr.to_canonical() {
        IpAddr::V4(addr) => {
            !(addr.is_link_local() || addr.is_unspecified() || addr.is_multicast() || addr.is_broadcast())
        }
        IpAddr::V6(addr) => {
            let metadata = addr == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
            !(metadata || addr.is_unicast_link_local() || addr.is_unspecified() || addr.is_multicast())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        for (url, expected) in [
            ("http://127.0.0.1:9000", Some("http://127.0.0.1:9000")),
            ("https://partner.example/whatsapp/", Some("https://partner.example")),
            ("https://[::1]:8443/a", Some("https://[::1]:8443")),
            ("http://192.168.7.4:8480", Some("http://192.168.7.4:8480")),
            ("http://[::ffff:127.0.0.1]:8480", Some("http://[::ffff:127.0.0.1]:8480")),
            ("https://4u.example", Some("https://4u.example")),
            ("http://169.254.169.254/latest", None),
            ("http://[::ffff:169.254.169.254]/latest", None),
            ("http://[fe80::1]/", None),
            ("http://[fd00:ec2::254]/latest", None),
            ("http://2852039166/latest", None),
            ("http://0xa9fea9fe/latest", None),
            ("http://169.254.43518/latest", None),
            ("http://169.254.169.254./latest", None),
            ("http://0.0.0.0:8480", None),
            ("http://[::]:8480", None),
            ("http://255.255.255.255", None),
            ("http://224.0.0.1", None),
            ("partner.example", None),
            ("ftp://partner.example", None),
            ("https://user@partner.example", None),
            ("https://partner.example/?a=b", None),
            ("https://partner.example/#a", None),
            ("/relative", None),
            ("", None),
        ] {
            assert_eq!(origin(url).as_deref(), expected, "{url}");
        }
    }
}
