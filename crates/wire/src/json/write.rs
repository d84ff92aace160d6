//! Nodes to JSON text.

use std::fmt::Write;

use crate::view::NodeRef;
use crate::{ContentRef, Jid, ValueRef};

/// The JSON text of a node, on one line.
pub fn to_string(root: NodeRef<'_>) -> String {
    let mut out = String::new();
    // How many nodes have been written when each open list of children is complete.
    let mut open: Vec<usize> = Vec::new();
    let mut first = true;
    for (index, node) in root.descendants().enumerate() {
        if !first {
            out.push(',');
        }
        out.push_str("{\"tag\":");
        string(&node.tag(), &mut out);
        out.push_str(",\"attrs\":[");
        attributes(node, &mut out);
        out.push(']');
        first = node.is_parent();
        if first {
            out.push_str(",\"content\":{\"nodes\":[");
            open.push(index + node.size());
        } else {
            leaf(node.content(), &mut out);
            out.push('}');
        }
        while open.pop_if(|end| *end == index + 1).is_some() {
            out.push_str("]}}");
        }
    }
    out
}

fn attributes(node: NodeRef<'_>, out: &mut String) {
    for (index, (key, value)) in node.attrs().enumerate() {
        out.push_str(if index == 0 { "[" } else { ",[" });
        string(&key, out);
        out.push(',');
        match value {
            ValueRef::Text(text) => string(&text, out),
            ValueRef::Jid(value) => {
                out.push('{');
                jid(&value, out);
                out.push('}');
            }
        }
        out.push(']');
    }
}

fn leaf(content: ContentRef<'_>, out: &mut String) {
    match content {
        ContentRef::None | ContentRef::Children(_) => return,
        ContentRef::Bytes(bytes) => {
            out.push_str(",\"content\":{\"bytes\":\"");
            for byte in bytes {
                let _ = write!(out, "{byte:02x}");
            }
            out.push('"');
        }
        ContentRef::Text(text) => {
            out.push_str(",\"content\":{\"text\":");
            string(&text, out);
        }
        ContentRef::Jid(value) => {
            out.push_str(",\"content\":{");
            jid(&value, out);
        }
    }
    out.push('}');
}

fn jid(jid: &Jid, out: &mut String) {
    out.push_str("\"jid\":{\"user\":");
    string(jid.user_part(), out);
    out.push_str(",\"server\":");
    string(jid.server_part(), out);
    if jid.device() != 0 {
        let _ = write!(out, ",\"device\":{}", jid.device());
    }
    if jid.integrator() != 0 {
        let _ = write!(out, ",\"integrator\":{}", jid.integrator());
    }
    out.push('}');
}

fn string(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..' ' | '\u{7f}' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}
