//! Apple Push Notification service: HTTP/2, token authentication.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use landbridge_transport::HttpClient;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Delivery, Es256Key, WakeKind, WakeOutcome, WakeSender, WakeTarget, by_status};
use crate::clock::Clock;

/// Apple refuses tokens older than an hour, and renewals within 20 minutes. In seconds.
const TOKEN_LIFE: u64 = 40 * 60;
/// A token that Apple refuses for another reason than its age is kept for so long.
const RENEW_AFTER: u64 = 20 * 60;
/// Apple keeps a notification for a device that is away as long as a wake-up counts, in seconds.
const EXPIRATION: u64 = 3600;

/// Settings of [`ApnsSender`].
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "settings, read from a file or built by hand")]
pub struct ApnsConfig {
    /// The key file of the developer account (`AuthKey_….p8`), mode 0600.
    pub key: PathBuf,
    /// Its name there.
    pub key_id: String,
    /// The team's name there.
    pub team_id: String,
    /// The app's bundle id.
    pub topic: String,
    /// Text of a visible notification. Without it the wake-up is a background one, which iOS may put off.
    pub alert: Option<String>,
    /// `https://api.push.apple.com`, or Apple's sandbox.
    #[serde(default = "apns_url")]
    pub url: String,
}

fn apns_url() -> String {
    "https://api.push.apple.com".to_owned()
}

/// Wakes Apple devices.
pub struct ApnsSender {
    http: HttpClient,
    clock: Clock,
    key: Es256Key,
    config: ApnsConfig,
    /// The token in use, and when it was signed.
    token: Mutex<Option<(Zeroizing<String>, u64)>>,
}

impl fmt::Debug for ApnsSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApnsSender").field("config", &self.config).finish_non_exhaustive()
    }
}

impl ApnsSender {
    /// `http` has to speak HTTP/2.
    pub fn new(config: ApnsConfig, key: Es256Key, http: HttpClient, clock: Clock) -> Self {
        Self { http, clock, key, config, token: Mutex::new(None) }
    }

    fn token(&self) -> Option<Zeroizing<String>> {
        let mut held = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.seconds();
        if let Some((token, signed_at)) = &*held
            && now.checked_sub(*signed_at).is_some_and(|age| age < TOKEN_LIFE)
        {
            return Some(token.clone());
        }
        let header = json!({"alg": "ES256", "kid": self.config.key_id});
        let claims = json!({"iss": self.config.team_id, "iat": now});
        let token = self.key.token(&header, &claims).ok()?;
        *held = Some((token.clone(), now));
        Some(token)
    }

    /// Drops the token, unless Apple would take the renewal amiss: a new one would be refused for the same reason.
    fn refused(&self, reason: &str) {
        let now = self.clock.seconds();
        let mut held = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        let age = held.as_ref().and_then(|(_, signed_at)| now.checked_sub(*signed_at));
        if reason == "ExpiredProviderToken" || age.is_none_or(|age| age >= RENEW_AFTER) {
            *held = None;
        }
    }

    async fn post(&self, device_token: &str, delivery: &Delivery) -> Option<WakeOutcome> {
        let url = format!("{}/3/device/{device_token}", self.config.url.trim_end_matches('/'));
        let authorization = Zeroizing::new(format!("bearer {}", *self.token()?));
        let expiration = (self.clock.seconds() + EXPIRATION).to_string();
        let collapse = delivery.collapse_key();
        let (push_type, priority, aps) = match &self.config.alert {
            Some(text) => ("alert", "10", json!({"alert": {"body": text}, "content-available": 1})),
            None => ("background", "5", json!({"content-available": 1})),
        };
        let body = json!({"aps": aps, "type": "wake", "id": delivery.wake_id}).to_string();
        let headers = [
            ("authorization", authorization.as_str()),
            ("apns-topic", &self.config.topic),
            ("apns-push-type", push_type),
            ("apns-priority", priority),
            ("apns-expiration", &expiration),
            ("apns-collapse-id", &collapse),
        ];
        let Ok(answer) = self.http.post(&url, "application/json", body, &headers).await else {
            return Some(WakeOutcome::Retry { after: None });
        };
        let reason = reason(&answer.body);
        Some(match (answer.status.as_u16(), reason.as_deref()) {
            (410, _) | (400, Some("BadDeviceToken" | "DeviceTokenNotForTopic")) => WakeOutcome::Gone,
            (403, Some(reason @ ("ExpiredProviderToken" | "InvalidProviderToken"))) => {
                tracing::error!(
                    reason,
                    "APNs refuses the provider token: are key, key id, team and clock right?"
                );
                self.refused(reason);
                WakeOutcome::Retry { after: None }
            }
            (status, reason) => {
                let outcome = by_status(status, answer.retry_after());
                if outcome == WakeOutcome::Fatal {
                    tracing::error!(status, reason, "APNs refuses wake-ups");
                }
                outcome
            }
        })
    }
}

fn reason(body: &[u8]) -> Option<String> {
    let document: Value = serde_json::from_slice(body).ok()?;
    Some(document.get("reason")?.as_str()?.to_owned())
}

#[async_trait]
impl WakeSender for ApnsSender {
    fn kind(&self) -> WakeKind {
        WakeKind::Apns
    }

    async fn send(&self, delivery: &Delivery) -> WakeOutcome {
        match &delivery.target {
            WakeTarget::Apns { token } => self.post(token, delivery).await.unwrap_or(WakeOutcome::Fatal),
            _ => WakeOutcome::Fatal,
        }
    }
}
