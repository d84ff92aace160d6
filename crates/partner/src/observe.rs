//! Counts every request.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, Version};
use axum::middleware::Next;
use axum::response::Response;

use crate::metrics::Metrics;

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
    let protocol = if request.version() == Version::HTTP_2 { "2" } else { "1.1" };
    let response = next.run(request).await;
    let route = route.as_ref().map_or(OTHER, MatchedPath::as_str);
    let code = response.status().as_str().to_owned();
    let labels = [("route", route), ("method", method), ("code", &code), ("protocol", protocol)];
    metrics.count("landbridge_http_requests_total", &labels);
    metrics.observe("landbridge_http_request_duration_seconds", &[("route", route)], begun.elapsed());
    response
}
