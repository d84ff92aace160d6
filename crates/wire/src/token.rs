//! The dictionary: words of the protocol that are written as one byte or two.

use crate::words::WORDS;

/// First byte of an empty list, and of an absent string.
pub(crate) const LIST_EMPTY: u8 = 0;
/// First bytes of two-byte words; the lower two bits choose the dictionary.
pub(crate) const DICTIONARY_0: u8 = 236;
pub(crate) const DICTIONARY_3: u8 = 239;
pub(crate) const INTEROP_JID: u8 = 245;
pub(crate) const FB_JID: u8 = 246;
pub(crate) const AD_JID: u8 = 247;
pub(crate) const LIST_8: u8 = 248;
pub(crate) const LIST_16: u8 = 249;
pub(crate) const JID_PAIR: u8 = 250;
pub(crate) const HEX_8: u8 = 251;
pub(crate) const BINARY_8: u8 = 252;
pub(crate) const BINARY_20: u8 = 253;
pub(crate) const BINARY_32: u8 = 254;
pub(crate) const NIBBLE_8: u8 = 255;

/// Marks in nodes that are being built, where the wire has unassigned bytes: free text as content, a JID
/// that has no form on the wire, bytes that are kept aside, and the header of a list that is too long.
/// They are never written and never read from outside.
pub(crate) const MARK_TEXT: u8 = 240;
pub(crate) const MARK_JID: u8 = 241;
pub(crate) const MARK_ASIDE: u8 = 242;
pub(crate) const MARK_LIST: u8 = 243;

/// Words of one byte: 1 to 235.
const SINGLES: usize = 235;
/// Longest word in bytes.
const LONGEST: usize = 48;
/// Longest word that could be packed, in bytes.
pub(crate) const LONGEST_PACKABLE_WORD: usize = 4;
/// The server of users.
pub(crate) const USER_SERVER: Word = Word(3);
/// Slots of the lookup table: a power of two, about three times the number of words.
const SLOTS: usize = 4096;

/// A word of the dictionary, by its code: the byte of a single-byte word, or both bytes of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(u16);

impl Word {
    /// The word of one byte, if the byte is one.
    #[inline]
    pub(crate) fn single(byte: u8) -> Option<Self> {
        (1..=SINGLES as u8).contains(&byte).then_some(Self(u16::from(byte)))
    }

    /// The word of a dictionary byte (236 to 239) and an index.
    #[inline]
    pub(crate) fn double(dictionary: u8, index: u8) -> Self {
        Self(u16::from_be_bytes([dictionary, index]))
    }

    /// Looks a string up.
    #[inline]
    pub(crate) fn find(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() > LONGEST {
            return None;
        }
        let ends = ends(bytes);
        let hash = hash(bytes.len(), ends);
        let mut slot = hash as usize % SLOTS;
        loop {
            let (print, index) = *TABLE.get(slot)?;
            if index == EMPTY {
                return None;
            }
            if print == fingerprint(hash)
                && WORDS.get(usize::from(index)).is_some_and(|word| equal(word.as_bytes(), bytes, ends))
            {
                return Some(Self::at(index));
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    /// The word's text.
    #[inline]
    pub(crate) fn text(self) -> &'static str {
        WORDS.get(self.index()).copied().unwrap_or_default()
    }

    /// The code: below 256 for a single-byte word.
    #[inline]
    pub(crate) fn code(self) -> u16 {
        self.0
    }

    /// Position in [`WORDS`].
    #[inline]
    fn index(self) -> usize {
        let [dictionary, index] = self.0.to_be_bytes();
        match dictionary {
            0 => usize::from(index).wrapping_sub(1),
            _ => SINGLES + usize::from(dictionary & 3) * 256 + usize::from(index),
        }
    }

    #[inline]
    fn at(index: u16) -> Self {
        match index.checked_sub(SINGLES as u16) {
            None => Self(index + 1),
            Some(rest) => Self((u16::from(DICTIONARY_0) << 8) + rest),
        }
    }
}

const EMPTY: u16 = u16::MAX;

/// Open addressing: a fingerprint of the word and its index. Built by the compiler.
static TABLE: [(u16, u16); SLOTS] = {
    let mut table = [(0, EMPTY); SLOTS];
    let mut index = 0;
    while index < WORDS.len() {
        let word = WORDS[index].as_bytes();
        let hash = hash(word.len(), ends(word));
        let mut slot = hash as usize % SLOTS;
        while table[slot].1 != EMPTY {
            slot = (slot + 1) % SLOTS;
        }
        table[slot] = (fingerprint(hash), index as u16);
        index += 1;
    }
    table
};

const fn fingerprint(hash: u32) -> u16 {
    (hash >> 16) as u16
}

/// Mixes the length, the first and the last bytes; words of the dictionary hardly ever agree in all of them.
#[inline]
const fn hash(length: usize, (head, tail): (u64, u64)) -> u32 {
    let mixed = (head ^ tail.rotate_left(29) ^ length as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 32) as u32
}

/// Whether a word is `text`, whose [`ends`] are these. Up to 16 bytes they are all there is.
#[inline]
fn equal(word: &[u8], text: &[u8], of_text: (u64, u64)) -> bool {
    word.len() == text.len() && ends(word) == of_text && (word.len() <= 16 || word == text)
}

/// The first and the last bytes: 8, 4 or 2 of each, which overlap in a string of fewer than twice as many.
#[inline]
const fn ends(bytes: &[u8]) -> (u64, u64) {
    if let (Some(head), Some(tail)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        return (u64::from_le_bytes(*head), u64::from_le_bytes(*tail));
    }
    if let (Some(head), Some(tail)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        return (u32::from_le_bytes(*head) as u64, u32::from_le_bytes(*tail) as u64);
    }
    if let (Some(head), Some(tail)) = (bytes.first_chunk::<2>(), bytes.last_chunk::<2>()) {
        return (u16::from_le_bytes(*head) as u64, u16::from_le_bytes(*tail) as u64);
    }
    match bytes {
        [byte] => (*byte as u64, 0),
        _ => (0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found_under_its_code() {
        for line in
            include_str!("../tests/vectors/tokens.tsv").lines().filter(|line| !line.starts_with('#')).skip(1)
        {
            let mut columns = line.split('\t');
            let dictionary: i32 = columns.next().unwrap().parse().unwrap();
            let index: u8 = columns.next().unwrap().parse().unwrap();
            let text = columns.next().unwrap();
            let word = Word::find(text).unwrap();
            assert_eq!(word.text(), text);
            let expected = match u8::try_from(dictionary) {
                Ok(dictionary) => Word::double(DICTIONARY_0 + dictionary, index),
                Err(_) => Word::single(index).unwrap(),
            };
            assert_eq!(word, expected, "{text}");
        }
    }

    #[test]
    fn the_table_of_words_has_no_others() {
        assert_eq!(
            include_str!("../tests/vectors/tokens.tsv").lines().filter(|line| !line.starts_with('#')).count()
                - 1,
            WORDS.len()
        );
        for other in ["", "x", "Receipt", "receipt ", "constructor", "__proto__", &"x".repeat(300)] {
            assert_eq!(Word::find(other), None);
        }
        assert_eq!(Word::single(0), None);
        assert_eq!(Word::single(236), None);
    }

    #[test]
    fn what_is_said_of_words_is_true() {
        assert_eq!(USER_SERVER.text(), "s.whatsapp.net");
        let packable = WORDS.iter().filter(|word| crate::packing::packable(word).is_some());
        assert_eq!(packable.map(|word| word.len()).max(), Some(LONGEST_PACKABLE_WORD));
        assert_eq!(WORDS.iter().map(|word| word.len()).max(), Some(LONGEST));
    }

    #[test]
    fn chains_are_short() {
        let longest = WORDS.iter().map(|word| {
            let mut slot = hash(word.len(), ends(word.as_bytes())) as usize % SLOTS;
            let mut steps = 1;
            while WORDS[usize::from(TABLE[slot].1)] != *word {
                slot = (slot + 1) % SLOTS;
                steps += 1;
            }
            steps
        });
        assert!(longest.max().unwrap() <= 8);
    }
}
