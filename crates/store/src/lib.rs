//! What a client must keep, one transaction per step.
//!
//! A client of the interface loses no message and shows none twice only if everything that belongs to one step is kept or lost together:
//! the advanced ratchet with the message it opened, the ciphertext with the chain it came from, the receipt that is owed with both. So a store has one
//! entrance, [`ClientStore::begin`], and what it gives is a transaction, [`StoreTx`], that offers all the small traits at once:
//!
//! | trait | holds | written by |
//! |---|---|---|
//! | Signal's `IdentityStore`, `SessionStore`, `PreKeyStore`, `SignedPreKeyStore` | sessions, peers' identities, own keys | encryption, decryption |
//! | [`AccountStore`] | own keys and names, enlistment, protocol facts | enlistment, login, deletion |
//! | [`PreKeyBook`] | which keys are where | upload, rotation |
//! | [`Inbox`] | messages with raw content, dedupe keys, undecryptable ones | receiving |
//! | [`Relations`] | reactions, edits and revokes, and those whose message has not come yet | receiving, sending |
//! | [`Outbox`] | messages with content, ciphertext and state | sending, acks, receipts |
//! | [`Uploads`] | files on their way to the partner's server | sending files |
//! | [`Owed`] | receipts and acks to be sent | receiving |
//! | [`Blocklist`], [`IdentityEvents`] | what their names say | blocking; identity changes |
//! | [`PeerBook`] | which identity is verified, whether sending is held, when a session was rebuilt | identity changes, verifying, retries |
//! | [`LineageStore`] | which store this is, how far it has come, whether it was handed over | opening, export, connecting |
//! | [`Trail`] | what happened to each message, without what it says | every step |
//!
//! Two backends: [`SqliteStore`] (feature `sqlite`, on by default) and [`MemoryStore`]. A backend of your own runs the suite of [`conformance`].
//! The crate reads no clock, makes no keys and knows no stanza: times are unix seconds given by the caller, addresses are text, contents are bytes.
//!
//! ```
//! use landbridge_store::{ClientStore, Inbox, InboxMessage, MemoryStore, MessageKey, Seen, Stored};
//! # fn main() -> Result<(), landbridge_store::StoreError> {
//! let mut store = MemoryStore::new();
//! let key = MessageKey::direct("14155551001@s.whatsapp.net", "3EB0C431C26A1916E07E");
//!
//! let mut tx = store.begin()?;
//! // … decrypt with `&mut *tx` as the Signal store …
//! let message = InboxMessage { key: key.clone(), t: 1_700_000_000, kind: "text".into(), plaintext: b"\x0a\x02hi".to_vec(), notify: None };
//! assert_eq!(tx.store_message(&message)?, Stored::New { seq: 1 });
//! tx.commit()?; // without this line nothing would be kept
//!
//! assert_eq!(store.begin()?.seen(&key)?, Seen::Stored);
//! # Ok(()) }
//! ```

mod account;
mod blocklist;
pub mod conformance;
mod error;
#[cfg(feature = "export")]
mod export;
mod identity_events;
mod inbox;
mod keybook;
mod lineage;
mod memory;
mod outbox;
mod owed;
mod peers;
mod relations;
#[cfg(feature = "sqlite")]
mod sqlite;
mod trail;
mod uploads;

pub use account::{Account, AccountStore, Enlistment, Fact};
pub use blocklist::{BlockChange, Blocklist};
pub use error::StoreError;
#[cfg(feature = "export")]
pub use export::{ExportError, ExportSecret, KdfCost, Portable};
pub use identity_events::{IdentityEvent, IdentityEvents, Noted, Sighting};
pub use inbox::{Inbox, InboxEntry, InboxMessage, MessageKey, Seen, Stored, Undecryptable};
pub use keybook::{PreKeyBook, PreKeyCounts, SignedPreKeyEntry};
pub use lineage::{Lineage, LineageStore, Rollback};
pub use memory::MemoryStore;
pub use outbox::{Advanced, OutState, OutTimes, Outbox, OutboxEntry, OutboxMessage, Progress, Recrypt};
pub use owed::{Owed, OwedAnswer, OwedClass, OwedEntry};
pub use peers::{HeldRetry, PeerBook, PeerRecord};
pub use relations::{Related, Relation, RelationKind, Relations, Target};
#[cfg(feature = "sqlite")]
pub use sqlite::{CommitPoint, EpochWitness, FileWitness, Mark, SqliteStore, WitnessError};
pub use trail::{TRAIL_ENTRIES, TRAIL_PER_MESSAGE, TRAIL_SECONDS, Trail, TrailEntry, TrailStep};
pub use uploads::{Upload, UploadEntry, Uploads};

use std::path::Path;

use landbridge_signal::SignalStore;

/// A place where one client's state lives.
///
/// `begin` borrows the store, so there is one transaction at a time; and a transaction need not be `Send`, so it cannot be held across an
/// `.await` of a spawned task. Take it, do the whole step, commit, and only then touch the network.
pub trait ClientStore: Send {
    /// Begins a transaction.
    ///
    /// # Errors
    /// The backend fails.
    fn begin(&mut self) -> Result<Box<dyn StoreTx + '_>, StoreError>;

    /// Whether a step may wait for something outside the process, such as a disk. Where it never does, callers run it in
    /// place instead of on a thread for blocking work, and the order of everything stays a matter of one thread. It may.
    fn blocking(&self) -> Blocking {
        Blocking::May
    }

    /// A folder for files that belong to what is stored: of this store alone, and there as long as the store is. It need not have been
    /// made. `None` for a store that ends with the process: such files then have no name and end with it, too.
    fn folder(&self) -> Option<&Path> {
        None
    }

    /// The store as one that can be exported, if it can.
    #[cfg(feature = "export")]
    fn portable(&mut self) -> Option<&mut dyn Portable> {
        None
    }
}

/// Whether a step of a store may keep its thread waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocking {
    /// It may: not to be called on a thread that others wait for.
    May,
    /// It never does: all is in memory.
    Never,
}

/// A transaction: all the small traits, and an end. Dropping it without [`commit`](Self::commit) rolls back.
///
/// Reads see the transaction's own writes. After an error, drop the transaction: its writes may be incomplete.
pub trait StoreTx:
    SignalStore
    + AccountStore
    + PreKeyBook
    + Inbox
    + Relations
    + Outbox
    + Uploads
    + Owed
    + Blocklist
    + IdentityEvents
    + PeerBook
    + Trail
    + LineageStore
{
    /// Makes everything written in this transaction durable, as one.
    ///
    /// # Errors
    /// The backend fails: nothing of the transaction is kept.
    fn commit(self: Box<Self>) -> Result<(), StoreError>;

    /// The transaction as a Signal store, to pass to the functions of `landbridge-signal`.
    fn as_signal_store(&mut self) -> &mut dyn SignalStore;
}

impl ClientStore for Box<dyn ClientStore> {
    fn begin(&mut self) -> Result<Box<dyn StoreTx + '_>, StoreError> {
        (**self).begin()
    }

    fn blocking(&self) -> Blocking {
        (**self).blocking()
    }

    fn folder(&self) -> Option<&Path> {
        (**self).folder()
    }

    #[cfg(feature = "export")]
    fn portable(&mut self) -> Option<&mut dyn Portable> {
        (**self).portable()
    }
}
