//! What a side of a pair must know of its sessions: which there are, in which order, and which messages they open.

use std::collections::{HashMap, HashSet};

/// Receiving chains that a session keeps.
const CHAINS: usize = 5;
/// Archived sessions that a record keeps.
pub(crate) const ARCHIVED: usize = 40;

/// A session's name: its base key.
pub(crate) type Base = String;

/// A session as one side has it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Session {
    /// The ratchet keys of the receiving chains that are kept, oldest first.
    pub(crate) chains: Vec<String>,
    /// Those that were ever there.
    seen: HashSet<String>,
    /// The messages that were opened.
    opened: HashSet<usize>,
    /// Whether messages still are `pkmsg`.
    pub(crate) unacknowledged: bool,
}

impl Session {
    fn see(&mut self, ratchet: &str) {
        if self.seen.insert(ratchet.to_owned()) {
            self.chains.push(ratchet.to_owned());
            if self.chains.len() > CHAINS {
                self.chains.remove(0);
            }
        }
    }

    /// Whether a message opens: it did not before, and its chain is kept, or its turn has yet to come.
    fn opens(&self, message: usize, ratchet: &str) -> bool {
        !self.opened.contains(&message) && (self.keeps(ratchet) || !self.seen.contains(ratchet))
    }

    pub(crate) fn keeps(&self, ratchet: &str) -> bool {
        self.chains.iter().any(|chain| chain == ratchet)
    }
}

/// All sessions with the other side, in their order.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) current: Option<Base>,
    /// Newest first.
    pub(crate) archived: Vec<Base>,
    sessions: HashMap<Base, Session>,
}

impl Record {
    pub(crate) fn get(&self, base: &str) -> Option<&Session> {
        self.sessions.get(base)
    }

    pub(crate) fn archive(&mut self) {
        let Some(base) = self.current.take() else { return };
        self.archived.insert(0, base);
        for lost in self.archived.drain(ARCHIVED.min(self.archived.len())..) {
            self.sessions.remove(&lost);
        }
    }

    /// A session that the own side begins; its receiving chain is that of the peer's signed prekey.
    pub(crate) fn begin(&mut self, base: &str, signed_prekey: &str) {
        self.archive();
        let mut session = Session { unacknowledged: true, ..Session::default() };
        session.see(signed_prekey);
        self.sessions.insert(base.to_owned(), session);
        self.current = Some(base.to_owned());
    }

    /// Whether a message of a session that is here opens; `None` if the session is not here.
    pub(crate) fn opens(&self, base: &str, message: usize, ratchet: &str) -> Option<bool> {
        Some(self.get(base)?.opens(message, ratchet))
    }

    /// A message has opened: in the session that was here, or in one that it began. That is the current one now.
    pub(crate) fn open(&mut self, base: &str, message: usize, ratchet: &str) {
        let session = self.sessions.entry(base.to_owned()).or_default();
        session.see(ratchet);
        session.opened.insert(message);
        session.unacknowledged = false;
        if self.current.as_deref() != Some(base) {
            self.archived.retain(|archived| archived != base);
            self.archive();
            self.current = Some(base.to_owned());
        }
    }

    /// How many sessions there are.
    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }
}
