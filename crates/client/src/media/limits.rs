//! How large a file may be.

use landbridge_media::MediaKind;
use landbridge_stanza::profile::MediaProfile;

/// Longest plain file of a kind, in bytes, both ways.
pub(super) fn limit(profile: &MediaProfile, kind: MediaKind) -> u64 {
    match kind {
        MediaKind::Image => profile.max_image_bytes,
        MediaKind::Audio | MediaKind::Ptt => profile.max_audio_bytes,
        MediaKind::Video | MediaKind::Gif | MediaKind::Ptv | MediaKind::StickerPack => {
            profile.max_video_bytes
        }
        MediaKind::Document => profile.max_document_bytes,
        MediaKind::Sticker => profile.max_sticker_bytes,
        // Previews, and what is not known here yet.
        _ => profile.max_preview_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who takes the crates one by one has the same limits.
    #[test]
    fn the_defaults_are_those_of_the_kinds() {
        for kind in MediaKind::ALL {
            assert_eq!(limit(&MediaProfile::default(), kind), kind.default_limit(), "{kind}");
        }
    }
}
