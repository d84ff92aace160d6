//! Counts every request.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode, Version};
use axum::middleware::Next;
use axum::response::Response;

use crate::metrics::{Counter, Histogram, Metrics};

const REQUESTS: &str = "landbridge_http_requests_total";
const TOOK: &str = "landbridge_http_request_duration_seconds";

/// What is served by no route: references and nothing.
const OTHER: &str = "/{storage_reference}";

pub(crate) async fn request(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let _in_flight = metrics.begin();
    let begun = Instant::now();
    // The template and never the path: what stands in a path is a reference or a name.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = match *request.method() {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    };
    let protocol = protocol(request.version());
    let response = next.run(request).await;
    let route = route.as_ref().map_or(OTHER, MatchedPath::as_str);
    let code = response.status().as_str().to_owned();
    let labels = [("route", route), ("method", method), ("code", &code), ("protocol", protocol)];
    metrics.count(REQUESTS, &labels);
    metrics.observe(TOOK, &[("route", route)], begun.elapsed());
    response
}

fn protocol(version: Version) -> &'static str {
    if version == Version::HTTP_2 { "2" } else { "1.1" }
}

/// A call that has no time to look its series up: those of its usual answer are kept, from the first one on.
#[derive(Debug)]
pub(crate) struct Busy {
    metrics: Arc<Metrics>,
    route: String,
    /// Answers 200, over HTTP/1.1 and HTTP/2.
    good: [OnceLock<Counter>; 2],
    took: OnceLock<Arc<Histogram>>,
}

impl Busy {
    /// Of the `POST`s to a route.
    pub(crate) fn post(metrics: &Arc<Metrics>, route: String) -> Self {
        Self { metrics: Arc::clone(metrics), route, good: Default::default(), took: OnceLock::new() }
    }

    pub(crate) fn path(&self) -> &str {
        &self.route
    }

    pub(crate) async fn request(
        &self,
        version: Version,
        begun: Instant,
        answer: impl Future<Output = Response>,
    ) -> Response {
        let _in_flight = self.metrics.begin();
        let response = answer.await;
        let count = |code: &str| {
            let protocol = protocol(version);
            let labels =
                [("route", &*self.route), ("method", "POST"), ("code", code), ("protocol", protocol)];
            self.metrics.counter(REQUESTS, &labels)
        };
        let [http1, http2] = &self.good;
        let good = if version == Version::HTTP_2 { http2 } else { http1 };
        match response.status() {
            StatusCode::OK => good.get_or_init(|| count("200")).fetch_add(1, Ordering::Relaxed),
            status => count(status.as_str()).fetch_add(1, Ordering::Relaxed),
        };
        let took = self.took.get_or_init(|| self.metrics.histogram(TOOK, &[("route", &self.route)]));
        took.observe(begun.elapsed());
        response
    }
}
