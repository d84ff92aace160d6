//! Limits of the content rules, and the surroundings that a verdict depends on.

use crate::ParseLimits;

/// Limits of the rules. Every default is ASSUMED: public sources do not give them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Size, nesting and number of parts (P7, P9).
    pub parse: ParseLimits,
    /// Wrappers around a content (V2): 4.
    pub wrappers: usize,
    /// Characters of a text, and of a received caption (V4): 65,536. Longer ones are shown cut.
    pub text_chars: usize,
    /// Characters of a caption that a sender may send (V4): 1,024.
    pub sent_caption_chars: usize,
    /// Bytes of a media file (V6): 2^31.
    pub media_length: u64,
    /// Bytes of a direct path or URL (V7): 2,048.
    pub media_place: usize,
    /// Hosts, or `host:port`, of media URLs (V7): `mmg.whatsapp.net`.
    pub media_hosts: Vec<String>,
    /// Bytes of a thumbnail (V8): 64 KiB.
    pub thumbnail: usize,
    /// Bytes of a media type or file name (V9): 255.
    pub name: usize,
    /// Samples of a waveform that is kept (V10): 256.
    pub waveform: usize,
    /// Samples of a waveform that a sender may send (V10): 64.
    pub sent_waveform: usize,
    /// Bytes of a vCard (V11): 64 KiB.
    pub vcard: usize,
    /// Contacts in one message (V11): 257.
    pub contacts: usize,
    /// Bytes of a message id in a key or quote (V13): 128.
    pub id: usize,
    /// Bytes of a reaction's text (V13): 64.
    pub reaction: usize,
    /// Mentions (V17): 257.
    pub mentions: usize,
    /// Bytes of a sender key (V18): 1 KiB.
    pub sender_key: usize,
    /// Seconds of the longest timer (V20): 7,776,000.
    pub expiration: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            parse: ParseLimits::default(),
            wrappers: 4,
            text_chars: 65_536,
            sent_caption_chars: 1024,
            media_length: 1 << 31,
            media_place: 2048,
            media_hosts: vec!["mmg.whatsapp.net".to_owned()],
            thumbnail: 64 * 1024,
            name: 255,
            waveform: 256,
            sent_waveform: 64,
            vcard: 64 * 1024,
            contacts: 257,
            id: 128,
            reaction: 64,
            mentions: 257,
            sender_key: 1024,
            expiration: 7_776_000,
        }
    }
}

/// Where a message came from. JIDs are in text form, without device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Context<'a> {
    /// The chat that the stanza belongs to.
    pub chat: Chat<'a>,
    /// Author of the stanza.
    pub sender: &'a str,
    /// How the content was encrypted.
    pub encryption: Encryption,
}

impl<'a> Context<'a> {
    /// A message from `sender` to `recipient`, encrypted pairwise.
    #[must_use]
    pub fn direct(sender: &'a str, recipient: &'a str) -> Self {
        Self { chat: Chat::Direct { recipient }, sender, encryption: Encryption::Pairwise }
    }

    /// A message from `sender` in the group `group`.
    #[must_use]
    pub fn group(group: &'a str, sender: &'a str, encryption: Encryption) -> Self {
        Self { chat: Chat::Group { group }, sender, encryption }
    }
}

/// A chat, as a stanza names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chat<'a> {
    /// Two people.
    Direct {
        /// The receiving user's JID.
        recipient: &'a str,
    },
    /// A group.
    Group {
        /// The group's JID: the stanza's `from`.
        group: &'a str,
    },
}

/// How a content was encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// `pkmsg` or `msg`: for this receiver alone.
    Pairwise,
    /// `skmsg`: for a group.
    SenderKey,
}
