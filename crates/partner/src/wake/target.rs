//! Where a device can be woken.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::WakeKind;

/// The address of a device, as its client registers it. Unknown members are ignored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum WakeTarget {
    /// A registration token of Firebase.
    Fcm {
        /// The token.
        token: String,
    },
    /// A device token of Apple.
    Apns {
        /// The token in hexadecimal.
        token: String,
    },
    /// A subscription of a browser.
    WebPush {
        /// Where to post.
        endpoint: String,
        /// What to encrypt with.
        keys: WebPushKeys,
    },
    /// The stream `GET /v1/wake`.
    Socket,
}

/// The keys of a browser's subscription.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "RFC 8291 names these two")]
pub struct WebPushKeys {
    /// Public key on P-256, uncompressed: 65 bytes in base64url.
    pub p256dh: String,
    /// Shared secret: 16 bytes in base64url.
    pub auth: String,
}

/// An address that cannot be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BadTarget {
    /// A token with other characters or another length than tokens have.
    #[error("the token has characters or a length that tokens do not have")]
    Token,
    /// An endpoint that is not an absolute URL.
    #[error("the endpoint is not an absolute URL of at most 2048 characters")]
    Endpoint,
    /// Keys that are not on the curve's form or of the wrong size.
    #[error("p256dh is not 65 bytes or auth not 16 bytes of base64url")]
    Keys,
}

/// Longest registration token of Firebase that is kept, in bytes (they have about 160).
const MAX_FCM_TOKEN: usize = 4096;
/// Longest device token of Apple in hexadecimal digits (they have 64, and may grow to 200).
const MAX_APNS_TOKEN: usize = 200;
const MAX_ENDPOINT: usize = 2048;

impl WakeTarget {
    /// Which sender it belongs to.
    pub fn kind(&self) -> WakeKind {
        match self {
            Self::Fcm { .. } => WakeKind::Fcm,
            Self::Apns { .. } => WakeKind::Apns,
            Self::WebPush { .. } => WakeKind::WebPush,
            Self::Socket => WakeKind::Socket,
        }
    }

    /// Checks the form of everything that will stand in a URL, a header or a calculation.
    ///
    /// # Errors
    /// [`BadTarget`].
    pub fn check(&self) -> Result<(), BadTarget> {
        let good = |ok: bool, bad| if ok { Ok(()) } else { Err(bad) };
        match self {
            Self::Fcm { token } => good(
                (1..=MAX_FCM_TOKEN).contains(&token.len())
                    && token.bytes().all(|byte| byte.is_ascii_graphic()),
                BadTarget::Token,
            ),
            Self::Apns { token } => good(
                (1..=MAX_APNS_TOKEN).contains(&token.len())
                    && token.bytes().all(|byte| byte.is_ascii_hexdigit()),
                BadTarget::Token,
            ),
            Self::WebPush { endpoint, keys } => {
                good(endpoint.len() <= MAX_ENDPOINT && origin(endpoint).is_some(), BadTarget::Endpoint)?;
                good(keys.decode().is_some(), BadTarget::Keys)
            }
            Self::Socket => Ok(()),
        }
    }

    /// As it is stored.
    ///
    /// # Errors
    /// None that is known: there are strings in it only.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    pub fn from_json(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }
}

impl WebPushKeys {
    /// Public key and secret, if both have their size and form.
    pub(crate) fn decode(&self) -> Option<([u8; 65], [u8; 16])> {
        let public: [u8; 65] = decode(&self.p256dh)?.try_into().ok()?;
        let auth: [u8; 16] = decode(&self.auth)?.try_into().ok()?;
        (public[0] == 4).then_some((public, auth))
    }
}

/// Browsers give base64url without padding; some libraries add it.
fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()
}

/// Scheme and authority of an absolute URL without user name.
pub(crate) fn origin(url: &str) -> Option<String> {
    let uri: axum::http::Uri = url.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    let plain = matches!(scheme, "https" | "http") && !authority.as_str().contains('@') && !url.contains('#');
    (plain && !authority.host().is_empty()).then(|| format!("{scheme}://{authority}"))
}

/// An address is what lets anybody ring the device.
impl fmt::Debug for WakeTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WakeTarget({}, [redacted])", self.kind().as_str())
    }
}

impl fmt::Debug for WebPushKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebPushKeys([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let keys = WebPushKeys {
            p256dh: URL_SAFE_NO_PAD.encode([[4_u8].as_slice(), &[7; 64]].concat()),
            auth: URL_SAFE.encode([1_u8; 16]),
        };
        let web = |endpoint: &str| WakeTarget::WebPush { endpoint: endpoint.to_owned(), keys: keys.clone() };
        for good in [
            WakeTarget::Socket,
            WakeTarget::Apns { token: "aF09".to_owned() },
            WakeTarget::Fcm { token: "a:b-c_d".to_owned() },
            web("https://push.example/x?y=z"),
        ] {
            assert_eq!(good.check(), Ok(()), "{good:?}");
            assert_eq!(WakeTarget::from_json(&good.to_json().unwrap()), Some(good));
        }
        for bad in ["", "../../x", "a/b", "g", &"a".repeat(201)] {
            assert_eq!(WakeTarget::Apns { token: bad.to_owned() }.check(), Err(BadTarget::Token));
        }
        for bad in ["", "a b", "a\r\nX: y", "é"] {
            assert_eq!(WakeTarget::Fcm { token: bad.to_owned() }.check(), Err(BadTarget::Token));
        }
        for bad in ["", "/x", "ftp://a/", "https://u@a/", "https://a/#f", "file:///etc/passwd"] {
            assert_eq!(web(bad).check(), Err(BadTarget::Endpoint), "{bad}");
        }
        let short = WebPushKeys { auth: "AAAA".to_owned(), ..keys.clone() };
        let compressed = WebPushKeys { p256dh: URL_SAFE_NO_PAD.encode([2; 65]), ..keys };
        for keys in [short, compressed] {
            let target = WakeTarget::WebPush { endpoint: "https://a/".to_owned(), keys };
            assert_eq!(target.check(), Err(BadTarget::Keys));
        }
    }
}
