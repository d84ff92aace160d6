//! The strict reader: rules P1 to P9, each failure with its rule, offset and field path.
//!
//! It walks the bytes along the schema without recursion and without building anything, then lets prost build the
//! value. What prost alone would not give: the rule and the place of a failure, a bound on the number of parts (so that
//! a small message cannot unfold into a large value), and a verdict that does not depend on the decoder's leniency.

use core::fmt;

use crate::content::Rule;

/// Limits of rules P7 and P9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseLimits {
    /// Longest input, in bytes (P9). ASSUMED: 1 MiB.
    pub size: usize,
    /// Deepest nesting of messages and groups (P7). PEERS: the decoders in use accept 100.
    pub depth: usize,
    /// Most submessages and repeated entries in all (P9). Ours: 65,536, so that a decoded value takes at most some
    /// tens of megabytes, whatever the bytes.
    pub parts: usize,
}

impl Default for ParseLimits {
    fn default() -> Self {
        Self { size: 1 << 20, depth: 100, parts: 1 << 16 }
    }
}

/// Why bytes are not a message of the schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault} at byte {offset}{}", Path(.path))]
#[non_exhaustive]
pub struct ParseError {
    /// What is wrong.
    pub fault: ParseFault,
    /// Offset in the input, in bytes, of the tag, length or value that is wrong.
    pub offset: usize,
    /// Field numbers from the root to the field, empty at the root.
    pub path: Vec<u32>,
}

impl ParseError {
    /// The rule that is broken, `P1` to `P9`.
    #[must_use]
    pub fn rule(&self) -> Rule {
        match self.fault {
            ParseFault::Truncated => Rule::P1,
            ParseFault::LengthBeyondParent => Rule::P2,
            ParseFault::VarintTooLong | ParseFault::TagTooLarge => Rule::P3,
            ParseFault::FieldZero | ParseFault::WireType(_) | ParseFault::Group => Rule::P4,
            ParseFault::WrongType { .. } => Rule::P5,
            ParseFault::NotUtf8 => Rule::P6,
            ParseFault::TooDeep | ParseFault::Unreadable => Rule::P7,
            ParseFault::TooLarge | ParseFault::TooManyParts => Rule::P9,
        }
    }
}

/// The kinds of [`ParseError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseFault {
    /// The input ends inside a tag, varint or fixed field (P1).
    #[error("input ends inside a field")]
    Truncated,
    /// A length goes beyond its parent (P2).
    #[error("length goes beyond the enclosing message")]
    LengthBeyondParent,
    /// A varint of more than 10 bytes or 64 bits (P3).
    #[error("varint is longer than 64 bits")]
    VarintTooLong,
    /// A tag above 2^32-1 (P3).
    #[error("tag is above 32 bits")]
    TagTooLarge,
    /// Field number 0 (P4).
    #[error("field number is 0")]
    FieldZero,
    /// Wire type 6 or 7 (P4).
    #[error("wire type {0} does not exist")]
    WireType(u8),
    /// A group that does not end, or ends where none or another began (P4).
    #[error("group marks do not match")]
    Group,
    /// A known field with another wire type (P5).
    #[error("field has wire type {found} instead of {expected}")]
    WrongType {
        /// The schema's wire type.
        expected: u8,
        /// The input's wire type.
        found: u8,
    },
    /// A string that is not UTF-8 (P6).
    #[error("string is not UTF-8")]
    NotUtf8,
    /// Nested beyond the limit (P7).
    #[error("nested too deeply")]
    TooDeep,
    /// Longer than the limit (P9).
    #[error("input is too large")]
    TooLarge,
    /// More submessages and repeated entries than the limit (P9).
    #[error("input has too many parts")]
    TooManyParts,
    /// The decoder behind the checks refuses what they let through: it never nests deeper than 100, whatever
    /// [`ParseLimits::depth`] says (P7).
    #[error("input cannot be read")]
    Unreadable,
}

struct Path<'a>(&'a [u32]);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, number) in self.0.iter().enumerate() {
            write!(f, "{}{number}", if at == 0 { " in field " } else { "." })?;
        }
        Ok(())
    }
}

/// A message of this crate's schema. Implemented for every generated message, and for nothing else.
pub trait Known: prost::Message + Default + Sealed {}

mod sealed {
    /// Where the field table of a message stands.
    pub trait Sealed {
        const INDEX: usize;
    }
}
use sealed::Sealed;

/// Reads a message under rules P1 to P9.
///
/// Unknown fields are checked for form and then dropped: keep `bytes` if they may be needed.
///
/// ```
/// use landbridge_proto::{message::Message, parse, ParseLimits};
///
/// let message: Message = parse(b"\x0a\x05Hello", &ParseLimits::default())?;
/// assert_eq!(message.conversation.as_deref(), Some("Hello"));
///
/// let error = parse::<Message>(b"\x0a\x06Hello", &ParseLimits::default()).unwrap_err();
/// assert_eq!(error.to_string(), "length goes beyond the enclosing message at byte 1 in field 1");
/// # Ok::<(), landbridge_proto::ParseError>(())
/// ```
///
/// # Errors
/// [`ParseError`] with the rule that is broken and the place.
pub fn parse<T: Known>(bytes: &[u8], limits: &ParseLimits) -> Result<T, ParseError> {
    Walk::new(bytes, limits).run(T::INDEX)?;
    T::decode(bytes).map_err(|_| ParseError { fault: ParseFault::Unreadable, offset: 0, path: Vec::new() })
}

/// Whether the message at `path` (field numbers from the root) holds a field that the schema does not know. For bytes
/// that [`parse()`] accepts.
pub(crate) fn has_unknown<T: Known>(bytes: &[u8], path: &[u32], limits: &ParseLimits) -> bool {
    let mut walk = Walk::new(bytes, limits);
    walk.watch = Some(path);
    walk.run(T::INDEX).is_ok_and(|seen| seen)
}

/// Shape of a known field's value.
#[derive(Clone, Copy, PartialEq)]
enum Shape {
    Varint,
    Fixed32,
    Fixed64,
    Bytes,
    Text,
    Message(usize),
}

impl Shape {
    fn wire_type(self) -> u8 {
        match self {
            Self::Varint => 0,
            Self::Fixed64 => 1,
            Self::Bytes | Self::Text | Self::Message(_) => 2,
            Self::Fixed32 => 5,
        }
    }
}

struct Field {
    number: u32,
    repeated: bool,
    shape: Shape,
}

/// An open message or group.
struct Level {
    number: u32,
    end: usize,
    inside: Inside,
}

#[derive(Clone, Copy, PartialEq)]
enum Inside {
    /// A known message: index of its fields.
    Message(usize),
    /// A group in an unknown field.
    Group,
}

struct Walk<'a> {
    bytes: &'a [u8],
    limits: &'a ParseLimits,
    stack: Vec<Level>,
    parts: usize,
    /// Path of the message whose unknown fields are looked for, and whether one was seen.
    watch: Option<&'a [u32]>,
    seen: bool,
}

type Step<T> = Result<T, ParseFault>;

impl<'a> Walk<'a> {
    fn new(bytes: &'a [u8], limits: &'a ParseLimits) -> Self {
        Self { bytes, limits, stack: Vec::new(), parts: 0, watch: None, seen: false }
    }

    fn run(mut self, root: usize) -> Result<bool, ParseError> {
        if self.bytes.len() > self.limits.size {
            return Err(ParseError {
                fault: ParseFault::TooLarge,
                offset: self.limits.size,
                path: Vec::new(),
            });
        }
        self.stack.push(Level { number: 0, end: self.bytes.len(), inside: Inside::Message(root) });
        let mut at = 0;
        while let Some(level) = self.stack.last() {
            let (end, inside) = (level.end, level.inside);
            let start = at;
            let mut number = None;
            if let Err(fault) = self.step(&mut at, end, inside, &mut number) {
                let numbers = self.stack.iter().skip(1).map(|level| level.number);
                // A value that is wrong is pointed at itself, not at its tag.
                return Err(ParseError {
                    fault,
                    offset: start.max(at),
                    path: numbers.chain(number).collect(),
                });
            }
        }
        Ok(self.seen)
    }

    /// Reads one field, or closes the innermost level.
    fn step(&mut self, at: &mut usize, end: usize, inside: Inside, number: &mut Option<u32>) -> Step<()> {
        if *at == end {
            if inside == Inside::Group {
                return Err(ParseFault::Group);
            }
            self.stack.pop();
            return Ok(());
        }
        let tag = self.varint(at, end)?;
        let tag = u32::try_from(tag).map_err(|_| ParseFault::TagTooLarge)?;
        let (field, wire_type) = (tag >> 3, (tag & 7) as u8);
        if field == 0 {
            return Err(ParseFault::FieldZero);
        }
        if wire_type > 5 {
            return Err(ParseFault::WireType(wire_type));
        }
        if wire_type == 4 {
            let open = self.stack.pop();
            let matches = open.is_some_and(|level| level.inside == Inside::Group && level.number == field);
            return if matches { Ok(()) } else { Err(ParseFault::Group) };
        }
        *number = Some(field);
        let known = match inside {
            Inside::Message(index) => find(index, field),
            Inside::Group => None,
        };
        match known {
            Some(known) => self.known(at, end, known, wire_type),
            None => self.unknown(at, end, field, wire_type),
        }
    }

    fn known(&mut self, at: &mut usize, end: usize, field: &Field, wire_type: u8) -> Step<()> {
        let expected = field.shape.wire_type();
        let packed = field.repeated && expected != 2 && wire_type == 2;
        if wire_type != expected && !packed {
            return Err(ParseFault::WrongType { expected, found: wire_type });
        }
        if packed {
            let end = self.length(at, end)?;
            while *at < end {
                self.part()?;
                self.scalar(at, end, expected)?;
            }
            return Ok(());
        }
        if field.repeated {
            self.part()?;
        }
        match field.shape {
            Shape::Varint | Shape::Fixed32 | Shape::Fixed64 => self.scalar(at, end, expected),
            Shape::Bytes => {
                *at = self.length(at, end)?;
                Ok(())
            }
            Shape::Text => {
                let start_of_length = *at;
                let end = self.length(at, end)?;
                let text = self.bytes.get(*at..end).ok_or(ParseFault::LengthBeyondParent)?;
                if core::str::from_utf8(text).is_err() {
                    *at = start_of_length;
                    return Err(ParseFault::NotUtf8);
                }
                *at = end;
                Ok(())
            }
            Shape::Message(index) => {
                self.part()?;
                let end = self.length(at, end)?;
                self.open(Level { number: field.number, end, inside: Inside::Message(index) })
            }
        }
    }

    fn unknown(&mut self, at: &mut usize, end: usize, number: u32, wire_type: u8) -> Step<()> {
        // The decoder counts an unknown field as a level of its own.
        if self.stack.len() > self.limits.depth {
            return Err(ParseFault::TooDeep);
        }
        let here = self.stack.iter().skip(1).map(|level| level.number);
        self.seen |= self.watch.is_some_and(|path| here.eq(path.iter().copied()));
        match wire_type {
            2 => {
                *at = self.length(at, end)?;
                Ok(())
            }
            3 => self.open(Level { number, end, inside: Inside::Group }),
            scalar => self.scalar(at, end, scalar),
        }
    }

    fn open(&mut self, level: Level) -> Step<()> {
        // The root is not nested.
        if self.stack.len() > self.limits.depth {
            return Err(ParseFault::TooDeep);
        }
        self.stack.push(level);
        Ok(())
    }

    fn part(&mut self) -> Step<()> {
        self.parts += 1;
        if self.parts > self.limits.parts { Err(ParseFault::TooManyParts) } else { Ok(()) }
    }

    fn scalar(&self, at: &mut usize, end: usize, wire_type: u8) -> Step<()> {
        let size = match wire_type {
            0 => return self.varint(at, end).map(drop),
            1 => 8,
            _ => 4,
        };
        if end - *at < size {
            return Err(ParseFault::Truncated);
        }
        *at += size;
        Ok(())
    }

    /// Reads a length and gives where the value ends.
    fn length(&self, at: &mut usize, end: usize) -> Step<usize> {
        let start = *at;
        let length = self.varint(at, end)?;
        match usize::try_from(length) {
            Ok(length) if length <= end - *at => Ok(*at + length),
            _ => {
                *at = start;
                Err(ParseFault::LengthBeyondParent)
            }
        }
    }

    fn varint(&self, at: &mut usize, end: usize) -> Step<u64> {
        let mut value = 0_u64;
        let rest = self.bytes.get(*at..end).ok_or(ParseFault::Truncated)?;
        for (index, byte) in rest.iter().take(10).enumerate() {
            if index == 9 && *byte > 1 {
                return Err(ParseFault::VarintTooLong);
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                *at += index + 1;
                return Ok(value);
            }
        }
        Err(ParseFault::Truncated)
    }
}

fn find(message: usize, number: u32) -> Option<&'static Field> {
    let fields = MESSAGES.get(message)?;
    fields.binary_search_by_key(&number, |field| field.number).ok().and_then(|index| fields.get(index))
}

/// Contents that are not for logs.
struct Hidden(usize);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes]", self.0)
    }
}

include!(concat!(env!("OUT_DIR"), "/fields.rs"));
