//! What a file is, as far as its keys, its sidecar and its size depend on it.

use core::fmt;
use core::str::FromStr;

use thiserror::Error;

/// The kind of a file: that of the message field it stands in, never that of its MIME type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MediaKind {
    /// A picture.
    Image,
    /// A sticker; it has the keys of a picture.
    Sticker,
    /// A video.
    Video,
    /// A video that is played like an animated picture.
    Gif,
    /// A round video note.
    Ptv,
    /// A sound file.
    Audio,
    /// A voice note.
    Ptt,
    /// Any other file.
    Document,
    /// The preview of a picture, in a file of its own.
    ImageThumbnail,
    /// The preview of a video, in a file of its own.
    VideoThumbnail,
    /// The preview of a document, in a file of its own.
    DocumentThumbnail,
    /// The preview of a link, in a file of its own.
    LinkThumbnail,
    /// A pack of stickers.
    StickerPack,
    /// The preview of a pack of stickers.
    StickerPackThumbnail,
}

/// No kind has this name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is no kind of media of this name")]
#[non_exhaustive]
pub struct UnknownKind;

const MIB: u64 = 1024 * 1024;

impl MediaKind {
    /// Every kind.
    pub const ALL: [Self; 14] = [
        Self::Image,
        Self::Sticker,
        Self::Video,
        Self::Gif,
        Self::Ptv,
        Self::Audio,
        Self::Ptt,
        Self::Document,
        Self::ImageThumbnail,
        Self::VideoThumbnail,
        Self::DocumentThumbnail,
        Self::LinkThumbnail,
        Self::StickerPack,
        Self::StickerPackThumbnail,
    ];

    /// The name used in command lines and reports; [`FromStr`] reads it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Sticker => "sticker",
            Self::Video => "video",
            Self::Gif => "gif",
            Self::Ptv => "ptv",
            Self::Audio => "audio",
            Self::Ptt => "ptt",
            Self::Document => "document",
            Self::ImageThumbnail => "thumbnail-image",
            Self::VideoThumbnail => "thumbnail-video",
            Self::DocumentThumbnail => "thumbnail-document",
            Self::LinkThumbnail => "thumbnail-link",
            Self::StickerPack => "sticker-pack",
            Self::StickerPackThumbnail => "thumbnail-sticker-pack",
        }
    }

    /// The text that tells this kind's keys from those of others (PEERS).
    #[must_use]
    pub const fn info(self) -> &'static str {
        match self {
            Self::Image | Self::Sticker => "WhatsApp Image Keys",
            Self::Video | Self::Gif | Self::Ptv => "WhatsApp Video Keys",
            Self::Audio | Self::Ptt => "WhatsApp Audio Keys",
            Self::Document => "WhatsApp Document Keys",
            Self::ImageThumbnail => "WhatsApp Image Thumbnail Keys",
            Self::VideoThumbnail => "WhatsApp Video Thumbnail Keys",
            Self::DocumentThumbnail => "WhatsApp Document Thumbnail Keys",
            Self::LinkThumbnail => "WhatsApp Link Thumbnail Keys",
            Self::StickerPack => "WhatsApp Sticker Pack Keys",
            Self::StickerPackThumbnail => "WhatsApp Sticker Pack Thumbnail Keys",
        }
    }

    /// Whether senders make a [`Sidecar`](crate::Sidecar) for it (PEERS).
    #[must_use]
    pub const fn has_sidecar(self) -> bool {
        matches!(self, Self::Video | Self::Gif | Self::Ptv | Self::Audio | Self::Ptt)
    }

    /// Longest plain file that is taken unless the caller says otherwise, in bytes (ASSUMED: nothing public says which
    /// limits hold between services).
    #[must_use]
    pub const fn default_limit(self) -> u64 {
        match self {
            Self::Image => 16 * MIB,
            Self::Audio | Self::Ptt => 64 * MIB,
            Self::Video | Self::Gif | Self::Ptv | Self::StickerPack => 100 * MIB,
            Self::Document => 2048 * MIB,
            Self::Sticker
            | Self::ImageThumbnail
            | Self::VideoThumbnail
            | Self::DocumentThumbnail
            | Self::LinkThumbnail
            | Self::StickerPackThumbnail => MIB,
        }
    }
}

impl fmt::Display for MediaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for MediaKind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or(UnknownKind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for kind in MediaKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert_eq!("picture".parse::<MediaKind>(), Err(UnknownKind));
    }
}
