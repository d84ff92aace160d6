//! The trail in memory.

use super::{Counter, MemoryTx};
use crate::trail::{TRAIL_ENTRIES, TRAIL_PER_MESSAGE, TRAIL_SECONDS, TRAIL_SWEEP, TRAIL_SWEPT};
use crate::{StoreError, Trail, TrailEntry, TrailStep};

impl MemoryTx<'_> {
    fn forget_steps(&mut self, seqs: Vec<u64>) {
        for seq in seqs {
            let Some(entry) = self.tables.trail.get(&seq) else { continue };
            let key = (entry.id.clone(), seq);
            self.tables.trail_ids.remove(&key);
            self.tables.trail.remove(&seq);
        }
    }

    fn steps_of(&self, id: &str) -> impl Iterator<Item = &TrailEntry> {
        let all = self.tables.trail_ids.after((id.to_owned(), 0));
        let same = all.take_while(move |((other, _), ())| other == id);
        same.filter_map(|((_, seq), ())| self.tables.trail.get(seq))
    }
}

impl Trail for MemoryTx<'_> {
    fn note(&mut self, chat: &str, id: &str, at: u64, step: &TrailStep) -> Result<(), StoreError> {
        let before = self.steps_of(id).filter(|entry| entry.chat == chat).count();
        if u64::try_from(before).unwrap_or(u64::MAX) >= TRAIL_PER_MESSAGE {
            return Ok(());
        }
        let seq = self.tables.counter(Counter::TrailSeq) + 1;
        self.tables.counters.put(Counter::TrailSeq, seq);
        let (chat, id, step) = (chat.to_owned(), id.to_owned(), step.clone());
        self.tables.trail_ids.put((id.clone(), seq), ());
        self.tables.trail.put(seq, TrailEntry { seq, at, chat, id, step });
        if seq.is_multiple_of(TRAIL_SWEEP) {
            let last = seq.saturating_sub(TRAIL_ENTRIES);
            let surplus = self.tables.trail.iter().map(|(seq, _)| *seq).take_while(|seq| *seq <= last);
            let surplus = surplus.collect();
            self.forget_steps(surplus);
            let before = at.saturating_sub(TRAIL_SECONDS);
            let old = self.tables.trail.iter().take(TRAIL_SWEPT).filter(|(_, entry)| entry.at < before);
            let old = old.map(|(seq, _)| *seq).collect();
            self.forget_steps(old);
        }
        Ok(())
    }

    fn trail(&self, id: &str) -> Result<Vec<TrailEntry>, StoreError> {
        Ok(self.steps_of(id).cloned().collect())
    }
}
