//! Typed stanzas over [`landbridge_wire`] nodes.
//!
//! A *stanza* is one XML element of the chat protocol. This crate gives each of them a type, both ways: a client builds
//! what ends in `Out` and reads [`Inbound`]; a server that plays WhatsApp reads [`ClientStanza`] and builds what ends in
//! `In`. A request ([`Request`]) owns the parser of its answer, and the builder of it too.
//!
//! Nothing here does I/O, reads a clock or draws randomness by itself. What the public documents leave open is a field of
//! [`Profile`], which every builder takes.
//!
//! ```
//! use landbridge_stanza::{ClientRequest, ClientStanza, Profile, Request};
//! use landbridge_stanza::liveness::{Ping, Pong};
//!
//! let profile = Profile::default();
//! // The client asks …
//! let question = Ping.to_node("9c3f01d2-1", &profile);
//! // … the server reads the question and answers …
//! let ClientStanza::Request { id, request: ClientRequest::Ping(ping), .. } =
//!     ClientStanza::from_node(question.view(), &profile)?
//! else {
//!     unreachable!()
//! };
//! let answer = ping.reply_node(&Pong { t: Some(1_763_870_400) }, &id, &profile);
//! // … and the client reads the answer with the parser that belongs to the question.
//! assert_eq!(Ping::parse_reply(answer.view(), &profile)?.t, Some(1_763_870_400));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Reading is strict where a wrong value would be acted upon (sizes, numbers, addresses) and lenient where the protocol
//! grows: unknown attributes and children are ignored, unknown words and codes are kept as values, unknown stanzas are
//! kept whole ([`Inbound::Unknown`], [`ClientStanza::Unknown`]) and can be answered with [`ack::AckOut::answering`].

mod macros;
mod read;

pub mod account;
pub mod ack;
pub mod blocklist;
pub mod chatstate;
pub mod codes;
mod error;
pub mod ib;
mod ids;
mod inbound;
pub mod iq;
pub mod keys;
pub mod liveness;
pub mod message;
pub mod notification;
mod outbound;
pub mod presence;
pub mod profile;
pub mod reach;
pub mod receipt;
pub mod retry;
pub mod stream;

pub use error::{Found, ReplyError, StanzaError};
pub use ids::{BadMessageId, IqIds, MessageId};
pub use inbound::{Inbound, ServerRequest};
pub use iq::{IqError, IqReply, Request};
pub use outbound::{ClientRequest, ClientStanza};
pub use profile::Profile;

/// The server's address: `s.whatsapp.net` without a user.
pub fn server_jid() -> landbridge_wire::Jid {
    landbridge_wire::Jid::server(SERVER)
}

/// The server word of users and of the chat server itself.
pub const SERVER: &str = "s.whatsapp.net";
