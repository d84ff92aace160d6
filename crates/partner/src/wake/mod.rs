//! Waking devices: an accepted push becomes one wake-up per device of the user.
//!
//! What goes out says "connect", with a random id, and nothing else: no sender, no text, no counter.

mod apns;
mod device_key;
mod dispatch;
mod es256;
mod fcm;
mod hub;
mod lanes;
mod switchboard;
mod target;
mod web_push;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub use apns::{ApnsConfig, ApnsSender};
pub use device_key::{BadKey, DeviceKey, UserKey};
pub use es256::{Es256Key, Es256KeyError};
pub use fcm::{FcmConfig, FcmSender};
pub use switchboard::{Chat, HandOver, HeldStreams, LocalSwitchboard, Switchboard};
pub use target::{BadTarget, WakeTarget, WebPushKeys};
pub use web_push::{WebPushConfig, WebPushSender};

pub(crate) use dispatch::{Dispatcher, Wanted};
pub(crate) use hub::WakeHub;

/// By which way a device is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum WakeKind {
    /// Firebase Cloud Messaging, HTTP v1.
    Fcm,
    /// Apple Push Notification service.
    Apns,
    /// RFC 8030.
    WebPush,
    /// A stream that the device holds open, at this server or another one of the partner.
    Socket,
}

impl WakeKind {
    /// The word in requests, in the database and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fcm => "fcm",
            Self::Apns => "apns",
            Self::WebPush => "web-push",
            Self::Socket => "socket",
        }
    }
}

/// One wake-up for one device, as a sender gets it.
#[derive(Clone)]
#[expect(clippy::exhaustive_structs, reason = "made by store backends")]
pub struct Delivery {
    /// The user, by the partner's own name. No sender sends it.
    pub user_id: String,
    /// The device, as the client calls it.
    pub device: String,
    /// 128 random bits, base64url. New for every push.
    pub wake_id: String,
    /// Attempts that were made and failed.
    pub attempt: u32,
    /// Where to.
    pub target: WakeTarget,
    /// Which setting of the target this is.
    pub target_version: u64,
    /// When the lease ends under which it was taken, unix milliseconds: by it the store tells this attempt from a later
    /// one of the same delivery.
    pub lease_ends: u64,
}

impl Delivery {
    /// A name of the user for the provider to merge wake-ups by: it says nothing, and is the same each time.
    pub fn collapse_key(&self) -> String {
        UserKey::of(&self.user_id).to_string()
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user_id: _, device: _, wake_id, attempt, target, target_version: _, lease_ends: _ } = self;
        f.debug_struct("Delivery")
            .field("wake_id", wake_id)
            .field("attempt", attempt)
            .field("kind", &target.kind())
            .finish_non_exhaustive()
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the dispatcher must decide every case")]
pub enum WakeOutcome {
    /// The provider has it.
    Sent,
    /// The address is no longer one.
    Gone,
    /// Try again, not before this long if the provider said so.
    Retry {
        /// What it said.
        after: Option<Duration>,
    },
    /// It will never be accepted, by the fault of this server's settings or of the address.
    Fatal,
}

impl WakeOutcome {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "ok",
            Self::Gone => "gone",
            Self::Retry { .. } => "retry",
            Self::Fatal => "fatal",
        }
    }
}

/// A way to wake devices. The dispatcher calls [`send`](Self::send) once per attempt, many at a time.
#[async_trait]
pub trait WakeSender: Send + Sync {
    /// Which targets are its own.
    fn kind(&self) -> WakeKind;

    /// The provider behind a target, where a kind has several: an outage of one holds up no other.
    fn lane(&self, target: &WakeTarget) -> String {
        let _ = target;
        String::new()
    }

    /// Makes one attempt.
    ///
    /// # Cancel safety
    /// Dropped after [`SEND_TIME`]; the provider may have got it.
    async fn send(&self, delivery: &Delivery) -> WakeOutcome;
}

/// What one attempt may take.
pub const SEND_TIME: Duration = Duration::from_secs(20);

/// A fresh [id of a wake-up](Delivery::wake_id), for store backends.
pub fn new_wake_id() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>())
}

/// What a sender makes of a status that means the same everywhere.
pub(crate) fn by_status(status: u16, retry_after: Option<Duration>) -> WakeOutcome {
    match status {
        200..=299 => WakeOutcome::Sent,
        408 | 425 | 429 | 500..=599 => WakeOutcome::Retry { after: retry_after },
        _ => WakeOutcome::Fatal,
    }
}
