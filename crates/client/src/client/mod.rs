//! The handle, and what stands behind it.

mod inner;
mod messages;
mod peers;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use landbridge_wire::Jid;

use crate::builder::ClientBuilder;
use crate::connection::ConnectPlan;
use crate::error::{Ending, Error};
use crate::event::Events;
use crate::fetch::Fetched;
pub(crate) use inner::{Inner, Link, disconnected};

/// The least time between two calls of [`Client::wake`] that have an effect.
const BETWEEN_WAKES: Duration = Duration::from_secs(60);
/// The same for [`Client::network_changed`], which may come in bursts.
const BETWEEN_NETWORKS: Duration = Duration::from_secs(5);

/// Whether the peers are told that their messages were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadReceipts {
    /// They are, by [`Client::mark_read`].
    #[default]
    Send,
    /// They are not, nor that they were played.
    Withhold,
}

/// How long a ping took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoundTrip {
    /// From the request to its answer.
    pub time: Duration,
    /// The server's time in unix seconds, if it told.
    pub server_time: Option<u64>,
}

/// Closes the connection when the last handle is gone.
struct LastHandle(Arc<Inner>);

impl Drop for LastHandle {
    fn drop(&mut self) {
        if let Link::Up(session) = &*self.0.link() {
            session.end(Ending::Requested);
        }
        self.0.events.close();
    }
}

/// A client of the interface: one account, at most one connection.
///
/// A cheap handle; clones are the same client. The connection closes when the last one is dropped. Methods may be called
/// from any task, in any order; what needs a connection says [`Error::NotConnected`] without one.
///
/// See the [crate's documentation](crate) for a whole example.
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
    _alive: Arc<LastHandle>,
}

impl Client {
    pub(crate) fn new(inner: Inner) -> Self {
        let inner = Arc::new(inner);
        let alive = Arc::new(LastHandle(Arc::clone(&inner)));
        Self { inner, _alive: alive }
    }

    /// Settings for a new client.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// The stream of events. Call it before [`connect`](Self::connect); a second call ends the first stream.
    pub fn events(&self) -> Events {
        Events::new(Arc::clone(&self.inner))
    }

    /// Makes the user known at WhatsApp as `identifier` of the partner `integrator` (1..=999), and gives the user's
    /// address there.
    ///
    /// The keys are made and stored before the request is sent, so a lost answer is healed by calling this again. An
    /// account that is enlisted already is not enlisted anew.
    ///
    /// # Cancel safety
    ///
    /// The request may have been sent; call it again.
    ///
    /// # Errors
    ///
    /// [`Error::BadIdentity`], [`Error::OtherAccount`], [`Error::Token`], the `Enlistment…` errors, [`Error::Store`].
    /// Refusals that ask to wait are waited for when the wait is a minute at most, and reported otherwise.
    pub async fn enlist(&self, identifier: &str, integrator: u16) -> Result<Jid, Error> {
        crate::account::enlist(&self.inner, identifier, integrator).await
    }

    /// The account's own address, if it is enlisted.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing changes.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn address(&self) -> Result<Option<Jid>, Error> {
        crate::account::address(&self.inner).await
    }

    /// Opens one connection and logs in. When it returns, the login is accepted, keys are uploaded if it was the first
    /// one, and the mailbox is being delivered; messages that wait to be sent go out.
    ///
    /// How the connection ends is told by [`Event::Disconnected`](crate::Event::Disconnected) and [`closed`](Self::closed);
    /// [`run`](Self::run) connects again by itself.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what was opened.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyConnected`], [`Error::NotEnlisted`], [`Error::Token`], [`Error::Transport`],
    /// [`Error::Handshake`], [`Error::TimedOut`], [`Error::LoginRefused`] and others; see [`Error::reaction`].
    pub async fn connect(&self) -> Result<(), Error> {
        crate::connection::connect(&self.inner, ConnectPlan::default()).await
    }

    /// Waits until the present connection ends, and says how. Without one, how the last one ended; `None` if there was
    /// none or one is being made.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing changes.
    pub async fn closed(&self) -> Option<Arc<Ending>> {
        self.inner.closed().await
    }

    /// Connects, and connects again whenever the connection ends, until there is no point in it: the error says why.
    /// [`disconnect`](Self::disconnect) ends it, too.
    ///
    /// What each end leads to is one table, [`Cause`](crate::Cause), and a page of the documentation, `docs/reconnect.md`.
    ///
    /// [`wake`](Self::wake) and [`network_changed`](Self::network_changed) end a wait early.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the reconnecting; a connection that is up stays up.
    pub async fn run(&self) -> Error {
        crate::run::run(&self.inner).await
    }

    /// Ends a wait of [`run`](Self::run) before its time: the user acts, or a push has come. At most once per minute, so that
    /// a burst of pushes does not undo the back-off.
    pub fn wake(&self) {
        self.inner.end_wait(BETWEEN_WAKES);
    }

    /// The device has another network, or has one again: a wait of [`run`](Self::run) ends, and a connection that is up is
    /// tried with a ping, which ends it if it did not live through the change.
    pub fn network_changed(&self) {
        match &*self.inner.link() {
            Link::Up(session) if !session.has_ended() => session.probe.notify_one(),
            _ => self.inner.end_wait(BETWEEN_NETWORKS),
        }
    }

    /// Enlists the account anew after [`Event::MustReenlist`](crate::Event::MustReenlist), with the keys that are there: identity, sessions and messages
    /// stay, the address may be another one. [`run`](Self::run) does it by itself.
    ///
    /// # Cancel safety
    ///
    /// The request may have been sent; call it again.
    ///
    /// # Errors
    ///
    /// [`Error::NotEnlisted`] if there is no account, [`Error::Token`], the `Enlistment…` errors, [`Error::Store`].
    pub async fn reenlist(&self) -> Result<Jid, Error> {
        crate::account::reenlist(&self.inner).await
    }

    /// Closes the connection in order: what is on its way out is written, and the server has read it when this returns, if
    /// it closes its side within two seconds. What waits to be sent stays stored.
    ///
    /// # Cancel safety
    ///
    /// The connection closes all the same.
    pub async fn disconnect(&self) {
        if let Ok(session) = self.inner.session() {
            session.end(Ending::Requested);
            session.written_out().await;
        }
    }

    /// Connects after a push, takes what waits in the mailbox, and leaves: within `limit`, the connecting included. What
    /// waits to be sent goes out meanwhile, but is not waited for.
    ///
    /// # Cancel safety
    ///
    /// What has come is stored. A connection that is up stays up; [`disconnect`](Self::disconnect) closes it.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect), and [`Error::Store`]. A mailbox that is not empty in time, or a connection that ends
    /// before, is no error: see [`Fetched::caught_up`].
    pub async fn fetch_once(&self, limit: Duration) -> Result<Fetched, Error> {
        crate::fetch::once(&self.inner, limit).await
    }

    /// Deletes the account at WhatsApp, then every key in the store. Messages stay; they are the application's. There is no
    /// way back: a new enlistment gives a new address.
    ///
    /// # Cancel safety
    ///
    /// Once asked for, the deletion is asked for again after the next login until it is confirmed.
    ///
    /// # Errors
    ///
    /// [`Error::NotConnected`], [`Error::Refused`], [`Error::Disconnected`], [`Error::Store`].
    pub async fn delete_account(&self) -> Result<(), Error> {
        crate::account::delete(&self.inner).await
    }

    /// How many logins have failed since the last good one.
    pub fn failed_logins(&self) -> u32 {
        self.inner.failed_logins.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let link = match &*self.inner.link() {
            Link::Down(_) => "down",
            Link::Opening => "opening",
            Link::Up(_) => "up",
        };
        f.debug_struct("Client").field("connection", &link).finish_non_exhaustive()
    }
}
