//! Connection, login and wire settings.

use landbridge_wire::{EncodeOptions, InteropJid, Limits, Pack};
use serde::{Deserialize, Serialize};

use super::hex_array;

/// Whether a known server key is used to save a round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resume {
    /// XX always.
    #[default]
    Off,
    /// IK when a valid key is known, XXfallback when the server changed it.
    On,
}

/// Header, certificates, time-outs, back-off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectionProfile {
    /// The 4 bytes before the first frame, in hex: "WA", 6, dictionary version 3.
    #[serde(with = "hex_array")]
    pub header: [u8; 4],
    /// The pinned root of the server's certificates, 32 bytes in hex (PEERS).
    #[serde(with = "hex_array")]
    pub root_key: [u8; 32],
    /// Whether IK is tried.
    pub resume: Resume,
    /// Time for the connection to be made.
    pub connect_timeout_s: u64,
    /// Time for the server's hello.
    pub hello_timeout_s: u64,
    /// Time for the first stanza after the handshake.
    pub login_timeout_s: u64,
    /// Least back-off.
    pub backoff_min_s: u64,
    /// Greatest back-off.
    pub backoff_max_s: u64,
    /// A connection that has lived this long resets the back-off (PEERS whatsapp-rust).
    pub stable_after_s: u64,
    /// Steps of back-off that a stream error 429 adds (PEERS whatsapp-rust).
    pub rate_limit_extra_steps: u32,
}

impl Default for ConnectionProfile {
    fn default() -> Self {
        Self {
            header: [0x57, 0x41, 0x06, 0x03],
            root_key: [
                0x14, 0x23, 0x75, 0x57, 0x4d, 0x0a, 0x58, 0x71, 0x66, 0xaa, 0xe7, 0x1e, 0xbe, 0x51, 0x64,
                0x37, 0xc4, 0xa2, 0x8b, 0x73, 0xe3, 0x69, 0x5c, 0x6c, 0xe1, 0xf7, 0xf9, 0x54, 0x5d, 0xa8,
                0xee, 0x6b,
            ],
            resume: Resume::Off,
            connect_timeout_s: 20,
            hello_timeout_s: 20,
            login_timeout_s: 20,
            backoff_min_s: 1,
            backoff_max_s: 300,
            stable_after_s: 30,
            rate_limit_extra_steps: 5,
        }
    }
}

/// What the login says and what its refusals mean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoginProfile {
    /// Protocol version that clients give and the least one that a server takes.
    pub protocol_version: u32,
    /// `passive`: the mailbox waits for `<active/>` (PEERS).
    pub passive: bool,
    /// `pull` (PEERS).
    pub pull: bool,
    /// Failures that mean that the account must be enlisted again.
    pub reenlist_failures: Vec<u16>,
    /// Failures that mean that a fresh token is needed (PEERS for another product).
    pub token_failures: Vec<u16>,
    /// Least time between two enlistments that a failure caused.
    pub reenlist_every_s: u64,
    /// Tokens fetched in a row at most because of failures.
    pub tokens_in_a_row: u32,
    /// Largest token (SEED: 4 kilobytes).
    pub max_token_bytes: usize,
}

impl Default for LoginProfile {
    fn default() -> Self {
        Self {
            protocol_version: 1,
            passive: true,
            pull: true,
            reenlist_failures: vec![401, 415],
            token_failures: vec![413, 414],
            reenlist_every_s: 3_600,
            tokens_in_a_row: 2,
            max_token_bytes: 4_096,
        }
    }
}

/// When strings are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackPolicy {
    /// Wherever they can be (PEERS).
    #[default]
    All,
    /// In the user part of JIDs alone (the sample of the SEED).
    Jid,
}

/// How the JID of an interop user is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InteropJidForm {
    /// With the server word behind it.
    #[default]
    Append,
    /// Without.
    Omit,
    /// As a plain pair of user and server.
    Pair,
}

/// How nodes become bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WireProfile {
    /// When strings are packed.
    pub pack: PackPolicy,
    /// How the JID of an interop user is written.
    pub interop_jid: InteropJidForm,
    /// Stanzas of more bytes are compressed; `None`: none are (SEED says compressed, PEERS never do).
    pub compress_above: Option<usize>,
    /// Deepest nesting of nodes that is read (PEERS whatsapp-rust).
    pub max_depth: usize,
    /// Largest stanza that a compressed one may inflate to (PEERS whatsapp-rust).
    pub max_inflated_bytes: usize,
}

impl Default for WireProfile {
    fn default() -> Self {
        Self {
            pack: PackPolicy::All,
            interop_jid: InteropJidForm::Append,
            compress_above: None,
            max_depth: 128,
            max_inflated_bytes: 16 * 1024 * 1024,
        }
    }
}

impl WireProfile {
    /// The encoder's options.
    pub fn encode_options(&self) -> EncodeOptions {
        EncodeOptions {
            pack: match self.pack {
                PackPolicy::All => Pack::All,
                PackPolicy::Jid => Pack::Jid,
            },
            interop_jid: match self.interop_jid {
                InteropJidForm::Append => InteropJid::Append,
                InteropJidForm::Omit => InteropJid::Omit,
                InteropJidForm::Pair => InteropJid::Pair,
            },
            compress_above: self.compress_above,
        }
    }

    /// The decoder's limits.
    pub fn limits(&self) -> Limits {
        Limits::default().with_max_depth(self.max_depth).with_max_inflated(self.max_inflated_bytes)
    }
}
