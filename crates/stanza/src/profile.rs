//! Every value that no public document settles, with the default that open clients of the same server use, or that this
//! project assumes.
//!
//! A field is ASSUMED unless its line says otherwise. Fields ending in `_s` are seconds, in `_days` days of 86,400
//! seconds, in `_bytes` bytes. A profile file names only what differs; unknown names are refused. There is no field that
//! nothing reads: a test looks.
//!
//! ```
//! use landbridge_stanza::Profile;
//!
//! let profile = Profile::default();
//! assert_eq!(profile.keys.first_batch, 812);
//! ```

use serde::{Deserialize, Serialize};

use crate::iq::IqType;

mod connection;
mod content;
mod enlistment;
mod media;
mod push;

pub use connection::{ConnectionProfile, InteropJidForm, LoginProfile, PackPolicy, Resume, WireProfile};
pub use content::ContentProfile;
pub use enlistment::{EnlistmentForm, EnlistmentProfile, IdentifierClaim, KeySetProfile, TokenProfile};
pub use media::MediaProfile;
pub use push::PushProfile;

/// All of it. See the [module](self).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// Header, certificates, time-outs, back-off.
    pub connection: ConnectionProfile,
    /// What the login says and what its refusals mean.
    pub login: LoginProfile,
    /// How nodes become bytes.
    pub wire: WireProfile,
    /// Requests.
    pub iq: IqProfile,
    /// Pings.
    pub liveness: LivenessProfile,
    /// Prekeys.
    pub keys: KeysProfile,
    /// Offline delivery.
    pub mailbox: MailboxProfile,
    /// Receipts and retries.
    pub receipts: ReceiptsProfile,
    /// Who writes at the moment.
    pub typing: TypingProfile,
    /// Blocking.
    pub blocking: BlockingProfile,
    /// Deletion of the account.
    pub deletion: DeletionProfile,
    /// Reaching users who have not enabled interoperability.
    pub reach: ReachProfile,
    /// Limits of message content.
    pub content: ContentProfile,
    /// Files.
    pub media: MediaProfile,
    /// Enlistment.
    pub enlistment: EnlistmentProfile,
    /// The partner's user tokens.
    pub token: TokenProfile,
    /// Key sets of either side.
    pub key_sets: KeySetProfile,
    /// Pushes to partners.
    pub push: PushProfile,
    /// What a server does of its own accord.
    pub server: ServerProfile,
}

/// Requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IqProfile {
    /// How long a request waits for its answer (PEERS: 75 s, Baileys 60 s).
    pub timeout_s: u64,
    /// Code of the answer to a request of the server in an unknown namespace; `None`, in a file 0: stay silent, as PEERS do.
    #[serde(with = "or_zero")]
    pub unknown_request_code: Option<u16>,
}

impl Default for IqProfile {
    fn default() -> Self {
        Self { timeout_s: 75, unknown_request_code: Some(501) }
    }
}

/// Form of the client's ping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PingForm {
    /// Without a child (PEERS but Baileys).
    #[default]
    Empty,
    /// With a child `ping` (Baileys).
    Child,
}

/// Pings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LivenessProfile {
    /// Form of the client's ping.
    pub ping_form: PingForm,
    /// Least silence after which the client pings (PEERS whatsapp-rust).
    pub keepalive_min_s: u64,
    /// Greatest silence after which the client pings (PEERS whatsapp-rust).
    pub keepalive_max_s: u64,
    /// How long the client waits for the answer before it gives the connection up (PEERS whatsapp-rust).
    pub answer_s: u64,
    /// Silence after which the server pings.
    pub server_ping_after_s: u64,
    /// Silence after which the server closes.
    pub server_close_after_s: u64,
}

impl Default for LivenessProfile {
    fn default() -> Self {
        Self {
            ping_form: PingForm::Empty,
            keepalive_min_s: 15,
            keepalive_max_s: 30,
            answer_s: 20,
            server_ping_after_s: 60,
            server_close_after_s: 120,
        }
    }
}

/// Prekeys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeysProfile {
    /// One-time prekeys of the first upload (PEERS).
    pub first_batch: u32,
    /// One-time prekeys of later uploads (PEERS whatsmeow).
    pub refill_batch: u32,
    /// The client uploads when the server holds fewer (PEERS).
    pub low_mark: u32,
    /// The server tells when it holds fewer.
    pub server_low_mark: u32,
    /// The server tells again after this time, if nothing was uploaded.
    pub server_low_repeat_s: u64,
    /// Age at which the signed prekey is replaced (PEERS whatsapp-rust).
    pub signed_rotation_days: u32,
    /// Old signed prekeys whose private halves are kept (PEERS whatsapp-rust).
    pub signed_kept: u32,
    /// Wait after a failed rotation (PEERS whatsapp-rust).
    pub rotation_retry_s: u64,
    /// Most one-time prekeys of one upload that a server takes.
    pub max_upload: u32,
    /// Most users of one fetch that a server takes.
    pub max_fetch: u32,
    /// Version in the scannable form of a safety number, 1 or 2.
    pub safety_number_version: u32,
}

impl Default for KeysProfile {
    fn default() -> Self {
        Self {
            first_batch: 812,
            refill_batch: 50,
            low_mark: 5,
            server_low_mark: 10,
            server_low_repeat_s: 86_400,
            signed_rotation_days: 27,
            signed_kept: 3,
            rotation_retry_s: 86_400,
            max_upload: 4_096,
            max_fetch: 1_024,
            safety_number_version: 2,
        }
    }
}

/// Offline delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MailboxProfile {
    /// Stanzas that the client asks for at a time; `None`, in a file 0: it does not ask (PEERS: Baileys 100, whatsapp-rust 200).
    #[serde(with = "or_zero")]
    pub batch: Option<u32>,
    /// Stanzas that the server sends unasked (PEERS whatsapp-rust).
    pub primer: u32,
    /// How long the server keeps a stanza (SEED).
    pub keep_days: u32,
}

impl Default for MailboxProfile {
    fn default() -> Self {
        Self { batch: Some(100), primer: 5, keep_days: 30 }
    }
}

/// Receipts and retries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReceiptsProfile {
    /// `type` of a delivered receipt; none by default (PEERS).
    pub delivered_type: Option<String>,
    /// Ids of one receipt at most, the first included (PEERS whatsapp-rust).
    pub ids_per_receipt: usize,
    /// Retry receipts sent for one message at most.
    pub retries_sent: u8,
    /// Retry receipts answered for one message at most.
    pub retries_answered: u8,
    /// First `count` with which a retry receipt carries keys (PEERS).
    pub keys_from_count: u8,
    /// Whether a retry receipt carries keys at once when there is no session.
    pub keys_without_session: bool,
    /// How long the plaintext of a sent message is kept for retries, unless everybody has read it.
    pub plaintext_days: u32,
    /// A session is not rebuilt for a retry more often than this (PEERS whatsmeow).
    pub rebuild_every_s: u64,
}

impl Default for ReceiptsProfile {
    fn default() -> Self {
        Self {
            delivered_type: None,
            ids_per_receipt: 256,
            retries_sent: 4,
            retries_answered: 5,
            keys_from_count: 2,
            keys_without_session: true,
            plaintext_days: 14,
            rebuild_every_s: 3_600,
        }
    }
}

/// Who writes at the moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TypingProfile {
    /// While the user writes, the peer is told again after this time at the earliest.
    pub refresh_s: u64,
    /// A user who has not written for this long rests.
    pub rest_s: u64,
    /// A peer of whom nothing more is heard for this long has stopped.
    pub expire_s: u64,
}

impl Default for TypingProfile {
    fn default() -> Self {
        Self { refresh_s: 10, rest_s: 5, expire_s: 25 }
    }
}

/// Which address of a user a block list names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockAddress {
    /// The one under which the user is known.
    #[default]
    AsKnown,
    /// The hidden number, with the number beside it (companions).
    Lid,
}

/// Blocking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BlockingProfile {
    /// Which address a change names.
    pub address: BlockAddress,
    /// Users that a list holds at most; error 419 beyond.
    pub max_blocked: u32,
}

impl Default for BlockingProfile {
    fn default() -> Self {
        Self { address: BlockAddress::AsKnown, max_blocked: 1_000 }
    }
}

/// Deletion of the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeletionProfile {
    /// Type of the request (PEERS: yowsup, of older clients).
    pub iq_type: IqType,
    /// Namespace of the request (PEERS: yowsup, of older clients).
    pub xmlns: String,
}

impl Default for DeletionProfile {
    fn default() -> Self {
        Self { iq_type: IqType::Get, xmlns: "urn:xmpp:whatsapp:account".to_owned() }
    }
}

/// Reaching users who have not enabled interoperability. Nothing of it is public.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReachProfile {
    /// Whether it is used.
    pub enabled: bool,
    /// Namespace of the request.
    pub xmlns: String,
    /// Type of the request.
    pub iq_type: IqType,
    /// Tag of the element in the request and in its answer.
    pub tag: String,
    /// `type` of the notification.
    pub notification_type: String,
    /// Tag of the element in the notification.
    pub notification_tag: String,
}

impl Default for ReachProfile {
    fn default() -> Self {
        Self {
            enabled: false,
            xmlns: "interop".to_owned(),
            iq_type: IqType::Set,
            tag: "reach".to_owned(),
            notification_type: "interop".to_owned(),
            notification_tag: "reachable".to_owned(),
        }
    }
}

/// What a server does of its own accord.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerProfile {
    /// Days without a connection after which an account is no longer enlisted (SEED).
    pub inactive_days: u32,
    /// Failure for a deleted, expired or unknown account, and for a static key that is not the enlisted one.
    pub unknown_account_failure: u16,
    /// Failure for a protocol version below the least supported one.
    pub old_version_failure: u16,
    /// Failure for an expired token.
    pub token_expired_failure: u16,
    /// Failure for a token that is not valid for the account.
    pub token_invalid_failure: u16,
    /// Failure for a login payload that is not what interop sends.
    pub bad_payload_failure: u16,
    /// How far back contacts are told about a new identity.
    pub identity_notice_days: u32,
    /// Whether a conversation may be begun by the partner's user, or the user must be reached first.
    pub contact_first: ContactFirst,
}

/// Who may write the first message of a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContactFirst {
    /// Anybody.
    #[default]
    Allowed,
    /// Only who was reached before; else error 463.
    Reached,
}

impl Default for ServerProfile {
    fn default() -> Self {
        Self {
            inactive_days: 30,
            unknown_account_failure: 401,
            old_version_failure: 405,
            token_expired_failure: 413,
            token_invalid_failure: 414,
            bad_payload_failure: 400,
            identity_notice_days: 30,
            contact_first: ContactFirst::Allowed,
        }
    }
}

/// "None" as 0, since TOML has no word for it and leaving the field out means its default.
mod or_zero {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Copy + Default + Serialize, S: Serializer>(
        value: &Option<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        value.unwrap_or_default().serialize(to)
    }

    pub(super) fn deserialize<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
    where
        T: Default + PartialEq + Deserialize<'de>,
        D: Deserializer<'de>,
    {
        let value = Option::<T>::deserialize(from)?;
        Ok(value.filter(|value| *value != T::default()))
    }
}

/// Byte arrays as hex text.
mod hex_array {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<const N: usize, S: Serializer>(
        bytes: &[u8; N],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(&bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
    }

    pub(super) fn deserialize<'de, const N: usize, D: Deserializer<'de>>(
        from: D,
    ) -> Result<[u8; N], D::Error> {
        let text = String::deserialize(from)?;
        let wrong = || D::Error::custom(format_args!("expected {N} bytes as {} hex digits", 2 * N));
        if text.len() != 2 * N || !text.is_ascii() {
            return Err(wrong());
        }
        let mut bytes = [0; N];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = str::from_utf8(digits).map_err(|_| wrong())?;
            // `from_str_radix` would take a sign.
            if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(wrong());
            }
            *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
        }
        Ok(bytes)
    }
}
