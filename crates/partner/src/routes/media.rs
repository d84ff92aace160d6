//! `PUT, HEAD /v1/media/by-hash/{hash}` and `DELETE /v1/media/{storage_reference}` (ASSUMED).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use landbridge_enlist::IntegratorId;
use serde_json::{Value, json};

use super::push::unavailable;
use super::segment::Segment;
use super::{App, user};
use crate::body::{announced, check_type};
use crate::media::{Start, UploadError, is_digest, is_media_length, is_reference, name_of, receive};
use crate::problem::Problem;
use crate::store::{Deleted, MediaRow, Resumable, UploadRow};

pub(super) const STORAGE_REFERENCE: HeaderName = HeaderName::from_static("storage-reference");
const DOWNLOAD_PATH: HeaderName = HeaderName::from_static("download-path");

pub(super) async fn put(
    State(app): State<Arc<App>>,
    Segment(hash): Segment,
    request: Request,
) -> Result<Response, Problem> {
    let outcome = put_counted(&app, &hash, request).await;
    let result = match &outcome {
        Ok((StatusCode::CREATED, _)) => "created",
        Ok(_) => "existing",
        Err(Problem::DigestMismatch(_)) => "mismatch",
        Err(Problem::QuotaExceeded(_)) => "over_quota",
        Err(_) => "failed",
    };
    app.metrics.count("landbridge_uploads_total", &[("result", result)]);
    let (status, row) = outcome?;
    Ok((status, Json(described(app.integrator, &row))).into_response())
}

async fn put_counted(
    app: &Arc<App>,
    hash: &str,
    request: Request,
) -> Result<(StatusCode, MediaRow), Problem> {
    let (head, body) = request.into_parts();
    let user = user(app, &head).await?;
    if !is_digest(hash) {
        return Err(Problem::BadRequest("the path does not end in a SHA-256 in base64url"));
    }
    check_type(&head.headers, "application/octet-stream")?;
    let size = announced(&head.headers).ok_or(Problem::LengthRequired)?;
    check_size(app, size)?;
    let begun = app.hosting.begin(&user.user_id, hash, size, Resumable::No).await.map_err(unavailable)?;
    let upload = match begun {
        Start::New(upload) => upload,
        Start::OverQuota => return Err(over_quota()),
        Start::Existing(row) => {
            // The caller may be mistaken about its bytes; it is told so now and not by whoever fetches them.
            let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
            let received = receive(body, size, None, |bytes| digest.update(bytes)).await;
            check_received(received.cut, received.length == size, digest, hash)?;
            return Ok((StatusCode::OK, row));
        }
    };
    let row = app.hosting.holding(&upload, store(app, &upload, body)).await?;
    let status = if row.name == upload.media.name { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, row))
}

/// Everything between the beginning and the object.
async fn store(app: &Arc<App>, upload: &UploadRow, body: axum::body::Body) -> Result<MediaRow, Problem> {
    let size = upload.media.size;
    let mut writer = app.hosting.blobs.append(&upload.id, 0).await.map_err(|cause| failed(cause.into()))?;
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    let received = receive(body, size, Some(&mut *writer), |bytes| digest.update(bytes)).await;
    app.metrics.add("landbridge_media_bytes_total", &[("direction", "in")], received.length);
    check_received(received.cut, received.length == size, digest, &upload.media.sha256)?;
    writer.sync().await.map_err(|cause| failed(cause.into()))?;
    drop(writer);
    app.hosting.finish(upload).await.map_err(failed)
}

fn check_received(
    cut: Option<Problem>,
    is_whole: bool,
    digest: ring::digest::Context,
    hash: &str,
) -> Result<(), Problem> {
    if let Some(problem) = cut {
        return Err(problem);
    }
    if !is_whole {
        return Err(Problem::DigestMismatch("the body has another length than was announced"));
    }
    if URL_SAFE_NO_PAD.encode(digest.finish()) == hash {
        Ok(())
    } else {
        Err(Problem::DigestMismatch("the body has another SHA-256 than was announced"))
    }
}

/// What can be said of a length before a byte has come.
pub(super) fn check_size(app: &App, size: u64) -> Result<(), Problem> {
    if size > app.hosting.config.max_bytes {
        return Err(Problem::TooLarge);
    }
    if !is_media_length(size) {
        return Err(Problem::DigestMismatch("no media file has this length"));
    }
    Ok(())
}

pub(super) fn over_quota() -> Problem {
    Problem::QuotaExceeded("the day's uploads, the stored bytes or the uploads at once are too many")
}

pub(super) fn failed(cause: UploadError) -> Problem {
    match cause {
        UploadError::Digest => Problem::DigestMismatch("the body has another SHA-256 than was announced"),
        UploadError::Gone => Problem::NotFound,
        cause => {
            tracing::error!(cause = &cause as &dyn std::error::Error, "an upload cannot be stored");
            Problem::Unavailable("the upload cannot be stored")
        }
    }
}

/// Where WhatsApp finds an object.
fn download_path(integrator: IntegratorId, row: &MediaRow) -> String {
    format!("/interop/whatsapp/download/{integrator}/{}/", row.reference)
}

/// An object as its owner sees it.
pub(super) fn described(integrator: IntegratorId, row: &MediaRow) -> Value {
    json!({
        "storage_reference": row.reference,
        "download_path": download_path(integrator, row),
        "size": row.size,
        "sha256": row.sha256,
        "expires_at": rfc3339(row.expires_at / 1000),
    })
}

pub(super) fn reference_header(row: &MediaRow) -> Option<(HeaderName, HeaderValue)> {
    Some((STORAGE_REFERENCE, HeaderValue::from_str(&row.reference).ok()?))
}

pub(super) async fn head(
    State(app): State<Arc<App>>,
    Segment(hash): Segment,
    request: Request,
) -> Result<Response, Problem> {
    let (head, _) = request.into_parts();
    let user = user(&app, &head).await?;
    let found =
        app.store.media_by_hash(&user.user_id, &hash, app.hosting.now()).await.map_err(unavailable)?;
    let row = found.ok_or(Problem::NotFound)?;
    let path =
        HeaderValue::try_from(download_path(app.integrator, &row)).ok().map(|path| (DOWNLOAD_PATH, path));
    Ok((StatusCode::OK, HeaderMap::from_iter(reference_header(&row).into_iter().chain(path))).into_response())
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Segment(reference): Segment,
    request: Request,
) -> Result<Response, Problem> {
    let (head, _) = request.into_parts();
    let user = user(&app, &head).await?;
    if !is_reference(&reference) {
        return Err(Problem::NotFound);
    }
    let name = name_of(&reference);
    let deleted = app.store.delete_media(&user.user_id, &name, app.hosting.now());
    match deleted.await.map_err(unavailable)? {
        Deleted::No => Err(Problem::NotFound),
        Deleted::Yes => {
            app.hosting.swept_soon();
            Ok(StatusCode::NO_CONTENT.into_response())
        }
    }
}

/// A time as in RFC 3339, in UTC. Days are counted in eras of 400 years that begin on the first of March.
fn rfc3339(unix_seconds: u64) -> String {
    let (days, second) = (unix_seconds / 86_400 + 719_468, unix_seconds % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year_of_era = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day_of_month:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn times() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_709_251_200, "2024-03-01T00:00:00Z"),
            (1_800_000_000, "2027-01-15T08:00:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }
}
