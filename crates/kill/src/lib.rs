//! The kill test: a client that is a process of its own, over an SQLite file and TCP, is killed at random instants and at
//! every commit of a script, and started again on the same file until all that was written has arrived.
//!
//! This process is the supervisor: it holds the sandbox with its phones, starts the [lives](life) of the client, kills
//! them, and compares what the client's application was shown with what the phones wrote, and the other way round.
//!
//! What has to hold after all kills:
//!
//! - Every text of a phone is shown to the application, in the order of its writing, and once. One exception: the
//!   application confirms a message by asking for the next event, so the last message that a killed life was shown, and no
//!   other, may be shown again, as the next one.
//! - Every text whose sending was promised to the application is on the phone's screen once, in order. A text whose
//!   sending was cut short by the kill is there once or not at all.
//! - Both sides agree that everything is delivered, at once after a life that was not killed: it took its leave, and the
//!   server has read all that it wrote.
//! - The sandbox sees no broken rule, but for handshakes that a kill has cut off.
//! - No message key, which is sender, ratchet key and counter, is seen with two ciphertexts; no one-time prekey is given
//!   away twice.
//!
//! ```
//! use landbridge_kill::Share;
//!
//! // Two tests divide the commit points between them.
//! assert_eq!(Share { part: 1, of: 2 }.points().take(3).collect::<Vec<_>>(), [1, 3, 5]);
//! ```

mod check;
mod connections;
mod error;
mod feed;
mod journal;
pub mod life;
mod partner;
mod recorder;
mod report;
mod runs;
mod world;

pub use error::KillError;
pub use report::Report;
pub use runs::{Script, Share, at_commit_points, at_random};
