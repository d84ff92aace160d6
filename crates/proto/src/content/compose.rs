//! What a sender builds.

use super::context::{context_slot, strip_quotes};
use crate::message::{
    ContextInfo, ExtendedTextMessage, FutureProofMessage, Message, MessageKey, ProtocolMessage,
    ReactionMessage, SenderKeyDistributionMessage, protocol_message::Type,
};

/// A plain text. It becomes an extended text when a quote is added with [`reply`].
#[must_use]
pub fn text(text: impl Into<String>) -> Message {
    Message { conversation: Some(text.into()), ..Message::default() }
}

/// What a reply names.
#[derive(Debug, Clone, Copy)]
pub struct Quote<'a> {
    /// Id of the quoted message.
    pub id: &'a str,
    /// JID of its author, without device.
    pub author: &'a str,
    /// Its content, unwrapped. The copy that travels has neither quotes nor the key and place of a file.
    pub message: &'a Message,
}

/// Adds a quote to a content. Contents that have no context (reactions, revokes, edits) stay as they are.
///
/// ```
/// use landbridge_proto::content::{Quote, reply, text};
///
/// let asked = text("Lunch tomorrow?");
/// let quote = Quote { id: "3EB0C767D26A1D8F7E5B21", author: "14155551001@s.whatsapp.net", message: &asked };
/// let answer = reply(text("Yes, at noon"), &quote);
/// assert_eq!(answer.extended_text_message.unwrap().text.as_deref(), Some("Yes, at noon"));
/// ```
#[must_use]
pub fn reply(mut content: Message, quote: &Quote<'_>) -> Message {
    if let Some(text) = content.conversation.take() {
        let extended = ExtendedTextMessage { text: Some(text), ..ExtendedTextMessage::default() };
        content.extended_text_message = Some(Box::new(extended));
    }
    if let Some(slot) = context_slot(&mut content) {
        let context: &mut ContextInfo = slot.get_or_insert_default();
        context.stanza_id = Some(quote.id.to_owned());
        context.participant = Some(quote.author.to_owned());
        context.quoted_message = Some(Box::new(quoted(quote.message)));
    }
    content
}

/// The copy of a message that travels in a quote.
fn quoted(message: &Message) -> Message {
    let mut copy = message.clone();
    copy.sender_key_distribution_message = None;
    copy.message_context_info = None;
    let _ = strip_quotes(&mut copy);
    if let Some(slot) = context_slot(&mut copy) {
        *slot = None;
    }
    macro_rules! forget_place {
        ($($field:ident)*) => {
            $(if let Some(content) = &mut copy.$field {
                content.media_key = None;
                content.url = None;
                content.direct_path = None;
            })*
        };
    }
    forget_place!(image_message video_message ptv_message audio_message document_message sticker_message);
    copy
}

impl MessageKey {
    /// Names a message of the sender's own.
    #[must_use]
    pub fn own(chat: impl Into<String>, id: impl Into<String>) -> Self {
        Self { remote_jid: Some(chat.into()), from_me: Some(true), id: Some(id.into()), participant: None }
    }

    /// Names a message of the other side of a direct chat.
    #[must_use]
    pub fn theirs(chat: impl Into<String>, id: impl Into<String>) -> Self {
        Self { from_me: Some(false), ..Self::own(chat, id) }
    }

    /// Names a message of another member of a group.
    #[must_use]
    pub fn member(group: impl Into<String>, id: impl Into<String>, author: impl Into<String>) -> Self {
        Self { participant: Some(author.into()), ..Self::theirs(group, id) }
    }
}

/// A reaction with one emoji; `now_ms` is unix milliseconds.
#[must_use]
pub fn react(target: MessageKey, emoji: impl Into<String>, now_ms: i64) -> Message {
    let reaction = ReactionMessage {
        key: Some(target),
        text: Some(emoji.into()),
        grouping_key: None,
        sender_timestamp_ms: Some(now_ms),
    };
    Message { reaction_message: Some(reaction), ..Message::default() }
}

/// Takes a reaction back; `now_ms` is unix milliseconds.
#[must_use]
pub fn unreact(target: MessageKey, now_ms: i64) -> Message {
    react(target, "", now_ms)
}

/// Deletes a message for everyone.
#[must_use]
pub fn revoke(target: MessageKey) -> Message {
    protocol(ProtocolMessage { key: Some(target), ..of_type(Type::Revoke) })
}

/// Replaces the content of an own message; `now_ms` is unix milliseconds.
#[must_use]
pub fn edit(target: MessageKey, content: Message, now_ms: i64) -> Message {
    let inner = protocol(ProtocolMessage {
        key: Some(target),
        edited_message: Some(Box::new(content)),
        timestamp_ms: Some(now_ms),
        ..of_type(Type::MessageEdit)
    });
    let wrapper = FutureProofMessage { message: Some(Box::new(inner)) };
    Message { edited_message: Some(Box::new(wrapper)), ..Message::default() }
}

/// Sets the timer of a direct chat, in seconds; 0 switches it off. `now` is unix seconds.
#[must_use]
pub fn ephemeral_setting(seconds: u32, now: i64) -> Message {
    protocol(ProtocolMessage {
        ephemeral_expiration: Some(seconds),
        ephemeral_setting_timestamp: Some(now),
        ..of_type(Type::EphemeralSetting)
    })
}

/// A group's sender key; `distribution` is Signal's own serialization.
#[must_use]
pub fn sender_key(group: impl Into<String>, distribution: Vec<u8>) -> Message {
    let key = SenderKeyDistributionMessage {
        group_id: Some(group.into()),
        axolotl_sender_key_distribution_message: Some(distribution),
    };
    Message { sender_key_distribution_message: Some(key), ..Message::default() }
}

fn of_type(kind: Type) -> ProtocolMessage {
    ProtocolMessage { r#type: Some(kind.into()), ..ProtocolMessage::default() }
}

fn protocol(protocol: ProtocolMessage) -> Message {
    Message { protocol_message: Some(Box::new(protocol)), ..Message::default() }
}
