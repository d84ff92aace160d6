//! XML text to nodes.
//!
//! A reader of its own: libraries resolve namespaces, which makes `stream:error` an error and takes `xmlns`
//! out of the attributes, or do not tell where an error is.

use std::collections::HashSet;

use super::escape::{self, Meaning, is_forbidden, is_space};
use crate::value::Value;
use crate::{Jid, Node};

/// Deepest nesting that is read. Far beyond what any decoder takes.
const MAX_DEPTH: usize = 1024;

/// A text that is not the XML of one node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset}")]
#[non_exhaustive]
pub struct XmlError {
    /// Where, in bytes from the start of the text.
    pub offset: usize,
    /// What was wrong.
    pub kind: XmlErrorKind,
}

/// The reasons for which a text is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum XmlErrorKind {
    /// The text is not well-formed XML, or uses a part of XML that is not used here.
    #[error("{0}")]
    Syntax(&'static str),
    /// An escape, a JID, a name or an instruction does not mean anything.
    #[error("{0}")]
    Meaning(&'static str),
    /// An element has the same attribute twice.
    #[error("an attribute is repeated")]
    DuplicateAttribute,
    /// Elements are nested too deep.
    #[error("elements are nested too deep")]
    TooDeep,
}

use XmlErrorKind::{Meaning as NoMeaning, Syntax};

type Result<T> = std::result::Result<T, XmlError>;

/// Reads the XML text of one node.
///
/// # Errors
/// If the text is not the XML of exactly one node.
pub fn parse(text: &str) -> Result<Node> {
    let mut parser = Parser { text, at: 0 };
    if let Some(at) = text.find(is_forbidden) {
        return Err(XmlError { offset: at, kind: Syntax("a character is not allowed in XML") });
    }
    parser.declaration()?;
    parser.between()?;
    let node = parser.element()?;
    parser.between()?;
    match parser.rest() {
        "" => Ok(node),
        _ => parser.fail(Syntax("only comments may follow the element")),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

/// An element that has been opened, and what has been found in it.
struct Open<'a> {
    name: &'a str,
    node: Node,
    start: usize,
    characters: String,
    instruction: Option<Instruction>,
    has_children: bool,
}

enum Instruction {
    Hex(Vec<u8>),
    Text(String),
    Jid(Jid),
}

/// What comes next inside an element.
enum Next<'a> {
    /// The start tag of an element that has content.
    Start(Box<Open<'a>>),
    /// An element that is its start tag alone.
    Whole(Node),
    End,
    Other,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn fail<T>(&self, kind: XmlErrorKind) -> Result<T> {
        self.fail_at(self.at, kind)
    }

    fn fail_at<T>(&self, offset: usize, kind: XmlErrorKind) -> Result<T> {
        Err(XmlError { offset, kind })
    }

    fn skip(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    /// Takes everything up to the first character that is not `accepted`.
    fn take(&mut self, accepted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|character| !accepted(character)).unwrap_or(rest.len());
        let (taken, _) = rest.split_at_checked(end).unwrap_or_default();
        self.at += end;
        taken
    }

    /// Takes everything up to `end`, and `end`.
    fn until(&mut self, end: &str) -> Result<&'a str> {
        match self.rest().split_once(end) {
            Some((taken, _)) => {
                self.at += taken.len() + end.len();
                Ok(taken)
            }
            None => self.fail(Syntax("the text ends too early")),
        }
    }

    fn declaration(&mut self) -> Result<()> {
        self.skip("\u{FEFF}");
        if ["<?xml ", "<?xml\t", "<?xml\r", "<?xml\n"].iter().any(|start| self.rest().starts_with(start)) {
            self.until("?>")?;
        }
        Ok(())
    }

    /// Skips white space and comments.
    fn between(&mut self) -> Result<()> {
        loop {
            self.take(is_space);
            if !self.skip("<!--") {
                return Ok(());
            }
            self.comment()?;
        }
    }

    /// The rest of a comment.
    fn comment(&mut self) -> Result<()> {
        self.until("--")?;
        if self.skip(">") { Ok(()) } else { self.fail(Syntax("a comment may not contain --")) }
    }

    /// An element and all in it.
    fn element(&mut self) -> Result<Node> {
        if !self.skip("<") {
            return self.fail(Syntax("an element is expected"));
        }
        let (open, whole) = self.start_tag()?;
        if whole {
            return Ok(open.node);
        }
        let mut stack = vec![open];
        while let Some(current) = stack.last_mut() {
            match self.next(current)? {
                Next::Start(open) => {
                    current.has_children = true;
                    stack.push(*open);
                    if stack.len() > MAX_DEPTH {
                        return self.fail(XmlErrorKind::TooDeep);
                    }
                }
                Next::Whole(node) => {
                    current.has_children = true;
                    current.node.push_child(node);
                }
                Next::Other => {}
                Next::End => {
                    let Some(closed) = stack.pop() else { break };
                    let node = closed.finish()?;
                    match stack.last_mut() {
                        Some(parent) => parent.node.push_child(node),
                        None => return Ok(node),
                    }
                }
            }
        }
        self.fail(Syntax("an element is expected"))
    }

    fn next(&mut self, current: &mut Open<'a>) -> Result<Next<'a>> {
        if self.skip("<!--") {
            self.comment()?;
        } else if self.skip("</") {
            let at = self.at;
            if self.name()? != current.name {
                return self.fail_at(at, Syntax("an end tag does not match its start tag"));
            }
            self.take(is_space);
            return if self.skip(">") { Ok(Next::End) } else { self.fail(Syntax("> is expected")) };
        } else if self.skip("<?") {
            let at = self.at - 2;
            let instruction = self.instruction()?;
            if current.instruction.replace(instruction).is_some() {
                return self.fail_at(at, Syntax("an element has at most one instruction"));
            }
        } else if self.rest().starts_with("<!") {
            return self.fail(Syntax("CDATA and DOCTYPE are not used"));
        } else if self.skip("<") {
            let (open, whole) = self.start_tag()?;
            return Ok(if whole { Next::Whole(open.node) } else { Next::Start(Box::new(open)) });
        } else if self.rest().is_empty() {
            return self.fail(Syntax("an element is not closed"));
        } else {
            self.characters(&mut current.characters)?;
        }
        Ok(Next::Other)
    }

    fn name(&mut self) -> Result<&'a str> {
        let plain =
            |character: char| character.is_alphanumeric() || matches!(character, '_' | '.' | ':' | '-');
        let at = self.at;
        let name = self.take(plain);
        match name.chars().next() {
            Some(first) if first.is_alphabetic() || matches!(first, '_' | ':') => Ok(name),
            _ => self.fail_at(at, Syntax("a name is expected")),
        }
    }

    /// A start tag behind its `<`; `true` if it ends with `/>`.
    fn start_tag(&mut self) -> Result<(Open<'a>, bool)> {
        let start = self.at - 1;
        let name = self.name()?;
        let mut node = match escape::unescape_name(name) {
            Some(tag) => Node::new(&tag),
            None => return self.fail_at(start + 1, NoMeaning("an escape in a name is _xHEX_")),
        };
        let mut keys = HashSet::new();
        let whole = loop {
            let space = !self.take(is_space).is_empty();
            if self.skip("/>") {
                break true;
            }
            if self.skip(">") {
                break false;
            }
            if !space {
                return self.fail(Syntax("white space, > or /> is expected"));
            }
            self.attribute(&mut node, &mut keys)?;
        };
        let open =
            Open { name, node, start, characters: String::new(), instruction: None, has_children: false };
        Ok((open, whole))
    }

    fn attribute(&mut self, node: &mut Node, keys: &mut HashSet<String>) -> Result<()> {
        let start = self.at;
        let name = self.name()?;
        let Some(key) = escape::unescape_name(name) else {
            return self.fail_at(start, NoMeaning("an escape in a name is _xHEX_"));
        };
        self.take(is_space);
        if !self.skip("=") {
            return self.fail(Syntax("= is expected"));
        }
        self.take(is_space);
        let quote = match self.rest().chars().next() {
            Some(quote @ ('"' | '\'')) => quote,
            _ => return self.fail(Syntax("a quotation mark is expected")),
        };
        self.at += 1;
        let value_at = self.at;
        let mut text = String::new();
        while !self.rest().starts_with(quote) {
            match self
                .take(|character| character != quote && !matches!(character, '&' | '<' | '\t' | '\n' | '\r'))
            {
                "" => text.push(self.attribute_special()?),
                plain => text.push_str(plain),
            }
        }
        self.at += 1;
        let value = match escape::meaning(&text) {
            Ok(Meaning::Text(text)) => Value::from(text),
            Ok(Meaning::Jid(jid)) => Value::from(jid),
            Err(reason) => return self.fail_at(value_at, NoMeaning(reason)),
        };
        node.add_attr(&key, value);
        if !keys.insert(key) {
            return self.fail_at(start, XmlErrorKind::DuplicateAttribute);
        }
        Ok(())
    }

    /// A character of an attribute that does not stand for itself. White space becomes a space, as XML has it.
    fn attribute_special(&mut self) -> Result<char> {
        if self.skip("&") {
            return self.reference();
        }
        if self.skip("\r\n") || self.skip("\r") || self.skip("\n") || self.skip("\t") {
            return Ok(' ');
        }
        match self.rest() {
            "" => self.fail(Syntax("the text ends too early")),
            _ => self.fail(Syntax("< is not allowed in an attribute")),
        }
    }

    /// Character data up to the next tag. Line ends become LF, as XML has it.
    fn characters(&mut self, out: &mut String) -> Result<()> {
        while !self.rest().is_empty() && !self.rest().starts_with('<') {
            let at = self.at;
            let plain = self.take(|character| !matches!(character, '&' | '<' | '\r'));
            if let Some(position) = plain.find("]]>") {
                return self.fail_at(at + position, Syntax("]]> is not allowed in character data"));
            }
            out.push_str(plain);
            if self.skip("&") {
                out.push(self.reference()?);
            } else if self.skip("\r\n") || self.skip("\r") {
                out.push('\n');
            }
        }
        Ok(())
    }

    /// A reference behind its `&`.
    fn reference(&mut self) -> Result<char> {
        let start = self.at - 1;
        let name = self.take(|character| character.is_ascii_alphanumeric() || character == '#');
        let character = match name {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            _ => name
                .strip_prefix('#')
                .and_then(|number| match number.strip_prefix('x') {
                    Some(hex) => u32::from_str_radix(hex, 16).ok(),
                    None => number.parse().ok(),
                })
                .and_then(char::from_u32)
                .filter(|character| !is_forbidden(*character)),
        };
        match character {
            Some(character) if self.skip(";") => Ok(character),
            _ => self
                .fail_at(start, Syntax("a reference is &amp; &lt; &gt; &quot; &apos; or an allowed number")),
        }
    }

    /// A processing instruction behind its `<?`.
    fn instruction(&mut self) -> Result<Instruction> {
        let start = self.at - 2;
        let content = self.until("?>")?;
        let (target, data) = match content.find(is_space) {
            Some(end) => content.split_at_checked(end).unwrap_or_default(),
            None => (content, ""),
        };
        let data = data.trim_start_matches(is_space);
        let read = match target {
            "hex" => hex(data).map(Instruction::Hex),
            "text" => escape::unescape(data).map(Instruction::Text),
            "jid" => escape::read_jid(data).map(Instruction::Jid),
            _ => Err("an instruction is hex, text or jid"),
        };
        read.or_else(|reason| self.fail_at(start, NoMeaning(reason)))
    }
}

fn hex(data: &str) -> std::result::Result<Vec<u8>, &'static str> {
    const REASON: &str = "bytes are pairs of hexadecimal digits";
    let digits: Option<Vec<u8>> = data
        .chars()
        .filter(|character| !is_space(*character))
        .map(|digit| digit.to_digit(16).map(|digit| digit as u8))
        .collect();
    let digits = digits.ok_or(REASON)?;
    let (pairs, odd) = digits.as_chunks::<2>();
    if !odd.is_empty() {
        return Err(REASON);
    }
    Ok(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

impl Open<'_> {
    /// The node, when the end tag has been read.
    fn finish(self) -> Result<Node> {
        let blank = self.characters.chars().all(is_space);
        if (self.has_children || self.instruction.is_some()) && !blank
            || self.has_children && self.instruction.is_some()
        {
            let kind = Syntax("an element holds elements, one instruction or character data");
            return Err(XmlError { offset: self.start, kind });
        }
        Ok(match self.instruction {
            Some(Instruction::Hex(bytes)) => self.node.bytes(bytes),
            Some(Instruction::Text(text)) => self.node.text(&text),
            Some(Instruction::Jid(jid)) => self.node.jid_content(jid),
            None if blank => self.node,
            None => self.node.bytes(self.characters.into_bytes()),
        })
    }
}
