//! Packed strings: two characters to the byte, from an alphabet of twelve or sixteen.

use crate::token::{HEX_8, NIBBLE_8};

/// Longest string that is written packed, in characters. Up to 254 are read.
const LONGEST: usize = 127;
/// Value in the unused lower half of the last byte.
const PAD: u8 = 15;

/// The two alphabets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alphabet {
    /// `0123456789-.`
    Nibble,
    /// `0123456789ABCDEF`
    Hex,
}

impl Alphabet {
    /// The byte that begins a string of this alphabet.
    pub(crate) fn marker(self) -> u8 {
        match self {
            Self::Nibble => NIBBLE_8,
            Self::Hex => HEX_8,
        }
    }

    fn pairs(self) -> &'static [[u8; 2]; 256] {
        match self {
            Self::Nibble => &NIBBLE_PAIRS,
            Self::Hex => &HEX_PAIRS,
        }
    }
}

/// A character that is not in an alphabet, in the tables below.
const NONE: u8 = 0xff;
/// Marks of a character's class: in the first alphabet, in the second.
const IN_NIBBLE: u8 = 0x40;
const IN_HEX: u8 = 0x80;

/// Class and value of every byte. A value belongs to whichever alphabet has the character.
static CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut value = 0;
    while value < 10 {
        table[(b'0' + value) as usize] = IN_NIBBLE | IN_HEX | value;
        value += 1;
    }
    table[b'-' as usize] = IN_NIBBLE | 10;
    table[b'.' as usize] = IN_NIBBLE | 11;
    while value < 16 {
        table[(b'A' + value - 10) as usize] = IN_HEX | value;
        value += 1;
    }
    table
};

static HEX_PAIRS: [[u8; 2]; 256] = pairs(b"0123456789ABCDEF");
static NIBBLE_PAIRS: [[u8; 2]; 256] = pairs(b"0123456789-.\xff\xff\xff\xff");

const fn pairs(characters: &[u8; 16]) -> [[u8; 2]; 256] {
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [characters[byte >> 4], characters[byte & 15]];
        byte += 1;
    }
    table
}

#[inline]
fn class(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or_default()
}

/// The alphabet in which a string is written packed, if any.
#[inline]
pub(crate) fn packable(text: &str) -> Option<Alphabet> {
    if text.is_empty() || text.len() > LONGEST {
        return None;
    }
    let (chunks, rest) = text.as_bytes().as_chunks::<8>();
    let mut common = IN_NIBBLE | IN_HEX;
    for chunk in chunks {
        if !all_digits(u64::from_le_bytes(*chunk)) {
            common &= chunk.iter().fold(common, |common, byte| common & class(*byte));
        }
    }
    common &= rest.iter().fold(common, |common, byte| common & class(*byte));
    match (common & IN_NIBBLE != 0, common & IN_HEX != 0) {
        (true, _) => Some(Alphabet::Nibble),
        (false, true) => Some(Alphabet::Hex),
        (false, false) => None,
    }
}

/// Whether eight bytes are all ASCII digits: neither below `0` nor above `9`.
#[inline]
fn all_digits(bytes: u64) -> bool {
    const ONES: u64 = u64::MAX / 255;
    let below = bytes.wrapping_sub(ONES * b'0' as u64);
    let above = bytes.wrapping_add(ONES * (127 - b'9') as u64);
    (bytes | below | above) & (ONES * 128) == 0
}

/// Writes a string that [`packable`] has found to be of this alphabet.
#[inline]
pub(crate) fn pack(out: &mut Vec<u8>, text: &str, alphabet: Alphabet) {
    let (pairs, odd) = text.as_bytes().as_chunks::<2>();
    let header = (pairs.len() + odd.len()) as u8 | if odd.is_empty() { 0 } else { 128 };
    // To where they belong: bytes that have just been written one by one are slow to move.
    out.extend_from_slice(&[alphabet.marker(), header]);
    out.extend(pairs.iter().map(|[high, low]| class(*high) << 4 | class(*low) & 15));
    out.extend(odd.iter().map(|high| class(*high) << 4 | PAD));
}

/// Whether packed bytes keep to the rules. `odd` says that the last lower half is padding.
#[inline]
pub(crate) fn well_formed(bytes: &[u8], alphabet: Alphabet, odd: bool) -> bool {
    if alphabet == Alphabet::Hex {
        return !odd || !bytes.is_empty();
    }
    let (body, last) = match bytes.split_last() {
        Some((last, body)) if odd => (body, Some(*last)),
        None if odd => return false,
        _ => (bytes, None),
    };
    // A half of 12 to 15 has both upper bits set; in the padding, 15 alone is allowed.
    let bad = body.iter().fold(0, |bad, byte| bad | byte & byte << 1 & 0x88);
    bad == 0 && last.is_none_or(|last| last >> 4 < 12 && !(12..=14).contains(&(last & 15)))
}

/// The characters of well-formed packed bytes.
pub(crate) fn unpack(bytes: &[u8], alphabet: Alphabet, odd: bool) -> String {
    let pairs = alphabet.pairs();
    let pair = |byte: u8| pairs.get(usize::from(byte)).copied().unwrap_or([NONE; 2]);
    // The exact length, so that the string is not moved when it becomes a box.
    let mut text = vec![0; (bytes.len() * 2).saturating_sub(usize::from(odd))];
    let (places, rest) = text.as_chunks_mut::<2>();
    for (place, byte) in places.iter_mut().zip(bytes) {
        *place = pair(*byte);
    }
    if let ([place], Some(byte)) = (rest, bytes.last()) {
        [*place, _] = pair(*byte);
    }
    String::from_utf8(text).unwrap_or_default()
}

/// Whether well-formed packed bytes spell this text.
pub(crate) fn spells(bytes: &[u8], alphabet: Alphabet, odd: bool, text: &str) -> bool {
    if bytes.len() * 2 - usize::from(odd) != text.len() {
        return false;
    }
    let pairs = alphabet.pairs();
    bytes.iter().zip(text.as_bytes().chunks(2)).all(|(byte, characters)| {
        pairs.get(usize::from(*byte)).is_some_and(|pair| pair.starts_with(characters))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nibbles_above_eleven_are_refused_but_for_the_padding() {
        for byte in 0..=255u8 {
            let (high, low) = (byte >> 4, byte & 15);
            assert_eq!(well_formed(&[byte], Alphabet::Nibble, false), high < 12 && low < 12);
            assert_eq!(well_formed(&[byte], Alphabet::Nibble, true), high < 12 && (low < 12 || low == 15));
            assert!(well_formed(&[byte], Alphabet::Hex, true));
        }
        assert!(!well_formed(&[], Alphabet::Hex, true));
        assert!(!well_formed(&[], Alphabet::Nibble, true));
        assert!(well_formed(&[], Alphabet::Nibble, false));
    }

    #[test]
    fn packing_keeps_every_string() {
        for text in ["0", "12", "1-2.3", "A", "0123456789ABCDEF", &"9".repeat(127)] {
            let alphabet = packable(text).unwrap();
            let mut out = Vec::new();
            pack(&mut out, text, alphabet);
            let odd = out[1] & 128 != 0;
            assert_eq!(usize::from(out[1] & 127), out.len() - 2);
            assert_eq!(unpack(&out[2..], alphabet, odd), text);
            assert!(spells(&out[2..], alphabet, odd, text));
            assert!(!spells(&out[2..], alphabet, odd, "7"));
        }
        for text in ["", "abc", "A-", "٣", &"9".repeat(128)] {
            assert_eq!(packable(text), None);
        }
    }
}
