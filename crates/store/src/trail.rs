//! What happened to each message, step by step: enough to explain it, and nothing of what it says.

use std::fmt;

use crate::{OutState, OwedClass, StoreError};

/// Entries kept in all. The oldest go first.
pub const TRAIL_ENTRIES: u64 = 65_536;
/// Entries kept about one message. Further ones are not written: a peer who repeats a message for ever fills nothing.
pub const TRAIL_PER_MESSAGE: u64 = 100;
/// How long an entry is kept, in seconds: 31 days, a day more than a mailbox keeps a message (SEED).
pub const TRAIL_SECONDS: u64 = 31 * 86_400;

/// So many entries are written between two looks at what is too old.
pub(crate) const TRAIL_SWEEP: u64 = 256;
/// So many of the oldest entries are looked at then: twice as many as have come, so that old ones do go.
pub(crate) const TRAIL_SWEPT: usize = 512;

/// One thing that happened to a message. Phrases are the library's own: no text, no key, no name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrailStep {
    /// Ours: encrypted, and stored to be sent.
    Queued,
    /// Ours: stored; to be encrypted later.
    Held,
    /// Ours: its bytes were handed to the connection.
    Written,
    /// Ours: the server has taken it.
    Acked,
    /// Ours: the server could not take it now; the same bytes go again.
    Postponed {
        /// After so many seconds.
        seconds: u64,
    },
    /// Ours: a report moved it on.
    Moved {
        /// To this state.
        state: OutState,
    },
    /// Ours: refused or given up.
    Failed {
        /// Why, as a phrase.
        reason: String,
    },
    /// Ours: encrypted anew under the same id, since the session it was encrypted in is gone.
    Reencrypted,
    /// Ours: the recipient could not open it and asks for it again.
    RetryAsked {
        /// For the how-manieth time.
        count: u64,
    },
    /// Ours: encrypted anew because it was asked for.
    RetryAnswered {
        /// Which request this answers.
        count: u64,
    },
    /// Ours: asked for again, and not sent again.
    RetryIgnored {
        /// Why, as a phrase.
        reason: String,
    },
    /// Either: a session was begun for it with keys that were fetched.
    SessionBegun,
    /// Theirs: opened and stored.
    Stored {
        /// What kind of content it is, such as `text`.
        kind: String,
    },
    /// Theirs: opened at last, in the place of a message that could not be read.
    Recovered {
        /// What kind of content it is.
        kind: String,
    },
    /// Theirs: a copy did not open.
    DecryptFailed {
        /// Why, as a phrase.
        reason: String,
    },
    /// Theirs: the sender is asked for it again.
    RetryRequested {
        /// For the how-manieth time.
        count: u64,
    },
    /// Theirs: it did not open, and the sender is not asked.
    NotAsked {
        /// Why, as a phrase.
        reason: String,
    },
    /// Theirs: known already; only the receipt is repeated.
    Duplicate,
    /// Theirs: refused to the server by name.
    Refused {
        /// The nack code (stanza catalogue 2.3).
        code: u64,
    },
    /// Theirs: not shown, though it opened.
    NotShown {
        /// Why, as a phrase.
        reason: String,
    },
    /// Theirs: its sender is blocked.
    Blocked,
    /// Theirs: it holds nothing for this client.
    Unavailable,
    /// Theirs: an answer was written to the server.
    Answered {
        /// Which.
        class: OwedClass,
    },
}

/// How a step is stored: a number that never changes its meaning, and what goes with it.
#[cfg(feature = "sqlite")]
pub(crate) struct Parts<'a> {
    pub(crate) step: u8,
    pub(crate) number: Option<u64>,
    pub(crate) detail: Option<&'a str>,
}

impl TrailStep {
    /// The stable name, for machines.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Held => "held",
            Self::Written => "written",
            Self::Acked => "acked",
            Self::Postponed { .. } => "postponed",
            Self::Moved { .. } => "moved",
            Self::Failed { .. } => "failed",
            Self::Reencrypted => "reencrypted",
            Self::RetryAsked { .. } => "retry_asked",
            Self::RetryAnswered { .. } => "retry_answered",
            Self::RetryIgnored { .. } => "retry_ignored",
            Self::SessionBegun => "session_begun",
            Self::Stored { .. } => "stored",
            Self::Recovered { .. } => "recovered",
            Self::DecryptFailed { .. } => "decrypt_failed",
            Self::RetryRequested { .. } => "retry_requested",
            Self::NotAsked { .. } => "not_asked",
            Self::Duplicate => "duplicate",
            Self::Refused { .. } => "refused",
            Self::NotShown { .. } => "not_shown",
            Self::Blocked => "blocked",
            Self::Unavailable => "unavailable",
            Self::Answered { .. } => "answered",
        }
    }

    #[cfg(feature = "sqlite")]
    pub(crate) fn parts(&self) -> Parts<'_> {
        let (step, number, detail) = match self {
            Self::Queued => (0, None, None),
            Self::Held => (1, None, None),
            Self::Written => (2, None, None),
            Self::Acked => (3, None, None),
            Self::Postponed { seconds } => (4, Some(*seconds), None),
            Self::Moved { state } => (5, Some(u64::from(state.code())), None),
            Self::Failed { reason } => (6, None, Some(reason)),
            Self::Reencrypted => (7, None, None),
            Self::RetryAsked { count } => (8, Some(*count), None),
            Self::RetryAnswered { count } => (9, Some(*count), None),
            Self::RetryIgnored { reason } => (10, None, Some(reason)),
            Self::SessionBegun => (11, None, None),
            Self::Stored { kind } => (12, None, Some(kind)),
            Self::Recovered { kind } => (13, None, Some(kind)),
            Self::DecryptFailed { reason } => (14, None, Some(reason)),
            Self::RetryRequested { count } => (15, Some(*count), None),
            Self::NotAsked { reason } => (16, None, Some(reason)),
            Self::Duplicate => (17, None, None),
            Self::Refused { code } => (18, Some(*code), None),
            Self::NotShown { reason } => (19, None, Some(reason)),
            Self::Blocked => (20, None, None),
            Self::Unavailable => (21, None, None),
            Self::Answered { class } => (22, Some(u64::from(class.code())), None),
        };
        Parts { step, number, detail: detail.map(String::as_str) }
    }

    /// The way back; `None` if a part is missing or a number is unknown.
    #[cfg(feature = "sqlite")]
    pub(crate) fn from_parts(step: u8, number: Option<u64>, detail: Option<String>) -> Option<Self> {
        let small = number.and_then(|number| u8::try_from(number).ok());
        Some(match step {
            0 => Self::Queued,
            1 => Self::Held,
            2 => Self::Written,
            3 => Self::Acked,
            4 => Self::Postponed { seconds: number? },
            5 => Self::Moved { state: OutState::from_code(small?)? },
            6 => Self::Failed { reason: detail? },
            7 => Self::Reencrypted,
            8 => Self::RetryAsked { count: number? },
            9 => Self::RetryAnswered { count: number? },
            10 => Self::RetryIgnored { reason: detail? },
            11 => Self::SessionBegun,
            12 => Self::Stored { kind: detail? },
            13 => Self::Recovered { kind: detail? },
            14 => Self::DecryptFailed { reason: detail? },
            15 => Self::RetryRequested { count: number? },
            16 => Self::NotAsked { reason: detail? },
            17 => Self::Duplicate,
            18 => Self::Refused { code: number? },
            19 => Self::NotShown { reason: detail? },
            20 => Self::Blocked,
            21 => Self::Unavailable,
            22 => Self::Answered { class: OwedClass::from_code(small?)? },
            _ => return None,
        })
    }
}

impl fmt::Display for TrailStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queued => f.write_str("encrypted and stored, to be sent"),
            Self::Held => f.write_str("stored, to be encrypted later"),
            Self::Written => f.write_str("handed to the connection"),
            Self::Acked => f.write_str("taken by the server"),
            Self::Postponed { seconds } => write!(f, "not taken now; the same bytes again in {seconds} s"),
            Self::Moved { state } => write!(f, "now {}", state.name()),
            Self::Failed { reason } => write!(f, "failed: {reason}"),
            Self::Reencrypted => f.write_str("encrypted anew, for its session is gone"),
            Self::RetryAsked { count } => {
                write!(f, "the recipient could not open it: request {count} for it")
            }
            Self::RetryAnswered { count } => write!(f, "encrypted anew in answer to request {count}"),
            Self::RetryIgnored { reason } => write!(f, "not sent again: {reason}"),
            Self::SessionBegun => f.write_str("a session was begun with fetched keys"),
            Self::Stored { kind } => write!(f, "opened and stored: {kind}"),
            Self::Recovered { kind } => write!(f, "opened at last and stored: {kind}"),
            Self::DecryptFailed { reason } => write!(f, "did not open: {reason}"),
            Self::RetryRequested { count } => write!(f, "asked for again: request {count}"),
            Self::NotAsked { reason } => write!(f, "not asked for again: {reason}"),
            Self::Duplicate => f.write_str("came again; only its receipt is repeated"),
            Self::Refused { code } => write!(f, "refused to the server with code {code}"),
            Self::NotShown { reason } => write!(f, "not shown: {reason}"),
            Self::Blocked => f.write_str("dropped, for its sender is blocked"),
            Self::Unavailable => f.write_str("holds nothing for this client"),
            Self::Answered { class } => write!(f, "{} written to the server", class.phrase()),
        }
    }
}

/// A step with its time and message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrailEntry {
    /// Position, from 1, growing, never reused.
    pub seq: u64,
    /// When, in unix seconds.
    pub at: u64,
    /// The chat: the peer's address as text.
    pub chat: String,
    /// The message id.
    pub id: String,
    /// What happened.
    pub step: TrailStep,
}

/// The trail of messages. Written in the transaction of the step that it tells of, so that it tells neither more nor less than
/// what was done.
pub trait Trail {
    /// Notes a step at `at` unix seconds. Bounded by [`TRAIL_ENTRIES`], [`TRAIL_PER_MESSAGE`] and [`TRAIL_SECONDS`].
    ///
    /// # Errors
    /// The backend fails.
    fn note(&mut self, chat: &str, id: &str, at: u64, step: &TrailStep) -> Result<(), StoreError>;

    /// All that is known of messages with this id, in whichever chat, oldest first.
    ///
    /// # Errors
    /// The backend fails, or an entry does not parse.
    fn trail(&self, id: &str) -> Result<Vec<TrailEntry>, StoreError>;
}
