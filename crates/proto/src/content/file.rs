//! Messages that a file belongs to.

use super::{Kind, Media};
use crate::message::{
    AudioMessage, DocumentMessage, FutureProofMessage, ImageMessage, Message, StickerMessage, VideoMessage,
};

macro_rules! common {
    ($message:ident, $media:expr) => {
        $message {
            url: $media.url.map(str::to_owned),
            direct_path: $media.direct_path.map(str::to_owned),
            mimetype: $media.mimetype.map(str::to_owned),
            media_key: $media.media_key.map(<[u8]>::to_vec),
            file_sha256: $media.file_sha256.map(<[u8]>::to_vec),
            file_enc_sha256: $media.file_enc_sha256.map(<[u8]>::to_vec),
            file_length: $media.file_length,
            media_key_timestamp: $media.media_key_timestamp,
            ..$message::default()
        }
    };
}

/// The message of a file. Of what the kind has no field for, nothing is said. `None` for kinds that are no files.
///
/// ```
/// use landbridge_proto::content::{Kind, Media, file};
///
/// let mut media = Media::default();
/// media.direct_path = Some("/interop/whatsapp/download/1/AAECAwQFBgcICQoLDA0ODw/");
/// media.mimetype = Some("image/jpeg");
/// media.caption = Some("the harbour");
/// let message = file(Kind::Image, &media).unwrap();
/// assert_eq!(Media::of(&message).unwrap().caption, Some("the harbour"));
/// ```
#[must_use]
pub fn file(kind: Kind, media: &Media<'_>) -> Option<Message> {
    let mut message = Message::default();
    match kind {
        Kind::Image => message.image_message = Some(Box::new(image(media))),
        Kind::Video => message.video_message = Some(Box::new(video(media))),
        Kind::Gif => {
            let gif = VideoMessage { gif_playback: Some(true), ..video(media) };
            message.video_message = Some(Box::new(gif));
        }
        Kind::Ptv => message.ptv_message = Some(Box::new(video(media))),
        Kind::Audio => message.audio_message = Some(Box::new(audio(media))),
        Kind::Ptt => {
            let note = AudioMessage { ptt: Some(true), ..audio(media) };
            message.audio_message = Some(Box::new(note));
        }
        Kind::Document => return Some(document(media)),
        Kind::Sticker => message.sticker_message = Some(Box::new(sticker(media))),
        _ => return None,
    }
    Some(message)
}

/// Says where the file of a message lies; whether the message has one. For messages that are made before their file is there.
///
/// ```
/// use landbridge_proto::content::{Kind, Media, file, set_direct_path};
///
/// let mut message = file(Kind::Image, &Media::default()).unwrap();
/// assert!(set_direct_path(&mut message, "/interop/whatsapp/download/1/AAECAwQFBgcICQoLDA0ODw/"));
/// assert!(Media::of(&message).unwrap().direct_path.is_some());
/// ```
pub fn set_direct_path(message: &mut Message, path: &str) -> bool {
    let wrapped =
        message.document_with_caption_message.as_mut().and_then(|outer| outer.message.as_deref_mut());
    let message = match wrapped {
        Some(wrapped) => return set_direct_path(wrapped, path),
        None => message,
    };
    let video = message.video_message.as_mut().or(message.ptv_message.as_mut());
    let slot = if let Some(video) = video {
        &mut video.direct_path
    } else if let Some(image) = &mut message.image_message {
        &mut image.direct_path
    } else if let Some(audio) = &mut message.audio_message {
        &mut audio.direct_path
    } else if let Some(document) = &mut message.document_message {
        &mut document.direct_path
    } else if let Some(sticker) = &mut message.sticker_message {
        &mut sticker.direct_path
    } else {
        return false;
    };
    *slot = Some(path.to_owned());
    true
}

fn image(media: &Media<'_>) -> ImageMessage {
    ImageMessage {
        caption: media.caption.map(str::to_owned),
        jpeg_thumbnail: media.thumbnail.map(<[u8]>::to_vec),
        width: media.width,
        height: media.height,
        ..common!(ImageMessage, media)
    }
}

fn video(media: &Media<'_>) -> VideoMessage {
    VideoMessage {
        caption: media.caption.map(str::to_owned),
        jpeg_thumbnail: media.thumbnail.map(<[u8]>::to_vec),
        width: media.width,
        height: media.height,
        seconds: media.seconds,
        streaming_sidecar: media.sidecar.map(<[u8]>::to_vec),
        ..common!(VideoMessage, media)
    }
}

fn audio(media: &Media<'_>) -> AudioMessage {
    AudioMessage {
        seconds: media.seconds,
        streaming_sidecar: media.sidecar.map(<[u8]>::to_vec),
        waveform: media.waveform.map(<[u8]>::to_vec),
        ..common!(AudioMessage, media)
    }
}

/// With a caption, a document travels in a wrapper.
fn document(media: &Media<'_>) -> Message {
    let document = DocumentMessage {
        caption: media.caption.map(str::to_owned),
        jpeg_thumbnail: media.thumbnail.map(<[u8]>::to_vec),
        file_name: media.file_name.map(str::to_owned),
        ..common!(DocumentMessage, media)
    };
    let bare = Message { document_message: Some(Box::new(document)), ..Message::default() };
    if media.caption.is_none() {
        return bare;
    }
    let wrapped = FutureProofMessage { message: Some(Box::new(bare)) };
    Message { document_with_caption_message: Some(Box::new(wrapped)), ..Message::default() }
}

fn sticker(media: &Media<'_>) -> StickerMessage {
    StickerMessage {
        png_thumbnail: media.thumbnail.map(<[u8]>::to_vec),
        width: media.width,
        height: media.height,
        ..common!(StickerMessage, media)
    }
}
