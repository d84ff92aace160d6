//! Rules V1 to V4, V11, V12, V18 and V19: from the outermost message to its one content.

use super::{
    Chat, Content, Context, Encryption, Finding, Kind, Limits, Rule, Verdict, Wrapper, caption_of,
    context::context_slot,
};
use crate::{
    message::{ContactMessage, FutureProofMessage, Message, SenderKeyDistributionMessage},
    parse::has_unknown,
};

/// Collects findings on the way through a message.
pub(super) struct Judge<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) limits: &'a Limits,
    findings: Vec<Finding>,
}

pub(super) fn judge(raw: &[u8], mut message: Message, context: &Context<'_>, limits: &Limits) -> Content {
    let mut judge = Judge { context, limits, findings: Vec::new() };
    let unwrapped = judge.unwrap(&mut message);
    let parts = present(&message);
    let sent_key = unwrapped.sender_key;
    let has_sent_key = sent_key.is_some();
    let sender_key = sent_key.and_then(|key| judge.sender_key(key, !parts.is_empty()));
    let kind = match parts[..] {
        [Part::Wrapper] => {
            judge.fault(Rule::V2, Verdict::Placeholder, "more wrappers than are opened");
            message = Message::default();
            Kind::Unsupported
        }
        [part] => judge.part(part, &mut message),
        [] if has_unknown::<Message>(raw, &unwrapped.path, &limits.parse) => Kind::Unsupported,
        [] if has_sent_key => Kind::SenderKey,
        [] => {
            judge.fault(Rule::V1, Verdict::Placeholder, "there is no content");
            Kind::Unsupported
        }
        _ => {
            judge.fault(Rule::V1, Verdict::Placeholder, "there is more than one content");
            message = Message::default();
            Kind::Unsupported
        }
    };
    let findings = judge.findings;
    let verdict = findings.iter().map(|found| found.verdict).fold(by_kind(kind), Ord::max);
    Content {
        raw: raw.to_vec(),
        message,
        kind,
        verdict,
        findings,
        wrappers: unwrapped.wrappers,
        sender_key,
        text_chars: limits.text_chars,
    }
}

/// What becomes of a faultless message of a kind.
fn by_kind(kind: Kind) -> Verdict {
    match kind {
        Kind::SenderKey | Kind::UnknownProtocol => Verdict::Silent,
        Kind::Unsupported => Verdict::Placeholder,
        _ => Verdict::Accept,
    }
}

/// A content field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Conversation,
    ExtendedText,
    Media,
    Contact,
    Contacts,
    Location,
    LiveLocation,
    Reaction,
    Protocol,
    DeviceSent,
    Wrapper,
    /// A kind that interop does not carry.
    Other,
}

/// The content fields that are set.
pub(super) fn present(message: &Message) -> Vec<Part> {
    let m = message;
    let parts = [
        (Part::Conversation, m.conversation.is_some()),
        (Part::Media, m.image_message.is_some()),
        (Part::Contact, m.contact_message.is_some()),
        (Part::Location, m.location_message.is_some()),
        (Part::ExtendedText, m.extended_text_message.is_some()),
        (Part::Media, m.document_message.is_some()),
        (Part::Media, m.audio_message.is_some()),
        (Part::Media, m.video_message.is_some()),
        (Part::Protocol, m.protocol_message.is_some()),
        (Part::Contacts, m.contacts_array_message.is_some()),
        (Part::LiveLocation, m.live_location_message.is_some()),
        (Part::Media, m.sticker_message.is_some()),
        (Part::Other, m.group_invite_message.is_some()),
        (Part::DeviceSent, m.device_sent_message.is_some()),
        (Part::Wrapper, m.view_once_message.is_some()),
        (Part::Wrapper, m.ephemeral_message.is_some()),
        (Part::Reaction, m.reaction_message.is_some()),
        (Part::Other, m.poll_creation_message.is_some()),
        (Part::Wrapper, m.document_with_caption_message.is_some()),
        (Part::Wrapper, m.view_once_message_v2.is_some()),
        (Part::Other, m.enc_reaction_message.is_some()),
        (Part::Wrapper, m.edited_message.is_some()),
        (Part::Wrapper, m.view_once_message_v2_extension.is_some()),
        (Part::Wrapper, m.group_mentioned_message.is_some()),
        (Part::Media, m.ptv_message.is_some()),
    ];
    parts.into_iter().filter_map(|(part, set)| set.then_some(part)).collect()
}

/// The wrapper fields: number, meaning, place.
pub(super) fn wrappers(message: &mut Message) -> [(u32, Wrapper, &mut Option<Box<FutureProofMessage>>); 7] {
    [
        (37, Wrapper::ViewOnce, &mut message.view_once_message),
        (40, Wrapper::Ephemeral, &mut message.ephemeral_message),
        (53, Wrapper::DocumentWithCaption, &mut message.document_with_caption_message),
        (55, Wrapper::ViewOnce, &mut message.view_once_message_v2),
        (58, Wrapper::Edited, &mut message.edited_message),
        (59, Wrapper::ViewOnce, &mut message.view_once_message_v2_extension),
        (62, Wrapper::GroupMentioned, &mut message.group_mentioned_message),
    ]
}

struct Unwrapped {
    wrappers: Vec<Wrapper>,
    /// Field numbers from the root to the innermost message.
    path: Vec<u32>,
    sender_key: Option<SenderKeyDistributionMessage>,
}

impl Judge<'_> {
    pub(super) fn fault(&mut self, rule: Rule, verdict: Verdict, note: &'static str) {
        self.findings.push(Finding { rule, verdict, note });
    }

    /// V2: replaces the message by what its wrappers hold, as deep as the limit. The outer message's context stays
    /// unless the inner one has its own.
    fn unwrap(&mut self, message: &mut Message) -> Unwrapped {
        let mut out = Unwrapped { wrappers: Vec::new(), path: Vec::new(), sender_key: None };
        loop {
            self.secret(message);
            let sender_key = message.sender_key_distribution_message.take();
            out.sender_key = out.sender_key.or(sender_key);
            if present(message) != [Part::Wrapper] || out.wrappers.len() >= self.limits.wrappers {
                return out;
            }
            let Some((number, wrapper, inner)) = wrappers(message)
                .into_iter()
                .find_map(|(number, wrapper, slot)| slot.take().map(|inner| (number, wrapper, inner)))
            else {
                return out;
            };
            let context = message.message_context_info.take();
            *message = inner.message.map(|inner| *inner).unwrap_or_default();
            message.message_context_info = message.message_context_info.take().or(context);
            out.wrappers.push(wrapper);
            out.path.extend([number, 1]);
        }
    }

    /// V19.
    fn secret(&mut self, message: &mut Message) {
        let Some(info) = &mut message.message_context_info else { return };
        if info.message_secret.as_ref().is_some_and(|secret| secret.len() != 32) {
            info.message_secret = None;
            self.fault(Rule::V19, Verdict::Accept, "messageSecret does not have 32 bytes");
        }
    }

    /// V18: the key, if it may be installed.
    fn sender_key(
        &mut self,
        key: SenderKeyDistributionMessage,
        beside_content: bool,
    ) -> Option<SenderKeyDistributionMessage> {
        let bytes = key.axolotl_sender_key_distribution_message.as_ref().map_or(0, Vec::len);
        let note = match self.context.chat {
            Chat::Direct { .. } => "sender key in a direct chat",
            Chat::Group { .. } if self.context.encryption != Encryption::Pairwise => {
                "sender key in a message that is not encrypted pairwise"
            }
            Chat::Group { group } if key.group_id.as_deref() != Some(group) => "sender key of another group",
            Chat::Group { .. } if bytes == 0 => "sender key without bytes",
            Chat::Group { .. } if bytes > self.limits.sender_key => "sender key is too long",
            Chat::Group { .. } => return Some(key),
        };
        // The key is not installed; a content beside it stands.
        self.fault(Rule::V18, if beside_content { Verdict::Accept } else { Verdict::Silent }, note);
        None
    }

    /// The rules of the one content.
    fn part(&mut self, part: Part, message: &mut Message) -> Kind {
        let kind = match part {
            Part::Conversation => {
                self.text(message.conversation.as_deref());
                Kind::Text
            }
            Part::ExtendedText => {
                if let Some(text) = &mut message.extended_text_message {
                    self.text(text.text.as_deref());
                    self.thumbnail(&mut text.jpeg_thumbnail);
                }
                Kind::Text
            }
            Part::Media => self.media(message),
            Part::Contact => {
                self.contacts(message.contact_message.as_deref());
                Kind::Contact
            }
            Part::Contacts => {
                if let Some(list) = &mut message.contacts_array_message {
                    self.contacts(&list.contacts);
                    list.contacts.iter_mut().for_each(|contact| contact.context_info = None);
                }
                Kind::Contacts
            }
            Part::Location => {
                if let Some(place) = &mut message.location_message {
                    self.place(place.degrees_latitude, place.degrees_longitude);
                    self.thumbnail(&mut place.jpeg_thumbnail);
                }
                Kind::Location
            }
            Part::LiveLocation => {
                if let Some(place) = &mut message.live_location_message {
                    self.place(place.degrees_latitude, place.degrees_longitude);
                    self.thumbnail(&mut place.jpeg_thumbnail);
                }
                Kind::LiveLocation
            }
            Part::Reaction => self.reaction(message),
            Part::Protocol => self.protocol(message),
            Part::DeviceSent => {
                self.fault(Rule::V3, Verdict::Reject, "deviceSentMessage from another user");
                *message = Message::default();
                Kind::Unsupported
            }
            Part::Wrapper | Part::Other => Kind::Unsupported,
        };
        self.caption(message);
        if let Some(context) = context_slot(message).and_then(Option::as_deref_mut) {
            self.context_info(context);
        }
        kind
    }

    /// V4.
    fn text(&mut self, text: Option<&str>) {
        let text = text.unwrap_or_default();
        if text.is_empty() {
            self.fault(Rule::V4, Verdict::Placeholder, "text is empty");
        } else if longer(text, self.limits.text_chars) {
            self.fault(Rule::V4, Verdict::Accept, "text is too long");
        }
    }

    /// V4, for captions.
    fn caption(&mut self, message: &Message) {
        if caption_of(message).is_some_and(|caption| longer(caption, self.limits.sent_caption_chars)) {
            self.fault(Rule::V4, Verdict::Accept, "caption is too long");
        }
    }

    /// V11.
    fn contacts<'m>(&mut self, contacts: impl IntoIterator<Item = &'m ContactMessage>) {
        let mut count = 0;
        let mut fault = None;
        for contact in contacts {
            count += 1;
            match contact.vcard.as_deref() {
                None | Some("") => fault = fault.or(Some("contact without vCard")),
                Some(card) if card.len() > self.limits.vcard => fault = fault.or(Some("vCard is too long")),
                Some(card) => {
                    let head = card.get(.."BEGIN:VCARD".len());
                    if !head.is_some_and(|head| head.eq_ignore_ascii_case("BEGIN:VCARD")) {
                        fault = fault.or(Some("vCard does not start with BEGIN:VCARD"));
                    }
                }
            }
        }
        if count == 0 {
            fault = Some("there are no contacts");
        } else if count > self.limits.contacts {
            fault = Some("there are too many contacts");
        }
        if let Some(note) = fault {
            self.fault(Rule::V11, Verdict::Placeholder, note);
        }
    }

    /// V12. Neither range holds a value that is not a number.
    fn place(&mut self, latitude: Option<f64>, longitude: Option<f64>) {
        if !latitude.is_some_and(|degrees| (-90.0..=90.0).contains(&degrees)) {
            self.fault(Rule::V12, Verdict::Placeholder, "latitude is missing or out of range");
        }
        if !longitude.is_some_and(|degrees| (-180.0..=180.0).contains(&degrees)) {
            self.fault(Rule::V12, Verdict::Placeholder, "longitude is missing or out of range");
        }
    }
}

/// Whether a text has more characters than `limit`.
pub(super) fn longer(text: &str, limit: usize) -> bool {
    text.chars().nth(limit).is_some()
}
