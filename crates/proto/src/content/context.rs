//! Rules V16, V17 and V20: quote, mentions and timer around a content.

use std::collections::HashSet;

use super::{
    Rule, Verdict,
    judge::{Judge, wrappers},
};
use crate::message::{ContextInfo, Message};

/// Calls a macro with every content field that has a context.
macro_rules! holders {
    ($then:ident) => {
        $then!(extended_text_message image_message video_message ptv_message audio_message document_message
            sticker_message contact_message contacts_array_message location_message live_location_message
            group_invite_message poll_creation_message)
    };
}

/// The context of a message's content.
pub(super) fn context_info(message: &Message) -> Option<&ContextInfo> {
    macro_rules! find {
        ($($field:ident)*) => {
            $(if let Some(content) = &message.$field {
                return content.context_info.as_deref();
            })*
        };
    }
    holders!(find);
    None
}

/// Where the context of a message's content stands or would stand.
pub(super) fn context_slot(message: &mut Message) -> Option<&mut Option<Box<ContextInfo>>> {
    macro_rules! find {
        ($($field:ident)*) => {
            $(if let Some(content) = &mut message.$field {
                return Some(&mut content.context_info);
            })*
        };
    }
    holders!(find);
    None
}

/// Takes the quotes out of a message. The depth of the recursion is that of the message, which reading has bounded.
pub(super) fn strip_quotes(message: &mut Message) -> Stripped {
    let mut stripped = Stripped::Nothing;
    for (_, _, wrapper) in wrappers(message) {
        if let Some(inner) = wrapper.as_mut().and_then(|wrapper| wrapper.message.as_mut()) {
            stripped = stripped.or(strip_quotes(inner));
        }
    }
    if let Some(context) = context_slot(message).and_then(Option::as_deref_mut) {
        if context.quoted_message.is_some() {
            stripped = Stripped::Quote;
        }
        drop_quote(context);
    }
    stripped
}

/// What [`strip_quotes`] found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stripped {
    Nothing,
    Quote,
}

impl Stripped {
    fn or(self, other: Self) -> Self {
        if self == Self::Quote { self } else { other }
    }
}

fn drop_quote(context: &mut ContextInfo) {
    context.stanza_id = None;
    context.participant = None;
    context.quoted_message = None;
    context.remote_jid = None;
}

impl Judge<'_> {
    pub(super) fn context_info(&mut self, context: &mut ContextInfo) {
        self.quote(context);
        self.mentions(context);
        if let Some(seconds) = &mut context.expiration {
            self.expiration(seconds);
        }
    }

    /// V16: a quote without id or author is dropped; of a quote in a quote the outer one is kept.
    fn quote(&mut self, context: &mut ContextInfo) {
        if context.stanza_id.is_none() && context.quoted_message.is_none() {
            return;
        }
        let id = context.stanza_id.as_deref().unwrap_or_default();
        let note = if id.is_empty() {
            Some("quote without stanzaID")
        } else if id.len() > self.limits.id {
            Some("stanzaID of a quote is too long")
        } else if !context.participant.as_deref().is_some_and(is_jid) {
            Some("quote whose participant is not a JID")
        } else {
            None
        };
        if let Some(note) = note {
            drop_quote(context);
            self.fault(Rule::V16, Verdict::Accept, note);
        } else if context.quoted_message.as_mut().map(|quoted| strip_quotes(quoted)) == Some(Stripped::Quote)
        {
            self.fault(Rule::V16, Verdict::Accept, "quote in a quote");
        }
    }

    /// V17.
    fn mentions(&mut self, context: &mut ContextInfo) {
        let sent = context.mentioned_jid.len();
        let mut seen = HashSet::new();
        context.mentioned_jid.retain(|jid| is_jid(jid) && seen.insert(jid.clone()));
        let distinct = context.mentioned_jid.len();
        context.mentioned_jid.truncate(self.limits.mentions);
        if distinct < sent {
            self.fault(Rule::V17, Verdict::Accept, "mentions that are not JIDs, or twice");
        }
        if context.mentioned_jid.len() < distinct {
            self.fault(Rule::V17, Verdict::Accept, "too many mentions");
        }
    }

    /// V20.
    pub(super) fn expiration(&mut self, seconds: &mut u32) {
        if *seconds > self.limits.expiration {
            *seconds = self.limits.expiration;
            self.fault(Rule::V20, Verdict::Accept, "timer is longer than any that is offered");
        }
    }
}

/// Whether a text has the form of a user's or group's JID: `user@server`, as far as content needs it.
pub(super) fn is_jid(text: &str) -> bool {
    let Some((user, server)) = text.split_once('@') else { return false };
    let in_user = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-');
    let in_server = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.';
    !user.is_empty() && user.bytes().all(in_user) && !server.is_empty() && server.bytes().all(in_server)
}

/// User and server of a JID, without device.
pub(super) fn bare(jid: &str) -> Option<(&str, &str)> {
    let (user, server) = jid.split_once('@')?;
    Some((user.split_once(':').map_or(user, |(user, _device)| user), server))
}
