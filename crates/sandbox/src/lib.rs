//! WhatsApp's side on a laptop: enlistment, chat server, mailbox and test phones.
//!
//! The sandbox is strict: it refuses what WhatsApp would refuse, with the same stanza, and its journal
//! ([`SandboxHandle::events`]) says which rule was broken and where that rule is written. Nothing in it can be mistaken
//! for the real service: its root key is its own, and clients have to pin it.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), landbridge_sandbox::SandboxError> {
//! use landbridge_sandbox::{Sandbox, SandboxConfig};
//!
//! let sandbox = Sandbox::start(SandboxConfig::default().partner(1, "http://127.0.0.1:9000")).await?;
//! let phone = sandbox.handle().create_phone("14155551001", "Joe")?;
//! assert_eq!(phone.jid, "14155551001@s.whatsapp.net");
//! println!("chat {} enlist {}", sandbox.chat_addr(), sandbox.enlist_url());
//! sandbox.shutdown().await;
//! # Ok(()) }
//! ```
//!
//! | module | what |
//! |---|---|
//! | `db` | one SQLite file: users, keys, mailbox, block lists |
//! | `state` | what all parts share; enlistment's effects |
//! | `chat` | the listener: frames, handshakes, time-outs |
//! | `login` | who is let in |
//! | `router` | who is connected; what a stanza does |
//! | `phones` | WhatsApp users that live in this process |
//! | [`events`] | the journal |
//! | `partners` | whose tokens are believed |
//! | [`faults`] | what goes wrong on purpose; numbers that behave in a way of their own |
//! | `media` | the media server: partners' files and those of phones |
//! | `push` | pushes to partners whose users are away |
//! | `hold` | messages that are held back and delivered out of order |
//! | `enlistment`, `jwks`, `control` | the HTTP side |

mod chat;
mod clock;
mod config;
mod control;
mod db;
mod embedded;
mod enlistment;
mod error;
pub mod events;
pub mod faults;
mod handle;
mod hold;
mod http;
mod jwks;
mod login;
mod media;
pub mod partners;
mod phones;
mod push;
mod router;
mod sandbox;
mod state;

pub use clock::Clock;
pub use config::{Calm, ChatLimits, FaultTimes, Pushing, RateLimits, SandboxConfig, Trace};
pub use db::{Change, EnlistKeys, Enlisted, UserInfo};
pub use embedded::EmbeddedSandbox;
pub use error::SandboxError;
pub use handle::SandboxHandle;
pub use media::{FetchedFile, FileError, PhoneFile};
pub use phones::{
    Direction, Garbage, MessageState, OutsidePhone, PhoneError, PhoneInfo, PhoneMessage, Reaction,
    UnknownGarbage,
};
pub use push::{LastPush, PartnerPushes, PushReason, PushReport, PushState, PushVersion, UserPushes};
pub use sandbox::{BoundSandbox, Sandbox};
