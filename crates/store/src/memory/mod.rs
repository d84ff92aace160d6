//! A store in memory, for tests and simulations.

mod lineage;
mod messages;
mod peers;
mod protocol;
mod relations;
mod table;
mod trail;
mod uploads;

use landbridge_curve::{PrivateKey, PublicKey};
use landbridge_signal::{Address, PreKeyId, SessionRecord, SignalStore};

use crate::{
    Account, Blocking, ClientStore, HeldRetry, IdentityEvent, InboxEntry, Lineage, MessageKey, OutboxEntry,
    OwedAnswer, OwedClass, PeerRecord, Relation, SignedPreKeyEntry, StoreError, StoreTx, TrailEntry,
    Undecryptable, UploadEntry,
};
use table::Table;

/// A store that ends with the process. A clone is a snapshot: what a thief of the state at that moment would have.
#[derive(Clone, Default)]
pub struct MemoryStore {
    tables: Tables,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

impl ClientStore for MemoryStore {
    fn begin(&mut self) -> Result<Box<dyn StoreTx + '_>, StoreError> {
        Ok(Box::new(MemoryTx { tables: &mut self.tables }))
    }

    fn blocking(&self) -> Blocking {
        Blocking::Never
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Counter {
    NextPreKeyId,
    /// Where the ids of signed keys go on, if not behind the newest one.
    NextSignedId,
    UsedPreKeys,
    OwedSeq,
    TrailSeq,
    UploadSeq,
}

#[derive(Clone)]
struct PreKeyRow {
    key: PrivateKey,
    /// Order of making.
    seq: u64,
    uploaded: bool,
}

/// Class, address, participant, id: what one owed answer stands for.
type OwedKey = (OwedClass, String, Option<String>, String);

#[derive(Clone, Default)]
struct Tables {
    account: Table<(), Account>,
    facts: Table<&'static str, Vec<u8>>,
    counters: Table<Counter, u64>,
    sessions: Table<Address, SessionRecord>,
    identities: Table<Address, PublicKey>,
    approved: Table<Address, PublicKey>,
    prekeys: Table<PreKeyId, PreKeyRow>,
    prekey_order: Table<u64, PreKeyId>,
    signed_prekeys: Table<u64, SignedPreKeyEntry>,
    inbox: Table<u64, InboxEntry>,
    inbox_keys: Table<MessageKey, u64>,
    undecryptable: Table<MessageKey, Undecryptable>,
    /// (chat, position) to what the message waits for.
    waiting: Table<(String, u64), String>,
    relations: Table<relations::Slot, Relation>,
    /// Received messages to what they have done.
    relation_keys: Table<MessageKey, relations::Slot>,
    outbox: Table<u64, OutboxEntry>,
    /// (recipient, id) to position.
    outbox_keys: Table<(String, String), u64>,
    /// Recipient and position of what waits to be encrypted.
    unsealed: Table<(String, u64), ()>,
    uploads: Table<u64, UploadEntry>,
    /// (recipient, id) to position.
    upload_keys: Table<(String, String), u64>,
    owed: Table<u64, OwedAnswer>,
    owed_keys: Table<OwedKey, u64>,
    blocked: Table<String, ()>,
    blocklist_hash: Table<(), String>,
    identity_events: Table<u64, IdentityEvent>,
    peers: Table<String, PeerRecord>,
    /// By peer and message id.
    held_retries: Table<(String, String), HeldRetry>,
    lineage: Table<(), Lineage>,
    trail: Table<u64, TrailEntry>,
    /// (id, position).
    trail_ids: Table<(String, u64), ()>,
}

/// Does the same to every table, so that none is forgotten: a new field does not compile without a place here.
macro_rules! each_table {
    ($tables:expr, $method:ident) => {{
        let Tables {
            account,
            facts,
            counters,
            sessions,
            identities,
            approved,
            prekeys,
            prekey_order,
            signed_prekeys,
            inbox,
            inbox_keys,
            undecryptable,
            waiting,
            relations,
            relation_keys,
            outbox,
            outbox_keys,
            unsealed,
            uploads,
            upload_keys,
            owed,
            owed_keys,
            blocked,
            blocklist_hash,
            identity_events,
            peers,
            held_retries,
            lineage,
            trail,
            trail_ids,
        } = $tables;
        account.$method();
        facts.$method();
        counters.$method();
        sessions.$method();
        identities.$method();
        approved.$method();
        prekeys.$method();
        prekey_order.$method();
        signed_prekeys.$method();
        inbox.$method();
        inbox_keys.$method();
        undecryptable.$method();
        waiting.$method();
        relations.$method();
        relation_keys.$method();
        outbox.$method();
        outbox_keys.$method();
        unsealed.$method();
        uploads.$method();
        upload_keys.$method();
        owed.$method();
        owed_keys.$method();
        blocked.$method();
        blocklist_hash.$method();
        identity_events.$method();
        peers.$method();
        held_retries.$method();
        lineage.$method();
        trail.$method();
        trail_ids.$method();
    }};
}

impl Tables {
    fn counter(&self, counter: Counter) -> u64 {
        self.counters.get(&counter).copied().unwrap_or(0)
    }
}

struct MemoryTx<'a> {
    tables: &'a mut Tables,
}

impl StoreTx for MemoryTx<'_> {
    fn commit(self: Box<Self>) -> Result<(), StoreError> {
        // What follows is the drop, whose roll-back then finds empty logs.
        each_table!(&mut *self.tables, commit);
        Ok(())
    }

    fn as_signal_store(&mut self) -> &mut dyn SignalStore {
        self
    }
}

impl Drop for MemoryTx<'_> {
    fn drop(&mut self) {
        each_table!(&mut *self.tables, roll_back);
    }
}
