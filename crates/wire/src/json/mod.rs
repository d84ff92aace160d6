//! Nodes as JSON: the form of the test vectors, and of tools that exchange nodes line by line.
//!
//! | key of a node | value |
//! |---|---|
//! | `tag` | string |
//! | `attrs` | array of `[key, value]` in order; a value is a string or `{"jid": JID}` |
//! | `content` | absent, or an object with one of `nodes`, `bytes` (hex), `text`, `jid` |
//!
//! A JID is an object of `user`, `server` and, unless 0, `device` and `integrator`. When read, content may also
//! be `{"fill": {"len": n, "mod": m}}`, n bytes of which byte i is i mod m, or
//! `{"repeat": {"count": n, "node": NODE}}`, n times the same child.
//!
//! ```
//! use landbridge_wire::{Jid, Node, json};
//!
//! let node = Node::new("iq").attr("to", Jid::server("g.us")).child(Node::new("ping"));
//! let text = json::to_string(node.view());
//! assert_eq!(
//!     text,
//!     r#"{"tag":"iq","attrs":[["to",{"jid":{"user":"","server":"g.us"}}]],"content":{"nodes":[{"tag":"ping","attrs":[]}]}}"#
//! );
//! assert_eq!(json::parse(&text)?, node);
//! # Ok::<(), json::JsonError>(())
//! ```

mod read;
mod write;

pub use read::{JsonError, parse};
pub use write::to_string;
