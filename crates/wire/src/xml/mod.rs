//! Nodes as XML text.
use crate::{Node, NodeRef};

/// Writes.
pub(crate) fn write(_node: NodeRef<'_>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
    f.write_str("")
}
/// The XML text of a node.
pub fn to_string(node: NodeRef<'_>) -> String {
    node.to_string()
}
/// Why a text is not the XML of a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset}")]
#[non_exhaustive]
pub struct XmlError {
    /// Where, in bytes.
    pub offset: usize,
    /// What.
    pub kind: &'static str,
}
/// Reads the XML text of a node.
///
/// # Errors
/// If the text is not the XML of one node.
pub fn parse(_text: &str) -> Result<Node, XmlError> {
    Err(XmlError { offset: 0, kind: "not yet" })
}
