//! Relations in memory.

use super::MemoryTx;
use crate::{
    InboxEntry, MessageKey, OutState, Related, Relation, RelationKind, Relations, StoreError, Target,
};

/// What one sender can do once to one message.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    target: Target,
    kind: RelationKind,
    sender: Option<String>,
}

impl Slot {
    fn of(relation: &Relation) -> Self {
        Self { target: relation.target.clone(), kind: relation.kind, sender: relation.sender.clone() }
    }
}

impl MemoryTx<'_> {
    fn change_received(&mut self, key: &MessageKey, change: impl FnOnce(&mut InboxEntry)) {
        let seq = self.tables.inbox_keys.get(key).copied();
        if let Some(mut entry) = seq.and_then(|seq| self.tables.inbox.get(&seq)).cloned() {
            change(&mut entry);
            self.tables.inbox.put(entry.seq, entry);
        }
    }

    fn confirm_message(&mut self, key: &MessageKey) {
        self.change_received(key, |entry| {
            entry.confirmed = true;
            entry.message.plaintext = Vec::new();
        });
    }

    /// The stanza of a message that is pending stays: it goes out, and what takes it back follows.
    fn wipe_sent(&mut self, recipient: &str, id: &str) {
        if let Some(mut entry) = self.outbox_entry(recipient, id) {
            entry.message.plaintext = Vec::new();
            if entry.state != OutState::Pending {
                entry.message.stanza = Vec::new();
            }
            self.put_outbox(entry);
        }
    }

    /// A relation counts no longer.
    fn retire(&mut self, relation: &Relation) {
        if let Some(key) = relation.received() {
            self.confirm_message(&key);
            self.tables.relation_keys.remove(&key);
        } else if relation.kind == RelationKind::Edit {
            self.wipe_sent(&relation.target.chat, &relation.id);
        }
    }

    fn wipe_target(&mut self, target: &Target) {
        for relation in self.of_target(target) {
            if relation.kind != RelationKind::Revoke {
                self.retire(&relation);
                self.tables.relations.remove(&Slot::of(&relation));
            }
        }
        match target.received() {
            Some(key) => self.confirm_message(&key),
            None => self.wipe_sent(&target.chat, &target.id),
        }
    }

    fn of_target(&self, target: &Target) -> Vec<Relation> {
        let first = Slot { target: target.clone(), kind: RelationKind::Reaction, sender: None };
        let from_first = self.tables.relations.from(first);
        from_first
            .take_while(|(slot, _)| slot.target == *target)
            .map(|(_, relation)| relation.clone())
            .collect()
    }

    pub(super) fn forget_edits(&mut self, before: u64) {
        let all = self.tables.relations.iter();
        let old = all.filter(|(slot, relation)| slot.kind == RelationKind::Edit && relation.t < before);
        let old: Vec<_> = old.map(|(slot, relation)| (slot.clone(), relation.clone())).collect();
        for (slot, relation) in old {
            self.tables.relations.put(slot, Relation { content: Vec::new(), ..relation });
        }
    }

    /// Positions of what waits in a chat, in order.
    fn waiting_in(&self, chat: &str) -> Vec<(u64, String)> {
        let in_chat = self.tables.waiting.from((chat.to_owned(), 0));
        let in_chat = in_chat.take_while(|((of, _), _)| of == chat);
        in_chat.map(|((_, seq), target)| (*seq, target.clone())).collect()
    }
}

impl Relations for MemoryTx<'_> {
    fn set_aside(&mut self, seq: u64, target: &str, most: usize) -> Result<(), StoreError> {
        let Some(entry) = self.tables.inbox.get(&seq).cloned() else { return Ok(()) };
        let chat = entry.message.key.chat.clone();
        self.tables.inbox.put(seq, InboxEntry { confirmed: true, ..entry });
        self.tables.waiting.put((chat.clone(), seq), target.to_owned());
        let waiting = self.waiting_in(&chat);
        let too_many = waiting.len().saturating_sub(most);
        for (seq, _) in waiting.into_iter().take(too_many) {
            self.discard(seq)?;
        }
        Ok(())
    }

    fn waiting(&self, chat: &str, target: &str) -> Result<Vec<InboxEntry>, StoreError> {
        let found = self.waiting_in(chat).into_iter().filter(|(_, for_what)| for_what == target);
        Ok(found.filter_map(|(seq, _)| self.tables.inbox.get(&seq).cloned()).collect())
    }

    fn release(&mut self, seq: u64) -> Result<Option<u64>, StoreError> {
        let Some(mut entry) = self.tables.inbox.get(&seq).cloned() else { return Ok(None) };
        if !self.tables.waiting.remove(&(entry.message.key.chat.clone(), seq)) {
            return Ok(None);
        }
        entry.seq = self.tables.inbox.next_seq();
        entry.confirmed = false;
        let moved = entry.seq;
        self.tables.inbox_keys.put(entry.message.key.clone(), moved);
        self.tables.inbox.put(moved, entry);
        self.tables.inbox.remove(&seq);
        Ok(Some(moved))
    }

    fn discard(&mut self, seq: u64) -> Result<(), StoreError> {
        let Some(entry) = self.tables.inbox.get(&seq).cloned() else { return Ok(()) };
        self.tables.waiting.remove(&(entry.message.key.chat.clone(), seq));
        self.confirm_message(&entry.message.key);
        Ok(())
    }

    fn discard_waiting(&mut self, before: u64) -> Result<usize, StoreError> {
        let seqs = self.tables.waiting.iter().map(|((_, seq), _)| *seq);
        let is_old = |seq: &u64| self.tables.inbox.get(seq).is_some_and(|entry| entry.message.t < before);
        let old: Vec<u64> = seqs.filter(is_old).collect();
        for seq in &old {
            self.discard(*seq)?;
        }
        Ok(old.len())
    }

    fn relate(&mut self, relation: &Relation) -> Result<Related, StoreError> {
        let slot = Slot::of(relation);
        match self.tables.relations.get(&slot).cloned() {
            Some(before) if before.at_ms > relation.at_ms => return Ok(Related::Older),
            Some(before) => self.retire(&before),
            None => {}
        }
        self.tables.relations.put(slot.clone(), relation.clone());
        if relation.kind == RelationKind::Revoke {
            self.wipe_target(&relation.target);
        }
        if let Some(key) = relation.received() {
            self.change_received(&key, |entry| entry.message.plaintext = Vec::new());
            self.tables.relation_keys.put(key, slot);
        }
        Ok(Related::Newest)
    }

    fn relations(&self, target: &Target) -> Result<Vec<Relation>, StoreError> {
        Ok(self.of_target(target))
    }

    fn relation_of(&self, message: &MessageKey) -> Result<Option<Relation>, StoreError> {
        let slot = self.tables.relation_keys.get(message);
        Ok(slot.and_then(|slot| self.tables.relations.get(slot)).cloned())
    }
}
