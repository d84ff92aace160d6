//! Web Push: RFC 8030, with VAPID (RFC 8292) and an encrypted payload (RFC 8291).

mod encrypt;

use std::fmt;

use async_trait::async_trait;
use landbridge_transport::HttpClient;
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::target::origin;
use super::{Delivery, Es256Key, WakeKind, WakeOutcome, WakeSender, WakeTarget, WebPushKeys, by_status};
use crate::clock::Clock;

/// Push services keep a message for a browser that is away as long as a wake-up counts, in seconds.
const TTL: &str = "3600";
/// RFC 8292 allows 24 hours.
const TOKEN_LIFE: u64 = 12 * 60 * 60;

/// Settings of [`WebPushSender`]. Its key is made on the first start and kept in the data directory.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "settings, read from a file or built by hand")]
pub struct WebPushConfig {
    /// Whom a push service may ask: `mailto:` or `https:`.
    pub subject: String,
    /// Hosts that subscriptions may name, a leading `*.` for all below. A client names the host, so without this list it
    /// could make this server send requests anywhere.
    #[serde(default = "push_services")]
    pub hosts: Vec<String>,
}

/// The push services of the browsers.
fn push_services() -> Vec<String> {
    ["fcm.googleapis.com", "*.push.services.mozilla.com", "*.push.apple.com", "*.notify.windows.com"]
        .map(str::to_owned)
        .to_vec()
}

/// Wakes browsers.
pub struct WebPushSender {
    http: HttpClient,
    clock: Clock,
    key: Es256Key,
    config: WebPushConfig,
}

impl fmt::Debug for WebPushSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebPushSender").field("config", &self.config).finish_non_exhaustive()
    }
}

impl WebPushConfig {
    /// Whether a subscription may name this endpoint: `https`, and a host of the list. An entry `http://host:port` lets
    /// exactly that origin in, for tests.
    pub fn allows(&self, endpoint: &str) -> bool {
        let Some(origin) = origin(endpoint) else { return false };
        let host = origin.strip_prefix("https://");
        self.hosts.iter().any(|entry| match (entry.strip_prefix("*."), host) {
            // A name below, and more than the dot.
            (Some(domain), Some(host)) => {
                host.strip_suffix(domain).is_some_and(|sub| sub.len() > 1 && sub.ends_with('.'))
            }
            (None, Some(host)) => host == entry,
            (_, None) => entry.starts_with("http://") && origin == *entry,
        })
    }
}

impl WebPushSender {
    /// Signs with `key`, whose public half clients subscribe with.
    pub fn new(config: WebPushConfig, key: Es256Key, http: HttpClient, clock: Clock) -> Self {
        Self { http, clock, key, config }
    }

    async fn post(&self, endpoint: &str, keys: &WebPushKeys, delivery: &Delivery) -> Option<WakeOutcome> {
        if !self.config.allows(endpoint) {
            // The list has become shorter since it was registered.
            return Some(WakeOutcome::Gone);
        }
        let claims = json!({
            "aud": origin(endpoint)?, "exp": self.clock.seconds() + TOKEN_LIFE, "sub": self.config.subject,
        });
        let token = self.key.token(&json!({"typ": "JWT", "alg": "ES256"}), &claims).ok()?;
        let authorization = Zeroizing::new(format!("vapid t={},k={}", *token, self.key.public()));
        let (public, secret) = keys.decode()?;
        let payload = json!({"type": "wake", "id": delivery.wake_id}).to_string();
        let body = encrypt::encrypt(payload.as_bytes(), &public, &secret)?;
        let topic = delivery.collapse_key();
        let headers = [
            ("authorization", authorization.as_str()),
            ("content-encoding", "aes128gcm"),
            ("ttl", TTL),
            ("topic", &topic),
            ("urgency", "high"),
        ];
        let answer = self.http.post(endpoint, "application/octet-stream", body, &headers).await;
        let Ok(answer) = answer else { return Some(WakeOutcome::Retry { after: None }) };
        Some(match answer.status.as_u16() {
            404 | 410 => WakeOutcome::Gone,
            status => by_status(status, answer.retry_after()),
        })
    }
}

#[async_trait]
impl WakeSender for WebPushSender {
    fn kind(&self) -> WakeKind {
        WakeKind::WebPush
    }

    /// Every push service is a provider of its own.
    fn lane(&self, target: &WakeTarget) -> String {
        match target {
            WakeTarget::WebPush { endpoint, .. } => origin(endpoint).unwrap_or_default(),
            _ => String::new(),
        }
    }

    async fn send(&self, delivery: &Delivery) -> WakeOutcome {
        match &delivery.target {
            WakeTarget::WebPush { endpoint, keys } => {
                self.post(endpoint, keys, delivery).await.unwrap_or(WakeOutcome::Fatal)
            }
            _ => WakeOutcome::Fatal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_hosts_are_called() {
        let config = |hosts: &[&str]| WebPushConfig {
            subject: "mailto:a@b".to_owned(),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        };
        let browsers = WebPushConfig { hosts: push_services(), ..config(&[]) };
        for good in ["https://fcm.googleapis.com/fcm/send/x", "https://web.push.apple.com/x"] {
            assert!(browsers.allows(good), "{good}");
        }
        for bad in [
            "http://fcm.googleapis.com/x",
            "https://fcm.googleapis.com.evil.example/x",
            "https://evilfcm.googleapis.com/x",
            "https://fcm.googleapis.com:8443/x",
            "https://push.apple.com/x",
            "https://.push.apple.com/x",
            "https://evilpush.apple.com/x",
            "https://127.0.0.1/x",
            "https://[::1]/x",
            "https://169.254.169.254/latest/meta-data",
            "https://fcm.googleapis.com@evil.example/x",
        ] {
            assert!(!browsers.allows(bad), "{bad}");
        }
        let local = config(&["http://127.0.0.1:9"]);
        assert!(local.allows("http://127.0.0.1:9/x"));
        assert!(!local.allows("http://127.0.0.1:90/x") && !local.allows("https://127.0.0.1:9/x"));
    }
}
