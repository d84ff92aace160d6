//! The escapes of names, strings and JIDs in XML text.

use std::fmt::Write;

use crate::Jid;
use crate::jid::{Server, number};

/// Whether XML 1.0 has no room for a character.
pub(super) fn is_forbidden(character: char) -> bool {
    match character {
        '\t' | '\n' | '\r' => false,
        '\0'..'\u{20}' | '\u{FFFE}' | '\u{FFFF}' => true,
        _ => false,
    }
}

/// White space as XML understands it.
pub(super) fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r')
}

/// A tag or key as an XML name. An empty one, which has no encoding either, becomes `_x_`.
pub(super) fn name(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    if text.is_empty() {
        out.push_str("_x_");
    }
    while let Some(character) = characters.next() {
        let plain = match character {
            '_' => characters.peek() != Some(&'x'),
            '0'..='9' | '.' | ':' | '-' => !out.is_empty(),
            _ => character.is_ascii_alphabetic(),
        };
        if plain {
            out.push(character);
        } else {
            let _ = write!(out, "_x{:X}_", u32::from(character));
        }
    }
    out
}

/// The tag or key of an XML name; `None` if an escape is malformed.
pub(super) fn unescape_name(name: &str) -> Option<String> {
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((plain, escape)) = rest.split_once("_x") {
        let (hex, behind) = escape.split_once('_')?;
        out.push_str(plain);
        out.push(scalar(hex)?);
        rest = behind;
    }
    out.push_str(rest);
    Some(out)
}

/// The character of a hexadecimal code point.
fn scalar(hex: &str) -> Option<char> {
    if hex.is_empty() || hex.len() > 6 || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(hex, 16).ok().and_then(char::from_u32)
}

fn push_escape(out: &mut String, character: char) {
    let _ = write!(out, "\\u{{{:X}}}", u32::from(character));
}

/// A string with a backslash before what XML has no room for.
pub(super) fn string(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            _ if is_forbidden(character) => push_escape(&mut out, character),
            _ => out.push(character),
        }
    }
    out
}

/// An attribute's string.
pub(super) fn value(text: &str) -> String {
    match plain_jid(text) {
        Some(_) => format!("\\s{text}"),
        None => string(text),
    }
}

/// The text of a processing instruction: on top of [`string`], what would end it or be lost in it.
pub(super) fn instruction(escaped: &str) -> String {
    let mut out = String::with_capacity(escaped.len());
    for character in escaped.chars() {
        match character {
            ' ' if out.is_empty() => push_escape(&mut out, character),
            '>' if out.ends_with('?') => push_escape(&mut out, character),
            '\t' | '\n' | '\r' => push_escape(&mut out, character),
            _ => out.push(character),
        }
    }
    out
}

/// A JID: plain if that is read back as the same JID.
pub(super) fn jid(jid: &Jid) -> String {
    let text = jid.to_string();
    if plain_jid(&text).as_ref() == Some(jid) {
        return text;
    }
    let mut out = String::from("\\j");
    if jid.integrator() != 0 {
        let _ = write!(out, "{}-", jid.integrator());
    }
    jid_part(&mut out, jid.user_part());
    if jid.device() != 0 {
        let _ = write!(out, ":{}", jid.device());
    }
    out.push('@');
    jid_part(&mut out, jid.server_part());
    out
}

fn jid_part(out: &mut String, part: &str) {
    for character in part.chars() {
        match character {
            '@' | ':' | '-' | '\\' => push_escape(out, character),
            _ if character.is_whitespace() || is_forbidden(character) => push_escape(out, character),
            _ => out.push(character),
        }
    }
}

/// The JID of a text that needs no escape to be known as one.
pub(super) fn plain_jid(text: &str) -> Option<Jid> {
    let (left, server) = text.split_once('@')?;
    Server::known(server)?;
    let user = left.split_once(':').map_or(left, |(user, _)| user);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if !user.bytes().all(plain) {
        return None;
    }
    text.parse().ok()
}

/// What an attribute's text stands for.
pub(super) enum Meaning {
    Text(String),
    Jid(Jid),
}

/// Undoes [`value`] and [`jid`].
pub(super) fn meaning(text: &str) -> Result<Meaning, &'static str> {
    if let Some(text) = text.strip_prefix("\\s") {
        return unescape(text).map(Meaning::Text);
    }
    if text.starts_with("\\j") {
        return read_jid(text).map(Meaning::Jid);
    }
    match plain_jid(text) {
        Some(jid) => Ok(Meaning::Jid(jid)),
        None => unescape(text).map(Meaning::Text),
    }
}

const NO_JID: &str = "this is no JID";
const NO_ESCAPE: &str = "an escape is \\\\, \\u{…}, or \\s or \\j in front of a value";

/// A JID, plain or behind `\j`.
pub(super) fn read_jid(text: &str) -> Result<Jid, &'static str> {
    let Some(escaped) = text.strip_prefix("\\j") else {
        return plain_jid(text).ok_or(NO_JID);
    };
    let (left, server) = escaped.split_once('@').ok_or(NO_JID)?;
    if server.is_empty() || server.contains(['@', ':', '-']) {
        return Err(NO_JID);
    }
    let (left, device) = match left.split_once(':') {
        Some((left, device)) => (left, number(device).ok_or(NO_JID)?),
        None => (left, 0),
    };
    let (integrator, user) = match left.split_once('-') {
        Some((integrator, user)) => (number(integrator).ok_or(NO_JID)?, user),
        None => (0, left),
    };
    let server = Server::named(&unescape(server)?);
    if user.contains('-') || (integrator != 0 && server != Server::Interop) {
        return Err(NO_JID);
    }
    Ok(Jid::from_parts(unescape(user)?.into(), server, device, integrator))
}

/// Undoes [`string`].
pub(super) fn unescape(text: &str) -> Result<String, &'static str> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        if let Some(behind) = escape.strip_prefix('\\') {
            out.push('\\');
            rest = behind;
        } else {
            let (hex, behind) =
                escape.strip_prefix("u{").and_then(|code| code.split_once('}')).ok_or(NO_ESCAPE)?;
            out.push(scalar(hex).ok_or(NO_ESCAPE)?);
            rest = behind;
        }
    }
    out.push_str(rest);
    Ok(out)
}
