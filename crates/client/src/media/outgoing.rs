//! A file on its way out.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use landbridge_media::{MediaKey, MediaKind, Sealed, picture};
use landbridge_proto::content::{self, Context, Media};
use landbridge_proto::message::Message;
use prost::Message as _;

/// Where a file comes from.
pub enum Source {
    /// A file on this device.
    Path(PathBuf),
    /// Bytes in memory.
    Bytes(Vec<u8>),
    /// Anything that can be read, on a thread of its own. It is read once.
    Reader(Box<dyn Read + Send>),
}

impl From<&Path> for Source {
    fn from(path: &Path) -> Self {
        Self::Path(path.to_owned())
    }
}

impl From<PathBuf> for Source {
    fn from(path: PathBuf) -> Self {
        Self::Path(path)
    }
}

impl From<Vec<u8>> for Source {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Box<dyn Read + Send>> for Source {
    fn from(reader: Box<dyn Read + Send>) -> Self {
        Self::Reader(reader)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Path(_) => "Path",
            Self::Bytes(_) => "Bytes",
            Self::Reader(_) => "Reader",
        })
    }
}

/// How far a file has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// So many plain bytes are encrypted.
    Encrypted {
        /// Bytes so far.
        bytes: u64,
    },
    /// So many encrypted bytes are at the other end.
    Transferred {
        /// Bytes so far.
        bytes: u64,
        /// All of them, if that is known.
        of: Option<u64>,
    },
    /// It could not be brought to the server. It is tried again later; [`PendingFile::waits`](super::PendingFile::waits) says why.
    Waits,
}

pub(super) type Watcher = Arc<dyn Fn(Progress) + Send + Sync>;

/// A file to be sent, with what its message says beside. What the kind of message has no field for is left out.
pub struct OutgoingFile {
    pub(super) source: Source,
    pub(super) fields: Fields,
    pub(super) watcher: Watcher,
}

/// What a message shows beside the file.
#[derive(Clone, Default)]
pub(super) struct Fields {
    mimetype: String,
    caption: Option<String>,
    pub(super) file_name: Option<String>,
    thumbnail: Option<Vec<u8>>,
    size: Option<(u32, u32)>,
    seconds: Option<u32>,
    waveform: Option<Vec<u8>>,
}

impl OutgoingFile {
    /// A file of this media type.
    pub fn new(source: impl Into<Source>, mimetype: impl Into<String>) -> Self {
        let fields = Fields { mimetype: mimetype.into(), ..Fields::default() };
        Self { source: source.into(), fields, watcher: Arc::new(|_| {}) }
    }

    /// A text below it, of pictures, videos and documents.
    #[must_use]
    pub fn caption(mut self, text: impl Into<String>) -> Self {
        self.fields.caption = Some(text.into());
        self
    }

    /// The name that the other side is offered to save it under, of documents. That of the path, if it comes from one.
    #[must_use]
    pub fn file_name(mut self, name: impl Into<String>) -> Self {
        self.fields.file_name = Some(name.into());
        self
    }

    /// A small JPEG (of stickers: PNG) to show before it is fetched. [`check_thumbnail`](super::check_thumbnail) says
    /// whether the other side would take it.
    #[must_use]
    pub fn thumbnail(mut self, picture: impl Into<Vec<u8>>) -> Self {
        self.fields.thumbnail = Some(picture.into());
        self
    }

    /// Width and height in pixels. Those of the thumbnail, if there is one.
    #[must_use]
    pub const fn size(mut self, width: u32, height: u32) -> Self {
        self.fields.size = Some((width, height));
        self
    }

    /// How long it plays.
    #[must_use]
    pub const fn seconds(mut self, seconds: u32) -> Self {
        self.fields.seconds = Some(seconds);
        self
    }

    /// The waveform of a voice note; [`waveform`](super::waveform) makes one.
    #[must_use]
    pub fn waveform(mut self, samples: impl Into<Vec<u8>>) -> Self {
        self.fields.waveform = Some(samples.into());
        self
    }

    /// Is called, often and from other threads, with how far the file has got.
    #[must_use]
    pub fn on_progress(mut self, watcher: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.watcher = Arc::new(watcher);
        self
    }
}

impl fmt::Debug for OutgoingFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, fields: Fields { mimetype, .. }, watcher: _ } = self;
        f.debug_struct("OutgoingFile")
            .field("source", source)
            .field("mimetype", mimetype)
            .finish_non_exhaustive()
    }
}

/// The message of a file that lies nowhere yet; `None` for kinds that have no message of their own.
pub(super) fn message(
    kind: MediaKind,
    key: &MediaKey,
    made_at: u64,
    sealed: &Sealed,
    fields: &Fields,
) -> Option<Message> {
    let seen = fields.thumbnail.as_deref().and_then(picture).map(|seen| (seen.width, seen.height));
    let size = fields.size.or(seen);
    let mut media = Media::default();
    media.mimetype = Some(&fields.mimetype);
    media.media_key = Some(key.as_bytes());
    media.media_key_timestamp = i64::try_from(made_at).ok();
    media.file_sha256 = Some(&sealed.file_sha256);
    media.file_enc_sha256 = Some(&sealed.file_enc_sha256);
    media.file_length = Some(sealed.file_length);
    media.caption = fields.caption.as_deref();
    media.file_name = fields.file_name.as_deref();
    media.thumbnail = fields.thumbnail.as_deref();
    media.width = size.map(|(width, _)| width);
    media.height = size.map(|(_, height)| height);
    media.seconds = fields.seconds;
    media.waveform = fields.waveform.as_deref();
    media.sidecar = sealed.sidecar.as_ref().map(super::Sidecar::as_bytes);
    content::file(message_kind(kind)?, &media)
}

/// The first rule that the message would break, wherever its file will lie. A name is no matter: it comes from a folder, and who
/// gets it cleans it.
pub(super) fn fault(message: &Message, limits: &content::Limits) -> Option<&'static str> {
    let mut message = message.clone();
    let wrapped =
        message.document_with_caption_message.as_mut().and_then(|outer| outer.message.as_deref_mut());
    if let Some(document) =
        wrapped.map_or(message.document_message.as_mut(), |it| it.document_message.as_mut())
    {
        document.file_name = None;
    }
    content::set_direct_path(&mut message, "/interop/whatsapp/download/1/AAAAAAAAAAAAAAAAAAAAAA/");
    match content::decode(&message.encode_to_vec(), &Context::direct("", ""), limits) {
        Ok(content) => content.findings().first().map(|finding| finding.note),
        Err(_) => Some("it does not read"),
    }
}

const KINDS: [(MediaKind, content::Kind); 8] = [
    (MediaKind::Image, content::Kind::Image),
    (MediaKind::Video, content::Kind::Video),
    (MediaKind::Gif, content::Kind::Gif),
    (MediaKind::Ptv, content::Kind::Ptv),
    (MediaKind::Audio, content::Kind::Audio),
    (MediaKind::Ptt, content::Kind::Ptt),
    (MediaKind::Document, content::Kind::Document),
    (MediaKind::Sticker, content::Kind::Sticker),
];

/// The message that carries files of this kind; previews have none of their own.
fn message_kind(kind: MediaKind) -> Option<content::Kind> {
    KINDS.iter().find(|(file, _)| *file == kind).map(|(_, message)| *message)
}

/// The kind of the file in a message of this kind.
pub(super) fn file_kind(kind: content::Kind) -> Option<MediaKind> {
    KINDS.iter().find(|(_, message)| *message == kind).map(|(file, _)| *file)
}
