//! The lineage in memory. Nobody opens such a store, so its epoch moves only when it is told to.

use super::{Counter, MemoryTx};
use crate::keybook::{KEY_ID_GAP, jump};
use crate::{Lineage, LineageStore, OutState, StoreError};

impl LineageStore for MemoryTx<'_> {
    fn lineage(&self) -> Result<Lineage, StoreError> {
        Ok(self.tables.lineage.get(&()).copied().unwrap_or_default())
    }

    fn set_lineage(&mut self, lineage: &Lineage) -> Result<(), StoreError> {
        self.tables.lineage.put((), *lineage);
        Ok(())
    }

    fn renew_sessions(&mut self) -> Result<u64, StoreError> {
        let sessions: Vec<_> =
            self.tables.sessions.iter().map(|(peer, record)| (peer.clone(), record.clone())).collect();
        let mut retired = 0;
        for (peer, mut record) in sessions {
            // Sessions that do not read can open nothing either.
            match record.retire() {
                Ok(()) => self.tables.sessions.put(peer, record),
                Err(_) => drop(self.tables.sessions.remove(&peer)),
            }
            retired += 1;
        }
        let outbox = self.tables.outbox.iter().map(|(_, entry)| entry);
        let pending: Vec<_> = outbox.filter(|entry| entry.state == OutState::Pending).cloned().collect();
        for mut entry in pending {
            entry.message.stanza = Vec::new();
            self.tables.outbox.put(entry.seq, entry);
        }
        let keys: Vec<_> = self.tables.prekeys.iter().map(|(id, row)| (*id, row.clone())).collect();
        for (id, mut row) in keys {
            row.uploaded = true;
            self.tables.prekeys.put(id, row);
        }
        let next = jump(self.tables.counter(Counter::NextPreKeyId), KEY_ID_GAP);
        self.tables.counters.put(Counter::NextPreKeyId, next);
        self.tables.counters.put(Counter::NextSignedId, next);
        Ok(retired)
    }
}
