//! What the stanza around a content says about it.

use crate::message::{FutureProofMessage, Message, MessageKey, ProtocolMessage, protocol_message::Type};

/// Attributes of `<message>` and `<enc>` that follow from the content (PEERS). Receivers ignore them for meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Outer {
    /// `type` on `<message>`: `text`, `media`, `reaction` or `poll`.
    pub stanza_type: &'static str,
    /// `mediatype` on `<enc>`.
    pub mediatype: Option<&'static str>,
    /// `edit` on `<message>`: `1` edit, `7` taken back by its author, `8` by an admin.
    pub edit: Option<&'static str>,
    /// `decrypt-fail` on `<enc>`: `hide`, if a receiver that cannot decrypt shows nothing.
    pub decrypt_fail: Option<&'static str>,
}

const TEXT: Outer = Outer { stanza_type: "text", mediatype: None, edit: None, decrypt_fail: None };

const fn media(mediatype: &'static str) -> Outer {
    Outer { stanza_type: "media", mediatype: Some(mediatype), ..TEXT }
}

/// What the stanza around `message` carries.
///
/// ```
/// use landbridge_proto::content::{outer, text};
///
/// let outer = outer(&text("Hello"));
/// assert_eq!((outer.stanza_type, outer.mediatype, outer.edit), ("text", None, None));
/// ```
#[must_use]
pub fn outer(message: &Message) -> Outer {
    let message = innermost(message);
    if let Some(protocol) = &message.protocol_message {
        return control(protocol);
    }
    if let Some(reaction) = &message.reaction_message {
        let taken_back = reaction.text.as_deref().unwrap_or_default().is_empty();
        let edit = taken_back.then_some("7");
        return Outer { stanza_type: "reaction", edit, decrypt_fail: Some("hide"), ..TEXT };
    }
    if message.poll_creation_message.is_some() {
        return Outer { stanza_type: "poll", ..TEXT };
    }
    if let Some(text) = &message.extended_text_message {
        return if text.matched_text.is_some() { media("url") } else { TEXT };
    }
    if let Some(video) = &message.video_message {
        return media(if video.gif_playback == Some(true) { "gif" } else { "video" });
    }
    if let Some(audio) = &message.audio_message {
        return media(if audio.ptt == Some(true) { "ptt" } else { "audio" });
    }
    let kinds = [
        (message.image_message.is_some(), "image"),
        (message.ptv_message.is_some(), "ptv"),
        (message.document_message.is_some(), "document"),
        (message.sticker_message.is_some(), "sticker"),
        (message.contact_message.is_some(), "vcard"),
        (message.contacts_array_message.is_some(), "contact_array"),
        (message.location_message.is_some(), "location"),
        (message.live_location_message.is_some(), "livelocation"),
        (message.group_invite_message.is_some(), "url"),
    ];
    kinds.into_iter().find_map(|(set, kind)| set.then(|| media(kind))).unwrap_or(TEXT)
}

fn control(protocol: &ProtocolMessage) -> Outer {
    match protocol.r#type.map(Type::try_from) {
        Some(Ok(Type::Revoke)) => {
            let own = protocol.key.as_ref().and_then(|key: &MessageKey| key.from_me).unwrap_or(false);
            Outer { edit: Some(if own { "7" } else { "8" }), ..TEXT }
        }
        Some(Ok(Type::MessageEdit)) => Outer { edit: Some("1"), decrypt_fail: Some("hide"), ..TEXT },
        _ => TEXT,
    }
}

fn innermost(mut message: &Message) -> &Message {
    while let Some(inner) = wrapper(message).and_then(|wrapper| wrapper.message.as_deref()) {
        message = inner;
    }
    message
}

fn wrapper(message: &Message) -> Option<&FutureProofMessage> {
    [
        &message.view_once_message,
        &message.ephemeral_message,
        &message.document_with_caption_message,
        &message.view_once_message_v2,
        &message.edited_message,
        &message.view_once_message_v2_extension,
        &message.group_mentioned_message,
    ]
    .into_iter()
    .find_map(Option::as_deref)
}
