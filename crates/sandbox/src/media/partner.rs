//! A partner's file, fetched when a phone asks for it: `GET {base}/{reference}` (SEED).
//!
//! Of a phone's request nothing goes on but the reference, which is letters and digits by its type, and three headers
//! about parts; the host is the one that the operator named for this partner. Redirects are not followed. So nobody can
//! make the server call another place.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    IF_RANGE, RANGE,
};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};
use landbridge_enlist::IntegratorId;
use landbridge_media::StorageReference;
use landbridge_transport::{HttpClient, HttpError};

use super::answer::Bodied;
use crate::partners::Partners;

/// What of a request goes on.
const ASKED: [HeaderName; 3] = [RANGE, IF_RANGE, IF_NONE_MATCH];
/// What of an answer goes on.
const TOLD: [HeaderName; 5] = [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_RANGE, ETAG, ACCEPT_RANGES];
/// Silence in the middle of a file.
const STALL: Duration = Duration::from_secs(30);

pub(super) type Answer = (StatusCode, HeaderMap, Bodied);

/// An answer without a body.
pub(super) fn bare(status: StatusCode) -> Answer {
    (status, HeaderMap::new(), Bodied::Here(Bytes::new()))
}

/// What the partner says; troubles are 502 and 504.
pub(super) async fn fetch(
    http: &HttpClient,
    partners: &Partners,
    (integrator, reference): (u32, &StorageReference),
    method: &Method,
    headers: &HeaderMap,
) -> Answer {
    let integrator = u16::try_from(integrator).ok().and_then(IntegratorId::new);
    let Some(partner) = integrator.and_then(|integrator| partners.get(integrator)) else {
        return bare(StatusCode::NOT_FOUND);
    };
    let url = format!("{}/{}", partner.base_url().trim_end_matches('/'), reference.as_str());
    let asked: Vec<(&str, &str)> = ASKED
        .iter()
        .filter_map(|name| Some((name.as_str(), headers.get(name)?.to_str().ok()?)))
        .chain([("accept-encoding", "identity")])
        .collect();
    let fetched = if method == Method::HEAD {
        let answer = http.request(Method::HEAD, &url, &asked, Bytes::new()).await;
        answer.map(|answer| (answer.status, told(&answer.headers), Bodied::Here(Bytes::new())))
    } else {
        let answer = http.open(&url, &asked, STALL).await;
        if answer.as_ref().is_ok_and(|answer| is_coded(&answer.headers)) {
            // Nobody asked for it, and the phone could not know.
            tracing::warn!("the partner's answer has a content encoding");
            return bare(StatusCode::BAD_GATEWAY);
        }
        answer.map(|answer| (answer.status, told(&answer.headers), Bodied::Coming(answer)))
    };
    match fetched {
        Ok(answer) if matches!(answer.0.as_u16(), 200 | 206) => answer,
        Ok((status, headers, _)) if matches!(status.as_u16(), 304 | 404 | 416) => {
            let mut headers = headers;
            headers.remove(CONTENT_LENGTH);
            (status, headers, Bodied::Here(Bytes::new()))
        }
        Ok((status, ..)) => {
            tracing::warn!(
                status = status.as_u16(),
                "the partner's answer is no answer to a fetch of a file"
            );
            bare(StatusCode::BAD_GATEWAY)
        }
        Err(HttpError::TimedOut { .. }) => bare(StatusCode::GATEWAY_TIMEOUT),
        Err(error) => {
            tracing::warn!(%error, "the partner's file server was not reached");
            bare(StatusCode::BAD_GATEWAY)
        }
    }
}

fn is_coded(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).iter().any(|coding| coding != "identity")
}

fn told(headers: &HeaderMap) -> HeaderMap {
    TOLD.into_iter().filter_map(|name| Some((name.clone(), headers.get(&name)?.clone()))).collect()
}
