//! WhatsApp users that live in this process.
//!
//! A [`Phone`] is an account with keys, sessions and messages of its own, in a store of its own. It is a second,
//! independent consumer of the lower crates: it shares no line with the facade that partners use, so that both being
//! wrong in the same way is unlikely.
//!
//! A phone does no I/O. The router hands it every stanza that it would write to the phone's socket
//! ([`Phone::handle`]), and does what comes back, in order: an [`Output::Send`] is a client stanza, to be treated as if
//! it had come from a socket. Each call is one step: whatever it changes is in the phone's store when it returns, so a
//! stanza that is given back may be acted upon at once. A call that fails has changed nothing, and the stanza is then
//! not acknowledged: it comes again with the next connection.
//!
//! ```text
//! open ─► connect ─► handle(stanza)* ─► … (a new connect after a restart or a replaced connection)
//!             │            │
//!             └─ outputs ──┴─► router
//! ```
//!
//! [`Attached`] is a phone and its place at the router; [`Phones`] are all of them.
//!
//! What a phone finds wrong with the content of others is an [`Output::Trouble`] with the rule. It takes what it can
//! take all the same, as WhatsApp does: the journal is strict, the phone is not.

mod attached;
mod chat;
mod error;
mod files;
mod garbage;
mod keys;
mod life;
mod output;
mod outside;
mod phone;
mod receive;
mod registry;
mod relate;
mod retry;
mod send;
mod step;
#[cfg(test)]
mod tests;
mod tricks;
mod updates;
mod user;

pub use chat::{Direction, MessageState, PhoneMessage};
pub use error::PhoneError;
pub use garbage::{Garbage, UnknownGarbage};
pub use outside::OutsidePhone;
pub use phone::PhoneInfo;
pub use relate::Reaction;

pub(crate) use attached::Attached;
pub(crate) use garbage::damage;
pub(crate) use output::Output;
pub(crate) use phone::Phone;
pub(crate) use registry::{Phones, create, remove, resume};
pub(crate) use user::Done;

use output::{PhoneReceipt, Trouble};
use phone::Identity;
