//! Users that a trusted front has authenticated, and says so in a header that it signs.

use std::fmt;
use std::path::PathBuf;

use async_trait::async_trait;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use landbridge_enlist::UserIdentifier;
use ring::hmac;
use serde::{Deserialize, Serialize};

use super::{AuthError, UserAuthenticator, UserRecord};
use crate::clock::Clock;

/// The header.
pub const FRONT_HEADER: &str = "x-landbridge-user";
/// A word of the front is good for at most this long, in seconds: it is about one request.
const MAX_LIFE: u64 = 60;
/// Longest header, in bytes.
const MAX_HEADER: usize = 2048;
/// Shortest key, in bytes.
const MIN_KEY: usize = 32;

/// Settings of [`TrustedFront`].
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "settings, read from a file or built by hand")]
pub struct FrontConfig {
    /// File with the key that the front signs with: 32 bytes or more, mode 0600.
    pub key: PathBuf,
}

/// What the front says of a request: [`FRONT_HEADER`] is this as JSON in base64url, a dot, and HMAC-SHA-256 over that
/// text, in base64url.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "a format that fronts write")]
pub struct FrontWord {
    /// The user.
    pub user_id: String,
    /// What WhatsApp users see.
    pub identifier: String,
    /// Whether the user has opted in.
    pub opted_in: bool,
    /// Until when this is to be believed, unix seconds: at most a minute ahead.
    pub exp: u64,
}

/// Believes the front in which users are authenticated.
pub struct TrustedFront {
    key: hmac::Key,
    clock: Clock,
}

impl fmt::Debug for TrustedFront {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TrustedFront([redacted])")
    }
}

impl TrustedFront {
    /// `None` for a key that is too short.
    pub fn new(key: &[u8], clock: Clock) -> Option<Self> {
        (key.len() >= MIN_KEY).then(|| Self { key: hmac::Key::new(hmac::HMAC_SHA256, key), clock })
    }

    /// The header's value, as a front writes it.
    pub fn sign(&self, word: &FrontWord) -> String {
        // Strings and numbers: there is nothing in it that serde_json can refuse.
        let text = URL_SAFE_NO_PAD.encode(serde_json::to_vec(word).unwrap_or_default());
        let tag = hmac::sign(&self.key, text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
    }

    fn verify(&self, value: &str) -> Option<FrontWord> {
        let (text, tag) = value.split_once('.')?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        // In constant time.
        hmac::verify(&self.key, text.as_bytes(), &tag).ok()?;
        let word: FrontWord = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let now = self.clock.seconds();
        (now < word.exp && word.exp <= now + MAX_LIFE).then_some(word)
    }
}

#[async_trait]
impl UserAuthenticator for TrustedFront {
    async fn authenticate(&self, head: &Parts) -> Result<UserRecord, AuthError> {
        let mut values = head.headers.get_all(FRONT_HEADER).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return Err(AuthError::Denied) };
        let value = value.to_str().ok().filter(|value| value.len() <= MAX_HEADER).ok_or(AuthError::Denied)?;
        let word = self.verify(value).filter(|word| !word.user_id.is_empty()).ok_or(AuthError::Denied)?;
        let identifier = UserIdentifier::new(word.identifier).map_err(|_| AuthError::Denied)?;
        Ok(UserRecord { user_id: word.user_id, identifier, opted_in: word.opted_in })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_fronts_own_and_fresh_words_count() {
        let clock = Clock::of(|| std::time::Duration::from_secs(1_000));
        assert!(TrustedFront::new(&[1; 31], clock.clone()).is_none());
        let front = TrustedFront::new(&[1; 32], clock.clone()).unwrap();
        let stranger = TrustedFront::new(&[2; 32], clock).unwrap();
        let word =
            |exp| FrontWord { user_id: "7".to_owned(), identifier: "alice".to_owned(), opted_in: true, exp };
        let ask = async |values: &[&str]| {
            let mut request = axum::http::Request::new(());
            for value in values {
                request.headers_mut().append(FRONT_HEADER, value.parse().unwrap());
            }
            front.authenticate(&request.into_parts().0).await
        };
        let good = front.sign(&word(1_060));
        let user = ask(&[&good]).await.unwrap();
        assert_eq!((user.user_id.as_str(), user.identifier.as_str()), ("7", "alice"));
        let (text, tag) = good.split_once('.').unwrap();
        for bad in [
            "",
            ".",
            text,
            &format!("{text}."),
            &format!("{text}.{}", &tag[..42]),
            &format!("{}.{tag}", URL_SAFE_NO_PAD.encode("{}")),
            &stranger.sign(&word(1_060)),
            &front.sign(&word(1_000)),
            &front.sign(&word(1_061)),
            &front.sign(&FrontWord { user_id: String::new(), ..word(1_060) }),
            &front.sign(&FrontWord { identifier: "x".repeat(41), ..word(1_060) }),
        ] {
            assert!(matches!(ask(&[bad]).await, Err(AuthError::Denied)), "{bad}");
        }
        assert!(ask(&[]).await.is_err() && ask(&[&good, &good]).await.is_err());
    }
}
