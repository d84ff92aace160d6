//! Nodes as XML text: for logs, tests, fixtures and consoles. Every node that has an encoding comes back as it
//! was, with the order of its attributes and the kind of its content.
//!
//! The text is XML 1.0 without namespaces: `xmlns` is an attribute like any other, and `stream:error` a name
//! like any other. The parts that XML has no word for:
//!
//! | part | text |
//! |---|---|
//! | a character that is not allowed in a name | `_xHEX_` |
//! | a character that is not allowed in XML | `\u{HEX}`; the backslash itself is `\\` |
//! | a JID | its text, if a known server and plain characters make it unmistakable, else `\j` and its text |
//! | a string that looks like such a JID | `\s` and the string |
//! | bytes | character data, or `<?hex …?>` if they are no plain text |
//! | a word of the protocol as content | `<?text …?>` |
//! | a JID as content | `<?jid …?>` |
//!
//! ```
//! use landbridge_wire::{Node, xml};
//!
//! let text = r#"<message to="31612345678@s.whatsapp.net"><body>Hello &amp; goodbye</body></message>"#;
//! let node = xml::parse(text)?;
//! assert_eq!(node.view().child("body").and_then(|body| body.content_text()).as_deref(), Some("Hello & goodbye"));
//! assert_eq!(xml::to_string(node.view()), text);
//! # Ok::<(), xml::XmlError>(())
//! ```

mod escape;
mod read;
mod write;

pub use read::{XmlError, XmlErrorKind, parse};
pub(crate) use write::write;

use crate::NodeRef;

/// The XML text of a node, on one line.
pub fn to_string(node: NodeRef<'_>) -> String {
    node.to_string()
}
