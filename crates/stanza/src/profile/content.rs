//! Limits of message content.

use serde::{Deserialize, Serialize};

/// Limits of message content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContentProfile {
    /// Largest plaintext.
    pub max_plaintext_bytes: usize,
    /// Deepest nesting of protobuf messages.
    pub max_nesting: usize,
    /// Deepest nesting of wrappers.
    pub max_wrappers: usize,
    /// Longest text, and longest caption received, in characters; longer ones are shown cut and kept whole.
    pub max_text_chars: usize,
    /// Longest caption that is sent, in characters.
    pub max_caption_sent_chars: usize,
    /// Largest media file, of any kind.
    pub max_media_bytes: u64,
    /// Hosts of the places that a message may name instead of a download path.
    pub media_hosts: Vec<String>,
    /// Longest download path.
    pub max_path_bytes: usize,
    /// Largest thumbnail.
    pub max_thumbnail_bytes: usize,
    /// Longest file name and media type.
    pub max_name_bytes: usize,
    /// Largest contact card.
    pub max_vcard_bytes: usize,
    /// Most contact cards in one message, and most mentions.
    pub max_list: usize,
    /// Longest text of a reaction.
    pub max_reaction_bytes: usize,
    /// How long after a message an edit of it is offered (PEERS whatsapp-rust).
    pub edit_sent_s: u64,
    /// How long after a message an edit of it is taken, by the server's times (PEERS whatsapp-rust).
    pub edit_received_s: u64,
    /// Reactions, edits and revokes of one chat that wait for their message at most; the latest are kept.
    pub waiting_per_chat: usize,
    /// How long a reaction, edit or revoke waits for its message: as long as a mailbox keeps one.
    pub waiting_days: u32,
    /// Longest time until a message disappears.
    pub max_expiration_s: u32,
    /// Largest sender key distribution.
    pub max_sender_key_bytes: usize,
}

impl Default for ContentProfile {
    fn default() -> Self {
        Self {
            max_plaintext_bytes: 1024 * 1024,
            max_nesting: 100,
            max_wrappers: 4,
            max_text_chars: 65_536,
            max_caption_sent_chars: 1_024,
            max_media_bytes: 2_000_000_000,
            media_hosts: vec!["mmg.whatsapp.net".to_owned()],
            max_path_bytes: 2_048,
            max_thumbnail_bytes: 64 * 1024,
            max_name_bytes: 255,
            max_vcard_bytes: 64 * 1024,
            max_list: 257,
            max_reaction_bytes: 64,
            edit_sent_s: 900,
            edit_received_s: 1_200,
            waiting_per_chat: 256,
            waiting_days: 30,
            max_expiration_s: 7_776_000,
            max_sender_key_bytes: 1_024,
        }
    }
}

#[cfg(feature = "content")]
impl ContentProfile {
    /// The limits of the rules for content.
    pub fn limits(&self) -> landbridge_proto::content::Limits {
        let mut limits = landbridge_proto::content::Limits::default();
        limits.parse.size = self.max_plaintext_bytes;
        limits.parse.depth = self.max_nesting;
        limits.wrappers = self.max_wrappers;
        limits.text_chars = self.max_text_chars;
        limits.sent_caption_chars = self.max_caption_sent_chars;
        limits.media_length = self.max_media_bytes;
        limits.media_hosts.clone_from(&self.media_hosts);
        limits.media_place = self.max_path_bytes;
        limits.thumbnail = self.max_thumbnail_bytes;
        limits.name = self.max_name_bytes;
        limits.vcard = self.max_vcard_bytes;
        limits.contacts = self.max_list;
        limits.mentions = self.max_list;
        limits.reaction = self.max_reaction_bytes;
        limits.sender_key = self.max_sender_key_bytes;
        limits.expiration = self.max_expiration_s;
        limits
    }
}
