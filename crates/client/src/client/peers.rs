//! What is asked of the server, and told to it, about the user and others.

use std::sync::PoisonError;

use landbridge_stanza::chatstate::ChatState;
use landbridge_stanza::presence::Availability;
use landbridge_wire::Jid;

use super::{Client, RoundTrip};
use crate::error::Error;
use crate::keys::PeerKeys;

impl Client {
    /// Shows the peer that the user writes, records, or has stopped. Only peers who are there see it; nothing is stored.
    ///
    /// Call it with every keystroke, if that is simplest: the peer is told at once, then every 10 seconds at most, and that the user has
    /// stopped after 5 seconds without a call, or when a message goes out. A recording goes on until it is ended. (The times are
    /// the profile's.)
    ///
    /// # Cancel safety
    ///
    /// Safe.
    ///
    /// # Errors
    ///
    /// [`Error::NotConnected`], [`Error::BadAddress`], [`Error::Disconnected`].
    pub async fn set_typing(&self, to: &Jid, state: ChatState) -> Result<(), Error> {
        let session = self.inner.session()?;
        let to = crate::messages::recipient(&self.inner, to)?;
        session.set_typing(&to, state).await
    }

    /// Tells whether the app is in front: peers' typing and presence come only while it is (PEERS). It is, until something else is
    /// said, and each later login says the same; [`fetch_once`](Self::fetch_once) alone comes as one who is not there.
    ///
    /// # Cancel safety
    ///
    /// The next login says it at the latest.
    ///
    /// # Errors
    ///
    /// [`Error::Disconnected`]. Without a connection, it is remembered for the next one.
    pub async fn set_presence(&self, availability: Availability) -> Result<(), Error> {
        *self.inner.presence.lock().unwrap_or_else(PoisonError::into_inner) = availability;
        match self.inner.session() {
            Ok(session) => session.tell_presence(availability).await,
            Err(_) => Ok(()),
        }
    }

    /// Asks the server for an answer, and measures it.
    ///
    /// # Cancel safety
    ///
    /// Safe: a late answer is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::NotConnected`], [`Error::TimedOut`], [`Error::Disconnected`].
    pub async fn ping(&self) -> Result<RoundTrip, Error> {
        let session = self.inner.session()?;
        session.ping().await
    }

    /// Fetches a peer's keys and begins a session with them. Not needed before sending: that does it by itself. Each call
    /// uses up one of the peer's one-time keys.
    ///
    /// # Cancel safety
    ///
    /// A key of the peer may have been used up for nothing.
    ///
    /// # Errors
    ///
    /// [`Error::NoKeys`], [`Error::BadKeys`], [`Error::BadAddress`], [`Error::NotConnected`], [`Error::Store`].
    pub async fn fetch_keys(&self, of: &Jid) -> Result<PeerKeys, Error> {
        crate::keys::fetch(&self.inner, of).await
    }

    /// Blocks a user: what they send is no longer shown.
    ///
    /// # Cancel safety
    ///
    /// The server may have done it; [`blocklist`](Self::blocklist) tells.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], [`Error::NotConnected`], [`Error::Store`].
    pub async fn block(&self, user: &Jid) -> Result<(), Error> {
        crate::blocking::change(&self.inner, user, landbridge_stanza::blocklist::BlockAction::Block).await
    }

    /// Takes a block back. What was sent meanwhile does not come.
    ///
    /// # Cancel safety
    ///
    /// As [`block`](Self::block).
    ///
    /// # Errors
    ///
    /// As [`block`](Self::block).
    pub async fn unblock(&self, user: &Jid) -> Result<(), Error> {
        crate::blocking::change(&self.inner, user, landbridge_stanza::blocklist::BlockAction::Unblock).await
    }

    /// The blocked users: as the server has them if there is a connection, else as they were last known.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], [`Error::Store`].
    pub async fn blocklist(&self) -> Result<Vec<Jid>, Error> {
        crate::blocking::list(&self.inner).await
    }
}
