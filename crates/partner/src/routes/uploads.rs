//! `/v1/uploads`: tus 1.0, core, creation and termination (ASSUMED).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::media::{check_size, described, failed, over_quota, reference_header};
use super::push::unavailable;
use super::segment::Segment;
use super::{App, user};
use crate::body::{announced, check_type};
use crate::media::{Start, UploadError, receive};
use crate::problem::Problem;
use crate::store::{Complete, MediaRow, Resumable, UploadRow};

const VERSION: &str = "1.0.0";
const RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const VERSIONS: HeaderName = HeaderName::from_static("tus-version");
const EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
const MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const LENGTH: HeaderName = HeaderName::from_static("upload-length");
const METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const PATH: &str = "/v1/uploads";

/// Every answer names the version, refusals included.
pub(super) async fn versioned(mut response: Response) -> Response {
    response.headers_mut().insert(RESUMABLE, HeaderValue::from_static(VERSION));
    response
}

fn tus(status: StatusCode, headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>) -> Response {
    let mut response = status.into_response();
    response.headers_mut().extend(headers);
    response
}

fn check_version(headers: &HeaderMap) -> Result<(), Problem> {
    let spoken = headers.get(RESUMABLE).is_some_and(|version| version == VERSION);
    if spoken { Ok(()) } else { Err(Problem::TusVersion) }
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    let text = headers.get(name)?.to_str().ok()?;
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // Too large for 64 bits is still a number.
    plain.then(|| text.parse().unwrap_or(u64::MAX))
}

/// The digest in `Upload-Metadata`, as base64url.
fn digest(headers: &HeaderMap) -> Option<String> {
    let pairs = headers.get(METADATA)?.to_str().ok()?.split(',');
    let value = pairs.filter_map(|pair| pair.trim().split_once(' ')).find(|(key, _)| *key == "sha256")?.1;
    let digest = STANDARD.decode(value.trim()).ok().filter(|digest| digest.len() == 32)?;
    Some(URL_SAFE_NO_PAD.encode(digest))
}

/// What this server can do, for anybody who asks.
pub(super) async fn options(State(app): State<Arc<App>>) -> Response {
    tus(
        StatusCode::NO_CONTENT,
        [
            (VERSIONS, HeaderValue::from_static(VERSION)),
            (EXTENSION, HeaderValue::from_static("creation,termination")),
            (MAX_SIZE, HeaderValue::from(app.hosting.config.max_bytes)),
        ],
    )
}

pub(super) async fn create(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let (head, _) = request.into_parts();
    let user = user(&app, &head).await?;
    check_version(&head.headers)?;
    let size = number(&head.headers, &LENGTH).ok_or(Problem::BadRequest("Upload-Length is not a number"))?;
    let digest = digest(&head.headers)
        .ok_or(Problem::BadRequest("Upload-Metadata has no sha256 with 32 bytes in base64"))?;
    check_size(&app, size)?;
    let begun = app.hosting.begin(&user.user_id, &digest, size, Resumable::Yes).await.map_err(unavailable)?;
    let Start::New(upload) = begun else {
        app.metrics.count("landbridge_uploads_total", &[("result", "over_quota")]);
        return Err(over_quota());
    };
    let location = HeaderValue::from_str(&format!("{PATH}/{}", upload.id));
    Ok(tus(StatusCode::CREATED, location.ok().map(|location| (LOCATION, location))))
}

/// The caller's upload.
async fn find(app: &App, id: &str, head: &axum::http::request::Parts) -> Result<UploadRow, Problem> {
    let user = user(app, head).await?;
    let found = app.store.upload(&user.user_id, id, app.hosting.now()).await.map_err(unavailable)?;
    found.filter(|upload| upload.resumable == Resumable::Yes).ok_or(Problem::NotFound)
}

/// The caller's upload after there was nothing to append to: another request may have completed it meanwhile.
async fn find_complete(app: &App, id: &str, head: &axum::http::request::Parts) -> Result<UploadRow, Problem> {
    let upload = find(app, id, head).await?;
    if upload.complete == Complete::Yes { Ok(upload) } else { Err(Problem::NotFound) }
}

async fn offset(app: &App, upload: &UploadRow) -> Result<u64, Problem> {
    match upload.complete {
        Complete::Yes => Ok(upload.media.size),
        Complete::No => app.hosting.blobs.received(&upload.id).await.map_err(io),
    }
}

fn io(cause: std::io::Error) -> Problem {
    failed(cause.into())
}

/// Completes an upload whose bytes are all there: the server that should have done it is gone. Gives the offset.
async fn catch_up(app: &App, upload: &mut UploadRow) -> Result<u64, Problem> {
    let received = offset(app, upload).await?;
    if upload.complete == Complete::Yes || (received > 0 && received < upload.media.size) {
        return Ok(received);
    }
    let is_published = app.hosting.blobs.published(&upload.media.name).await.map_err(io)?.is_some();
    let row = match received {
        _ if is_published => {
            let finish = async { app.hosting.finish(upload).await.map_err(failed) };
            app.hosting.holding(upload, finish).await
        }
        0 => return Ok(0),
        _ => app.hosting.holding(upload, complete(app, upload)).await,
    };
    match row {
        Ok(row) => {
            (upload.media, upload.complete) = (row, Complete::Yes);
            Ok(upload.media.size)
        }
        // It is being completed.
        Err(Problem::Conflict(_)) => Ok(if is_published { upload.media.size } else { received }),
        Err(Problem::DigestMismatch(_)) => Err(Problem::NotFound),
        Err(problem) => Err(problem),
    }
}

/// Where the upload is, and what it has become.
fn state(upload: &UploadRow, offset: u64) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers =
        vec![(OFFSET, HeaderValue::from(offset)), (LENGTH, HeaderValue::from(upload.media.size))];
    if upload.complete == Complete::Yes {
        headers.extend(reference_header(&upload.media));
    }
    headers.push((CACHE_CONTROL, HeaderValue::from_static("no-store")));
    headers
}

/// `HEAD` tells where the upload is; `GET` what it has become.
pub(super) async fn get(
    State(app): State<Arc<App>>,
    Segment(id): Segment,
    request: Request,
) -> Result<Response, Problem> {
    let (head, _) = request.into_parts();
    let mut upload = find(&app, &id, &head).await?;
    if head.method == axum::http::Method::HEAD {
        check_version(&head.headers)?;
        let offset = match catch_up(&app, &mut upload).await {
            Err(Problem::NotFound) => {
                upload = find_complete(&app, &id, &head).await?;
                upload.media.size
            }
            offset => offset?,
        };
        return Ok(tus(StatusCode::OK, state(&upload, offset)));
    }
    match upload.complete {
        Complete::Yes => Ok(Json(described(app.integrator, &upload.media)).into_response()),
        Complete::No => Err(Problem::NotFound),
    }
}

pub(super) async fn patch(
    State(app): State<Arc<App>>,
    Segment(id): Segment,
    request: Request,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let upload = find(&app, &id, &head).await?;
    check_version(&head.headers)?;
    check_type(&head.headers, "application/offset+octet-stream")?;
    // One that is complete cannot be held.
    let sent = app.hosting.holding(&upload, sent(&app, &upload, &head.headers, body)).await;
    let (upload, after) = match sent {
        Err(Problem::NotFound) => {
            let upload = find_complete(&app, &id, &head).await?;
            check_offset(&head.headers, upload.media.size)?;
            let size = upload.media.size;
            (upload, size)
        }
        sent => sent?,
    };
    Ok(tus(StatusCode::NO_CONTENT, state(&upload, after)))
}

fn check_offset(headers: &HeaderMap, at: u64) -> Result<(), Problem> {
    if number(headers, &OFFSET) == Some(at) {
        Ok(())
    } else {
        Err(Problem::Conflict("the upload is at another offset"))
    }
}

/// Takes what a request sends, and completes the upload if that was the rest.
async fn sent(
    app: &App,
    upload: &UploadRow,
    headers: &HeaderMap,
    body: axum::body::Body,
) -> Result<(UploadRow, u64), Problem> {
    let mut upload = upload.clone();
    let before = offset(app, &upload).await?;
    check_offset(headers, before)?;
    // More than there is room for is refused before a byte of it is taken.
    if announced(headers).is_some_and(|length| length > upload.media.size.saturating_sub(before)) {
        return Err(Problem::TooLarge);
    }
    let after = append(app, &upload, body, before).await?;
    if after == upload.media.size {
        upload.media = complete(app, &upload).await?;
        upload.complete = Complete::Yes;
    }
    Ok((upload, after))
}

/// Appends a body and gives the new offset. What came before a body broke off is kept.
async fn append(app: &App, upload: &UploadRow, body: axum::body::Body, before: u64) -> Result<u64, Problem> {
    let mut writer = app.hosting.blobs.append(&upload.id, before).await.map_err(io)?;
    let received = receive(body, upload.media.size.saturating_sub(before), Some(&mut *writer), |_| {}).await;
    app.metrics.add("landbridge_media_bytes_total", &[("direction", "in")], received.length);
    writer.sync().await.map_err(io)?;
    match received.cut {
        Some(problem) => Err(problem),
        None => Ok(before + received.length),
    }
}

async fn complete(app: &App, upload: &UploadRow) -> Result<MediaRow, Problem> {
    let digest = app.hosting.digest(&upload.id).await.map_err(io)?;
    if digest != upload.media.sha256 {
        app.hosting.give_up(&upload.id).await;
        app.metrics.count("landbridge_uploads_total", &[("result", "mismatch")]);
        return Err(failed(UploadError::Digest));
    }
    let row = app.hosting.finish(upload).await.map_err(failed)?;
    app.metrics.count("landbridge_uploads_total", &[("result", "created")]);
    Ok(row)
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Segment(id): Segment,
    request: Request,
) -> Result<Response, Problem> {
    let (head, _) = request.into_parts();
    let upload = find(&app, &id, &head).await?;
    check_version(&head.headers)?;
    if upload.complete == Complete::No {
        app.hosting.give_up(&upload.id).await;
    }
    Ok(tus(StatusCode::NO_CONTENT, []))
}
