//! Files to the partner's server over HTTP (ASSUMED; served by `landbridge partner`): small ones in one request, large
//! ones by the protocol tus 1.0, piece by piece.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use landbridge_media::{DownloadPath, EncryptedFile, TransferError, Tried, Uploader};
use landbridge_stanza::profile::MediaProfile;
use landbridge_transport::http_client::{Method, Response};
use landbridge_transport::{HttpClient, HttpError};
use zeroize::Zeroizing;

use super::patience::Patience;

/// Bytes of one request: also what is sent again after a break.
const PIECE: usize = 1024 * 1024;

/// Uploads files as the user who holds a session at the partner's server. What it has begun is kept with each file
/// ([`EncryptedFile::note`]), so that it goes on where it was after the program has ended, too.
#[derive(Clone)]
pub struct HttpUploader {
    http: HttpClient,
    base: String,
    authorization: Arc<Zeroizing<String>>,
    profile: Arc<MediaProfile>,
}

impl HttpUploader {
    /// To the server at `base`, such as `https://partner.example`, for the user who holds `session`. `http` has to allow
    /// 1 MiB to be sent within its limit of an exchange.
    #[must_use]
    pub fn new(http: HttpClient, base: impl Into<String>, session: &str) -> Self {
        let base: String = base.into();
        Self {
            http,
            base: base.trim_end_matches('/').to_owned(),
            authorization: Arc::new(Zeroizing::new(format!("Bearer {session}"))),
            profile: Arc::default(),
        }
    }

    /// With another profile's patience.
    #[must_use]
    pub fn profile(mut self, profile: &MediaProfile) -> Self {
        self.profile = Arc::new(profile.clone());
        self
    }

    async fn call(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: bytes::Bytes,
    ) -> Result<Response, TransferError> {
        let mut all = vec![("authorization", self.authorization.as_str()), ("tus-resumable", "1.0.0")];
        all.extend_from_slice(headers);
        let answer = self.http.request(method, url, &all, body).await.map_err(network)?;
        let status = answer.status.as_u16();
        match status {
            200..=299 | 409 => Ok(answer),
            401 | 403 => Err(TransferError::Denied { status }),
            404 | 410 => Err(TransferError::Gone { status }),
            413 => Err(TransferError::TooLarge),
            507 => Err(TransferError::QuotaExceeded),
            408 | 425 | 429 | 500..=599 => Err(unavailable(status, answer.retry_after())),
            422 => Err(TransferError::Malformed { what: "the server got other bytes than were sent" }),
            _ => Err(TransferError::Malformed { what: "a status that is no answer to an upload" }),
        }
    }

    /// All of a small file at once. Doing it twice gives the same place twice.
    async fn put(&self, file: &dyn EncryptedFile) -> Result<DownloadPath, TransferError> {
        let body = file.read(0, PIECE).await.map_err(|source| TransferError::Source { source })?;
        let content_type = [("content-type", "application/octet-stream")];
        place(&self.call(Method::PUT, &self.by_hash(file), &content_type, body).await?)
    }

    /// Where a file is that the server has already, if it has.
    async fn stored(&self, file: &dyn EncryptedFile) -> Result<Option<DownloadPath>, TransferError> {
        match self.call(Method::HEAD, &self.by_hash(file), &[], bytes::Bytes::new()).await {
            Ok(answer) => Ok(answer.header("download-path").and_then(partners_path)),
            Err(TransferError::Gone { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn by_hash(&self, file: &dyn EncryptedFile) -> String {
        format!("{}/v1/media/by-hash/{}", self.base, BASE64_URL_SAFE_NO_PAD.encode(file.sha256()))
    }

    /// Begins an upload; where it lies.
    async fn begin(&self, file: &dyn EncryptedFile) -> Result<String, TransferError> {
        let length = file.length().to_string();
        let metadata = format!("sha256 {}", BASE64_STANDARD.encode(file.sha256()));
        let headers = [("upload-length", length.as_str()), ("upload-metadata", metadata.as_str())];
        let url = format!("{}/v1/uploads", self.base);
        let answer = self.call(Method::POST, &url, &headers, bytes::Bytes::new()).await?;
        let location = answer.header("location").and_then(|location| self.below_base(location));
        location.ok_or(TransferError::Malformed { what: "an upload without its place" })
    }

    /// The session goes to no other server.
    fn below_base(&self, location: &str) -> Option<String> {
        if location.starts_with('/') && !location.starts_with("//") {
            // The path stands below the server, which may have a path of its own before it.
            let (scheme, rest) = self.base.split_once("://")?;
            let host = rest.split('/').next()?;
            return Some(format!("{scheme}://{host}{location}"));
        }
        location.strip_prefix(&self.base)?.starts_with('/').then(|| location.to_owned())
    }

    /// How much of the file the server has.
    async fn offset(&self, location: &str) -> Result<u64, TransferError> {
        let answer = self.call(Method::HEAD, location, &[], bytes::Bytes::new()).await?;
        upload_offset(&answer)
    }

    /// Sends what the server does not have yet.
    async fn rest(
        &self,
        file: &dyn EncryptedFile,
        tried: &mut Tried,
        patience: &mut Patience,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<DownloadPath, TransferError> {
        let (location, mut offset) = match tried {
            Tried::At(location) => (location.clone(), self.offset(location).await?),
            Tried::Never | Tried::Before => {
                let location = self.begin(file).await?;
                file.note(&location).await.map_err(|source| TransferError::Source { source })?;
                *tried = Tried::At(location.clone());
                (location, 0)
            }
        };
        progress(offset);
        while offset < file.length() {
            let piece = file.read(offset, PIECE).await.map_err(|source| TransferError::Source { source })?;
            let (at, length) = (offset.to_string(), piece.len() as u64);
            let headers =
                [("content-type", "application/offset+octet-stream"), ("upload-offset", at.as_str())];
            let answer = self.call(Method::PATCH, &location, &headers, piece).await?;
            // After a conflict, the server says what it has, which is all of it if this user's file was there before; a
            // piece that was lost on the way is sent again.
            let (reached, most) = match answer.status.as_u16() {
                409 => (self.offset(&location).await?, file.length()),
                _ => (upload_offset(&answer)?, offset + length),
            };
            if reached > most {
                return Err(TransferError::Malformed { what: "the server has more than was sent" });
            }
            if reached > offset {
                patience.renew();
            } else {
                let source = std::io::Error::other("the server does not take the piece").into();
                return Err(TransferError::Network { source });
            }
            offset = reached;
            progress(offset);
        }
        let answer = self.call(Method::GET, &location, &[], bytes::Bytes::new()).await?;
        place(&answer)
    }

    /// One try: with what the server has, if there was one before.
    async fn attempt(
        &self,
        file: &dyn EncryptedFile,
        tried: &mut Tried,
        patience: &mut Patience,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<DownloadPath, TransferError> {
        if *tried == Tried::Before
            && let Some(place) = self.stored(file).await?
        {
            return Ok(place);
        }
        if file.length() <= PIECE as u64 {
            self.put(file).await
        } else {
            self.rest(file, tried, patience, progress).await
        }
    }
}

#[async_trait]
impl Uploader for HttpUploader {
    async fn upload(
        &self,
        file: &dyn EncryptedFile,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<DownloadPath, TransferError> {
        let (mut patience, mut forgotten) = (Patience::of(&self.profile), 0);
        let mut tried = match file.tried() {
            // Kept by an earlier process, which may have had another server.
            Tried::At(place) => self.below_base(&place).map_or(Tried::Before, Tried::At),
            tried => tried,
        };
        loop {
            match self.attempt(file, &mut tried, &mut patience, progress).await {
                Ok(place) => {
                    progress(file.length());
                    return Ok(place);
                }
                // The server has dropped what was begun, or put it where all files are: once, that is no reason to give up.
                Err(TransferError::Gone { .. }) if matches!(tried, Tried::At(_)) && forgotten == 0 => {
                    forgotten = 1;
                    tried = Tried::Before;
                }
                Err(error) => {
                    patience.wait(error).await?;
                    if tried == Tried::Never {
                        tried = Tried::Before;
                    }
                }
            }
        }
    }
}

impl std::fmt::Debug for HttpUploader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpUploader")
            .field("base", &self.base)
            .field("session", &"[redacted]")
            .finish_non_exhaustive()
    }
}

fn upload_offset(answer: &Response) -> Result<u64, TransferError> {
    let offset = answer.header("upload-offset").and_then(|offset| offset.parse().ok());
    offset.ok_or(TransferError::Malformed { what: "an upload without its offset" })
}

fn partners_path(text: &str) -> Option<DownloadPath> {
    text.parse::<DownloadPath>().ok().filter(|path| path.partner().is_some())
}

/// The path for the message: one of a partner's files, nothing else.
fn place(answer: &Response) -> Result<DownloadPath, TransferError> {
    let body: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
    let path = body.and_then(|body| partners_path(body.get("download_path")?.as_str()?));
    path.ok_or(TransferError::Malformed { what: "a stored file without its download path" })
}

pub(super) fn network(error: HttpError) -> TransferError {
    TransferError::Network { source: Box::new(error) }
}

pub(super) fn unavailable(status: u16, retry_after: Option<Duration>) -> TransferError {
    TransferError::Unavailable { status, retry_after: retry_after.map(|wait| wait.as_secs()) }
}
