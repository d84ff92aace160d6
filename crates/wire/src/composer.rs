//! Writing the pieces of a stanza: list headers, strings, JIDs, bytes.

use crate::encode::{InteropJid, Pack};
use crate::jid::{Jid, Server};
use crate::packing::{pack, packable};
use crate::reader::INTEROP_NAME;
use crate::token::{
    AD_JID, BINARY_8, BINARY_20, BINARY_32, FB_JID, INTEROP_JID, JID_PAIR, LIST_8, LIST_16, LIST_EMPTY,
    LONGEST_PACKABLE_WORD, MARK_ASIDE, MARK_JID, MARK_LIST, MARK_TEXT, USER_SERVER, Word,
};

/// From this length on, bytes are kept aside while a node is being built, and copied once.
pub(crate) const ASIDE_FROM: usize = 1024;

/// What the bytes of a composer hold beyond the plain case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Marks(u8);

impl Marks {
    /// Something has no form on the wire.
    pub(crate) const IRREGULAR: Self = Self(1);
    /// Free text as content is marked.
    pub(crate) const TEXT: Self = Self(2);
    /// A string outside a JID is packed.
    pub(crate) const PACKED: Self = Self(4);
    /// A JID has the interoperability form.
    pub(crate) const INTEROP: Self = Self(8);
    /// A part was left out because the whole would exceed every limit.
    pub(crate) const TOO_LONG: Self = Self(16);

    #[inline]
    pub(crate) fn has(self, marks: Self) -> bool {
        self.0 & marks.0 != 0
    }

    #[inline]
    pub(crate) fn add(&mut self, marks: Self) {
        self.0 |= marks.0;
    }

    pub(crate) const fn with(self, marks: Self) -> Self {
        Self(self.0 | marks.0)
    }
}

/// Bytes that are kept aside, and the position of their mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Aside {
    pub(crate) at: u32,
    pub(crate) bytes: Vec<u8>,
}

impl Aside {
    /// How many bytes the length form takes beyond its mark.
    pub(crate) fn extra_length(&self) -> usize {
        let header = match self.bytes.len() {
            0..0x100 => 2,
            0x100..0x10_0000 => 4,
            _ => 5,
        };
        header - 1 + self.bytes.len()
    }
}

/// Collects the pieces of a stanza. Never fails: what has no form on the wire is kept in a form of our own
/// and noted in `marks`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Composer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) marks: Marks,
    /// Bytes that are kept aside, in order of their marks.
    #[expect(clippy::box_collection, reason = "rarely there, and a node is often moved")]
    pub(crate) aside: Option<Box<Vec<Aside>>>,
}

impl Composer {
    pub(crate) fn asides(&self) -> &[Aside] {
        self.aside.as_deref().map(Vec::as_slice).unwrap_or_default()
    }

    /// Keeps bytes aside.
    pub(crate) fn put_aside(&mut self, bytes: Vec<u8>) {
        let at = self.bytes.len() as u32;
        self.aside.get_or_insert_default().push(Aside { at, bytes });
        self.bytes.push(MARK_ASIDE);
    }

    /// A list header for at least one entry.
    #[inline]
    pub(crate) fn list(&mut self, count: u32) {
        if count > u32::from(u16::MAX) {
            self.marks.add(Marks::IRREGULAR);
        }
        list_header(&mut self.bytes, count);
    }

    #[inline]
    pub(crate) fn word(&mut self, word: Word) {
        let [dictionary, index] = word.code().to_be_bytes();
        if dictionary == 0 {
            self.bytes.push(index);
        } else {
            self.bytes.extend_from_slice(&[dictionary, index]);
        }
    }

    /// A string in its canonical form.
    #[inline]
    pub(crate) fn string(&mut self, text: &str, policy: Pack) {
        match Word::find(text) {
            Some(word) => self.word(word),
            None => self.other(text, policy),
        }
    }

    /// A string that is no word, in its canonical form.
    #[inline]
    pub(crate) fn other(&mut self, text: &str, policy: Pack) {
        if policy == Pack::All
            && let Some(alphabet) = packable(text)
        {
            self.marks.add(Marks::PACKED);
            pack(&mut self.bytes, text, alphabet);
        } else {
            self.sized(text.as_bytes());
        }
    }

    /// A string that may not be empty.
    #[inline]
    pub(crate) fn name(&mut self, text: &str, policy: Pack) {
        if text.is_empty() {
            self.marks.add(Marks::IRREGULAR);
        }
        self.string(text, policy);
    }

    /// Text as content. Free text is marked, to tell it from bytes.
    #[inline]
    pub(crate) fn text(&mut self, text: &str) {
        if !text.is_empty() && Word::find(text).is_none() && packable(text).is_none() {
            self.marks.add(Marks::TEXT);
            self.bytes.push(MARK_TEXT);
        }
        self.string(text, Pack::All);
    }

    /// Bytes in a length form.
    #[inline]
    pub(crate) fn sized(&mut self, bytes: &[u8]) {
        size(&mut self.bytes, bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// A JID in the form that its parts demand.
    pub(crate) fn jid(&mut self, jid: &Jid, policy: Pack, form: InteropJid) {
        let (user, device, server) = (jid.user_part(), jid.device(), jid.known_server());
        let small = u8::try_from(device).ok();
        let filled = !user.is_empty();
        match (server, small) {
            (Server::Messenger, _) if filled => {
                self.bytes.push(FB_JID);
                self.packed(user);
                self.bytes.extend_from_slice(&device.to_be_bytes());
                self.server(server, policy);
            }
            (Server::Interop, _) if filled && (device != 0 || jid.integrator() != 0) => {
                self.interop(jid, policy, form);
            }
            (Server::User, Some(device @ 1..)) if filled => self.device(0, device, user),
            (Server::Lid, Some(device @ 1..)) if filled => self.device(1, device, user),
            (Server::Hosted, Some(device @ 1..)) if filled => self.device(128, device, user),
            (Server::HostedLid, Some(device @ 1..)) if filled => self.device(129, device, user),
            _ if device == 0 && jid.integrator() == 0 && !server.name().is_empty() => {
                self.bytes.push(JID_PAIR);
                self.user(user);
                self.server(server, policy);
            }
            _ => self.irregular(jid),
        }
    }

    fn interop(&mut self, jid: &Jid, policy: Pack, form: InteropJid) {
        self.marks.add(Marks::INTEROP);
        if form == InteropJid::Pair {
            if jid.device() != 0 {
                return self.irregular(jid);
            }
            self.bytes.push(JID_PAIR);
            self.packed(&format!("{}-{}", jid.integrator(), jid.user_part()));
            return self.server(&Server::Interop, policy);
        }
        self.bytes.push(INTEROP_JID);
        self.packed(jid.user_part());
        self.bytes.extend_from_slice(&jid.device().to_be_bytes());
        self.bytes.extend_from_slice(&jid.integrator().to_be_bytes());
        if form == InteropJid::Append {
            self.bytes.extend_from_slice(INTEROP_NAME);
        }
    }

    fn device(&mut self, domain: u8, device: u8, user: &str) {
        self.bytes.extend_from_slice(&[AD_JID, domain, device]);
        self.packed(user);
    }

    fn irregular(&mut self, jid: &Jid) {
        self.marks.add(Marks::IRREGULAR);
        self.bytes.push(MARK_JID);
        self.bytes.extend_from_slice(&jid.device().to_be_bytes());
        self.bytes.extend_from_slice(&jid.integrator().to_be_bytes());
        self.user(jid.user_part());
        self.user(jid.server_part());
    }

    /// The user of a JID, which may be empty.
    #[inline]
    fn user(&mut self, user: &str) {
        if user.is_empty() {
            self.bytes.push(LIST_EMPTY);
        } else {
            self.packed(user);
        }
    }

    /// A string that is packed if it can be, whatever the policy.
    #[inline]
    fn packed(&mut self, text: &str) {
        let alphabet = packable(text);
        // Most users are numbers, and longer than any word that could be packed.
        let word =
            if alphabet.is_some() && text.len() > LONGEST_PACKABLE_WORD { None } else { Word::find(text) };
        match (word, alphabet) {
            (Some(word), _) => self.word(word),
            (None, Some(alphabet)) => pack(&mut self.bytes, text, alphabet),
            (None, None) => self.sized(text.as_bytes()),
        }
    }

    #[inline]
    fn server(&mut self, server: &Server, policy: Pack) {
        match server {
            Server::User => self.word(USER_SERVER),
            _ => self.string(server.name(), policy),
        }
    }
}

/// How many bytes [`list_header`] writes.
#[inline]
pub(crate) fn list_header_length(count: u32) -> usize {
    match count {
        0..0x100 => 2,
        0x100..0x1_0000 => 3,
        _ => 5,
    }
}

/// A list header for at least one entry.
#[inline]
fn list_header(out: &mut Vec<u8>, count: u32) {
    let [highest, high, low, lowest] = count.to_be_bytes();
    match count {
        0..0x100 => out.extend_from_slice(&[LIST_8, lowest]),
        0x100..0x1_0000 => out.extend_from_slice(&[LIST_16, low, lowest]),
        _ => out.extend_from_slice(&[MARK_LIST, highest, high, low, lowest]),
    }
}

/// The header of a length form.
#[inline]
pub(crate) fn size(out: &mut Vec<u8>, length: usize) {
    let [.., highest, high, middle, low] = (length as u64).to_be_bytes();
    match length {
        0..0x100 => out.extend_from_slice(&[BINARY_8, low]),
        0x100..0x10_0000 => out.extend_from_slice(&[BINARY_20, high, middle, low]),
        _ => out.extend_from_slice(&[BINARY_32, highest, high, middle, low]),
    }
}
