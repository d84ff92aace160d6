//! Firebase Cloud Messaging, HTTP v1, with a service account's key.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use landbridge_enlist::jwt::{RsaSigner, Signer as _};
use landbridge_transport::HttpClient;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{Delivery, WakeKind, WakeOutcome, WakeSender, WakeTarget, by_status};
use crate::clock::Clock;
use crate::senders::SenderError;

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
/// An access token is renewed when it ends within this time.
const RENEW_BEFORE: Duration = Duration::from_secs(300);
/// What the provider asks for when it says 429 without a time.
const QUOTA_WAIT: Duration = Duration::from_secs(60);

/// Settings of [`FcmSender`].
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "settings, read from a file or built by hand")]
pub struct FcmConfig {
    /// The JSON file of the service account, mode 0600.
    pub service_account: PathBuf,
    /// Where messages are posted; another value is for tests.
    #[serde(default = "fcm_url")]
    pub url: String,
}

fn fcm_url() -> String {
    "https://fcm.googleapis.com".to_owned()
}

#[derive(Deserialize, Zeroize, ZeroizeOnDrop)]
struct ServiceAccount {
    project_id: String,
    client_email: String,
    private_key: String,
    private_key_id: Option<String>,
    token_uri: String,
}

/// Wakes Android devices.
pub struct FcmSender {
    http: HttpClient,
    clock: Clock,
    signer: RsaSigner,
    client_email: String,
    key_id: Option<String>,
    token_uri: String,
    send_url: String,
    /// Held while it is fetched, so that everybody waits for one fetch.
    access: Mutex<Option<(Zeroizing<String>, Instant)>>,
}

impl fmt::Debug for FcmSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FcmSender").field("send_url", &self.send_url).finish_non_exhaustive()
    }
}

impl FcmSender {
    /// Takes the text of a service account's file.
    ///
    /// # Errors
    /// [`SenderError`] if it is not one.
    pub fn new(
        service_account: &str,
        url: &str,
        http: HttpClient,
        clock: Clock,
    ) -> Result<Self, SenderError> {
        let account: ServiceAccount =
            serde_json::from_str(service_account).map_err(|_| SenderError::ServiceAccount)?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b':' | b'.');
        if account.project_id.is_empty() || !account.project_id.bytes().all(is_plain) {
            return Err(SenderError::ServiceAccount);
        }
        let signer = RsaSigner::from_pkcs8_pem(&account.private_key).map_err(SenderError::FcmKey)?;
        Ok(Self {
            http,
            clock,
            signer,
            client_email: account.client_email.clone(),
            key_id: account.private_key_id.clone(),
            token_uri: account.token_uri.clone(),
            send_url: format!(
                "{}/v1/projects/{}/messages:send",
                url.trim_end_matches('/'),
                account.project_id
            ),
            access: Mutex::new(None),
        })
    }

    /// An access token, from the provider's token server if the last one is about to end.
    async fn access(&self) -> Result<Zeroizing<String>, WakeOutcome> {
        let mut held = self.access.lock().await;
        if let Some((token, ends)) = &*held
            && Instant::now() + RENEW_BEFORE < *ends
        {
            return Ok(token.clone());
        }
        let (token, life) = self.fetch_access().await?;
        *held = Some((token.clone(), Instant::now() + life));
        Ok(token)
    }

    async fn fetch_access(&self) -> Result<(Zeroizing<String>, Duration), WakeOutcome> {
        #[derive(Deserialize)]
        struct Answer {
            access_token: String,
            expires_in: u64,
        }
        let again = WakeOutcome::Retry { after: None };
        let assertion = self.assertion().ok_or(WakeOutcome::Fatal)?;
        let form =
            format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}");
        let answer = self
            .http
            .post(&self.token_uri, "application/x-www-form-urlencoded", form, &[])
            .await
            .map_err(|_| again)?;
        if answer.status != 200 {
            // A key that was withdrawn is an outage too: what waits is sent when the operator has set another.
            tracing::error!(status = answer.status.as_u16(), "FCM's token server gives no access token");
            return Err(WakeOutcome::Retry { after: answer.retry_after() });
        }
        let answer: Answer = serde_json::from_slice(&answer.body).map_err(|_| again)?;
        Ok((Zeroizing::new(answer.access_token), Duration::from_secs(answer.expires_in)))
    }

    /// RFC 7523: a token signed with the account's key.
    fn assertion(&self) -> Option<String> {
        let now = self.clock.seconds();
        let mut header = json!({"alg": "RS256", "typ": "JWT"});
        if let (Some(kid), Some(members)) = (&self.key_id, header.as_object_mut()) {
            members.insert("kid".to_owned(), kid.as_str().into());
        }
        let claims = json!({
            "iss": self.client_email, "scope": SCOPE, "aud": self.token_uri, "iat": now, "exp": now + 3600,
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.signer.sign(signed.as_bytes()).ok()?;
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    async fn post(&self, token: &str, delivery: &Delivery) -> Result<WakeOutcome, WakeOutcome> {
        let access = self.access().await?;
        let message = json!({ "message": {
            "token": token,
            "data": { "type": "wake", "id": delivery.wake_id },
            "android": { "priority": "HIGH", "collapse_key": delivery.collapse_key(), "ttl": "3600s" },
        }});
        let authorization = Zeroizing::new(format!("Bearer {}", *access));
        let headers = [("authorization", authorization.as_str())];
        let answer = self
            .http
            .post(&self.send_url, "application/json", message.to_string(), &headers)
            .await
            .map_err(|_| WakeOutcome::Retry { after: None })?;
        let status = answer.status.as_u16();
        Ok(match status {
            401 => {
                *self.access.lock().await = None;
                WakeOutcome::Retry { after: None }
            }
            404 if error_code(&answer.body).as_deref() == Some("UNREGISTERED") => WakeOutcome::Gone,
            429 => WakeOutcome::Retry { after: Some(answer.retry_after().unwrap_or(QUOTA_WAIT)) },
            _ => by_status(status, answer.retry_after()),
        })
    }
}

/// `errorCode` among the details of an error.
fn error_code(body: &[u8]) -> Option<String> {
    let document: Value = serde_json::from_slice(body).ok()?;
    let details = document.get("error")?.get("details")?.as_array()?;
    details.iter().find_map(|detail| Some(detail.get("errorCode")?.as_str()?.to_owned()))
}

#[async_trait]
impl WakeSender for FcmSender {
    fn kind(&self) -> WakeKind {
        WakeKind::Fcm
    }

    async fn send(&self, delivery: &Delivery) -> WakeOutcome {
        match &delivery.target {
            WakeTarget::Fcm { token } => self.post(token, delivery).await.unwrap_or_else(|outcome| outcome),
            _ => WakeOutcome::Fatal,
        }
    }
}
