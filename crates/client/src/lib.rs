//! Interoperable messaging with WhatsApp under the Digital Markets Act: the client.
//!
//! A partner's app enlists its user once, connects, and exchanges end-to-end encrypted messages with WhatsApp users. This
//! crate ties the parts together; each of them can be had alone:
//!
//! | crate | here | what |
//! |---|---|---|
//! | `landbridge-transport` | [`transport`] | byte streams, HTTP |
//! | `landbridge-noise` | [`noise`] | the secure channel |
//! | `landbridge-wire`, `landbridge-stanza` | [`wire`], [`stanza`] | stanzas, as bytes and as types |
//! | `landbridge-signal`, `landbridge-proto` | [`signal`], [`proto`] | end-to-end encryption, message content |
//! | `landbridge-store` | [`store`] | what must survive a crash |
//! | `landbridge-enlist` | [`enlist`] | enlistment and tokens |
//! | `landbridge-media` | [`media`] | files: encryption, places, sending and fetching |
//!
//! # What you can rely on
//!
//! - A message is stored, together with the state of its encryption, before its sender is told that it arrived; and a
//!   message of yours before its first byte leaves. A process that is killed at any point loses none and shows none twice.
//! - What was not acknowledged goes out again after the next login: the same bytes, in the same order.
//! - Nothing that the server or a peer sends makes the client panic; what cannot be read is refused by name.
//!
//! # Example
//!
//! ```no_run
//! use landbridge::store::MemoryStore;
//! use landbridge::{Client, Event, FixedToken, wire::Jid};
//!
//! # async fn example() -> Result<(), landbridge::Error> {
//! let client = Client::builder()
//!     .store(MemoryStore::new())
//!     .endpoint("127.0.0.1:5222")
//!     .enlistment_url("http://127.0.0.1:8080/3p/interop_reg")
//!     .token_source(FixedToken::new("eyJraWQiOiIt…"))
//!     .build()?;
//! let mut events = client.events();
//! client.enlist("alice", 1).await?;
//! client.connect().await?;
//! client.send_text(&Jid::user("14155551001"), "Hello from the other side").await?;
//! while let Some(event) = events.next().await {
//!     if let Event::Message(message) = event {
//!         println!("{}: {}", message.sender, message.text().unwrap_or_default());
//!     }
//! }
//! # Ok(()) }
//! ```

mod account;
mod blocking;
mod builder;
mod client;
mod connection;
mod error;
mod event;
mod explain;
mod fetch;
mod keys;
pub mod media;
mod message;
mod messages;
mod own_keys;
mod portability;
mod receipts;
mod reconnect;
mod run;
mod seams;
mod send_failure;
mod session;
mod token;
mod trace;
mod trail;
mod trust;
mod typing;
mod vault;

pub use builder::ClientBuilder;
pub use client::{Client, ReadReceipts, RoundTrip};
pub use error::{Ending, Error, Reaction};
pub use event::{Event, Events};
pub use explain::{Explanation, Standing, explain_offline};
pub use fetch::Fetched;
pub use keys::{OneTimeKey, PeerKeys};
pub use message::{
    Arrival, Author, Body, MessageReaction, MessageRef, QuotedMessage, ReceivedEdit, ReceivedMessage,
    ReceivedReaction, ReceivedRevoke, StoredMessage,
};
pub use own_keys::OwnKeys;
pub use reconnect::{Action, Cause};
pub use seams::{Clock, SystemClock};
pub use send_failure::{NotAllowed, SendFailure};
pub use token::{FixedToken, Freshness, HttpTokenSource, TokenError, TokenSource};
pub use trace::{Direction, TraceSink, TracedStanza};
pub use trust::{Comparison, IdentityPolicy, PeerTrust, SafetyNumber, Sending, Verification};

pub use landbridge_enlist as enlist;
pub use landbridge_noise as noise;
pub use landbridge_proto as proto;
pub use landbridge_signal as signal;
pub use landbridge_stanza as stanza;
pub use landbridge_store as store;
pub use landbridge_transport as transport;
pub use landbridge_wire as wire;
