//! What an edit makes of its target.

use super::context::context_slot;
use super::text_of;
use crate::message::{ExtendedTextMessage, Message};

/// The content that an edit makes of its target: the words are the edit's, the rest stays as it was. Both messages are
/// unwrapped, as [`Content::message`](super::Content::message) and [`Content::edited`](super::Content::edited) give them.
///
/// An edit changes words and never a file, so of a picture, video or document the caption alone is replaced. A quote that the
/// edit does not repeat stays. `None` if the target has no words to be edited, or the edit puts a file in the place of a text.
///
/// ```
/// use landbridge_proto::content::{amend, text};
///
/// let amended = amend(&text("Yes, at noom"), &text("Yes, at noon"));
/// assert_eq!(amended.unwrap().conversation.as_deref(), Some("Yes, at noon"));
/// ```
#[must_use]
pub fn amend(target: &Message, edited: &Message) -> Option<Message> {
    if is_text(target) {
        return is_text(edited).then(|| amend_text(target, edited));
    }
    let words = text_of(edited)?.to_owned();
    let mut amended = target.clone();
    let caption = if let Some(image) = &mut amended.image_message {
        &mut image.caption
    } else if let Some(video) = &mut amended.video_message {
        &mut video.caption
    } else if let Some(document) = &mut amended.document_message {
        &mut document.caption
    } else {
        return None;
    };
    *caption = Some(words);
    Some(amended)
}

fn is_text(message: &Message) -> bool {
    message.conversation.is_some() || message.extended_text_message.is_some()
}

fn amend_text(target: &Message, edited: &Message) -> Message {
    let mut amended = edited.clone();
    let before = target.extended_text_message.as_ref().and_then(|text| text.context_info.clone());
    if before.as_ref().is_none_or(|context| context.stanza_id.is_none()) {
        return amended;
    }
    if let Some(text) = amended.conversation.take() {
        let extended = ExtendedTextMessage { text: Some(text), ..ExtendedTextMessage::default() };
        amended.extended_text_message = Some(Box::new(extended));
    }
    if let Some(slot) = context_slot(&mut amended)
        && slot.as_ref().is_none_or(|context| context.stanza_id.is_none())
    {
        *slot = before;
    }
    amended
}
