//! The base URL: origin for links, path for routes, and the whole as issuer.

use axum::http::Uri;
use thiserror::Error;

/// A base URL, kept to the letter.
#[derive(Debug, Clone)]
pub(crate) struct BaseUrl {
    text: String,
    origin: String,
    path: String,
}

/// A text that cannot be a base URL.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BadBaseUrl {
    /// Not an absolute `http` or `https` URL.
    #[error("the base URL is not an absolute http or https URL")]
    NotAbsolute,
    /// With user name, query or fragment.
    #[error("the base URL has a user name, a query or a fragment")]
    Extra,
    /// Media would lie where the calls of clients are.
    #[error("media cannot lie under {path}, which belongs to the calls of clients")]
    Taken {
        /// The path.
        path: String,
    },
    /// A path that is more than plain segments.
    #[error("the path of the base URL has more than segments of A-Z a-z 0-9 . _ ~ -")]
    Path,
}

impl BaseUrl {
    pub(crate) fn parse(text: &str) -> Result<Self, BadBaseUrl> {
        if text.contains(['?', '#', '@']) {
            return Err(BadBaseUrl::Extra);
        }
        let uri: Uri = text.parse().map_err(|_| BadBaseUrl::NotAbsolute)?;
        let (Some(scheme @ ("http" | "https")), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(BadBaseUrl::NotAbsolute);
        };
        if authority.host().is_empty() {
            return Err(BadBaseUrl::NotAbsolute);
        }
        let path = uri.path().trim_end_matches('/');
        // What has a meaning to the router, or another spelling on the way to it, is no place for a fixed route.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-');
        if path.split('/').skip(1).any(|segment| segment.is_empty() || !segment.bytes().all(plain)) {
            return Err(BadBaseUrl::Path);
        }
        Ok(Self { text: text.to_owned(), origin: format!("{scheme}://{authority}"), path: path.to_owned() })
    }

    /// The text as it was given.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Scheme, host and port.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// The path without trailing slash: empty, or `/` and segments.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls() {
        let url = BaseUrl::parse("https://foobar.com/whatsapp/").unwrap();
        assert_eq!(
            (url.as_str(), url.origin(), url.path()),
            ("https://foobar.com/whatsapp/", "https://foobar.com", "/whatsapp")
        );
        assert_eq!(BaseUrl::parse("http://127.0.0.1:8480").unwrap().path(), "");
        assert_eq!(BaseUrl::parse("http://[::1]:1/a/b").unwrap().path(), "/a/b");
        for bad in [
            "",
            "foobar.com",
            "/x",
            "ftp://a",
            "http://",
            "https://a/?q",
            "https://a/#f",
            "https://u@a",
            "https://a/{x}",
            "https://a//b",
            "https://a/%41",
        ] {
            assert!(BaseUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
