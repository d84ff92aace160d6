//! Reading the pieces of a stanza: bytes, strings, JIDs.

use std::borrow::Cow;

use crate::DecodeErrorKind as Kind;
use crate::jid::{Jid, Server};
use crate::packing::{self, Alphabet};
use crate::token::{
    AD_JID, BINARY_8, BINARY_20, BINARY_32, DICTIONARY_0, DICTIONARY_3, FB_JID, HEX_8, INTEROP_JID, JID_PAIR,
    LIST_8, LIST_16, LIST_EMPTY, MARK_ASIDE, MARK_JID, MARK_LIST, MARK_TEXT, NIBBLE_8, USER_SERVER, Word,
};

/// What follows an interoperability JID in the form that names its server.
pub(crate) const INTEROP_NAME: &[u8] = b"\xfc\x07interop";

/// A position in a stanza. Bytes from outside are read with `TRUSTED = false`: everything is checked.
/// Bytes that have been checked, or that a node has composed of itself, are read with `TRUSTED = true`:
/// what was checked is not checked again, and the marks of [`crate::token`] are understood. Neither can
/// read beyond the end.
#[derive(Clone)]
pub(crate) struct Reader<'a, const TRUSTED: bool> {
    pub(crate) bytes: &'a [u8],
    /// The position; after an error, where the error is.
    pub(crate) at: usize,
}

/// A string as it stands in a stanza.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Str<'a> {
    Word(Word),
    /// UTF-8.
    Plain(&'a [u8]),
    /// Keeps to the rules of packing.
    Packed {
        bytes: &'a [u8],
        alphabet: Alphabet,
        odd: bool,
    },
}

/// A JID as it stands in a stanza.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JidParts<'a> {
    pub(crate) user: Str<'a>,
    pub(crate) server: Host<'a>,
    pub(crate) device: u16,
    pub(crate) integrator: u16,
}

/// The server of a JID: implied by the form, or named.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Host<'a> {
    Implied(&'static Server),
    Named(Str<'a>),
}

/// What may stand in the place of an attribute's value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Item<'a> {
    Str(Str<'a>),
    Jid(JidParts<'a>),
}

/// What may stand in the place of a node's content.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Body<'a> {
    Empty,
    List(u32),
    Bytes(&'a [u8]),
    /// Bytes that are kept aside under this position.
    Aside(u32),
    Text(Str<'a>),
    Jid(JidParts<'a>),
}

impl<'a, const TRUSTED: bool> Reader<'a, TRUSTED> {
    #[inline]
    pub(crate) fn at(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// Marks the place of an error.
    #[cold]
    pub(crate) fn fail<T>(&mut self, at: usize, kind: Kind) -> Result<T, Kind> {
        self.at = at;
        Err(kind)
    }

    #[inline]
    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, Kind> {
        let byte = *self.bytes.get(self.at).ok_or(Kind::Truncated)?;
        self.at += 1;
        Ok(byte)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Kind> {
        let array = *self.bytes.get(self.at..).and_then(|rest| rest.first_chunk()).ok_or(Kind::Truncated)?;
        self.at += N;
        Ok(array)
    }

    #[inline]
    fn u16(&mut self) -> Result<u16, Kind> {
        self.array().map(u16::from_be_bytes)
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], Kind> {
        let bytes = self.bytes.get(self.at..).and_then(|rest| rest.get(..length)).ok_or(Kind::Truncated)?;
        self.at += length;
        Ok(bytes)
    }

    /// The bytes of a length form.
    #[inline]
    fn sized(&mut self, first: u8) -> Result<&'a [u8], Kind> {
        let length = match first {
            BINARY_8 => u32::from(self.byte()?),
            BINARY_20 => {
                let [high, middle, low] = self.array()?;
                u32::from_be_bytes([0, high & 15, middle, low])
            }
            _ => u32::from_be_bytes(self.array()?),
        };
        self.take(length as usize)
    }

    /// The string that begins with this byte, which has been read.
    #[inline]
    pub(crate) fn string(&mut self, first: u8) -> Result<Str<'a>, Kind> {
        if let Some(word) = Word::single(first) {
            return Ok(Str::Word(word));
        }
        let start = self.at - 1;
        match first {
            BINARY_8 | BINARY_20 | BINARY_32 => {
                let bytes = self.sized(first)?;
                if !TRUSTED && !bytes.is_ascii() && std::str::from_utf8(bytes).is_err() {
                    return self.fail(start, Kind::NotUtf8);
                }
                Ok(Str::Plain(bytes))
            }
            DICTIONARY_0..=DICTIONARY_3 => Ok(Str::Word(Word::double(first, self.byte()?))),
            HEX_8 | NIBBLE_8 => {
                let alphabet = if first == HEX_8 { Alphabet::Hex } else { Alphabet::Nibble };
                let header = self.byte()?;
                let bytes = self.take(usize::from(header & 127))?;
                let odd = header & 128 != 0;
                if !TRUSTED && !packing::well_formed(bytes, alphabet, odd) {
                    return self.fail(start, Kind::BadPacked);
                }
                Ok(Str::Packed { bytes, alphabet, odd })
            }
            LIST_EMPTY => self.fail(start, Kind::EmptyString),
            _ => self.fail(start, Kind::BadToken),
        }
    }

    /// A string that may not be empty.
    #[inline]
    pub(crate) fn filled(&mut self, if_empty: Kind) -> Result<Str<'a>, Kind> {
        let start = self.at;
        let first = self.byte()?;
        let string = self.string(first)?;
        if !TRUSTED && string.is_empty() {
            return self.fail(start, if_empty);
        }
        Ok(string)
    }

    /// The JID that begins with this byte, which has been read.
    #[inline]
    fn jid(&mut self, first: u8) -> Result<JidParts<'a>, Kind> {
        match first {
            JID_PAIR => {
                let user = self.user()?;
                let server = Host::Named(self.filled(Kind::BadJid)?);
                Ok(JidParts { user, server, device: 0, integrator: 0 })
            }
            AD_JID => {
                let start = self.at;
                let [domain, device] = self.array()?;
                let server = match domain {
                    0 => &Server::User,
                    1 => &Server::Lid,
                    129 => &Server::HostedLid,
                    128.. if domain % 2 == 0 => &Server::Hosted,
                    _ => return self.fail(start, Kind::BadJid),
                };
                let user = self.filled(Kind::BadJid)?;
                Ok(JidParts { user, server: Host::Implied(server), device: device.into(), integrator: 0 })
            }
            FB_JID => {
                let user = self.filled(Kind::BadJid)?;
                let device = self.u16()?;
                let start = self.at;
                if !self.filled(Kind::BadJid)?.is("msgr") {
                    return self.fail(start, Kind::BadJid);
                }
                Ok(JidParts { user, server: Host::Implied(&Server::Messenger), device, integrator: 0 })
            }
            INTEROP_JID => {
                let user = self.filled(Kind::BadJid)?;
                let (device, integrator) = (self.u16()?, self.u16()?);
                if self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(INTEROP_NAME)) {
                    self.at += INTEROP_NAME.len();
                }
                Ok(JidParts { user, server: Host::Implied(&Server::Interop), device, integrator })
            }
            MARK_JID if TRUSTED => {
                let (device, integrator) = (self.u16()?, self.u16()?);
                let user = self.user()?;
                let server = Host::Named(self.user()?);
                Ok(JidParts { user, server, device, integrator })
            }
            _ => self.fail(self.at - 1, Kind::BadToken),
        }
    }

    /// The user of a JID that may be empty.
    #[inline]
    fn user(&mut self) -> Result<Str<'a>, Kind> {
        match self.byte()? {
            LIST_EMPTY => Ok(Str::Plain(&[])),
            first => self.string(first),
        }
    }

    /// An attribute's value.
    #[inline]
    pub(crate) fn item(&mut self) -> Result<Item<'a>, Kind> {
        match self.byte()? {
            LIST_EMPTY => Ok(Item::Str(Str::Plain(&[]))),
            first @ (INTEROP_JID | FB_JID | AD_JID | JID_PAIR) => self.jid(first).map(Item::Jid),
            MARK_JID if TRUSTED => self.jid(MARK_JID).map(Item::Jid),
            first => self.string(first).map(Item::Str),
        }
    }

    /// A node's content, or the number of its children.
    #[inline]
    pub(crate) fn body(&mut self) -> Result<Body<'a>, Kind> {
        let start = self.at;
        match self.byte()? {
            LIST_EMPTY => Ok(Body::Empty),
            first @ (LIST_8 | LIST_16 | MARK_LIST) if TRUSTED || first != MARK_LIST => {
                Ok(match self.count(first)? {
                    0 => Body::Empty,
                    count => Body::List(count),
                })
            }
            first @ (BINARY_8 | BINARY_20 | BINARY_32) => self.sized(first).map(Body::Bytes),
            first @ (INTEROP_JID | FB_JID | AD_JID | JID_PAIR) => self.jid(first).map(Body::Jid),
            MARK_JID if TRUSTED => self.jid(MARK_JID).map(Body::Jid),
            MARK_ASIDE if TRUSTED => Ok(Body::Aside(start as u32)),
            MARK_TEXT if TRUSTED => self.filled(Kind::BadToken).map(Body::Text),
            first => {
                let text = self.string(first)?;
                Ok(if text.is_empty() { Body::Bytes(&[]) } else { Body::Text(text) })
            }
        }
    }

    /// How many entries a node's own list has: at least one.
    #[inline]
    pub(crate) fn node_header(&mut self) -> Result<u32, Kind> {
        let start = self.at;
        let count = match self.byte()? {
            first @ (LIST_8 | LIST_16) => self.count(first)?,
            MARK_LIST if TRUSTED => self.count(MARK_LIST)?,
            LIST_EMPTY => 0,
            _ => return self.fail(start, Kind::NotAList),
        };
        if count == 0 {
            return self.fail(start, Kind::EmptyNode);
        }
        Ok(count)
    }

    #[inline]
    fn count(&mut self, first: u8) -> Result<u32, Kind> {
        match first {
            LIST_8 => self.byte().map(u32::from),
            LIST_16 => self.u16().map(u32::from),
            _ => self.array().map(u32::from_be_bytes),
        }
    }
}

impl<'a> Str<'a> {
    #[inline]
    pub(crate) fn is_empty(self) -> bool {
        match self {
            Self::Word(_) => false,
            Self::Plain(bytes) | Self::Packed { bytes, .. } => bytes.is_empty(),
        }
    }

    #[inline]
    pub(crate) fn is(self, text: &str) -> bool {
        match self {
            Self::Word(word) => word.text() == text,
            Self::Plain(bytes) => bytes == text.as_bytes(),
            Self::Packed { bytes, alphabet, odd } => packing::spells(bytes, alphabet, odd, text),
        }
    }

    #[inline]
    pub(crate) fn text(self) -> Cow<'a, str> {
        match self {
            Self::Word(word) => Cow::Borrowed(word.text()),
            Self::Plain(bytes) => Cow::Borrowed(std::str::from_utf8(bytes).unwrap_or_default()),
            Self::Packed { bytes, alphabet, odd } => Cow::Owned(packing::unpack(bytes, alphabet, odd)),
        }
    }
}

impl JidParts<'_> {
    pub(crate) fn to_jid(self) -> Jid {
        let server = match self.server {
            Host::Implied(server) => server.clone(),
            Host::Named(Str::Word(word)) if word == USER_SERVER => Server::User,
            Host::Named(name) => Server::named(&name.text()),
        };
        Jid::from_parts(self.user.text().into(), server, self.device, self.integrator)
    }
}
