//! Test phones: files that they send and fetch.

use std::net::SocketAddr;
use std::time::Duration;

use landbridge_media::{Claim, DownloadPath, Expected, MediaKey, MediaKind, decrypt, encrypt};
use landbridge_proto::content::{self, Content, Kind, Media};
use landbridge_proto::message::Message;
use landbridge_stanza::MessageId;
use landbridge_transport::HttpClient;

use super::SandboxHandle;
use crate::{FetchedFile, FileError, PhoneFile, SandboxError};

/// Silence in the middle of a file.
const STALL: Duration = Duration::from_secs(30);
/// What a phone says before a path, beside the path (PEERS).
const PUBLIC: &str = "https://mmg.whatsapp.net";

const KINDS: [(MediaKind, Kind); 8] = [
    (MediaKind::Image, Kind::Image),
    (MediaKind::Video, Kind::Video),
    (MediaKind::Gif, Kind::Gif),
    (MediaKind::Ptv, Kind::Ptv),
    (MediaKind::Audio, Kind::Audio),
    (MediaKind::Ptt, Kind::Ptt),
    (MediaKind::Document, Kind::Document),
    (MediaKind::Sticker, Kind::Sticker),
];

impl SandboxHandle {
    /// Where the media server listens; `None` if the sandbox runs inside another program.
    pub fn media_addr(&self) -> Option<SocketAddr> {
        self.state.media.addr()
    }

    /// Lets a phone send a file: it is encrypted, uploaded to the media server, and its message sent as in
    /// [`phone_send_text`](Self::phone_send_text).
    ///
    /// # Errors
    /// [`FileError`].
    pub fn phone_send_file(&self, number: &str, to: &str, file: &PhoneFile) -> Result<MessageId, FileError> {
        let limit = file.kind.default_limit();
        if file.bytes.len() as u64 > limit {
            return Err(FileError::TooLarge { limit });
        }
        let kind = KINDS.iter().find(|(kind, _)| *kind == file.kind);
        let (_, kind) = kind.ok_or(FileError::Kind { kind: file.kind })?;
        let mut rng = self.state.rng();
        let key = MediaKey::generate(&mut rng);
        let (encrypted, sealed) = encrypt(file.kind, &key, &file.bytes);
        let path = self.state.media.store(
            encrypted,
            self.state.profile().media.link_days,
            self.state.now(),
            &mut rng,
        )?;
        let url = format!("{PUBLIC}{path}");
        let mut media = Media::default();
        media.direct_path = Some(&path);
        media.url = Some(&url);
        media.mimetype = Some(&file.mimetype);
        media.media_key = Some(key.as_bytes());
        media.media_key_timestamp = i64::try_from(self.state.now()).ok();
        media.file_sha256 = Some(&sealed.file_sha256);
        media.file_enc_sha256 = Some(&sealed.file_enc_sha256);
        media.file_length = Some(sealed.file_length);
        media.caption = file.caption.as_deref();
        media.file_name = file.file_name.as_deref();
        media.sidecar = sealed.sidecar.as_ref().map(landbridge_media::Sidecar::as_bytes);
        let message = content::file(*kind, &media).ok_or(FileError::Kind { kind: file.kind })?;
        self.phone_send(number, to, &message).map_err(FileError::Sandbox)
    }

    /// Lets a phone fetch the file of a message that it has received, from the media server, and check it.
    ///
    /// # Errors
    /// [`FileError`].
    pub async fn phone_fetch_file(
        &self,
        number: &str,
        from: &str,
        id: &MessageId,
    ) -> Result<FetchedFile, FileError> {
        let addr = self.media_addr().ok_or(FileError::NoServer)?;
        let received = self.phone_content(number, from, id).map_err(FileError::Sandbox)?;
        let content = received.ok_or(FileError::NoFile)?;
        let media = content.media().ok_or(FileError::NoFile)?;
        let kind = KINDS.iter().find(|(_, kind)| *kind == content.kind());
        let (kind, _) = kind.ok_or(FileError::NoFile)?;
        let path: DownloadPath =
            media.direct_path.and_then(|path| path.parse().ok()).ok_or(FileError::NoFile)?;
        let mut claim = Claim::default();
        claim.media_key = media.media_key;
        claim.file_sha256 = media.file_sha256;
        claim.file_enc_sha256 = media.file_enc_sha256;
        claim.file_length = media.file_length;
        let expected =
            Expected::of_message(*kind, claim, kind.default_limit()).map_err(FileError::Refused)?;
        let encrypted = fetch(&path.url(&format!("http://{addr}")), expected.encrypted_limit()).await?;
        let bytes = decrypt(&expected, &encrypted).map_err(FileError::Refused)?;
        Ok(FetchedFile {
            kind: *kind,
            mimetype: media.mimetype.unwrap_or_default().to_owned(),
            bytes,
            // Checked just now.
            file_sha256: *expected.file_sha256().unwrap_or(&[0; 32]),
            caption: media.caption.map(str::to_owned),
            file_name: media.file_name.map(str::to_owned),
        })
    }

    /// The content of a message that a phone has received, as its sender made it; `None` if there is no such message.
    ///
    /// # Errors
    /// No such phone or user, or the phone's store fails.
    pub fn phone_message(
        &self,
        number: &str,
        from: &str,
        id: &MessageId,
    ) -> Result<Option<Message>, SandboxError> {
        Ok(self.phone_content(number, from, id)?.map(|content| content.message().clone()))
    }

    fn phone_content(
        &self,
        number: &str,
        from: &str,
        id: &MessageId,
    ) -> Result<Option<Content>, SandboxError> {
        let (phone, from) = self.phone_and_user(number, from)?;
        phone.content(&from, id).map_err(|source| super::phones::failed(number, source))
    }
}

async fn fetch(url: &str, limit: u64) -> Result<Vec<u8>, FileError> {
    let http = HttpClient::builder().build().map_err(FileError::Http)?;
    let mut answer =
        http.open(url, &[("accept-encoding", "identity")], STALL).await.map_err(FileError::Http)?;
    if answer.status.as_u16() != 200 {
        return Err(FileError::Status { status: answer.status.as_u16() });
    }
    let mut bytes = Vec::new();
    while let Some(piece) = answer.next().await.map_err(FileError::Http)? {
        bytes.extend_from_slice(&piece);
        if bytes.len() as u64 > limit {
            return Err(FileError::TooLarge { limit });
        }
    }
    Ok(bytes)
}
