//! What of its mailbox a connection has been sent, and what it may be sent next.
//!
//! Nothing is sent before `<active/>`. What waits then is the backlog: it is announced, comes in batches that the client
//! asks for, and is closed with its count. Behind it comes what arrives, as it arrives.

use std::collections::BTreeMap;
use std::time::Duration;

use landbridge_stanza::ib::{Ib, OfflinePreview};
use landbridge_stanza::stream::StreamError;
use landbridge_wire::Node;
use tokio::time::Instant;

use crate::SandboxError;
use crate::db::Entry;
use crate::events::{EventKind, Rule};
use crate::faults::Fault;
use crate::router::Session;
use crate::state::State;

/// Stanzas that are read from the mailbox at a time.
const PAGE: u32 = 64;
/// Stanzas that a client may leave without an answer before it gets no more.
const WINDOW: usize = 1_000;
/// Stanzas of a batch that a fault makes small, at most.
const SMALL: u64 = 5;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Delivery {
    active: bool,
    /// Position of the last stanza sent.
    cursor: i64,
    backlog: Option<Backlog>,
    outstanding: BTreeMap<i64, Sent>,
    /// Whether the client has asked for its mailbox, or it was noted that it does not.
    asked: bool,
}

#[derive(Debug)]
struct Backlog {
    /// Position of its last stanza.
    end: i64,
    /// Stanzas in it when it was announced.
    count: u32,
    sent: u32,
    credit: u32,
    /// Whether its end was said already.
    closed: bool,
}

#[derive(Debug)]
struct Sent {
    at: Instant,
    class: &'static str,
    kind: String,
    id: String,
}

impl Delivery {
    /// The client is active: gives the announcement of what waits.
    pub(super) fn activate(
        &mut self,
        state: &State,
        session: &Session,
    ) -> Result<Option<Node>, SandboxError> {
        if self.active {
            return Ok(None);
        }
        self.active = true;
        let waiting = state.db.read(|tx| tx.waiting(session.user, self.cursor))?;
        if waiting.count() == 0 {
            return Ok(Some(Ib::Offline { count: 0 }.to_node(state.profile())));
        }
        let (end, count, credit) = (waiting.last, waiting.count(), state.profile().mailbox.primer);
        self.backlog = Some(Backlog { end, count, sent: 0, credit, closed: false });
        let preview = OfflinePreview {
            count: waiting.count(),
            message: waiting.messages,
            receipt: waiting.receipts,
            notification: waiting.notifications,
            ..OfflinePreview::default()
        };
        Ok(Some(Ib::OfflinePreview(preview).to_node(state.profile())))
    }

    /// The client wants nothing for now.
    pub(super) fn pause(&mut self) {
        self.active = false;
        self.backlog = None;
    }

    /// The client asks for so many more.
    pub(super) fn grant(&mut self, count: u32, state: &State, session: &Session) {
        self.asked = true;
        let Some(backlog) = &mut self.backlog else { return };
        let mut given = count;
        if count > 1
            && let Some(mut dice) = state.faults.roll(Fault::BatchSmall)
        {
            let most = u64::from(count - 1).min(SMALL);
            given = 1 + u32::try_from(dice.below(most)).unwrap_or(0);
            let (connection, jid) = (Some(session.connection), Some(&session.jid));
            let detail = format!("{given} of the {count} stanzas that were asked for");
            state.injected(Fault::BatchSmall, connection, jid, None, detail);
        }
        backlog.credit = backlog.credit.saturating_add(given);
    }

    /// The client has taken these.
    pub(super) fn taken(&mut self, seqs: &[i64]) {
        for seq in seqs {
            self.outstanding.remove(seq);
        }
    }

    /// The stanza that has waited longest for its ack, if that is too long. Stanzas are sent in the order of their
    /// positions, so the first is the oldest.
    pub(super) fn overdue(&self, now: Instant, limit: Duration) -> Option<StreamError> {
        let (_, oldest) = self.outstanding.first_key_value()?;
        (now.duration_since(oldest.at) >= limit).then(|| StreamError::Unacked {
            class: Some(oldest.class.to_owned()),
            kind: (!oldest.kind.is_empty()).then(|| oldest.kind.clone()),
            id: Some(oldest.id.clone()),
        })
    }

    /// When [`overdue`](Self::overdue) will be so.
    pub(super) fn overdue_at(&self, limit: Duration) -> Option<Instant> {
        self.outstanding.first_key_value().map(|(_, oldest)| oldest.at + limit)
    }

    /// The stanzas to send now. To be called again until there are none.
    pub(super) fn next(&mut self, state: &State, session: &Session) -> Result<Vec<Node>, SandboxError> {
        if !self.active || self.outstanding.len() >= WINDOW {
            return Ok(Vec::new());
        }
        match self.backlog.take() {
            Some(backlog) => self.next_offline(backlog, state, session),
            None => {
                let entries = state.db.read(|tx| tx.mail(session.user, self.cursor, PAGE))?;
                Ok(entries.into_iter().map(|entry| self.send(entry, None, state, session)).collect())
            }
        }
    }

    fn next_offline(
        &mut self,
        mut backlog: Backlog,
        state: &State,
        session: &Session,
    ) -> Result<Vec<Node>, SandboxError> {
        if backlog.credit == 0 && self.outstanding.is_empty() {
            // A client that does not ask still gets its mail, if slowly: a part each time that it has taken the last.
            backlog.credit = state.profile().mailbox.primer.max(1);
            if !self.asked {
                self.asked = true;
                let detail = "the next part of the mailbox comes unasked".to_owned();
                let kind = EventKind::Unusual { rule: Rule::MAILBOX_ASK, detail };
                state.note(Some(session.connection), Some(&session.jid), kind);
            }
        }
        let limit = backlog.credit.min(PAGE);
        // One more than may be sent, to see whether there is one.
        let mut entries = state.db.read(|tx| tx.mail(session.user, self.cursor, limit.saturating_add(1)))?;
        entries.retain(|entry| entry.seq <= backlog.end);
        let more = entries.len() > limit as usize;
        entries.truncate(limit as usize);
        let mut stanzas = Vec::with_capacity(entries.len() + 1);
        if backlog.sent == 0 && !entries.is_empty() && state.faults.roll(Fault::CountFirst).is_some() {
            backlog.closed = true;
            stanzas.push(Ib::Offline { count: backlog.count }.to_node(state.profile()));
            let (connection, jid) = (Some(session.connection), Some(&session.jid));
            let detail = format!("before {} stanzas", backlog.count);
            state.injected(Fault::CountFirst, connection, jid, None, detail);
        }
        for entry in entries {
            stanzas.push(self.send(entry, Some(backlog.sent), state, session));
            backlog.sent += 1;
            backlog.credit -= 1;
        }
        if more {
            self.backlog = Some(backlog);
        } else if !backlog.closed {
            stanzas.push(Ib::Offline { count: backlog.sent }.to_node(state.profile()));
        }
        Ok(stanzas)
    }

    fn send(&mut self, entry: Entry, offline: Option<u32>, state: &State, session: &Session) -> Node {
        self.cursor = entry.seq;
        state.router.delivered(session.user, entry.seq);
        let class = entry.class.as_str();
        let kind = EventKind::Delivered {
            class: class.to_owned(),
            id: entry.id.clone(),
            offline: offline.is_some(),
        };
        state.note(Some(session.connection), Some(&session.jid), kind);
        let sent = Sent { at: Instant::now(), class, kind: entry.kind, id: entry.id };
        self.outstanding.insert(entry.seq, sent);
        entry.stanza.attr_opt("offline", offline)
    }
}
