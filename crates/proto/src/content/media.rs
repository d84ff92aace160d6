//! Rules V5 to V10: files, their places, previews and names.

use super::{Kind, Rule, Verdict, judge::Judge};
use crate::message::Message;

/// The file of a media message, the same view for all kinds; [`file`](super::file) builds a message of one. Only of messages that are accepted are the key, hashes,
/// length and place known to be well formed.
#[derive(Clone, Copy, Default)]
#[non_exhaustive]
pub struct Media<'a> {
    /// Path on the media server; used unchanged.
    pub direct_path: Option<&'a str>,
    /// URL; used only if there is no path.
    pub url: Option<&'a str>,
    /// Media type.
    pub mimetype: Option<&'a str>,
    /// Key that the file is encrypted with, 32 bytes; a secret.
    pub media_key: Option<&'a [u8]>,
    /// SHA-256 of the plain file, 32 bytes.
    pub file_sha256: Option<&'a [u8]>,
    /// SHA-256 of ciphertext and MAC, 32 bytes.
    pub file_enc_sha256: Option<&'a [u8]>,
    /// Length of the plain file, in bytes.
    pub file_length: Option<u64>,
    /// Caption, if the kind has one.
    pub caption: Option<&'a str>,
    /// Name that may be offered for saving, of documents.
    pub file_name: Option<&'a str>,
    /// A JPEG or PNG preview: to be decoded in a sandbox only.
    pub thumbnail: Option<&'a [u8]>,
    /// When the key was made, in unix seconds.
    pub media_key_timestamp: Option<i64>,
    /// Pixels from left to right, of pictures, videos and stickers.
    pub width: Option<u32>,
    /// Pixels from top to bottom, of pictures, videos and stickers.
    pub height: Option<u32>,
    /// How long it plays, of videos and sound.
    pub seconds: Option<u32>,
    /// 10 bytes for each 64 KiB of the encrypted file, of videos and sound.
    pub sidecar: Option<&'a [u8]>,
    /// Samples of 0 to 100, of sound.
    pub waveform: Option<&'a [u8]>,
}

macro_rules! media {
    ($content:expr) => {
        Media {
            direct_path: $content.direct_path.as_deref(),
            url: $content.url.as_deref(),
            mimetype: $content.mimetype.as_deref(),
            media_key: $content.media_key.as_deref(),
            file_sha256: $content.file_sha256.as_deref(),
            file_enc_sha256: $content.file_enc_sha256.as_deref(),
            file_length: $content.file_length,
            media_key_timestamp: $content.media_key_timestamp,
            ..Media::default()
        }
    };
}

impl<'a> Media<'a> {
    /// The file that a message's content names.
    #[must_use]
    pub fn of(message: &'a Message) -> Option<Self> {
        let video = message.video_message.as_deref().or(message.ptv_message.as_deref());
        Some(if let Some(m) = &message.image_message {
            Self {
                caption: m.caption.as_deref(),
                thumbnail: m.jpeg_thumbnail.as_deref(),
                width: m.width,
                height: m.height,
                ..media!(m)
            }
        } else if let Some(m) = video {
            Self {
                caption: m.caption.as_deref(),
                thumbnail: m.jpeg_thumbnail.as_deref(),
                width: m.width,
                height: m.height,
                seconds: m.seconds,
                sidecar: m.streaming_sidecar.as_deref(),
                ..media!(m)
            }
        } else if let Some(m) = &message.audio_message {
            Self {
                seconds: m.seconds,
                sidecar: m.streaming_sidecar.as_deref(),
                waveform: m.waveform.as_deref(),
                ..media!(m)
            }
        } else if let Some(m) = &message.document_message {
            Self {
                caption: m.caption.as_deref(),
                thumbnail: m.jpeg_thumbnail.as_deref(),
                file_name: m.file_name.as_deref(),
                ..media!(m)
            }
        } else {
            let m = message.sticker_message.as_ref()?;
            Self { thumbnail: m.png_thumbnail.as_deref(), width: m.width, height: m.height, ..media!(m) }
        })
    }
}

impl core::fmt::Debug for Media<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Media").field("file_length", &self.file_length).finish_non_exhaustive()
    }
}

/// The parts of a media message that checking may change.
struct Slots<'a> {
    mimetype: &'a mut Option<String>,
    thumbnail: Option<&'a mut Option<Vec<u8>>>,
    file_name: Option<&'a mut Option<String>>,
    waveform: Option<&'a mut Option<Vec<u8>>>,
}

impl Judge<'_> {
    pub(super) fn media(&mut self, message: &mut Message) -> Kind {
        if let Some(media) = Media::of(message) {
            self.file(&media);
        }
        let (kind, slots) = slots(message);
        if let Some(slots) = slots {
            if let Some(thumbnail) = slots.thumbnail {
                self.thumbnail(thumbnail);
            }
            self.mimetype(slots.mimetype);
            if let Some(name) = slots.file_name {
                self.file_name(name);
            }
            if let Some(waveform) = slots.waveform {
                self.waveform(waveform);
            }
        }
        kind
    }

    /// V5, V6 and V7.
    fn file(&mut self, media: &Media<'_>) {
        for (value, note) in [
            (media.media_key, "mediaKey does not have 32 bytes"),
            (media.file_sha256, "fileSHA256 does not have 32 bytes"),
            (media.file_enc_sha256, "fileEncSHA256 does not have 32 bytes"),
        ] {
            if value.map(<[u8]>::len) != Some(32) {
                self.fault(Rule::V5, Verdict::Placeholder, note);
            }
        }
        if media.mimetype.is_none_or(str::is_empty) {
            self.fault(Rule::V5, Verdict::Placeholder, "mimetype is missing");
        }
        if !media.file_length.is_some_and(|length| (1..=self.limits.media_length).contains(&length)) {
            self.fault(Rule::V6, Verdict::Placeholder, "fileLength is missing, 0 or over the limit");
        }
        match (media.direct_path, media.url) {
            (None, None) => self.fault(Rule::V5, Verdict::Placeholder, "neither directPath nor url"),
            (Some(path), _) if path.len() > self.limits.media_place || !is_safe_path(path) => {
                self.fault(Rule::V7, Verdict::Placeholder, "directPath is not a safe path");
            }
            (None, Some(url)) if url.len() > self.limits.media_place || !self.is_allowed_url(url) => {
                self.fault(Rule::V7, Verdict::Placeholder, "url is not an allowed place");
            }
            _ => {}
        }
    }

    /// `https`, then exactly an allowed host (which is never an address), then a safe path.
    fn is_allowed_url(&self, url: &str) -> bool {
        let Some(rest) = url.strip_prefix("https://") else { return false };
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let name = host.rsplit_once(':').map_or(host, |(name, _port)| name);
        let is_address =
            name.starts_with('[') || name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let allowed = self.limits.media_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host));
        allowed && !is_address && is_safe_path(path)
    }

    /// V8.
    pub(super) fn thumbnail(&mut self, thumbnail: &mut Option<Vec<u8>>) {
        let Some(bytes) = thumbnail else { return };
        let known = bytes.starts_with(b"\xff\xd8\xff") || bytes.starts_with(b"\x89PNG\r\n\x1a\n");
        if !known || bytes.len() > self.limits.thumbnail {
            *thumbnail = None;
            self.fault(Rule::V8, Verdict::Accept, "thumbnail is neither JPEG nor PNG, or too large");
        }
    }

    /// V9, media types.
    fn mimetype(&mut self, mimetype: &mut Option<String>) {
        let Some(found) = mimetype else { return };
        // An empty one is as good as missing (V5).
        if !found.is_empty() && (found.len() > self.limits.name || !is_mimetype(found)) {
            *mimetype = Some("application/octet-stream".to_owned());
            self.fault(Rule::V9, Verdict::Accept, "mimetype is not type/subtype in printable ASCII");
        }
    }

    /// V9, file names.
    fn file_name(&mut self, name: &mut Option<String>) {
        let Some(found) = name else { return };
        let clean = clean_file_name(found, self.limits.name);
        if clean.as_ref() != Some(found) {
            *name = clean;
            self.fault(Rule::V9, Verdict::Accept, "fileName has a path, control characters, or is too long");
        }
    }

    /// V10.
    fn waveform(&mut self, waveform: &mut Option<Vec<u8>>) {
        let Some(samples) = waveform else { return };
        if samples.len() > self.limits.waveform {
            *waveform = None;
            self.fault(Rule::V10, Verdict::Accept, "waveform is too long");
            return;
        }
        if samples.len() > self.limits.sent_waveform {
            self.fault(Rule::V10, Verdict::Accept, "waveform has more samples than are sent");
        }
        if samples.iter().any(|sample| *sample > 100) {
            samples.iter_mut().for_each(|sample| *sample = (*sample).min(100));
            self.fault(Rule::V10, Verdict::Accept, "waveform has samples above 100");
        }
    }
}

fn slots(message: &mut Message) -> (Kind, Option<Slots<'_>>) {
    if let Some(m) = &mut message.image_message {
        let slots = Slots {
            mimetype: &mut m.mimetype,
            thumbnail: Some(&mut m.jpeg_thumbnail),
            file_name: None,
            waveform: None,
        };
        return (Kind::Image, Some(slots));
    }
    let is_ptv = message.ptv_message.is_some();
    if let Some(m) = message.video_message.as_mut().or(message.ptv_message.as_mut()) {
        let kind = match m.gif_playback {
            _ if is_ptv => Kind::Ptv,
            Some(true) => Kind::Gif,
            _ => Kind::Video,
        };
        let slots = Slots {
            mimetype: &mut m.mimetype,
            thumbnail: Some(&mut m.jpeg_thumbnail),
            file_name: None,
            waveform: None,
        };
        return (kind, Some(slots));
    }
    if let Some(m) = &mut message.audio_message {
        let kind = if m.ptt == Some(true) { Kind::Ptt } else { Kind::Audio };
        let slots = Slots {
            mimetype: &mut m.mimetype,
            thumbnail: None,
            file_name: None,
            waveform: Some(&mut m.waveform),
        };
        return (kind, Some(slots));
    }
    if let Some(m) = &mut message.document_message {
        let slots = Slots {
            mimetype: &mut m.mimetype,
            thumbnail: Some(&mut m.jpeg_thumbnail),
            file_name: Some(&mut m.file_name),
            waveform: None,
        };
        return (Kind::Document, Some(slots));
    }
    if let Some(m) = &mut message.sticker_message {
        let slots = Slots {
            mimetype: &mut m.mimetype,
            thumbnail: Some(&mut m.png_thumbnail),
            file_name: None,
            waveform: None,
        };
        return (Kind::Sticker, Some(slots));
    }
    (Kind::Unsupported, None)
}

/// V7: one slash first, visible ASCII, no fragment, no dot segment (also percent-encoded).
fn is_safe_path(path: &str) -> bool {
    let visible = path.bytes().all(|byte| (0x21..=0x7e).contains(&byte) && byte != b'#' && byte != b'\\');
    if !visible || !path.starts_with('/') || path.starts_with("//") {
        return false;
    }
    let before_query = path.split('?').next().unwrap_or_default().to_ascii_lowercase();
    let plain = before_query.replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
    !plain.split('/').any(|segment| segment == "." || segment == "..") && !plain.starts_with("//")
}

fn is_mimetype(text: &str) -> bool {
    let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
    let token = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    let essence = essence.trim_end_matches(' ').split_once('/');
    essence.is_some_and(|(kind, subtype)| token(kind) && token(subtype))
        && parameters.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
}

/// The last path part without control characters and direction marks, cut to `limit` bytes before its ending.
fn clean_file_name(name: &str, limit: usize) -> Option<String> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let hidden = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let clean: String = last.chars().filter(|letter| !hidden(*letter)).collect();
    if clean.is_empty() || clean == "." || clean == ".." {
        return None;
    }
    if clean.len() <= limit {
        return Some(clean);
    }
    let (stem, ending) = match clean.rfind('.') {
        Some(dot) if clean.len() - dot <= limit.min(32) => clean.split_at(dot),
        _ => (clean.as_str(), ""),
    };
    let mut end = limit - ending.len();
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    Some(format!("{}{ending}", stem.get(..end).unwrap_or_default()))
}
