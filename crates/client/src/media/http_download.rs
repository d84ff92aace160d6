//! Files from WhatsApp's media server over HTTP.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use landbridge_media::{DownloadPath, Downloader, Fetch, Span, TransferError};
use landbridge_stanza::profile::MediaProfile;
use landbridge_transport::HttpClient;
use landbridge_transport::http_client::Streaming;

use super::http_upload::{network, unavailable};

/// Fetches files by their path, unchanged, below one base. Nothing tells the server who asks.
#[derive(Debug, Clone)]
pub struct HttpDownloader {
    http: HttpClient,
    profile: Arc<MediaProfile>,
}

impl HttpDownloader {
    /// From `https://mmg.whatsapp.net`.
    #[must_use]
    pub fn new(http: HttpClient) -> Self {
        Self { http, profile: Arc::default() }
    }

    /// With another profile's base, redirects and times.
    #[must_use]
    pub fn profile(mut self, profile: &MediaProfile) -> Self {
        self.profile = Arc::new(profile.clone());
        self
    }

    /// From another server than the profile's, such as a sandbox's.
    #[must_use]
    pub fn base(mut self, url: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.profile).base_url = url.into();
        self
    }

    /// The answer behind the redirects.
    async fn open(&self, url: String, headers: &[(&str, &str)]) -> Result<Streaming, TransferError> {
        let mut url = url;
        let stall = Duration::from_secs(self.profile.stall_s);
        for _ in 0..=self.profile.max_redirects {
            let answer = self.http.open(&url, headers, stall).await.map_err(network)?;
            if !matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(answer);
            }
            let domains = &self.profile.redirect_domains;
            let next = answer.header("location").filter(|next| is_allowed(next, domains));
            url = next.ok_or(TransferError::Malformed { what: "a redirect to elsewhere" })?.to_owned();
        }
        Err(TransferError::Malformed { what: "too many redirects" })
    }
}

/// Whether a redirect leads to one of these domains over https.
fn is_allowed(url: &str, domains: &[String]) -> bool {
    let Some(rest) = url.strip_prefix("https://") else { return false };
    is_below(rest.split(['/', '?', '#']).next().unwrap_or_default(), domains)
}

/// Whether a host is one of these domains or below. Ports, users and addresses are not for it.
pub(super) fn is_below(host: &str, domains: &[String]) -> bool {
    let host = host.to_ascii_lowercase();
    let is_name = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
    let below = |domain: &String| {
        host.strip_suffix(&**domain).is_some_and(|sub| sub.is_empty() || sub.ends_with('.'))
    };
    is_name && domains.iter().any(below)
}

#[async_trait]
impl Downloader for HttpDownloader {
    async fn fetch(&self, path: &DownloadPath, span: &Span) -> Result<Box<dyn Fetch>, TransferError> {
        let range = match (span.from, span.to) {
            (0, None) => None,
            (from, None) => Some(format!("bytes={from}-")),
            (from, Some(to)) => Some(format!("bytes={from}-{}", to.saturating_sub(1))),
        };
        let mut headers = vec![("accept-encoding", "identity")];
        if let Some(range) = &range {
            headers.push(("range", range));
            if let Some(validator) = &span.validator {
                headers.push(("if-range", validator));
            }
        }
        let answer = self.open(path.url(&self.profile.base_url), &headers).await?;
        let status = answer.status.as_u16();
        let malformed = |what| Err(TransferError::Malformed { what });
        let (begins_at, length) = match status {
            200 => (0, answer.header("content-length").and_then(|length| length.parse().ok())),
            206 => match answer.header("content-range").and_then(content_range) {
                Some((from, length)) => (from, Some(length)),
                None => return malformed("a part without its place"),
            },
            403 | 404 | 410 => return Err(TransferError::Gone { status }),
            408 | 425 | 429 | 500..=599 => return Err(unavailable(status, answer.retry_after())),
            _ => return malformed("a status that is no answer to a fetch"),
        };
        // A weak one does not promise the same bytes.
        let validator = answer.header("etag").filter(|etag| !etag.starts_with("W/")).map(str::to_owned);
        Ok(Box::new(HttpFetch { answer, begins_at, length, validator }))
    }
}

/// First byte and length of the whole, of `bytes 5-9/10`.
fn content_range(text: &str) -> Option<(u64, u64)> {
    let (range, length) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, length): (u64, u64, u64) =
        (first.parse().ok()?, last.parse().ok()?, length.parse().ok()?);
    (first <= last && last < length).then_some((first, length))
}

struct HttpFetch {
    answer: Streaming,
    begins_at: u64,
    length: Option<u64>,
    validator: Option<String>,
}

#[async_trait]
impl Fetch for HttpFetch {
    fn begins_at(&self) -> u64 {
        self.begins_at
    }

    fn length(&self) -> Option<u64> {
        self.length
    }

    fn validator(&self) -> Option<&str> {
        self.validator.as_deref()
    }

    async fn next(&mut self) -> Result<Option<Bytes>, TransferError> {
        self.answer.next().await.map_err(network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_stay_at_home() {
        let domains = MediaProfile::default().redirect_domains;
        for good in
            ["https://mmg.whatsapp.net/v/x", "https://whatsapp.net", "https://media-ber1-1.cdn.fbcdn.net/x?y"]
        {
            assert!(is_allowed(good, &domains), "{good}");
        }
        for bad in [
            "http://mmg.whatsapp.net/v",
            "https://evilwhatsapp.net/",
            "https://whatsapp.net.evil.example/",
            "https://mmg.whatsapp.net@evil.example/",
            "https://evil.example?.whatsapp.net",
            "https://evil.example\\.whatsapp.net",
            "https://mmg.whatsapp.net:8443/",
            "//mmg.whatsapp.net/",
            "/v/t",
            "https://127.0.0.1/",
        ] {
            assert!(!is_allowed(bad, &domains), "{bad}");
        }
    }

    #[test]
    fn places_of_parts_are_read() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, 10)));
        for bad in ["bytes 5-10/10", "bytes 9-5/10", "bytes 5-9/*", "bytes */10", "5-9/10", "bytes 5-9"] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }
}
