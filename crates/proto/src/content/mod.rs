//! What a receiver makes of a decrypted, unpadded message, and what a sender builds.
//!
//! [`decode`] goes the whole way in a fixed order: read strictly (P), unwrap (V2), pick the one content (V1), check the
//! rules of its kind. A receiver goes by [`Content::verdict`]; a strict observer of the sender goes by
//! [`Content::findings`]. What a rule drops, cuts or cleans is already so in [`Content::message`]; the bytes as they
//! came are in [`Content::raw`].
//!
//! What needs the receiver's memory is left to it: whether the target of a reaction, revoke or edit is known in this
//! chat, whether its stored author may do that (the rest of V14), and the time window of edits.

mod amend;
mod compose;
mod context;
mod control;
mod file;
mod judge;
mod kind;
mod limits;
mod media;
mod rules;
mod stanza;

pub use amend::amend;
pub use compose::{Quote, edit, ephemeral_setting, react, reply, revoke, sender_key, text, unreact};
pub use file::{file, set_direct_path};
pub use kind::Kind;
pub use limits::{Chat, Context, Encryption, Limits};
pub use media::Media;
pub use rules::{Finding, Rule, Verdict};
pub use stanza::{Outer, outer};

use crate::{
    ParseError,
    message::{ContextInfo, Message, MessageKey, SenderKeyDistributionMessage},
    parse,
};

/// A received message after all checks.
#[derive(Clone, PartialEq)]
pub struct Content {
    raw: Vec<u8>,
    message: Message,
    kind: Kind,
    verdict: Verdict,
    findings: Vec<Finding>,
    wrappers: Vec<Wrapper>,
    sender_key: Option<SenderKeyDistributionMessage>,
    text_chars: usize,
}

/// What a content was wrapped in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Wrapper {
    /// To be opened once and not kept.
    ViewOnce,
    /// In a chat with disappearing messages.
    Ephemeral,
    /// A document with a caption.
    DocumentWithCaption,
    /// An edit.
    Edited,
    /// A mention of a group.
    GroupMentioned,
}

/// Reads and judges the plaintext of an `<enc>`, after [`unpad`](crate::padding::unpad).
///
/// # Errors
/// [`ParseError`] if the bytes break rules P1 to P9: the verdict is [`Verdict::Reject`], there is no content. Messages
/// that read well and break a rule of their kind are returned, with their verdict.
pub fn decode(plaintext: &[u8], context: &Context<'_>, limits: &Limits) -> Result<Content, ParseError> {
    let message: Message = parse(plaintext, &limits.parse)?;
    Ok(judge::judge(plaintext, message, context, limits))
}

impl Content {
    /// The plaintext as it came, with all that the schema does not know.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The innermost message, cleaned: with its content field and context, without wrappers and sender key.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// What the message is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What to do with it.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The rule that decided the verdict; none if the kind alone did.
    #[must_use]
    pub fn rule(&self) -> Option<Rule> {
        self.findings.iter().find(|found| found.verdict == self.verdict).map(|found| found.rule)
    }

    /// Every fault of the sender, in the order of checking; empty for a message without fault.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The wrappers, outermost first.
    #[must_use]
    pub fn wrappers(&self) -> &[Wrapper] {
        &self.wrappers
    }

    /// Whether the content may be opened only once and must not be kept.
    #[must_use]
    pub fn is_view_once(&self) -> bool {
        self.wrappers.contains(&Wrapper::ViewOnce)
    }

    /// A group's sender key that may be installed (V18), beside the content or alone.
    #[must_use]
    pub fn sender_key(&self) -> Option<&SenderKeyDistributionMessage> {
        self.sender_key.as_ref()
    }

    /// The text or caption, whole; of an edit the new one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        text_of(self.edited().unwrap_or(&self.message))
    }

    /// The text or caption as far as it is shown (V4).
    #[must_use]
    pub fn shown_text(&self) -> Option<&str> {
        let text = self.text()?;
        let end = text.char_indices().nth(self.text_chars).map_or(text.len(), |(at, _)| at);
        text.get(..end)
    }

    /// The file of a media message.
    #[must_use]
    pub fn media(&self) -> Option<Media<'_>> {
        Media::of(&self.message)
    }

    /// Quote, mentions and timer. A quote that is left is well formed, and claimed: show the own copy if it is known.
    #[must_use]
    pub fn context_info(&self) -> Option<&ContextInfo> {
        context::context_info(&self.message)
    }

    /// The target of a reaction, revoke or edit: only `id` names it, in this chat. `from_me` and `participant` are
    /// claims; the stored author of the target decides who may revoke or edit (V14).
    #[must_use]
    pub fn target(&self) -> Option<&MessageKey> {
        let reaction = self.message.reaction_message.as_ref().and_then(|reaction| reaction.key.as_ref());
        reaction.or_else(|| self.message.protocol_message.as_ref().and_then(|protocol| protocol.key.as_ref()))
    }

    /// The emoji of a reaction; none if it is taken back.
    #[must_use]
    pub fn reaction(&self) -> Option<&str> {
        let text = self.message.reaction_message.as_ref()?.text.as_deref()?;
        (!text.is_empty()).then_some(text)
    }

    /// The new content of an edit.
    #[must_use]
    pub fn edited(&self) -> Option<&Message> {
        let protocol = self.message.protocol_message.as_ref()?;
        protocol.edited_message.as_deref().filter(|_| self.kind == Kind::Edit)
    }

    /// The time that a reaction or edit carries, in unix milliseconds; the newest reaction counts.
    #[must_use]
    pub fn sender_timestamp_ms(&self) -> Option<i64> {
        let reaction =
            self.message.reaction_message.as_ref().and_then(|reaction| reaction.sender_timestamp_ms);
        reaction.or_else(|| self.message.protocol_message.as_ref().and_then(|protocol| protocol.timestamp_ms))
    }
}

impl core::fmt::Debug for Content {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { raw, message, kind, verdict, findings, wrappers, sender_key, text_chars: _ } = self;
        f.debug_struct("Content")
            .field("raw", &format_args!("[{} bytes]", raw.len()))
            .field("kind", kind)
            .field("verdict", verdict)
            .field("findings", findings)
            .field("wrappers", wrappers)
            .field("sender_key", sender_key)
            .field("message", message)
            .finish()
    }
}

/// The text or caption of a message's content.
fn text_of(message: &Message) -> Option<&str> {
    if let Some(text) = &message.conversation {
        return Some(text);
    }
    let extended = message.extended_text_message.as_ref().and_then(|text| text.text.as_deref());
    extended.or_else(|| caption_of(message))
}

/// The caption of a media message.
fn caption_of(message: &Message) -> Option<&str> {
    Media::of(message).and_then(|media| media.caption)
}
