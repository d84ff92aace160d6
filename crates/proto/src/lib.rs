//! Protobuf messages of the handshake, the login, Signal and end-to-end content, with their rules.
//!
//! | module | what |
//! |---|---|
//! | [`message`], [`handshake`], [`signal`] | the types, generated from `/proto` (all fields optional, enums open) |
//! | [`parse`](fn@parse) | strict reading of any of them: every failure has its rule, offset and field path |
//! | [`content`] | what a receiver makes of a decrypted message; what a sender builds |
//! | [`padding`] | the padding between content and encryption |
//! | [`login`] | the client payload of an interop login, both sides |
//!
//! Nothing here does I/O, reads a clock or draws randomness of its own. The generated types print lengths instead of
//! texts, keys and tokens.
//!
//! ```
//! use landbridge_proto::content::{self, Context, Kind, Limits, Verdict};
//! use prost::Message as _;
//!
//! // A sender:
//! let plaintext = content::text("Lunch tomorrow?").encode_to_vec();
//! assert_eq!(plaintext, b"\x0a\x0fLunch tomorrow?");
//!
//! // A receiver:
//! let context = Context::direct("14155551001@s.whatsapp.net", "1-10853634039893@interop");
//! let received = content::decode(&plaintext, &context, &Limits::default())?;
//! assert_eq!(received.kind(), Kind::Text);
//! assert_eq!(received.verdict(), Verdict::Accept);
//! assert_eq!(received.text(), Some("Lunch tomorrow?"));
//! # Ok::<(), landbridge_proto::ParseError>(())
//! ```

pub mod content;
pub mod login;
pub mod padding;
mod parse;

pub use parse::{Known, ParseError, ParseFault, ParseLimits, parse};

/// Noise handshake, certificate chain and login payload (`proto/handshake.proto`).
pub mod handshake {
    #![allow(missing_docs, unreachable_pub, clippy::all)]
    include!(concat!(env!("OUT_DIR"), "/landbridge.handshake.rs"));
}

/// Signal protocol messages, version 3 (`proto/signal.proto`).
pub mod signal {
    #![allow(missing_docs, unreachable_pub, clippy::all)]
    include!(concat!(env!("OUT_DIR"), "/landbridge.signal.rs"));
}

/// End-to-end content (`proto/message.proto`).
pub mod message {
    #![allow(missing_docs, unreachable_pub, clippy::all)]
    include!(concat!(env!("OUT_DIR"), "/landbridge.message.rs"));
}
