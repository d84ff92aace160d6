//! `GET, HEAD {3p_base_url}/{storage_reference}` (SEED): what WhatsApp fetches.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use super::App;
use super::media::failed;
use super::push::unavailable;
use super::range::{Wanted, none_match, wanted};
use crate::media::{is_reference, name_of};
use crate::problem::Problem;
use crate::scan_guard::client_address;
use crate::store::MediaRow;

/// Whatever no route takes: a reference, or nothing.
pub(super) async fn fallback(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let (head, _) = request.into_parts();
    let address = client_address(&head, &app.proxies);
    if let Some(address) = address {
        app.scan_guard.check(address).map_err(|retry_after| Problem::RateLimited { retry_after })?;
    }
    let answer = serve(&app, &head).await;
    if let (Err(Problem::NotFound), Some(address)) = (&answer, address) {
        app.scan_guard.missed(address);
    }
    answer
}

async fn serve(app: &App, head: &Parts) -> Result<Response, Problem> {
    // The path as it came: nothing is decoded, so that every other spelling of a reference is none.
    let path = head.uri.path();
    let reference = reference(path, &app.media_path);
    if reference.is_some() && !matches!(head.method, Method::GET | Method::HEAD) {
        let mut response = Problem::MethodNotAllowed.into_response();
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET,HEAD"));
        return Ok(response);
    }
    // What is no reference is looked for like one, so that both take the same time.
    let name = name_of(reference.unwrap_or(path));
    let found = app.store.media(&name, app.hosting.now()).await.map_err(unavailable)?;
    let row = found.filter(|_| reference.is_some()).ok_or(Problem::NotFound)?;
    answer(app, head, &row).await
}

/// The one segment behind the base path; a slash behind it is tolerated (ASSUMED).
fn reference<'a>(path: &'a str, base: &str) -> Option<&'a str> {
    let segment = path.strip_prefix(base)?.strip_prefix('/')?;
    let segment = segment.strip_suffix('/').unwrap_or(segment);
    is_reference(segment).then_some(segment)
}

async fn answer(app: &App, head: &Parts, row: &MediaRow) -> Result<Response, Problem> {
    let etag = format!("\"{}\"", row.sha256);
    let mut headers = validators(&etag);
    if none_match(&head.headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    // A range is asked of a GET.
    let wanted =
        if head.method == Method::GET { wanted(&head.headers, &etag, row.size) } else { Wanted::Whole };
    let (status, start, length) = match wanted {
        Wanted::Whole => (StatusCode::OK, 0, row.size),
        Wanted::Part { start, length } => {
            let range = format!("bytes {start}-{}/{}", start + length - 1, row.size);
            insert(&mut headers, CONTENT_RANGE, &range);
            (StatusCode::PARTIAL_CONTENT, start, length)
        }
        Wanted::Unsatisfiable => {
            let mut response = Problem::RangeNotSatisfiable.into_response();
            insert(response.headers_mut(), CONTENT_RANGE, &format!("bytes */{}", row.size));
            return Ok(response);
        }
    };
    insert(&mut headers, CONTENT_LENGTH, &length.to_string());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if head.method == Method::HEAD {
        return Ok((status, headers, Body::empty()).into_response());
    }
    let stream =
        app.hosting.blobs.read(&row.name, start, length).await.map_err(|cause| failed(cause.into()))?;
    app.metrics.add("landbridge_media_bytes_total", &[("direction", "out")], length);
    Ok((status, headers, Body::from_stream(stream)).into_response())
}

/// What stands in a 304, too.
fn validators(etag: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    insert(&mut headers, ETAG, etag);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let kept = HeaderValue::from_static("public, max-age=86400, immutable, no-transform");
    headers.insert(CACHE_CONTROL, kept);
    headers
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // Digests and numbers: there is no character in them that a header forbids.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::reference;

    #[test]
    fn exactly_one_segment() {
        let good = "A_-0".repeat(10);
        for base in ["", "/media"] {
            assert_eq!(reference(&format!("{base}/{good}"), base), Some(&*good));
            assert_eq!(reference(&format!("{base}/{good}/"), base), Some(&*good));
            for bad in [
                good.clone(),
                format!("//{good}"),
                format!("/x/{good}"),
                format!("/{good}//"),
                format!("/{good}/x"),
                format!("/../{good}"),
                format!("/%41{good}"),
                format!("/{good}%2F"),
                format!("/{good}.enc"),
                format!("/{good}\\"),
            ] {
                assert_eq!(reference(&format!("{base}{bad}"), base), None, "{bad}");
            }
        }
    }
}
