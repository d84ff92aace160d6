//! Nodes to XML text.

use std::fmt::{Result, Write};

use super::escape::{self, is_forbidden, is_space};
use crate::view::NodeRef;
use crate::{ContentRef, ValueRef};

/// Writes a node and all below it. Works through the list of nodes, so that no depth is too deep.
pub(crate) fn write(root: NodeRef<'_>, out: &mut impl Write) -> Result {
    // The names of open elements, and how many nodes have been written when each is complete.
    let mut open: Vec<(String, usize)> = Vec::new();
    for (index, node) in root.descendants().enumerate() {
        let name = escape::name(&node.tag());
        write!(out, "<{name}")?;
        for (key, value) in node.attrs() {
            write!(out, " {}=\"", escape::name(&key))?;
            attribute(&value, out)?;
            out.write_char('"')?;
        }
        if node.is_parent() {
            out.write_char('>')?;
            open.push((name, index + node.size()));
        } else {
            leaf(&name, node.content(), out)?;
        }
        while let Some((name, _)) = open.pop_if(|(_, end)| *end == index + 1) {
            write!(out, "</{name}>")?;
        }
    }
    Ok(())
}

fn attribute(value: &ValueRef<'_>, out: &mut impl Write) -> Result {
    let text = match value {
        ValueRef::Text(text) => escape::value(text),
        ValueRef::Jid(jid) => escape::jid(jid),
    };
    for character in text.chars() {
        match character {
            '&' => out.write_str("&amp;")?,
            '<' => out.write_str("&lt;")?,
            '>' => out.write_str("&gt;")?,
            '"' => out.write_str("&quot;")?,
            '\t' | '\n' | '\r' => write!(out, "&#{};", u32::from(character))?,
            _ => out.write_char(character)?,
        }
    }
    Ok(())
}

fn leaf(name: &str, content: ContentRef<'_>, out: &mut impl Write) -> Result {
    match content {
        ContentRef::None | ContentRef::Children(_) => return out.write_str("/>"),
        ContentRef::Bytes(bytes) => {
            out.write_char('>')?;
            match printable(bytes) {
                Some(text) => characters(text, out)?,
                None => hex(bytes, out)?,
            }
        }
        ContentRef::Text(text) => write!(out, "><?text {}?>", escape::instruction(&escape::string(&text)))?,
        ContentRef::Jid(jid) => write!(out, "><?jid {}?>", escape::instruction(&escape::jid(&jid)))?,
    }
    write!(out, "</{name}>")
}

/// The bytes as text, if they can stand as character data.
fn printable(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let edge = text.starts_with(is_space) || text.ends_with(is_space);
    (!text.is_empty() && !edge && !text.contains(is_forbidden)).then_some(text)
}

fn characters(text: &str, out: &mut impl Write) -> Result {
    for character in text.chars() {
        match character {
            '&' => out.write_str("&amp;")?,
            '<' => out.write_str("&lt;")?,
            '>' => out.write_str("&gt;")?,
            '\r' => out.write_str("&#13;")?,
            _ => out.write_char(character)?,
        }
    }
    Ok(())
}

fn hex(bytes: &[u8], out: &mut impl Write) -> Result {
    out.write_str("<?hex")?;
    if !bytes.is_empty() {
        out.write_char(' ')?;
    }
    for byte in bytes {
        write!(out, "{byte:02x}")?;
    }
    out.write_str("?>")
}
