//! Binary stanza codec: nodes, JIDs, token dictionary, XML text form, frame payloads.
//!
//! A *stanza* is an XML element in a binary form; a *payload* is what one transport frame carries: a flags
//! byte and a stanza, which may be compressed. This crate turns nodes into both and back, without I/O. Frames
//! and their encryption lie one layer below, the meaning of stanzas one layer above.
//!
//! | to | use |
//! |---|---|
//! | build a stanza | [`Node`], in place through [`NodeMut`] |
//! | read a stanza | [`NodeRef`], from [`Node::view`] or [`Frame::view`] |
//! | write | [`Node::into_payload`], [`encode`], [`encode_payload`] |
//! | read, copying nothing | [`decode_ref`], [`decode_payload_ref`] |
//! | read into a node | [`decode`], [`decode_payload`] |
//! | print and parse as text | [`xml`], and `json` with that feature |
//!
//! ```
//! use landbridge_wire::{EncodeOptions, Jid, Limits, Node, decode_ref, encode};
//!
//! let receipt = Node::new("receipt")
//!     .attr("id", "3EB0A1C52E77F09B14D6E8")
//!     .attr("to", Jid::user("31612345678"))
//!     .attr("t", 1_763_870_400u64);
//! let stanza = encode(&receipt, &EncodeOptions::default())?;
//!
//! let frame = decode_ref(&stanza, &Limits::default())?;
//! let node = frame.view();
//! assert!(node.is("receipt"));
//! assert_eq!(node.attr_jid("to"), Some(Jid::user("31612345678")));
//! assert_eq!(node.attr_str("t").as_deref(), Some("1763870400"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Sources of the formats are marked: SEED is the public DMA developer document, PEERS are the open clients
//! of the same server where they agree (WM, BA and WR where they do not), ASSUMED is what nothing public
//! settles.
//!
//! # Features
//! `json`: nodes as JSON, the form of the test vectors.

mod composer;
mod decode;
mod encode;
mod error;
mod jid;
#[cfg(feature = "json")]
pub mod json;
mod node;
mod node_mut;
mod packing;
mod payload;
mod reader;
mod scan;
mod tape;
mod token;
mod value;
mod view;
mod words;
pub mod xml;

pub use decode::{Frame, Limits, decode, decode_ref};
pub use encode::{EncodeOptions, InteropJid, MAX_STANZA, Pack, encode, encode_ref};
pub use error::{DecodeError, DecodeErrorKind, EncodeError};
pub use jid::{Jid, JidError};
pub use node::Node;
pub use node_mut::NodeMut;
pub use payload::{decode_payload, decode_payload_ref, encode_payload};
pub use value::Value;
pub use view::{Attrs, Children, ContentRef, NodeRef, ValueRef};
