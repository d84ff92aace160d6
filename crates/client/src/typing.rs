//! Who writes at the moment: this user, so that peers may see it, and peers. Nothing of it is stored; it ends with the connection.
//!
//! The application reports every keystroke if it likes. A peer is told at once that the user writes, again only after a while, and
//! that the user has stopped: when the application says so, when a message is sent, or when no keystroke was reported for some
//! seconds. A recording has no keystrokes, so it goes on until it is ended. A peer of whom nothing more is heard has stopped.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use landbridge_stanza::chatstate::{ChatState, ChatStateOut};
use landbridge_stanza::profile::TypingProfile;
use landbridge_wire::Jid;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::Error;
use crate::event::Event;
use crate::session::Session;

/// Peers who write at the same time that are kept track of at most; of others, the application hears nothing.
const MAX_PEERS: usize = 1_024;

/// Who writes in the chats of a session.
#[derive(Default)]
pub(crate) struct Typing {
    book: Mutex<Book>,
    /// A deadline may have changed.
    news: Notify,
}

#[derive(Default)]
struct Book {
    own: BTreeMap<Jid, Own>,
    peers: BTreeMap<Jid, Peer>,
}

/// What this user does in a chat.
struct Own {
    state: ChatState,
    /// When the peer was last told.
    told: Instant,
    /// When the application last said so.
    heard: Instant,
}

/// What a peer does, and until when that is believed.
struct Peer {
    state: ChatState,
    until: Instant,
}

impl Own {
    /// When something is to be done about it.
    fn due(&self, profile: &TypingProfile) -> Instant {
        match self.state {
            ChatState::Recording => self.told + Duration::from_secs(profile.refresh_s),
            ChatState::Composing | ChatState::Paused => self.heard + Duration::from_secs(profile.rest_s),
        }
    }
}

impl Book {
    /// Takes in what the application says. What the peer is to be told now, if anything.
    fn set(
        &mut self,
        to: &Jid,
        state: ChatState,
        now: Instant,
        profile: &TypingProfile,
    ) -> Option<ChatState> {
        if state == ChatState::Paused {
            return self.own.remove(to).map(|_| ChatState::Paused);
        }
        let refresh = Duration::from_secs(profile.refresh_s);
        match self.own.get_mut(to) {
            Some(own) if own.state == state && now < own.told + refresh => {
                own.heard = now;
                None
            }
            _ => {
                self.own.insert(to.clone(), Own { state, told: now, heard: now });
                Some(state)
            }
        }
    }

    /// Takes in what a peer does. Whether that is news.
    fn hear(&mut self, from: &Jid, state: ChatState, until: Instant) -> bool {
        if state == ChatState::Paused {
            return self.peers.remove(from).is_some();
        }
        if self.peers.len() >= MAX_PEERS && !self.peers.contains_key(from) {
            return false;
        }
        let before = self.peers.insert(from.clone(), Peer { state, until });
        before.is_none_or(|before| before.state != state)
    }

    fn next_due(&self, profile: &TypingProfile) -> Option<Instant> {
        let own = self.own.values().map(|own| own.due(profile));
        own.chain(self.peers.values().map(|peer| peer.until)).min()
    }

    /// What is to be told to peers now, and which peers have stopped.
    fn overdue(&mut self, now: Instant, profile: &TypingProfile) -> (Vec<(Jid, ChatState)>, Vec<Jid>) {
        let mut tell = Vec::new();
        self.own.retain(|to, own| {
            if own.due(profile) > now {
                return true;
            }
            let goes_on = own.state == ChatState::Recording;
            own.told = now;
            tell.push((to.clone(), if goes_on { own.state } else { ChatState::Paused }));
            goes_on
        });
        let mut stopped = Vec::new();
        self.peers.retain(|from, peer| {
            let writes = peer.until > now;
            if !writes {
                stopped.push(from.clone());
            }
            writes
        });
        (tell, stopped)
    }
}

impl Typing {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn paused(from: Jid) -> Event {
    Event::Typing { from, state: ChatState::Paused }
}

impl Session {
    /// The application says what the user does.
    pub(crate) async fn set_typing(&self, to: &Jid, state: ChatState) -> Result<(), Error> {
        let profile = &self.inner.profile.typing;
        let tell = self.typing.book().set(to, state, Instant::now(), profile);
        self.typing.news.notify_one();
        match tell {
            Some(state) => self.tell_typing(to.clone(), state).await,
            None => Ok(()),
        }
    }

    async fn tell_typing(&self, to: Jid, state: ChatState) -> Result<(), Error> {
        self.send(&ChatStateOut { to, state }.to_node(&self.inner.profile)).await
    }

    /// A peer says what it does.
    pub(crate) fn peer_types(&self, from: Jid, state: ChatState) {
        let from = from.without_device();
        let until = Instant::now() + Duration::from_secs(self.inner.profile.typing.expire_s);
        let is_news = self.typing.book().hear(&from, state, until);
        self.typing.news.notify_one();
        if is_news {
            self.inner.events.push(Event::Typing { from, state });
        }
    }

    /// A message of a peer has come: it writes no longer.
    pub(crate) fn peer_has_written(&self, from: &Jid) {
        let stopped = self.typing.book().peers.remove(from);
        if stopped.is_some() {
            self.inner.events.push(paused(from.clone()));
        }
    }

    /// Nothing more will be heard of anybody.
    pub(crate) fn all_stop_typing(&self) {
        let peers = std::mem::take(&mut self.typing.book().peers);
        for from in peers.into_keys() {
            self.inner.events.push(paused(from));
        }
    }
}

/// Does what is due, as long as the session lives.
pub(crate) async fn run(session: Arc<Session>) -> Result<(), Error> {
    let profile = session.inner.profile.typing.clone();
    loop {
        let due = session.typing.book().next_due(&profile);
        let Some(due) = due else {
            session.typing.news.notified().await;
            continue;
        };
        tokio::select! {
            biased;
            () = session.typing.news.notified() => continue,
            () = tokio::time::sleep_until(due) => {}
        }
        let (tell, stopped) = session.typing.book().overdue(Instant::now(), &profile);
        for from in stopped {
            session.inner.events.push(paused(from));
        }
        for (to, state) in tell {
            session.tell_typing(to, state).await?;
        }
    }
}
