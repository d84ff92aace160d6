//! What every request passes before the router sees it.

use std::error::Error;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body, Incoming};
use tower_service::Service;

use super::body::RequestBody;
use super::guard::Watch;
use super::head::is_host;
use super::newcomers::Newcomer;
use super::stalls::Stalls;
use super::{HttpLimits, PeerAddr};

type BoxError = Box<dyn Error + Send + Sync>;
type Answer = Response<UnsyncBoxBody<Bytes, BoxError>>;

pub(super) struct Guard<S> {
    inner: S,
    peer: SocketAddr,
    newcomer: Newcomer,
    watch: Arc<Watch>,
    /// For answers that the socket's guard does not see stall.
    stalls: Option<Arc<Stalls>>,
    limits: Arc<HttpLimits>,
    requests: AtomicU64,
}

impl<S> Guard<S> {
    pub(super) fn new(
        inner: S,
        (peer, newcomer): (SocketAddr, Newcomer),
        watch: Arc<Watch>,
        stalls: Option<Arc<Stalls>>,
        limits: Arc<HttpLimits>,
    ) -> Self {
        Self { inner, peer, newcomer, watch, stalls, limits, requests: AtomicU64::new(0) }
    }

    /// What of requests is refused here: in HTTP/1, what the socket's guard has found; in HTTP/2, the same.
    fn refusal(&self, request: &Request<Incoming>, number: u64) -> Option<StatusCode> {
        let headers = request.headers();
        if request.version() < Version::HTTP_2 {
            if let Some(refusal) = self.watch.refusal.get().filter(|refusal| refusal.number <= number) {
                return Some(refusal.status);
            }
        } else if let Some(status) = self.refusal_in_2(request) {
            return Some(status);
        }
        let knows = |expected: &HeaderValue| expected.as_bytes().eq_ignore_ascii_case(b"100-continue");
        headers.get_all(header::EXPECT).iter().any(|e| !knows(e)).then_some(StatusCode::EXPECTATION_FAILED)
    }

    fn refusal_in_2(&self, request: &Request<Incoming>) -> Option<StatusCode> {
        let (target, headers) = (request.uri(), request.headers());
        let authority = target.authority().map(http::uri::Authority::as_str);
        let length = target.path_and_query().map_or(0, |p| p.as_str().len()) + authority.map_or(0, str::len);
        // Exactly one word about the host (RFC 9113, section 8.3.1).
        let mut hosts = headers.get_all(header::HOST).iter().map(HeaderValue::as_bytes);
        let host = match (authority, hosts.next(), hosts.next()) {
            (Some(_), None, _) => true,
            (None, Some(host), None) => is_host(host),
            (Some(authority), Some(host), None) => host.eq_ignore_ascii_case(authority.as_bytes()),
            _ => false,
        };
        if length > self.limits.request_line {
            Some(StatusCode::URI_TOO_LONG)
        } else if headers.len() > self.limits.header_fields
            || length + block(headers) > self.limits.header_block
        {
            Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
        } else if !host
            || authority.is_some_and(|a| !is_host(a.as_bytes()))
            || request.method() == Method::CONNECT
        {
            Some(StatusCode::BAD_REQUEST)
        } else {
            None
        }
    }
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Guard<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Answer;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, BoxError>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        if number == 0 {
            self.newcomer.settle();
        }
        let http1 = request.version() < Version::HTTP_2;
        if let Some(status) = self.refusal(&request, number) {
            let answer = refused((self.limits.refuse)(status), http1);
            return Box::pin(async move { Ok(answer) });
        }
        let close_after = http1 && request.headers().contains_key(header::TRANSFER_ENCODING);
        let asks = http1 && request.headers().contains_key(header::EXPECT);
        // HTTP/2 resets the stream and nothing else.
        let watched = http1.then_some(&self.watch);
        let mut request = request.map(|body| RequestBody::new(body, watched, asks));
        request.extensions_mut().insert(PeerAddr(self.peer));
        let mut inner = self.inner.clone();
        let (watch, stalls) = (Arc::clone(&self.watch), self.stalls.clone());
        Box::pin(async move {
            std::future::poll_fn(|cx| inner.poll_ready(cx)).await.map_err(Into::into)?;
            let mut response = inner.call(request).await.map_err(Into::into)?;
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                watch.upgraded.store(true, Ordering::Relaxed);
            } else if close_after || watch.abandoned.load(Ordering::Relaxed) {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response.map(|body| {
                if body.is_end_stream() {
                    return Empty::new().map_err(|never| match never {}).boxed_unsync();
                }
                let body = body.map_err(Into::into).boxed_unsync();
                match stalls {
                    Some(stalls) => stalls.watch(body).boxed_unsync(),
                    None => body,
                }
            }))
        })
    }
}

/// The bytes of header fields, as they stand in HTTP/1.
fn block(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum()
}

fn refused(answer: Response<Bytes>, http1: bool) -> Answer {
    let mut response = answer.map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync());
    if http1 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
