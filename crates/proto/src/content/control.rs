//! Rules V13 to V15, and V20 for settings: messages about other messages.

use unicode_segmentation::UnicodeSegmentation as _;

use super::{
    Chat, Kind, Rule, Verdict,
    context::{bare, context_slot},
    judge::{Judge, Part, longer, present, wrappers},
    text_of,
};
use crate::message::{Message, MessageKey, ProtocolMessage, protocol_message::Type};

impl Judge<'_> {
    pub(super) fn reaction(&mut self, message: &mut Message) -> Kind {
        let Some(reaction) = &message.reaction_message else { return Kind::Unsupported };
        if self.target(reaction.key.as_ref()) && self.is_group() && !from_me(reaction.key.as_ref()) {
            let named = reaction.key.as_ref().is_some_and(|key| key.participant.is_some());
            if !named {
                self.fault(Rule::V14, Verdict::Accept, "reaction in a group without the target's author");
            }
        }
        match reaction.text.as_deref() {
            None => {
                self.fault(
                    Rule::V13,
                    Verdict::Accept,
                    "reaction without text: to take one back, the text is empty",
                );
                Kind::ReactionRevoke
            }
            Some("") => Kind::ReactionRevoke,
            Some(text) => {
                if text.len() > self.limits.reaction || text.graphemes(true).nth(1).is_some() {
                    self.fault(Rule::V13, Verdict::Silent, "reaction is more than one emoji");
                }
                Kind::Reaction
            }
        }
    }

    pub(super) fn protocol(&mut self, message: &mut Message) -> Kind {
        let Some(protocol) = &mut message.protocol_message else { return Kind::Unsupported };
        // A missing type is not taken for its zero, which would delete something.
        match protocol.r#type.map(Type::try_from) {
            Some(Ok(Type::Revoke)) => self.revoke(protocol),
            Some(Ok(Type::MessageEdit)) => self.edit(protocol),
            Some(Ok(Type::EphemeralSetting)) => self.setting(protocol),
            _ => Kind::UnknownProtocol,
        }
    }

    fn revoke(&mut self, protocol: &ProtocolMessage) -> Kind {
        let key = protocol.key.as_ref();
        if self.target(key) && !from_me(key) {
            let by_admin = key.is_some_and(|key| key.participant.is_some());
            if !self.is_group() {
                self.fault(Rule::V14, Verdict::Silent, "revoke of a message that the sender did not write");
            } else if !by_admin {
                self.fault(Rule::V14, Verdict::Silent, "revoke by an admin without the target's author");
            }
        }
        Kind::Revoke
    }

    fn edit(&mut self, protocol: &mut ProtocolMessage) -> Kind {
        let key = protocol.key.as_ref();
        if self.target(key) && !from_me(key) {
            self.fault(Rule::V14, Verdict::Silent, "edit of a message that the sender did not write");
        }
        let Some(edited) = &mut protocol.edited_message else {
            self.fault(Rule::V15, Verdict::Silent, "edit without new content");
            return Kind::Edit;
        };
        for _ in 0..self.limits.wrappers {
            if present(edited) != [Part::Wrapper] {
                break;
            }
            let inner = wrappers(edited).into_iter().find_map(|(_, _, slot)| slot.take());
            **edited = inner.and_then(|inner| inner.message).map(|inner| *inner).unwrap_or_default();
        }
        let has_caption = edited.image_message.is_some()
            || edited.video_message.is_some()
            || edited.document_message.is_some();
        let fits = match present(edited)[..] {
            [Part::Conversation | Part::ExtendedText] => text_of(edited).is_some_and(|text| !text.is_empty()),
            [Part::Media] => has_caption,
            _ => false,
        };
        if !fits {
            protocol.edited_message = None;
            self.fault(Rule::V15, Verdict::Silent, "new content of an edit is neither text nor caption");
            return Kind::Edit;
        }
        if text_of(edited).is_some_and(|text| longer(text, self.limits.text_chars)) {
            self.fault(Rule::V4, Verdict::Accept, "text is too long");
        }
        if let Some(context) = context_slot(edited).and_then(Option::as_deref_mut) {
            self.context_info(context);
        }
        if let Some(text) = &mut edited.extended_text_message {
            self.thumbnail(&mut text.jpeg_thumbnail);
        }
        Kind::Edit
    }

    fn setting(&mut self, protocol: &mut ProtocolMessage) -> Kind {
        if self.is_group() {
            self.fault(Rule::V20, Verdict::Silent, "a group's timer is set by the server, not by a member");
        }
        if let Some(seconds) = &mut protocol.ephemeral_expiration {
            self.expiration(seconds);
        }
        Kind::EphemeralSetting
    }

    /// V13 and the part of V14 that needs no memory: whether the key names a message; a finding if it names another
    /// chat, which is ignored.
    fn target(&mut self, key: Option<&MessageKey>) -> bool {
        let Some(key) = key else {
            self.fault(Rule::V13, Verdict::Silent, "key is missing");
            return false;
        };
        let id = key.id.as_deref().unwrap_or_default();
        if id.is_empty() || id.len() > self.limits.id {
            self.fault(Rule::V13, Verdict::Silent, "key without id, or with one that is too long");
            return false;
        }
        if let Some(chat) = &key.remote_jid
            && !self.is_this_chat(chat)
        {
            self.fault(Rule::V14, Verdict::Accept, "key names another chat");
        }
        true
    }

    /// Aliases of users (`lid`) cannot be compared here and pass.
    fn is_this_chat(&self, jid: &str) -> bool {
        match self.context.chat {
            Chat::Group { group } => jid == group,
            Chat::Direct { recipient } => bare(jid).is_some_and(|named| {
                named.1 == "lid"
                    || [recipient, self.context.sender].into_iter().any(|jid| bare(jid) == Some(named))
            }),
        }
    }

    fn is_group(&self) -> bool {
        matches!(self.context.chat, Chat::Group { .. })
    }
}

fn from_me(key: Option<&MessageKey>) -> bool {
    key.and_then(|key| key.from_me).unwrap_or(false)
}
