//! Pushes: a partner's user who is not connected is told, by way of the partner's server, that something waits.
//! `POST {base}/push` (SEED).
//!
//! | module | what |
//! |---|---|
//! | `rules` | what an answer means, how long to wait |
//! | `board`, `lane` | who is due: decisions alone, no I/O and no clock |
//! | `sender` | the task that carries the decisions out |
//! | `exchange` | one request and its answer |
//! | `bearer` | what a push proves itself with |
//! | `mischief` | pushes as they should not be |
//! | `report` | what the control API shows |
//!
//! The rest of the sandbox says what has happened ([`State::news`], [`State::attach`], [`State::detach`]) and does not
//! wait for anything here. Plans are kept beside the mailbox, as soon as they change: a sandbox that starts again goes on
//! with them, and pushes for mail of which no plan has thought. A push whose answer the process did not live to see is
//! sent again.

mod bearer;
mod board;
mod exchange;
mod lane;
mod mischief;
mod report;
mod rules;
mod sender;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, MutexGuard};

use landbridge_wire::Jid;
use tokio::sync::{Notify, watch};

pub use board::{LastPush, PushReason};
pub use exchange::PushVersion;
pub use report::{PartnerPushes, PushReport, PushState, UserPushes};
pub(crate) use sender::spawn;

use crate::SandboxError;
use crate::db::{User, UserId};
use crate::faults::Fault;
use crate::router::{Place, Session};
use crate::state::{State, lock};
use board::{Board, Extra, Recipient};

/// Who is to be pushed for.
#[derive(Debug)]
pub(crate) struct Pushes {
    /// `None` as long as nobody sends pushes: then nothing is noted either.
    board: Mutex<Option<Board>>,
    /// Something has happened that the sender should look at.
    changed: Notify,
    /// Exchanges that have ended, for those that wait to be overtaken.
    ended: watch::Sender<u64>,
}

impl Pushes {
    pub(crate) fn new() -> Self {
        Self { board: Mutex::new(None), changed: Notify::new(), ended: watch::Sender::new(0) }
    }

    fn board(&self) -> MutexGuard<'_, Option<Board>> {
        lock(&self.board)
    }

    /// Lets the sender look at the clock and at the board again.
    pub(crate) fn look(&self) {
        self.changed.notify_one();
    }
}

impl User {
    /// Whom a push for this account is for; a test phone gets none.
    fn recipient(&self) -> Option<Recipient> {
        let identifier = self.identifier.clone().filter(|_| self.authkey.is_some())?;
        let (user, jid, integrator) = (self.id, self.jid.clone(), self.jid.integrator());
        Some(Recipient { user, jid, integrator, identifier })
    }
}

impl State {
    /// Tells the board something, with the time, and lets the sender look; `None` if nobody sends pushes. The clock is read
    /// behind the lock: to the board, a time that is earlier than the last one is a clock that was set back.
    fn tell_board<T>(&self, what: impl FnOnce(&mut Board, u64) -> T) -> Option<T> {
        let told = self.pushes.board().as_mut().map(|board| {
            let told = what(board, self.clock.millis());
            self.keep_pushes(board);
            told
        });
        if told.is_some() {
            self.pushes.look();
        }
        told
    }

    /// Keeps what has changed on the board, which the caller has locked: what is kept later is newer.
    fn keep_pushes(&self, board: &mut Board) {
        let (now, changes) = board.changes();
        if changes.is_empty() || !self.db.is_on_disk() {
            return;
        }
        if let Err(error) = self.db.write(|tx| tx.keep_pushes(now, &changes)) {
            self.internal("planned pushes could not be kept", &error);
        }
    }

    /// What an earlier run has planned, and news of mail that it did not think of.
    fn resume_pushes(&self, board: &mut Board) -> Result<(), SandboxError> {
        self.db.read(|tx| {
            board.begin_at(tx.push_clock()?);
            for (user, last) in tx.users_to_push_for()? {
                let Some(to) = user.recipient() else { continue };
                let kept = tx.kept_pushes(user.id)?;
                if let Some(kept) = &kept {
                    board.restore(to.clone(), kept);
                }
                if last > kept.map_or(0, |kept| kept.seen) {
                    board.news(to, self.clock.millis());
                    board.saw(user.id, last);
                }
            }
            Ok(())
        })
    }

    /// Something new is in a user's mailbox: a connection looks there, and without one a push says so.
    pub(crate) fn news(&self, user: &User) {
        self.router.poke(user.id);
        let Some(to) = user.recipient() else { return };
        // Read before the board hears of it: whatever comes later has news of its own.
        let last = if self.db.is_on_disk() { self.db.read(|tx| tx.last_mail(user.id)) } else { Ok(0) };
        let last = last.unwrap_or_else(|error| {
            self.internal("a mailbox cannot be read", &error);
            0
        });
        self.tell_board(|board, now| {
            board.news(to, now);
            board.saw(user.id, last);
        });
    }

    /// Takes a connection in.
    pub(crate) fn attach(&self, session: &std::sync::Arc<Session>) -> Place {
        let place = self.router.attach(session);
        if place != Place::Taken {
            self.tell_board(|board, now| board.came(session.user, now));
        }
        place
    }

    /// Lets a connection go.
    pub(crate) fn detach(&self, session: &Session) {
        if self.router.detach(session) {
            self.tell_board(|board, now| board.went(session.user, now));
        }
    }

    /// An account is gone.
    pub(crate) fn forget_pushes(&self, user: UserId) {
        self.tell_board(|board, _| board.forget(user));
    }

    /// Pushes for a user who has just connected, if a fault wants it so.
    pub(crate) fn push_by_chance(&self, user: &User) {
        let Some(Recipient { jid, integrator, identifier, .. }) = user.recipient() else { return };
        if self.pushes.board().is_none() || self.faults.roll(Fault::PushConnected).is_none() {
            return;
        }
        self.injected(Fault::PushConnected, None, Some(&jid), None, "a push, though the user is connected");
        self.tell_board(|board, _| board.add(Extra { jid: Some(jid), integrator, identifier }));
    }

    /// Pushes for a user now, whatever else is planned; false for a test phone, and while no pushes are sent.
    pub(crate) fn push_now(&self, jid: &Jid) -> Result<bool, SandboxError> {
        let user = self.live_user(jid)?.ok_or(SandboxError::NoSuchUser)?;
        let asked = user.recipient().and_then(|to| self.tell_board(|board, now| board.ask(to, now)));
        Ok(asked.is_some())
    }

    /// Where the pushes stand.
    pub(crate) fn push_report(&self) -> PushReport {
        let board = self.pushes.board();
        let none = || PushReport { pushes: Vec::new(), partners: Vec::new() };
        board.as_ref().map_or_else(none, Board::report)
    }
}
