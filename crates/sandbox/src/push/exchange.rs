//! One request and its answer.
//!
//! The address is the operator's: the base URL of the partner and a fixed path. Nothing that a client or a partner says
//! gets into it, and redirects are not followed, so nobody can make the sandbox call another place.

use std::time::{Duration, Instant};

use landbridge_stanza::profile::PushProfile;
use landbridge_transport::http_client::{HeaderCase, HttpClientBuilder, Method, OldestTls, Versions};
use landbridge_transport::{HttpClient, HttpError};
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::bearer::Bearer;
use crate::state::chain;

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum PushVersion {
    /// HTTP/1.1
    #[serde(rename = "HTTP/1.1")]
    Http1,
    /// HTTP/2
    #[serde(rename = "HTTP/2")]
    Http2,
}

impl PushVersion {
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Http1 => Self::Http2,
            Self::Http2 => Self::Http1,
        }
    }
}

/// How a head is written. It means the same in every form (RFC 9110, sections 5.1 and 5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum HeadForm {
    /// As ever.
    #[default]
    Usual,
    /// Names in Title-Case where there is case, and fields in another order.
    Shuffled {
        /// How far they are turned.
        turns: usize,
    },
}

impl HeadForm {
    /// The last field is one that is not always there.
    pub(super) fn fields<T>(self, fields: [T; 3]) -> Vec<T> {
        let mut fields = Vec::from(fields);
        match self {
            Self::Usual => fields.truncate(2),
            Self::Shuffled { turns } => fields.rotate_left(turns % 3),
        }
        fields
    }
}

/// Where a connection breaks on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Break {
    /// In the middle of the body.
    Before,
    /// When the answer begins.
    After,
}

/// What came of a request.
#[derive(Debug)]
pub(super) struct Answer {
    /// The status, or why there is none.
    pub(super) status: Result<u16, String>,
    pub(super) retry_after_s: Option<u64>,
    pub(super) took: Duration,
}

/// What makes the requests.
#[derive(Debug)]
pub(super) struct Clients {
    http1: HttpClient,
    http1_title_case: HttpClient,
    http2: HttpClient,
    rules: PushProfile,
}

impl Clients {
    pub(super) fn new(rules: &PushProfile, builder: &HttpClientBuilder) -> Result<Self, HttpError> {
        let client = |versions, case| {
            builder
                .clone()
                .header_case(case)
                .connect_timeout(Duration::from_secs(rules.connect_timeout_s))
                .total_timeout(Duration::from_secs(rules.timeout_s))
                .oldest_tls(OldestTls::Tls13)
                .versions(versions)
                .build()
        };
        Ok(Self {
            http1: client(Versions::Http1, HeaderCase::Lower)?,
            http1_title_case: client(Versions::Http1, HeaderCase::Title)?,
            http2: client(Versions::Http2, HeaderCase::Lower)?,
            rules: rules.clone(),
        })
    }

    /// Sends one push. Whatever the answer's body is, no more of it is read than the rules say, and it is not looked at.
    pub(super) async fn send(
        &self,
        (version, form): (PushVersion, HeadForm),
        url: &str,
        bearer: &Bearer,
        body: &str,
    ) -> Answer {
        let begun = Instant::now();
        let client = match (version, form) {
            (PushVersion::Http1, HeadForm::Usual) => &self.http1,
            (PushVersion::Http1, HeadForm::Shuffled { .. }) => &self.http1_title_case,
            (PushVersion::Http2, _) => &self.http2,
        };
        let authorization = format!("Bearer {}", bearer.token.as_str());
        let headers = form.fields([
            ("content-type", "application/json"),
            ("authorization", authorization.as_str()),
            ("accept", "*/*"),
        ]);
        let limit = Duration::from_secs(self.rules.timeout_s);
        let head = client.begin(Method::POST, url, &headers, body.to_owned(), limit).await;
        let (status, retry_after_s) = match head {
            Err(error) => (Err(chain(&error)), None),
            Ok(mut answer) => {
                let retry_after = answer.retry_after().map(|after| after.as_secs());
                let status = answer.status.as_u16();
                // A connection whose answer was read to its end can be used again; that is all the body is good for.
                let mut left = self.rules.max_answer_bytes;
                let read = async {
                    while let Ok(Some(piece)) = answer.next().await {
                        left = left.saturating_sub(piece.len());
                        if left == 0 {
                            break;
                        }
                    }
                };
                // Too slow is as good as over.
                let _ = tokio::time::timeout(limit.saturating_sub(begun.elapsed()), read).await;
                (Ok(status), retry_after)
            }
        };
        Answer { status, retry_after_s, took: begun.elapsed() }
    }

    /// Sends a push over a connection of its own, and resets it. `None` over TLS.
    pub(super) async fn broken(&self, at: Break, url: &str, bearer: &Bearer, body: &str) -> Option<Answer> {
        let begun = Instant::now();
        let (authority, path) = plain(url)?;
        let work = reset(at, authority, path, bearer.token.as_str(), body);
        let done = tokio::time::timeout(Duration::from_secs(self.rules.timeout_s), work).await;
        let why = match done {
            Ok(Ok(())) => "the sandbox broke the connection".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the partner did not answer in time".to_owned(),
        };
        Some(Answer { status: Err(why), retry_after_s: None, took: begun.elapsed() })
    }
}

/// Whether a connection to an address is without TLS.
pub(super) fn is_plain(url: &str) -> bool {
    plain(url).is_some()
}

/// Host with port, and path, of a plain address.
fn plain(url: &str) -> Option<(String, &str)> {
    let rest = url.strip_prefix("http://")?;
    let at = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    let port_given =
        authority.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let authority = if port_given { authority.to_owned() } else { format!("{authority}:80") };
    Some((authority, path))
}

async fn reset(at: Break, authority: String, path: &str, token: &str, body: &str) -> std::io::Result<()> {
    let mut socket = TcpStream::connect(&authority).await?;
    socket.set_zero_linger()?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/json\r\n\
         authorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).await?;
    let body = body.as_bytes();
    match at {
        Break::Before => socket.write_all(body.get(..body.len() / 2).unwrap_or_default()).await,
        Break::After => {
            socket.write_all(body).await?;
            socket.read(&mut [0]).await.map(drop)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_addresses_are_taken_apart() {
        for (url, expected) in [
            ("http://127.0.0.1:9000/push", Some(("127.0.0.1:9000", "/push"))),
            ("http://partner.example/whatsapp/push", Some(("partner.example:80", "/whatsapp/push"))),
            ("http://[::1]:8480/push", Some(("[::1]:8480", "/push"))),
            ("http://[::1]/push", Some(("[::1]:80", "/push"))),
            ("https://partner.example/push", None),
        ] {
            let found = plain(url);
            assert_eq!(found.as_ref().map(|(host, path)| (host.as_str(), *path)), expected, "{url}");
        }
    }
}
