//! The file of a received message.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use landbridge_media::{
    Claim, DownloadPath, Downloader, Expected, MediaKey, MediaKind, RangeError, RangeReader, Sidecar,
};
use landbridge_proto::content::{self, Media};
use landbridge_stanza::profile::MediaProfile;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::download::{Job, Target, span};
use super::limits::limit;
use super::outgoing::file_kind;
use super::{MediaError, Progress};

/// A file that can be fetched; made by [`Files::attachment`](super::Files::attachment). It may be kept and used again.
#[derive(Clone)]
pub struct Attachment {
    path: DownloadPath,
    expected: Expected,
    key: MediaKey,
    sidecar: Option<Sidecar>,
    downloader: Arc<dyn Downloader>,
    slots: Arc<Semaphore>,
    profile: Arc<MediaProfile>,
}

/// A file that was fetched and passed every check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Saved {
    /// Length in bytes.
    pub file_length: u64,
    /// SHA-256.
    pub file_sha256: [u8; 32],
}

impl Attachment {
    pub(super) fn new(
        kind: content::Kind,
        media: &Media<'_>,
        downloader: Arc<dyn Downloader>,
        slots: Arc<Semaphore>,
        profile: Arc<MediaProfile>,
    ) -> Result<Self, MediaError> {
        let unclear = || MediaError::BadMessage { source: None };
        let kind = file_kind(kind).ok_or_else(unclear)?;
        let path = media.direct_path.or_else(|| media.url.and_then(|url| path_of(url, &profile)));
        let path = path.and_then(|path| path.parse().ok()).ok_or_else(unclear)?;
        let mut claim = Claim::default();
        claim.media_key = media.media_key;
        claim.file_enc_sha256 = media.file_enc_sha256;
        claim.file_sha256 = media.file_sha256;
        claim.file_length = media.file_length;
        let expected = Expected::of_message(kind, claim, limit(&profile, kind))?;
        let key = MediaKey::from_bytes(media.media_key.unwrap_or_default())?;
        // A sidecar that is none is as good as missing: no file is refused for it.
        let sidecar = media.sidecar.and_then(|bytes| Sidecar::from_bytes(bytes).ok());
        Ok(Self { path, expected, key, sidecar, downloader, slots, profile })
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> MediaKind {
        self.expected.kind()
    }

    /// The plain length that the message says, in bytes. Not checked before the file is fetched.
    #[must_use]
    pub const fn file_length(&self) -> Option<u64> {
        self.expected.file_length()
    }

    /// Fetches the file and puts it at `target`, at once and whole, when every check has passed. After breaks it goes on
    /// where it stopped, until so many tries in a row have brought nothing as the profile says.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves no file, and what was at `target` stays.
    ///
    /// # Errors
    ///
    /// [`MediaError::Gone`], [`MediaError::Damaged`], [`MediaError::TooLarge`], [`MediaError::Transfer`],
    /// [`MediaError::Disk`]. In each case there is nothing of the file.
    pub async fn save(
        &self,
        target: &Path,
        progress: impl Fn(Progress) + Send + Sync,
    ) -> Result<Saved, MediaError> {
        let opened = self.run(Target::File(target.to_owned()), &progress).await?;
        Ok(Saved { file_length: opened.file_length, file_sha256: opened.file_sha256 })
    }

    /// Fetches a small file into memory. As [`save`](Self::save).
    ///
    /// # Cancel safety
    ///
    /// Safe.
    ///
    /// # Errors
    ///
    /// As [`save`](Self::save).
    pub async fn bytes(&self) -> Result<Vec<u8>, MediaError> {
        Ok(self.run(Target::Memory, &|_| {}).await?.file)
    }

    async fn run(
        &self,
        target: Target,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<landbridge_media::Opened<Vec<u8>>, MediaError> {
        let _slot = self.slots.acquire().await.map_err(|_| MediaError::GivenUp)?;
        let job = Job {
            downloader: &*self.downloader,
            path: &self.path,
            expected: &self.expected,
            target,
            progress,
            profile: &self.profile,
        };
        job.run().await
    }

    /// Fetches a part of the plain file, to show or play it before the rest. Only what the sidecar of the message proves is
    /// given. Whether the whole file is the one that the message names, only [`save`](Self::save) says.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    ///
    /// # Errors
    ///
    /// [`MediaError::Part`] if there is no sidecar or it proves something else; [`MediaError::Gone`],
    /// [`MediaError::Transfer`].
    pub async fn part(&self, plain: Range<u64>) -> Result<Zeroizing<Vec<u8>>, MediaError> {
        let part = |source: RangeError| MediaError::Part { source: Some(source) };
        let (Some(sidecar), Some(length)) = (self.sidecar.clone(), self.file_length()) else {
            return Err(MediaError::Part { source: None });
        };
        let reader = RangeReader::new(self.kind(), &self.key, length, sidecar).map_err(part)?;
        let wanted = reader.part(plain).map_err(part)?;
        let _slot = self.slots.acquire().await.map_err(|_| MediaError::GivenUp)?;
        let fetched = span(&self.downloader, &self.path, wanted.fetch(), &self.profile).await?;
        reader.open(&wanted, &fetched).map_err(part)
    }
}

/// The path in a place, for want of a path: it is fetched where all files are, whichever of the allowed hosts it names.
fn path_of<'a>(url: &'a str, profile: &MediaProfile) -> Option<&'a str> {
    let rest = url.strip_prefix("https://")?;
    let (host, path) = rest.split_at(rest.find('/')?);
    super::http_download::is_below(host, &profile.redirect_domains).then_some(path)
}

impl std::fmt::Debug for Attachment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, expected, key: _, sidecar: _, downloader: _, slots: _, profile: _ } = self;
        f.debug_struct("Attachment")
            .field("path", path)
            .field("kind", &expected.kind())
            .finish_non_exhaustive()
    }
}
