//! An HTTP client for small bodies (enlistment, tokens, key sets, push) and for large ones that are read piece by piece.
//!
//! It follows no redirect, keeps no cookie, reads no proxy setting from the environment, and never holds more of an
//! answer than the limit allows. Certificates are checked against the system's roots with rustls and ring.
//!
//! ```no_run
//! use landbridge_transport::HttpClient;
//!
//! # async fn example() -> Result<(), landbridge_transport::HttpError> {
//! let client = HttpClient::builder().build()?;
//! let keys = client.get("https://partner.example/.well-known/jwks.json", &[]).await?;
//! println!("{}: {} bytes", keys.status, keys.body.len());
//! # Ok(()) }
//! ```

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
pub use http::Method;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// Settings of an [`HttpClient`]; see the methods for the defaults.
#[derive(Debug, Clone)]
pub struct HttpClientBuilder {
    connect_timeout: Duration,
    total_timeout: Duration,
    max_body: usize,
    schemes: Schemes,
    versions: Versions,
    header_case: HeaderCase,
    oldest_tls: OldestTls,
    user_agent: String,
    extra_roots: Vec<Vec<u8>>,
}

/// The oldest version of TLS that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OldestTls {
    /// TLS 1.2 where feature `tls12` is on, else 1.3.
    BuiltIn,
    /// TLS 1.3, whatever is built in.
    Tls13,
}

/// How a client writes the names of header fields in HTTP/1.1. They mean the same in every case (RFC 9110 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderCase {
    /// `if-none-match`
    Lower,
    /// `If-None-Match`
    Title,
}

/// Which addresses a client agrees to call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Schemes {
    /// `https` and `http`.
    HttpsAndHttp,
    /// `https` only.
    Https,
}

/// Which versions of HTTP a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Versions {
    /// HTTP/2 where TLS agrees on it and feature `http2-client` is on, else HTTP/1.1.
    Any,
    /// HTTP/1.1 only.
    Http1,
    #[cfg(feature = "http2-client")]
    /// HTTP/2 only: agreed on by TLS, taken for granted without.
    Http2,
}

impl HttpClientBuilder {
    /// Versions of HTTP. [`Versions::Any`].
    #[must_use]
    pub fn versions(mut self, versions: Versions) -> Self {
        self.versions = versions;
        self
    }

    /// Time for name look-up, TCP and each TLS connection. 10 s.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Time for a whole exchange, from the call to the last byte of the answer. 30 s.
    #[must_use]
    pub fn total_timeout(mut self, limit: Duration) -> Self {
        self.total_timeout = limit;
        self
    }

    /// Largest body accepted in an answer, in bytes. 65,536.
    #[must_use]
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Which addresses may be called. Both schemes.
    #[must_use]
    pub fn schemes(mut self, schemes: Schemes) -> Self {
        self.schemes = schemes;
        self
    }

    /// How header names are written in HTTP/1.1. Lower case.
    #[must_use]
    pub fn header_case(mut self, case: HeaderCase) -> Self {
        self.header_case = case;
        self
    }

    /// The oldest version of TLS that is spoken. [`OldestTls::BuiltIn`].
    #[must_use]
    pub fn oldest_tls(mut self, oldest: OldestTls) -> Self {
        self.oldest_tls = oldest;
        self
    }

    /// The `User-Agent` header, unless a call gives its own. `landbridge/` and the version of this crate.
    #[must_use]
    pub fn user_agent(mut self, text: impl Into<String>) -> Self {
        self.user_agent = text.into();
        self
    }

    /// Believes one more root certificate (DER), besides the system's.
    #[must_use]
    pub fn extra_root(mut self, der: impl Into<Vec<u8>>) -> Self {
        self.extra_roots.push(der.into());
        self
    }

    /// Believes these root certificates, too, as [`roots_from_pem`] gives them.
    #[must_use]
    pub fn extra_roots(mut self, ders: impl IntoIterator<Item = Vec<u8>>) -> Self {
        self.extra_roots.extend(ders);
        self
    }

    /// Builds the client. Reads the system's root certificates.
    ///
    /// # Errors
    ///
    /// [`HttpError::Setup`] if a given root or the user agent cannot be used. A system without root certificates is no
    /// error here: `https` then refuses every server.
    pub fn build(self) -> Result<HttpClient, HttpError> {
        let setup = |e: Box<dyn std::error::Error + Send + Sync>| HttpError::Setup { source: e };
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for der in self.extra_roots {
            roots.add(der.into()).map_err(|e| setup(e.into()))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = match self.oldest_tls {
            OldestTls::BuiltIn => rustls::DEFAULT_VERSIONS,
            OldestTls::Tls13 => &[&rustls::version::TLS13],
        };
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|e| setup(e.into()))?
            .with_root_certificates(roots)
            .with_no_client_auth();

        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(self.connect_timeout));
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let connector = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls);
        let connector = match self.schemes {
            Schemes::HttpsAndHttp => connector.https_or_http(),
            Schemes::Https => connector.https_only(),
        };
        let connector = match self.versions {
            #[cfg(not(feature = "http2-client"))]
            Versions::Any => connector.enable_http1().wrap_connector(tcp),
            #[cfg(feature = "http2-client")]
            Versions::Any => connector.enable_all_versions().wrap_connector(tcp),
            Versions::Http1 => connector.enable_http1().wrap_connector(tcp),
            #[cfg(feature = "http2-client")]
            Versions::Http2 => connector.enable_http2().wrap_connector(tcp),
        };
        let mut builder = Client::builder(TokioExecutor::new());
        #[cfg(feature = "http2-client")]
        builder.http2_max_header_list_size(64 * 1024).http2_only(self.versions == Versions::Http2);
        let inner = builder
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(8)
            .http1_max_buf_size(64 * 1024)
            .http1_title_case_headers(self.header_case == HeaderCase::Title)
            .build(connector);
        Ok(HttpClient {
            inner,
            user_agent: HeaderValue::from_str(&self.user_agent).map_err(|e| setup(e.into()))?,
            total_timeout: self.total_timeout,
            max_body: self.max_body,
            schemes: self.schemes,
        })
    }
}

/// The certificates (DER) of a PEM text, for [`HttpClientBuilder::extra_roots`].
///
/// # Errors
///
/// [`HttpError::Setup`] if there is none in it, or one that is no root certificate.
pub fn roots_from_pem(pem: &[u8]) -> Result<Vec<Vec<u8>>, HttpError> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::{Error, PemObject as _};
    let setup = |source| HttpError::Setup { source };
    let certificates: Vec<CertificateDer<'_>> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|e| setup(e.into()))?;
    if certificates.is_empty() {
        return Err(setup(Error::NoItemsFound.into()));
    }
    let mut roots = rustls::RootCertStore::empty();
    for certificate in &certificates {
        roots.add(certificate.clone()).map_err(|e| setup(e.into()))?;
    }
    Ok(certificates.into_iter().map(|certificate| certificate.to_vec()).collect())
}

/// The client. Clones share their connections.
#[derive(Clone)]
pub struct HttpClient {
    inner: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    user_agent: HeaderValue,
    total_timeout: Duration,
    max_body: usize,
    schemes: Schemes,
}

impl std::fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpClient")
            .field("total_timeout", &self.total_timeout)
            .field("max_body", &self.max_body)
            .field("schemes", &self.schemes)
            .finish_non_exhaustive()
    }
}

/// A whole answer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Response {
    /// The status. Every status is an answer; the caller decides what is an error.
    pub status: StatusCode,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body, at most as long as the limit.
    pub body: Bytes,
}

impl Response {
    /// A header field as text, if it is there once or more and is visible ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The entity tag, to be given to [`HttpClient::get_if_changed`] next time.
    pub fn etag(&self) -> Option<&str> {
        self.header("etag")
    }

    /// How long the server asks to wait, see [`retry_after`].
    pub fn retry_after(&self) -> Option<Duration> {
        retry_after(&self.headers)
    }
}

/// How long a server asks to wait: `Retry-After`, in seconds or as a date (RFC 9110, section 10.2.3). A date is compared with
/// the answer's own `Date`, so that the clocks need not agree; without one, with this machine's clock. A date that is past is
/// no time at all.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| Some(headers.get(name)?.to_str().ok()?.trim());
    let wait = text(header::RETRY_AFTER)?;
    if wait.bytes().all(|byte| byte.is_ascii_digit()) {
        return wait.parse().ok().map(Duration::from_secs);
    }
    let until = httpdate::parse_http_date(wait).ok()?;
    let sent = text(header::DATE).and_then(|date| httpdate::parse_http_date(date).ok());
    let now = sent.unwrap_or_else(std::time::SystemTime::now);
    Some(until.duration_since(now).unwrap_or_default())
}

/// An answer whose body is still coming; made by [`HttpClient::open`]. Dropping it ends the exchange.
pub struct Streaming {
    /// The status. Every status is an answer; the caller decides what is an error.
    pub status: StatusCode,
    /// The header fields.
    pub headers: HeaderMap,
    body: Incoming,
    host: String,
    stall: Duration,
}

impl Streaming {
    /// A header field as text, if it is there once or more and is visible ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// How long the server asks to wait, see [`retry_after`].
    pub fn retry_after(&self) -> Option<Duration> {
        retry_after(&self.headers)
    }

    /// The next piece of the body, or `None` at its end.
    ///
    /// # Cancel safety
    ///
    /// Safe: no piece is lost.
    ///
    /// # Errors
    ///
    /// [`HttpError::Broken`], also if the body ends before its announced length, and [`HttpError::TimedOut`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, HttpError> {
        loop {
            let frame = tokio::time::timeout(self.stall, self.body.frame()).await;
            let frame =
                frame.map_err(|_| HttpError::TimedOut { host: self.host.clone(), after: self.stall })?;
            let broken = |e: hyper::Error| HttpError::Broken { host: self.host.clone(), source: e.into() };
            match frame.transpose().map_err(broken)? {
                None => return Ok(None),
                // Trailers, or nothing in them: not the body.
                Some(frame) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => return Ok(Some(data)),
                    _ => {}
                },
            }
        }
    }
}

impl std::fmt::Debug for Streaming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streaming").field("status", &self.status).finish_non_exhaustive()
    }
}

/// What a conditional request found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Conditional {
    /// Status 304: what the caller has is still good.
    NotModified,
    /// Any other answer.
    Answer(Response),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The client could not be built.
    #[error("the HTTP client could not be set up")]
    Setup {
        /// What was refused.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The address is not an absolute `http` or `https` URL, or its scheme is not allowed.
    #[error("the URL is not one that this client may call")]
    Url,
    /// A header field or the content type has characters that HTTP forbids.
    #[error("the request header {name} is malformed")]
    Header {
        /// Name of the field.
        name: String,
    },
    /// No connection to the server: look-up, TCP or TLS.
    #[error("no connection to {host}")]
    Connect {
        /// Host of the URL.
        host: String,
        /// What failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The exchange was not over in time. The server may have acted on it.
    #[error("{host} did not answer within {} ms", after.as_millis())]
    TimedOut {
        /// Host of the URL.
        host: String,
        /// The limit that passed.
        after: Duration,
    },
    /// The answer is larger than allowed.
    #[error("the answer of {host} is larger than {limit} bytes")]
    BodyTooLarge {
        /// Host of the URL.
        host: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// The connection broke during the exchange. The server may have acted on it.
    #[error("the exchange with {host} broke off")]
    Broken {
        /// Host of the URL.
        host: String,
        /// What failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl HttpClient {
    /// Settings for a new client.
    pub fn builder() -> HttpClientBuilder {
        HttpClientBuilder {
            connect_timeout: Duration::from_secs(10),
            total_timeout: Duration::from_secs(30),
            max_body: 64 * 1024,
            schemes: Schemes::HttpsAndHttp,
            versions: Versions::Any,
            header_case: HeaderCase::Lower,
            oldest_tls: OldestTls::BuiltIn,
            user_agent: concat!("landbridge/", env!("CARGO_PKG_VERSION")).to_owned(),
            extra_roots: Vec::new(),
        }
    }

    /// GET.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the exchange; the server may have seen the request. The same holds for the other calls.
    ///
    /// # Errors
    ///
    /// [`HttpError`] when there is no whole answer.
    pub async fn get(&self, url: &str, headers: &[(&str, &str)]) -> Result<Response, HttpError> {
        self.send(Method::GET, url, headers, None, Bytes::new()).await
    }

    /// GET, unless the entity is still the one that `etag` names.
    ///
    /// # Errors
    ///
    /// [`HttpError`] when there is no whole answer.
    pub async fn get_if_changed(&self, url: &str, etag: Option<&str>) -> Result<Conditional, HttpError> {
        let condition = etag.map(|tag| ("if-none-match", tag));
        let response = self.get(url, condition.as_slice()).await?;
        if etag.is_some() && response.status == StatusCode::NOT_MODIFIED {
            return Ok(Conditional::NotModified);
        }
        Ok(Conditional::Answer(response))
    }

    /// POST.
    ///
    /// # Errors
    ///
    /// [`HttpError`] when there is no whole answer.
    pub async fn post(
        &self,
        url: &str,
        content_type: &str,
        body: impl Into<Bytes> + Send,
        headers: &[(&str, &str)],
    ) -> Result<Response, HttpError> {
        self.send(Method::POST, url, headers, Some(content_type), body.into()).await
    }

    /// Any method, with a body that is in memory. The content type is one of the headers.
    ///
    /// # Errors
    ///
    /// [`HttpError`] when there is no whole answer.
    pub async fn request(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes> + Send,
    ) -> Result<Response, HttpError> {
        self.send(method, url, headers, None, body.into()).await
    }

    /// GET of a body of any length, which is read piece by piece. The limits of time and size for whole answers do not
    /// apply: the head must come within the limit of an exchange, and each piece within `stall`.
    ///
    /// # Errors
    ///
    /// [`HttpError`] when there is no head.
    pub async fn open(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        stall: Duration,
    ) -> Result<Streaming, HttpError> {
        self.begin(Method::GET, url, headers, Bytes::new(), stall).await
    }

    /// Any method, with a body that is in memory; otherwise as [`open`](Self::open).
    ///
    /// # Errors
    ///
    /// [`HttpError`] when there is no head.
    pub async fn begin(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes> + Send,
        stall: Duration,
    ) -> Result<Streaming, HttpError> {
        let (request, host) = self.prepare(method, url, headers, None, body.into())?;
        let head = tokio::time::timeout(self.total_timeout, self.head(request, &host)).await;
        let (parts, body) =
            head.map_err(|_| HttpError::TimedOut { host: host.clone(), after: self.total_timeout })??;
        Ok(Streaming { status: parts.status, headers: parts.headers, body, host, stall })
    }

    async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        content_type: Option<&str>,
        body: Bytes,
    ) -> Result<Response, HttpError> {
        let (request, host) = self.prepare(method, url, headers, content_type, body)?;
        match tokio::time::timeout(self.total_timeout, self.exchange(request, &host)).await {
            Ok(result) => result,
            Err(_) => Err(HttpError::TimedOut { host, after: self.total_timeout }),
        }
    }

    fn prepare(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        content_type: Option<&str>,
        body: Bytes,
    ) -> Result<(Request<Full<Bytes>>, String), HttpError> {
        let uri: Uri = url.parse().map_err(|_| HttpError::Url)?;
        let allowed = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => self.schemes == Schemes::HttpsAndHttp,
            _ => false,
        };
        let host = uri.host().unwrap_or_default().to_owned();
        if !allowed || host.is_empty() {
            return Err(HttpError::Url);
        }
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let fields = request.headers_mut();
        let given = headers.iter().copied();
        for (name, value) in content_type.map(|value| ("content-type", value)).into_iter().chain(given) {
            let malformed = || HttpError::Header { name: name.to_owned() };
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| malformed())?;
            let mut value = HeaderValue::from_str(value).map_err(|_| malformed())?;
            value.set_sensitive(key == header::AUTHORIZATION);
            fields.append(key, value);
        }
        fields.entry(header::USER_AGENT).or_insert_with(|| self.user_agent.clone());
        Ok((request, host))
    }

    async fn head(
        &self,
        request: Request<Full<Bytes>>,
        host: &str,
    ) -> Result<(http::response::Parts, Incoming), HttpError> {
        let answer = self.inner.request(request).await.map_err(|e| {
            let host = host.to_owned();
            if e.is_connect() {
                HttpError::Connect { host, source: e.into() }
            } else {
                HttpError::Broken { host, source: e.into() }
            }
        })?;
        Ok(answer.into_parts())
    }

    async fn exchange(&self, request: Request<Full<Bytes>>, host: &str) -> Result<Response, HttpError> {
        let (parts, body) = self.head(request, host).await?;
        let collected = Limited::new(body, self.max_body).collect().await;
        let body = collected.map_err(|source| {
            let host = host.to_owned();
            if source.is::<LengthLimitError>() {
                HttpError::BodyTooLarge { host, limit: self.max_body }
            } else {
                HttpError::Broken { host, source }
            }
        })?;
        Ok(Response { status: parts.status, headers: parts.headers, body: body.to_bytes() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_in_seconds_and_as_dates() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        for (wait, sent, expected) in [
            ("0", None, Some(0)),
            (" 120 ", None, Some(120)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(date), Some(60)),
            ("Sunday, 06-Nov-94 08:50:37 GMT", Some(date), Some(60)),
            ("Sun Nov  6 08:50:37 1994", Some(date), Some(60)),
            (date, Some("Sun, 06 Nov 1994 08:50:37 GMT"), Some(0)),
            (date, None, Some(0)),
            (date, Some("yesterday"), Some(0)),
            ("soon", Some(date), None),
            ("-1", None, None),
            ("1.5", None, None),
            ("", None, None),
            ("99999999999999999999", None, None),
            ("Sun, 06 Nov 1994 08:50:37 CET", Some(date), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, wait.parse().unwrap());
            if let Some(sent) = sent {
                headers.insert(header::DATE, sent.parse().unwrap());
            }
            assert_eq!(retry_after(&headers), expected.map(Duration::from_secs), "{wait:?} {sent:?}");
        }
        let mut ahead = HeaderMap::new();
        let later = std::time::SystemTime::now() + Duration::from_secs(100);
        ahead.insert(header::RETRY_AFTER, httpdate::fmt_http_date(later).parse().unwrap());
        let wait = retry_after(&ahead).unwrap();
        assert!(wait <= Duration::from_secs(100) && wait > Duration::ZERO, "{wait:?}");
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
