//! Inbox, outbox, answers owed, blocklist and identity events in memory.

use landbridge_curve::PublicKey;

use super::{Counter, MemoryTx};
use crate::identity_events::{Learnt, learn};
use crate::{
    Advanced, BlockChange, Blocklist, IdentityEvent, IdentityEvents, Inbox, InboxEntry, InboxMessage,
    MessageKey, Noted, OutState, OutTimes, Outbox, OutboxEntry, OutboxMessage, Owed, OwedAnswer, OwedEntry,
    Progress, Recrypt, Seen, Sighting, StoreError, Stored, Undecryptable,
};

impl Inbox for MemoryTx<'_> {
    fn seen(&self, key: &MessageKey) -> Result<Seen, StoreError> {
        if self.tables.inbox_keys.contains(key) {
            return Ok(Seen::Stored);
        }
        Ok(self.tables.undecryptable.get(key).cloned().map_or(Seen::Never, Seen::Undecryptable))
    }

    fn store_message(&mut self, message: &InboxMessage) -> Result<Stored, StoreError> {
        if self.tables.inbox_keys.contains(&message.key) {
            return Ok(Stored::Duplicate);
        }
        let seq = self.tables.inbox.next_seq();
        let recovered = self.tables.undecryptable.remove(&message.key);
        let entry = InboxEntry { seq, message: message.clone(), confirmed: false, recovered };
        self.tables.inbox.put(seq, entry);
        self.tables.inbox_keys.put(message.key.clone(), seq);
        Ok(if recovered { Stored::Recovered { seq } } else { Stored::New { seq } })
    }

    fn record_failure(
        &mut self,
        key: &MessageKey,
        t: u64,
        count: u32,
        reason: &str,
    ) -> Result<Undecryptable, StoreError> {
        let record = match self.tables.undecryptable.get(key) {
            Some(old) => match old.clone().again(count, reason) {
                Some(record) => record,
                None => return Ok(old.clone()),
            },
            None => Undecryptable::first(key, t, count, reason),
        };
        self.tables.undecryptable.put(key.clone(), record.clone());
        Ok(record)
    }

    fn count_retry(&mut self, key: &MessageKey) -> Result<u32, StoreError> {
        let Some(mut record) = self.tables.undecryptable.get(key).cloned() else { return Ok(0) };
        record.asked = record.asked.saturating_add(1);
        let asked = record.asked;
        self.tables.undecryptable.put(key.clone(), record);
        Ok(asked)
    }

    fn unconfirmed(&self, after: u64, limit: usize) -> Result<Vec<InboxEntry>, StoreError> {
        let later = self.tables.inbox.after(after).map(|(_, entry)| entry);
        Ok(later.filter(|entry| !entry.confirmed).take(limit).cloned().collect())
    }

    fn confirm(&mut self, seq: u64) -> Result<(), StoreError> {
        if let Some(entry) = self.tables.inbox.get(&seq).cloned() {
            self.tables.inbox.put(seq, InboxEntry { confirmed: true, ..entry });
        }
        Ok(())
    }

    fn message(&self, key: &MessageKey) -> Result<Option<InboxEntry>, StoreError> {
        Ok(self.tables.inbox_keys.get(key).and_then(|seq| self.tables.inbox.get(seq)).cloned())
    }

    fn forget_content(&mut self, before: u64) -> Result<usize, StoreError> {
        let old: Vec<InboxEntry> = (self.tables.inbox.iter().map(|(_, entry)| entry))
            .filter(|entry| {
                entry.confirmed && entry.message.t < before && !entry.message.plaintext.is_empty()
            })
            .cloned()
            .collect();
        let forgotten = old.len();
        for mut entry in old {
            entry.message.plaintext = Vec::new();
            self.tables.inbox.put(entry.seq, entry);
        }
        self.forget_edits(before);
        Ok(forgotten)
    }
}

impl MemoryTx<'_> {
    /// Stores an entry, and keeps the list of those that wait to be encrypted.
    pub(super) fn put_outbox(&mut self, entry: OutboxEntry) {
        let key = (entry.message.recipient.clone(), entry.seq);
        if entry.state == OutState::Pending && entry.message.stanza.is_empty() {
            self.tables.unsealed.put(key, ());
        } else {
            self.tables.unsealed.remove(&key);
        }
        self.tables.outbox.put(entry.seq, entry);
    }

    pub(super) fn outbox_entry(&self, recipient: &str, id: &str) -> Option<OutboxEntry> {
        let seq = self.tables.outbox_keys.get(&(recipient.to_owned(), id.to_owned()))?;
        self.tables.outbox.get(seq).cloned()
    }
}

impl Outbox for MemoryTx<'_> {
    fn enqueue(&mut self, message: &OutboxMessage) -> Result<u64, StoreError> {
        let key = (message.recipient.clone(), message.id.clone());
        if self.tables.outbox_keys.contains(&key) {
            return Err(StoreError::DuplicateMessage { id: message.id.clone() });
        }
        let seq = self.tables.outbox.next_seq();
        let entry = OutboxEntry {
            seq,
            message: message.clone(),
            state: OutState::Pending,
            times: OutTimes::default(),
            failure: None,
            retries: 0,
        };
        self.put_outbox(entry);
        self.tables.outbox_keys.put(key, seq);
        Ok(seq)
    }

    fn pending(&self, after: u64, limit: usize) -> Result<Vec<OutboxEntry>, StoreError> {
        let later = self.tables.outbox.after(after).map(|(_, entry)| entry);
        Ok(later.filter(|entry| entry.state == OutState::Pending).take(limit).cloned().collect())
    }

    fn has_unsealed(&self, recipient: &str) -> Result<bool, StoreError> {
        let theirs = self.tables.unsealed.after((recipient.to_owned(), 0)).next();
        Ok(theirs.is_some_and(|((of, _), ())| of == recipient))
    }

    fn advance(
        &mut self,
        recipient: &str,
        id: &str,
        progress: Progress<'_>,
        at: u64,
    ) -> Result<Advanced, StoreError> {
        let Some(mut entry) = self.outbox_entry(recipient, id) else { return Ok(Advanced::Unknown) };
        let advanced = entry.apply(progress, at);
        self.put_outbox(entry);
        Ok(advanced)
    }

    fn replace_stanza(
        &mut self,
        recipient: &str,
        id: &str,
        stanza: &[u8],
        why: Recrypt,
    ) -> Result<Option<u32>, StoreError> {
        let Some(mut entry) = self.outbox_entry(recipient, id) else { return Ok(None) };
        entry.message.stanza = stanza.to_vec();
        if why == Recrypt::Retry {
            entry.retries = entry.retries.saturating_add(1);
        }
        let retries = entry.retries;
        self.put_outbox(entry);
        Ok(Some(retries))
    }

    fn outgoing(&self, recipient: &str, id: &str) -> Result<Option<OutboxEntry>, StoreError> {
        Ok(self.outbox_entry(recipient, id))
    }

    fn forget_sent_content(&mut self, before: u64) -> Result<usize, StoreError> {
        let old: Vec<OutboxEntry> = (self.tables.outbox.iter().map(|(_, entry)| entry))
            .filter(|entry| {
                let done = entry.state >= OutState::Read
                    || (entry.state != OutState::Pending && entry.message.created_at < before);
                done && !(entry.message.plaintext.is_empty() && entry.message.stanza.is_empty())
            })
            .cloned()
            .collect();
        let forgotten = old.len();
        for mut entry in old {
            entry.message.plaintext = Vec::new();
            entry.message.stanza = Vec::new();
            self.put_outbox(entry);
        }
        Ok(forgotten)
    }
}

impl Owed for MemoryTx<'_> {
    fn owe(&mut self, answer: &OwedAnswer) -> Result<u64, StoreError> {
        let key = (answer.class, answer.to.clone(), answer.participant.clone(), answer.id.clone());
        let seq = match self.tables.owed_keys.get(&key) {
            Some(seq) => *seq,
            None => self.tables.counter(Counter::OwedSeq) + 1,
        };
        let latest = seq.max(self.tables.counter(Counter::OwedSeq));
        self.tables.counters.put(Counter::OwedSeq, latest);
        self.tables.owed_keys.put(key, seq);
        self.tables.owed.put(seq, answer.clone());
        Ok(seq)
    }

    fn owed(&self, limit: usize) -> Result<Vec<OwedEntry>, StoreError> {
        let all = self.tables.owed.iter().take(limit);
        Ok(all.map(|(seq, answer)| OwedEntry { seq: *seq, answer: answer.clone() }).collect())
    }

    fn settle(&mut self, seqs: &[u64]) -> Result<(), StoreError> {
        for seq in seqs {
            if let Some(OwedAnswer { class, to, participant, id, stanza: _ }) =
                self.tables.owed.get(seq).cloned()
            {
                self.tables.owed.remove(seq);
                self.tables.owed_keys.remove(&(class, to, participant, id));
            }
        }
        Ok(())
    }
}

impl MemoryTx<'_> {
    fn set_blocklist_hash(&mut self, dhash: Option<&str>) {
        match dhash {
            Some(dhash) => self.tables.blocklist_hash.put((), dhash.to_owned()),
            None => self.tables.blocklist_hash.clear(),
        }
    }
}

impl Blocklist for MemoryTx<'_> {
    fn blocked(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.tables.blocked.iter().map(|(jid, ())| jid.clone()).collect())
    }

    fn is_blocked(&self, jid: &str) -> Result<bool, StoreError> {
        Ok(self.tables.blocked.contains(&jid.to_owned()))
    }

    fn blocklist_hash(&self) -> Result<Option<String>, StoreError> {
        Ok(self.tables.blocklist_hash.get(&()).cloned())
    }

    fn replace_blocklist(&mut self, jids: &[String], dhash: Option<&str>) -> Result<(), StoreError> {
        self.tables.blocked.clear();
        for jid in jids {
            self.tables.blocked.put(jid.clone(), ());
        }
        self.set_blocklist_hash(dhash);
        Ok(())
    }

    fn change_block(
        &mut self,
        jid: &str,
        change: BlockChange,
        dhash: Option<&str>,
    ) -> Result<bool, StoreError> {
        let jid = jid.to_owned();
        let changed = match change {
            BlockChange::Block => {
                let new = !self.tables.blocked.contains(&jid);
                if new {
                    self.tables.blocked.put(jid, ());
                }
                new
            }
            BlockChange::Unblock => self.tables.blocked.remove(&jid),
        };
        self.set_blocklist_hash(dhash);
        Ok(changed)
    }
}

impl IdentityEvents for MemoryTx<'_> {
    fn note_identity_change(
        &mut self,
        peer: &str,
        old: Option<&PublicKey>,
        sighting: Sighting<'_>,
        at: u64,
    ) -> Result<Noted, StoreError> {
        let known = |event: &IdentityEvent| {
            event.peer == peer
                && sighting.notification().is_some()
                && event.announcement.as_deref() == sighting.notification()
        };
        if self.tables.identity_events.iter().any(|(_, event)| known(event)) {
            return Ok(Noted::Known);
        }
        let events = self.tables.identity_events.iter().rev().map(|(_, event)| event);
        let latest = { events }.find(|event| event.peer == peer).cloned();
        match learn(latest, old, sighting) {
            Learnt::Known => Ok(Noted::Known),
            Learnt::More(event) => {
                self.tables.identity_events.put(event.seq, event);
                Ok(Noted::Known)
            }
            Learnt::New => {
                let seq = self.tables.identity_events.next_seq();
                let event = IdentityEvent {
                    seq,
                    peer: peer.to_owned(),
                    old: old.copied(),
                    new: sighting.key().copied(),
                    announcement: sighting.notification().map(str::to_owned),
                    at,
                    confirmed: false,
                };
                self.tables.identity_events.put(seq, event);
                Ok(Noted::New { seq })
            }
        }
    }

    fn unconfirmed_identity_changes(&self, limit: usize) -> Result<Vec<IdentityEvent>, StoreError> {
        let all = self.tables.identity_events.iter().map(|(_, event)| event);
        Ok(all.filter(|event| !event.confirmed).take(limit).cloned().collect())
    }

    fn confirm_identity_change(&mut self, seq: u64) -> Result<(), StoreError> {
        if let Some(event) = self.tables.identity_events.get(&seq).cloned() {
            self.tables.identity_events.put(seq, IdentityEvent { confirmed: true, ..event });
        }
        Ok(())
    }
}
