//! Walking through a stanza from left to right: checks it and indexes its nodes.

use std::collections::HashSet;

use crate::reader::{Body, Reader, Str};
use crate::tape::{ContentKind, Entry, NO_PARENT, Tape};
use crate::token::Word;
use crate::{DecodeError, DecodeErrorKind as Kind, Limits};

/// Up to so many attributes, repeated keys are found by comparing; beyond, with a set.
const FEW_ATTRIBUTES: u32 = 32;
/// The least node: a list header of two bytes and a tag.
const LEAST_NODE: usize = 3;

/// Checks one stanza and writes its index to an empty `tape`: in place, because an index is slow to move.
pub(crate) fn check(bytes: &[u8], limits: &Limits, tape: &mut Tape) -> Result<(), DecodeError> {
    if u32::try_from(bytes.len()).is_err() {
        return Err(DecodeError::new(Kind::TooLong, 0));
    }
    let mut scan = Scan { reader: Reader::<false>::at(bytes, 0), tape };
    let result = scan.nodes(NO_PARENT, limits.max_depth).and_then(|()| match scan.reader.left() {
        0 => Ok(()),
        _ => Err(Kind::Trailing),
    });
    result.map_err(|kind| DecodeError::new(kind, scan.reader.at))
}

/// Indexes what a node has composed below its `root`, of which `left` is the number of children.
pub(crate) fn index(bytes: &[u8], root: Entry) -> Tape {
    let mut tape = Tape::new();
    tape.push(root);
    if root.kind == ContentKind::Children {
        let mut scan = Scan { reader: Reader::<true>::at(bytes, root.content as usize), tape: &mut tape };
        let complete = scan.reader.body().and_then(|_| scan.nodes(0, usize::MAX));
        debug_assert_eq!(complete, Ok(()), "a node composes what it can read");
    }
    tape
}

struct Scan<'a, const TRUSTED: bool> {
    reader: Reader<'a, TRUSTED>,
    tape: &'a mut Tape,
}

impl<const TRUSTED: bool> Scan<'_, TRUSTED> {
    /// Reads nodes until `parent`, which is open, has all its children, or reads one node if there is none.
    #[inline]
    fn nodes(&mut self, mut parent: u32, max_depth: usize) -> Result<(), Kind> {
        let mut depth = 1;
        loop {
            if depth > max_depth {
                return Err(Kind::TooDeep);
            }
            let count = self.reader.node_header()?;
            let tag = self.reader.at as u32;
            self.reader.filled(Kind::EmptyTag)?;
            if count > 2 {
                self.attributes((count - 1) / 2)?;
            }
            let content = self.reader.at as u32;
            let (kind, left) = if count % 2 == 0 { self.content()? } else { (ContentKind::None, 0) };
            let index = self.tape.len();
            if kind == ContentKind::Children {
                self.tape.push(Entry { tag, content, size: parent, left, kind });
                parent = index;
                depth += 1;
                continue;
            }
            self.tape.push(Entry { tag, content, size: 1, left: 0, kind });
            let levels;
            (parent, levels) = self.tape.close(parent);
            depth = depth.saturating_sub(levels);
            if parent == NO_PARENT {
                return Ok(());
            }
        }
    }

    #[inline]
    fn content(&mut self) -> Result<(ContentKind, u32), Kind> {
        let start = self.reader.at;
        match self.reader.body()? {
            Body::Empty => Ok((ContentKind::None, 0)),
            Body::List(count) => {
                if !TRUSTED && count as usize * LEAST_NODE > self.reader.left() {
                    return self.reader.fail(start, Kind::OverLongList);
                }
                Ok((ContentKind::Children, count))
            }
            _ => Ok((ContentKind::Value, 0)),
        }
    }

    #[inline]
    fn attributes(&mut self, count: u32) -> Result<(), Kind> {
        if !TRUSTED && count as usize * 2 > self.reader.left() {
            return Err(Kind::OverLongList);
        }
        if TRUSTED {
            for _ in 0..count {
                self.reader.filled(Kind::EmptyKey)?;
                self.reader.item()?;
            }
            return Ok(());
        }
        if count > FEW_ATTRIBUTES {
            return self.many_attributes(count);
        }
        let start = self.reader.at;
        // One bit per key; a key whose bit is set already is compared with those before it.
        let mut seen = 0;
        for earlier in 0..count {
            let at = self.reader.at;
            let key = self.reader.filled(Kind::EmptyKey)?;
            let bit = key_bit(key);
            if seen & bit != 0 && self.is_among(start, earlier, key) {
                return self.reader.fail(at, Kind::DuplicateKey);
            }
            seen |= bit;
            self.reader.item()?;
        }
        Ok(())
    }

    fn is_among(&self, start: usize, count: u32, key: Str<'_>) -> bool {
        let text = key.text();
        let mut reader = Reader::<true>::at(self.reader.bytes, start);
        (0..count).any(|_| {
            let same = reader.filled(Kind::EmptyKey).is_ok_and(|other| other.is(&text));
            same || reader.item().is_err()
        })
    }

    #[inline(never)]
    fn many_attributes(&mut self, count: u32) -> Result<(), Kind> {
        let mut seen = HashSet::new();
        for _ in 0..count {
            let at = self.reader.at;
            let key = self.reader.filled(Kind::EmptyKey)?;
            if !seen.insert(key.text()) {
                return self.reader.fail(at, Kind::DuplicateKey);
            }
            self.reader.item()?;
        }
        Ok(())
    }
}

/// One of 32 bits for a key, the same for every form of it.
#[inline]
fn key_bit(key: Str<'_>) -> u32 {
    match key {
        Str::Word(word) => word_bit(Some(word)),
        Str::Plain(bytes) => word_bit(std::str::from_utf8(bytes).ok().and_then(Word::find)),
        Str::Packed { .. } => word_bit(Word::find(&key.text())),
    }
}

/// The bit of a word; all other strings share one.
#[inline]
pub(crate) fn word_bit(word: Option<Word>) -> u32 {
    match word {
        Some(word) => 1 << (word.code() % 31),
        None => 1 << 31,
    }
}
