//! Receipts and acks that are owed to the server: written in the transaction that stores what they are for.

use crate::StoreError;

/// What kind of answer is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OwedClass {
    /// A delivery receipt.
    Delivery,
    /// A read receipt.
    Read,
    /// A played receipt.
    Played,
    /// A retry receipt.
    Retry,
    /// An ack, with or without an error code.
    Ack,
}

impl OwedClass {
    /// All classes.
    pub const ALL: [Self; 5] = [Self::Delivery, Self::Read, Self::Played, Self::Retry, Self::Ack];

    /// The stored number: stable across releases.
    pub const fn code(self) -> u8 {
        match self {
            Self::Delivery => 0,
            Self::Read => 1,
            Self::Played => 2,
            Self::Retry => 3,
            Self::Ack => 4,
        }
    }

    /// What it is, as a phrase.
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Delivery => "delivery receipt",
            Self::Read => "read receipt",
            Self::Played => "played receipt",
            Self::Retry => "retry receipt",
            Self::Ack => "ack",
        }
    }

    /// The class with that number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.code() == code)
    }
}

/// A receipt or ack to be sent. Class, address, participant and id allow receipts to be merged into lists; the stanza is
/// the answer on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwedAnswer {
    /// What it is.
    pub class: OwedClass,
    /// The address it goes to.
    pub to: String,
    /// The author, in groups.
    pub participant: Option<String>,
    /// The id of the stanza that is answered.
    pub id: String,
    /// The encoded stanza.
    pub stanza: Vec<u8>,
}

/// An owed answer with its place in the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwedEntry {
    /// Position in the order of owing, from 1, growing.
    pub seq: u64,
    /// The answer.
    pub answer: OwedAnswer,
}

/// Answers owed. Called by the receiving path in the transaction that stores the message, and by the writer once the
/// answer is on its way.
pub trait Owed {
    /// Notes an answer. One with the same class, address, participant and id takes the place of the older one and keeps its position.
    ///
    /// # Errors
    /// The backend fails.
    fn owe(&mut self, answer: &OwedAnswer) -> Result<u64, StoreError>;

    /// What is owed, in order, at most `limit`. After commit, and after a reconnect.
    ///
    /// # Errors
    /// The backend fails, or a record does not parse.
    fn owed(&self, limit: usize) -> Result<Vec<OwedEntry>, StoreError>;

    /// The answers are written: forget them. Unknown positions are passed over.
    ///
    /// # Errors
    /// The backend fails.
    fn settle(&mut self, seqs: &[u64]) -> Result<(), StoreError>;
}
