//! Key sets on both sides: the partners', which are polled, and the sandbox's own, which is published.
//!
//! What counts and when to ask again is decided by [`partners`](crate::partners); this module does the I/O for it.

mod poll;
mod push_keys;

pub(crate) use poll::spawn;
pub(crate) use push_keys::{Loaded, PushKeys};
