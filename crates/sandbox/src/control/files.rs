//! The calls about files that test phones send and fetch.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use super::App;
use super::phones::{Sent, message_id};
use super::problem::Problem;
use super::read::Body;
use crate::PhoneFile;

/// Largest body of a file that is sent: 24 MiB, in base64.
pub(super) const MAX_BODY: usize = 32 * 1024 * 1024 + 64 * 1024;

type Shared = State<Arc<App>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewFile {
    to: String,
    kind: String,
    mimetype: String,
    /// The plain file, in base64.
    data: String,
    caption: Option<String>,
    file_name: Option<String>,
}

/// Sends a file.
pub(super) async fn send(
    State(app): Shared,
    Path(number): Path<String>,
    Body(new): Body<NewFile>,
) -> Result<(StatusCode, Json<Sent>), Problem> {
    let kind = new.kind.parse();
    let kind = kind
        .map_err(|error: landbridge_media::UnknownKind| Problem::unusable("bad-kind", error.to_string()))?;
    let bytes = BASE64_STANDARD.decode(&new.data);
    let bytes = bytes.map_err(|_| Problem::unusable("bad-data", "the file is not in base64"))?;
    let file =
        PhoneFile { kind, mimetype: new.mimetype, bytes, caption: new.caption, file_name: new.file_name };
    Ok(Sent::accepted(app.handle.phone_send_file(&number, &new.to, &file)?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    peer: String,
    id: String,
}

/// A file that was fetched and checked; its bytes are told by their hash.
#[derive(Serialize)]
pub(super) struct FileInfo {
    kind: &'static str,
    mimetype: String,
    file_length: usize,
    /// In base64.
    file_sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    caption: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_name: Option<String>,
}

/// Fetches the file of a message that the phone has received.
pub(super) async fn fetch(
    State(app): Shared,
    Path(number): Path<String>,
    Body(Which { peer, id }): Body<Which>,
) -> Result<Json<FileInfo>, Problem> {
    let file = app.handle.phone_fetch_file(&number, &peer, &message_id(&id)?).await?;
    Ok(Json(FileInfo {
        kind: file.kind.name(),
        mimetype: file.mimetype,
        file_length: file.bytes.len(),
        file_sha256: BASE64_STANDARD.encode(file.file_sha256),
        caption: file.caption,
        file_name: file.file_name,
    }))
}
