//! Files: where they are fetched, how long that may take, how large they may be.

use serde::{Deserialize, Serialize};

const MIB: u64 = 1024 * 1024;

/// Files: where they are fetched, how long that may take, how large they may be. Sizes are those of plain files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MediaProfile {
    /// Where files are fetched (PEERS).
    pub base_url: String,
    /// Domains, with what is below them, to which a fetch may be sent on.
    pub redirect_domains: Vec<String>,
    /// Redirects that are followed.
    pub max_redirects: u32,
    /// Longest silence in the middle of a file.
    pub stall_s: u64,
    /// Failures in a row without a byte of progress that end a transfer (PEERS).
    pub tries: u32,
    /// Longest wait between tries that a server is granted.
    pub longest_wait_s: u64,
    /// Transfers of a client at once; others wait.
    pub parallel: usize,
    /// How long the link to a file of WhatsApp's lives: as long as a mailbox keeps a message.
    pub link_days: u32,
    /// Largest picture.
    pub max_image_bytes: u64,
    /// Largest sound file and voice note.
    pub max_audio_bytes: u64,
    /// Largest video, animated picture, round video and pack of stickers.
    pub max_video_bytes: u64,
    /// Largest document.
    pub max_document_bytes: u64,
    /// Largest sticker.
    pub max_sticker_bytes: u64,
    /// Largest preview in a file of its own.
    pub max_preview_bytes: u64,
}

impl Default for MediaProfile {
    fn default() -> Self {
        Self {
            base_url: "https://mmg.whatsapp.net".to_owned(),
            redirect_domains: vec!["whatsapp.net".to_owned(), "fbcdn.net".to_owned()],
            max_redirects: 3,
            stall_s: 20,
            tries: 5,
            longest_wait_s: 300,
            parallel: 4,
            link_days: 30,
            max_image_bytes: 16 * MIB,
            max_audio_bytes: 64 * MIB,
            max_video_bytes: 100 * MIB,
            max_document_bytes: 2048 * MIB,
            max_sticker_bytes: MIB,
            max_preview_bytes: MIB,
        }
    }
}
