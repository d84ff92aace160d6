//! Who is connected, and how the parts of the sandbox reach a connection.
//!
//! Nothing that must not be lost goes through here: it is in the mailbox, and a connection is poked to look there. So the
//! order is the mailbox's, a slow client holds up nobody, and a connection that dies loses nothing.

mod account;
mod dispatch;
mod keys;
mod messages;
mod receipts;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use landbridge_wire::{Jid, Node};
use tokio::sync::{Notify, mpsc, watch};

use crate::db::UserId;
use crate::state::lock;

pub(crate) use dispatch::Finish;
pub(crate) use messages::Bucket;

/// Typing and the like that a connection has not read yet; more is dropped.
const EPHEMERAL: usize = 64;

/// Why the sandbox ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The same account connected again.
    Replaced,
    /// The account is gone.
    Removed,
    /// The account was enlisted with another static key.
    KeyChanged,
    /// The sandbox stops.
    Shutdown,
}

/// How a connection found its account's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nobody was there.
    Free,
    /// An older connection was, and has to go.
    TakenOver,
    /// A connection is there whose login came later: this one has to go.
    Taken,
}

/// One connection of an account, be it a socket's or a test phone's.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) connection: u64,
    /// Place of its login among all logins, in the order in which they came.
    login: u64,
    pub(crate) user: UserId,
    pub(crate) jid: Jid,
    poke: Notify,
    active: AtomicBool,
    available: AtomicBool,
    ephemeral: mpsc::Sender<Node>,
    end: watch::Sender<Option<End>>,
}

/// What a connection listens to.
pub(crate) struct Ears {
    pub(crate) ephemeral: mpsc::Receiver<Node>,
    pub(crate) end: watch::Receiver<Option<End>>,
}

impl Session {
    pub(crate) fn new(connection: u64, login: u64, user: UserId, jid: Jid) -> (Arc<Self>, Ears) {
        let (ephemeral, ephemeral_ear) = mpsc::channel(EPHEMERAL);
        let (end, end_ear) = watch::channel(None);
        let session = Self {
            connection,
            login,
            user,
            jid,
            poke: Notify::new(),
            active: AtomicBool::new(false),
            available: AtomicBool::new(false),
            ephemeral,
            end,
        };
        (Arc::new(session), Ears { ephemeral: ephemeral_ear, end: end_ear })
    }

    /// Waits until there may be new mail. A poke while nobody waits is kept.
    pub(crate) async fn poked(&self) {
        self.poke.notified().await;
    }

    pub(crate) fn poke(&self) {
        self.poke.notify_one();
    }

    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed)
    }

    pub(crate) fn set_active(&self, active: bool) {
        self.active.store(active, Ordering::Relaxed);
    }

    pub(crate) fn set_available(&self, available: bool) {
        self.available.store(available, Ordering::Relaxed);
    }

    pub(crate) fn end(&self, why: End) {
        self.end.send_if_modified(|end| {
            let first = end.is_none();
            if first {
                *end = Some(why);
            }
            first
        });
    }
}

/// All connections, one per account.
#[derive(Debug, Default)]
pub(crate) struct Router {
    sessions: Mutex<HashMap<UserId, Arc<Session>>>,
    /// Position of the last stanza of the mailbox that each user was ever sent. A user without one was sent all of it.
    delivered: Mutex<HashMap<UserId, i64>>,
}

impl Router {
    /// Takes a connection in. An older one of the account is told to end; one that logged in later stays.
    pub(crate) fn attach(&self, session: &Arc<Session>) -> Place {
        let mut sessions = lock(&self.sessions);
        let old = match sessions.get(&session.user) {
            Some(there) if there.login > session.login => return Place::Taken,
            _ => sessions.insert(session.user, Arc::clone(session)),
        };
        match old {
            Some(old) if old.connection != session.connection => {
                old.end(End::Replaced);
                Place::TakenOver
            }
            _ => Place::Free,
        }
    }

    /// Lets a connection go, unless a newer one has taken its place. Says whether the user is away then.
    pub(crate) fn detach(&self, session: &Session) -> bool {
        let mut sessions = lock(&self.sessions);
        let current =
            sessions.get(&session.user).is_some_and(|current| current.connection == session.connection);
        if current {
            sessions.remove(&session.user);
        }
        current
    }

    fn get(&self, user: UserId) -> Option<Arc<Session>> {
        lock(&self.sessions).get(&user).cloned()
    }

    pub(crate) fn is_connected(&self, user: UserId) -> bool {
        lock(&self.sessions).contains_key(&user)
    }

    /// A user is sent the stanza of this position.
    pub(crate) fn delivered(&self, user: UserId, position: i64) {
        let mut delivered = lock(&self.delivered);
        let last = delivered.entry(user).or_insert(position);
        *last = position.max(*last);
    }

    /// Position of the last stanza that a user was ever sent: what lies behind it cannot have been acked.
    fn last_delivered(&self, user: UserId) -> i64 {
        lock(&self.delivered).get(&user).copied().unwrap_or(i64::MAX)
    }

    /// Tells a user's connection that there is mail.
    pub(crate) fn poke(&self, user: UserId) {
        if let Some(session) = self.get(user) {
            session.poke();
        }
    }

    /// Ends a user's connection.
    pub(crate) fn end(&self, user: UserId, why: End) {
        if let Some(session) = self.get(user) {
            session.end(why);
        }
    }

    /// Ends all connections.
    pub(crate) fn end_all(&self, why: End) {
        for session in lock(&self.sessions).values() {
            session.end(why);
        }
    }

    /// Passes on what is not stored, if the user is there to see it; otherwise it is gone.
    pub(crate) fn whisper(&self, user: UserId, stanza: Node) {
        if let Some(session) = self.get(user)
            && session.is_active()
            && session.available.load(Ordering::Relaxed)
        {
            // A connection that does not keep up misses some typing, nothing else.
            let _ = session.ephemeral.try_send(stanza);
        }
    }
}
