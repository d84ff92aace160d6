//! What is remembered of peers, in memory.

use super::MemoryTx;
use crate::{HeldRetry, PeerBook, PeerRecord, StoreError};

impl PeerBook for MemoryTx<'_> {
    fn peer(&self, peer: &str) -> Result<PeerRecord, StoreError> {
        Ok(self.tables.peers.get(&peer.to_owned()).cloned().unwrap_or_default())
    }

    fn set_peer(&mut self, peer: &str, record: &PeerRecord) -> Result<(), StoreError> {
        if *record == PeerRecord::default() {
            self.tables.peers.remove(&peer.to_owned());
        } else {
            self.tables.peers.put(peer.to_owned(), record.clone());
        }
        Ok(())
    }

    fn peers(&self) -> Result<Vec<(String, PeerRecord)>, StoreError> {
        Ok(self.tables.peers.iter().map(|(peer, record)| (peer.clone(), record.clone())).collect())
    }

    fn hold_retry(&mut self, peer: &str, retry: &HeldRetry) -> Result<(), StoreError> {
        self.tables.held_retries.put((peer.to_owned(), retry.id.clone()), retry.clone());
        Ok(())
    }

    fn held_retries(&self, peer: &str, limit: usize) -> Result<Vec<HeldRetry>, StoreError> {
        let first = (peer.to_owned(), String::new());
        // No request has an empty id.
        let theirs = self.tables.held_retries.after(first).take_while(|((of, _), _)| of == peer);
        let mut theirs: Vec<HeldRetry> = theirs.map(|(_, retry)| retry.clone()).collect();
        theirs.sort_by(|a, b| (a.t, &a.id).cmp(&(b.t, &b.id)));
        theirs.truncate(limit);
        Ok(theirs)
    }

    fn peers_with_held_retries(&self) -> Result<Vec<String>, StoreError> {
        let mut peers: Vec<String> = self.tables.held_retries.iter().map(|((of, _), _)| of.clone()).collect();
        peers.dedup();
        Ok(peers)
    }

    fn settle_retry(&mut self, peer: &str, id: &str) -> Result<(), StoreError> {
        self.tables.held_retries.remove(&(peer.to_owned(), id.to_owned()));
        Ok(())
    }
}
