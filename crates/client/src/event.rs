//! What the client tells the application, in order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use landbridge_curve::PublicKey;
use landbridge_stanza::MessageId;
use landbridge_stanza::chatstate::ChatState;
use landbridge_stanza::notification::Reachability;
use landbridge_stanza::presence::Availability;
use landbridge_store::{IdentityEvent, InboxEntry, Lineage, OutState, Rollback, StoreTx};
use landbridge_wire::Jid;
use tokio::sync::Notify;

use crate::client::Inner;
use crate::error::{Ending, Error};
use crate::fetch::Fetched;
use crate::message::{ReceivedEdit, ReceivedMessage, ReceivedReaction, ReceivedRevoke};
use crate::messages::present::{self, Reader};
use crate::reconnect::Cause;
use crate::send_failure::SendFailure;
use crate::trust::{Sending, Verification};

/// Events that wait for the application at most; beyond it, messages wait in the store and others are counted.
const QUEUE: usize = 1_024;
/// Bytes of content that wait for the application at most; messages beyond it wait in the store.
const QUEUE_BYTES: usize = 2 * 1024 * 1024;
/// Messages read from the store at a time.
const PAGE: usize = 64;

/// Something happened.
///
/// Messages and what is done to them ([`Message`](Self::Message), [`Reaction`](Self::Reaction), [`Edited`](Self::Edited),
/// [`Revoked`](Self::Revoked)) and [`IdentityChanged`](Self::IdentityChanged) come from the store: each is handed out again
/// after a restart until the application has asked for the event after it. Of several edits or reactions that replace each
/// other, the last one alone may be handed out. All other events are lost with the process.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A login was accepted and the client may be reached.
    Connected {
        /// The server's time in unix seconds, if it told.
        server_time: Option<u64>,
    },
    /// The connection ended.
    Disconnected {
        /// How.
        ending: Arc<Ending>,
        /// Its row of the [table](crate::Cause).
        cause: Cause,
        /// Whether [`Client::run`](crate::Client::run) is at work and goes on by the table; [`Event::Reconnecting`] says when.
        will_retry: bool,
        /// When, in unix seconds.
        at: u64,
    },
    /// WhatsApp no longer knows the account, as after 30 days away (SEED). [`Client::run`](crate::Client::run) enlists it anew by
    /// itself; without it, [`Client::reenlist`](crate::Client::reenlist) does. Identity, sessions and messages stay.
    MustReenlist {
        /// The address that is gone.
        address: Jid,
    },
    /// The account was enlisted anew, with the same keys.
    Reenlisted {
        /// The address from now on.
        address: Jid,
    },
    /// The automatic mode will connect again.
    Reconnecting {
        /// After this time.
        after: Duration,
        /// Because of this.
        because: Arc<Error>,
    },
    /// A message came. It is stored, and the sender has been told so.
    Message(Box<ReceivedMessage>),
    /// Somebody has reacted to a message, or taken a reaction back. It replaces that user's reaction before.
    Reaction(Box<ReceivedReaction>),
    /// The author of a message has replaced its words.
    Edited(Box<ReceivedEdit>),
    /// The author of a message has taken it back. Its content is wiped from the store; the application is to show it no longer. If it
    /// was not shown so far, there is no [`Message`](Self::Message) of it.
    Revoked(Box<ReceivedRevoke>),
    /// A message came that cannot be decrypted: a placeholder is to be shown. The sender is asked for it again, unless that was done
    /// often enough.
    Undecryptable {
        /// The chat.
        chat: Jid,
        /// Its id. Should it come in a readable form, that [`Message`](Self::Message) has the same one, and its
        /// [`arrival`](ReceivedMessage::arrival) says that it takes the place of the placeholder.
        id: MessageId,
        /// How often the sender has been asked.
        asked: u32,
        /// Why, as a phrase.
        reason: String,
    },
    /// A message came that holds nothing this client could have; it will not come in another form.
    Unavailable {
        /// The chat.
        chat: Jid,
        /// Its id.
        id: MessageId,
    },
    /// A message of ours has got further: sent, delivered, read, played, or failed.
    MessageState {
        /// The recipient.
        to: Jid,
        /// Its id.
        id: MessageId,
        /// How far it has got.
        state: OutState,
        /// The server's time of it, in unix seconds.
        at: u64,
        /// Why it failed, if it did.
        failure: Option<SendFailure>,
    },
    /// The security code of a peer changed. It must be shown in the chat (SEED).
    IdentityChanged {
        /// Its place in the order of changes. Confirmed, as a message is, when the next event is asked for.
        seq: u64,
        /// The peer.
        peer: Jid,
        /// The identity before, if it was known.
        old: Option<PublicKey>,
        /// The identity now, if it is known already.
        new: Option<PublicKey>,
        /// What the user has said about the peer.
        verification: Verification,
        /// Whether messages still go out to the peer, or wait for [`Client::accept_identity`](crate::Client::accept_identity).
        sending: Sending,
    },
    /// The store is older than it should be: a backup was put back, or a file copied. Every session is begun anew before
    /// anything is sent and new keys are uploaded, so no key is used or offered twice; what happened after the copy was made is
    /// not known here, and messages that were taken from the mailbox since are gone. What it costs: `docs/export.md`. Confirmed, as a message is, when the next event is asked for.
    StoreRolledBack {
        /// How far the store has come.
        found: u64,
        /// How far it had come, if its witness knows it.
        expected: Option<u64>,
    },
    /// A peer has begun to type or to record, or has stopped: it says so, its message comes, nothing more is heard of it for a while
    /// (the profile says how long), or the connection ends.
    Typing {
        /// The peer.
        from: Jid,
        /// What.
        state: ChatState,
    },
    /// A peer came or went.
    Presence {
        /// The peer.
        from: Jid,
        /// Which of the two.
        availability: Availability,
    },
    /// So many stanzas wait in the mailbox.
    MailboxPreview {
        /// All of them.
        count: u32,
        /// The messages among them.
        messages: u32,
    },
    /// The mailbox is empty.
    MailboxEmpty {
        /// How many stanzas it held.
        delivered: u32,
    },
    /// A user can, or can no longer, be written to.
    Reachable {
        /// The user.
        user: Jid,
        /// Which of the two.
        reachability: Reachability,
    },
    /// The server will refuse this version of the client.
    ClientExpires {
        /// From then on, in unix seconds.
        at: u64,
    },
    /// The application was too slow: so many events were dropped. No message is among them.
    Missed {
        /// How many.
        count: u64,
    },
    /// Messages could not be read from the store or confirmed there. None is lost; asking for the next event tries again.
    StoreFailed {
        /// Why.
        error: Arc<Error>,
    },
}

#[derive(Default)]
struct Queue {
    /// Grows with every call of `events`; an older stream ends.
    generation: u64,
    events: VecDeque<Event>,
    /// Bytes of content in `events`.
    bytes: usize,
    missed: u64,
    /// A message was left in the store because the queue was full. Those after it are left there too, so that the order is kept.
    behind: bool,
    closed: bool,
}

impl Queue {
    fn push(&mut self, event: Event) {
        let stored = event.place().is_some();
        let bytes = self.bytes.saturating_add(event.bytes());
        if self.events.len() < QUEUE && bytes <= QUEUE_BYTES && !(stored && self.behind) {
            self.bytes = bytes;
            self.events.push_back(event);
        } else if stored {
            self.behind = true;
        } else {
            self.missed += 1;
        }
    }

    fn pop(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        self.bytes = self.bytes.saturating_sub(event.bytes());
        Some(event)
    }
}

/// Between the connection's tasks and the one stream of the application. Never makes a task wait: an application that
/// does not read must not keep the server's pings from being answered.
#[derive(Default)]
pub(crate) struct EventQueue {
    queue: Mutex<Queue>,
    news: Notify,
    /// A message of ours has got further; told even if nobody reads events.
    pub(crate) moved: Notify,
    /// What a visit to the mailbox has brought so far, while there is one.
    gathered: Mutex<Option<Fetched>>,
    /// The visit has emptied the mailbox.
    emptied: Notify,
}

impl EventQueue {
    pub(crate) fn push(&self, event: Event) {
        if matches!(event, Event::MessageState { .. }) {
            self.moved.notify_waiters();
        }
        self.note_for_fetch(&event);
        {
            let mut queue = self.lock();
            if queue.generation == 0 {
                return;
            }
            queue.push(event);
        }
        self.news.notify_waiters();
    }

    fn note_for_fetch(&self, event: &Event) {
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(fetched) = gathered.as_mut() else { return };
        match event {
            Event::Message(message) if fetched.messages.len() < QUEUE => {
                fetched.messages.push((**message).clone())
            }
            Event::MailboxEmpty { .. } => {
                fetched.caught_up = true;
                self.emptied.notify_waiters();
            }
            _ => {}
        }
    }

    /// Begins to gather, or ends it; what was gathered before.
    pub(crate) fn gather(&self, next: Option<Fetched>) -> Option<Fetched> {
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *gathered, next)
    }

    /// Waits until the mailbox has been emptied since gathering began.
    pub(crate) async fn emptied(&self) {
        loop {
            // Registered before looking, so that news in between wakes us up.
            let mut emptied = std::pin::pin!(self.emptied.notified());
            emptied.as_mut().enable();
            {
                let gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
                if gathered.as_ref().is_some_and(|fetched| fetched.caught_up) {
                    return;
                }
            }
            emptied.await;
        }
    }

    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.news.notify_waiters();
    }

    fn subscribe(&self) -> u64 {
        let generation = {
            let mut queue = self.lock();
            queue.generation += 1;
            queue.events.clear();
            queue.bytes = 0;
            queue.missed = 0;
            queue.behind = false;
            queue.generation
        };
        self.news.notify_waiters();
        generation
    }

    fn take(&self, generation: u64) -> Taken {
        let mut queue = self.lock();
        if queue.generation != generation {
            return Taken::End;
        }
        if let Some(event) = queue.pop() {
            return Taken::Event(event);
        }
        if std::mem::take(&mut queue.behind) {
            return Taken::Behind;
        }
        match std::mem::take(&mut queue.missed) {
            0 if queue.closed => Taken::End,
            0 => Taken::Nothing,
            count => Taken::Event(Event::Missed { count }),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Taken {
    Event(Event),
    Behind,
    Nothing,
    End,
}

/// The stream of events. There is one: a later call of [`Client::events`](crate::Client::events) ends this one.
///
/// A message, what is done to one, and a change of identity are confirmed in the store when the application asks for the event after
/// it. So one whose handling was cut short by a crash comes again at the next start, and one that was handled does not.
pub struct Events {
    inner: Arc<Inner>,
    generation: u64,
    last_seq: u64,
    last_change: u64,
    /// The notice that the store was put back has been handed out.
    rollback_told: bool,
    to_confirm: Option<Place>,
    backlog: VecDeque<Event>,
    catching_up: bool,
}

/// Where the store keeps an event until it is confirmed.
#[derive(Clone, Copy)]
enum Place {
    Rollback,
    Message(u64),
    Change(u64),
}

impl Event {
    fn place(&self) -> Option<Place> {
        match self {
            Self::Message(message) => Some(Place::Message(message.seq)),
            Self::Reaction(reaction) => Some(Place::Message(reaction.seq)),
            Self::Edited(edit) => Some(Place::Message(edit.seq)),
            Self::Revoked(revoke) => Some(Place::Message(revoke.seq)),
            Self::IdentityChanged { seq, .. } => Some(Place::Change(*seq)),
            Self::StoreRolledBack { .. } => Some(Place::Rollback),
            _ => None,
        }
    }

    /// Bytes of content that it carries.
    fn bytes(&self) -> usize {
        match self {
            Self::Message(message) => message.content.raw().len(),
            Self::Edited(edit) => edit.content.raw().len(),
            _ => 0,
        }
    }
}

impl Events {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        let generation = inner.events.subscribe();
        Self {
            inner,
            generation,
            last_seq: 0,
            last_change: 0,
            rollback_told: false,
            to_confirm: None,
            backlog: VecDeque::new(),
            catching_up: true,
        }
    }

    /// The next event; first of all the stored changes of identity and messages that were not confirmed. `None` when the client is gone or
    /// another stream has taken over.
    ///
    /// # Cancel safety
    ///
    /// Safe: an event is either returned or still there.
    pub async fn next(&mut self) -> Option<Event> {
        if let Err(error) = self.confirm().await {
            return Some(Event::StoreFailed { error: Arc::new(error) });
        }
        loop {
            // Registered before looking, so that news in between wakes us up.
            let inner = Arc::clone(&self.inner);
            let news = inner.events.news.notified();
            let mut news = std::pin::pin!(news);
            news.as_mut().enable();
            if self.catching_up
                && let Err(error) = self.read_page().await
            {
                self.catching_up = false;
                return Some(Event::StoreFailed { error: Arc::new(error) });
            }
            if let Some(event) = self.backlog.pop_front() {
                return Some(self.hand_out(event));
            }
            if self.catching_up {
                continue;
            }
            match self.inner.events.take(self.generation) {
                Taken::Event(event) if self.is_old(&event) => {}
                Taken::Event(event) => return Some(self.hand_out(event)),
                Taken::Behind => self.catching_up = true,
                Taken::End => return None,
                Taken::Nothing => news.await,
            }
        }
    }

    /// Whether the event was read from the store before it came this way.
    fn is_old(&self, event: &Event) -> bool {
        match event.place() {
            Some(Place::Message(seq)) => seq <= self.last_seq,
            Some(Place::Change(seq)) => seq <= self.last_change,
            Some(Place::Rollback) => self.rollback_told,
            None => false,
        }
    }

    fn hand_out(&mut self, event: Event) -> Event {
        let place = event.place();
        match place {
            Some(Place::Message(seq)) => self.last_seq = self.last_seq.max(seq),
            Some(Place::Change(seq)) => self.last_change = self.last_change.max(seq),
            Some(Place::Rollback) => self.rollback_told = true,
            None => {}
        }
        self.to_confirm = place.or(self.to_confirm);
        event
    }

    async fn confirm(&mut self) -> Result<(), Error> {
        let Some(handled) = self.to_confirm else { return Ok(()) };
        let step = move |tx: &mut dyn StoreTx| match handled {
            Place::Rollback => {
                let lineage = tx.lineage()?;
                tx.set_lineage(&Lineage { rollback: None, ..lineage }).map_err(Error::from)
            }
            Place::Message(seq) => tx.confirm(seq).map_err(Error::from),
            Place::Change(seq) => tx.confirm_identity_change(seq).map_err(Error::from),
        };
        match self.inner.vault.write(step).await {
            // The device that the account went to is given it again.
            Ok(()) | Err(Error::HandedOver { .. }) => {}
            Err(error) => return Err(error),
        }
        self.to_confirm = None;
        Ok(())
    }

    async fn read_page(&mut self) -> Result<(), Error> {
        if !self.backlog.is_empty() {
            return Ok(());
        }
        let (after, limits) = (self.last_seq, Arc::clone(&self.inner.content_limits));
        let after_change = self.last_change;
        let rollback_told = self.rollback_told;
        let read = move |tx: &mut dyn StoreTx| {
            let own = crate::account::own_address(tx)?;
            let rollback = tx.lineage()?.rollback.filter(|_| !rollback_told);
            let rollback =
                rollback.map(|Rollback { found, expected }| Event::StoreRolledBack { found, expected });
            let changes = tx.unconfirmed_identity_changes(usize::MAX)?;
            let changes = changes.into_iter().filter(|change| change.seq > after_change);
            let changes = changes.map(|change| notice(tx, &change)).collect::<Result<Vec<_>, Error>>()?;
            let changes = changes.into_iter().flatten();
            let entries = tx.unconfirmed(after, PAGE)?;
            let last = entries.last().map(|entry| entry.seq);
            let mut messages = Vec::with_capacity(entries.len());
            for entry in entries {
                messages.extend(stored(tx, entry, &Reader { own: &own, limits: &limits })?);
            }
            let events = rollback.into_iter().chain(changes).chain(messages);
            Ok::<_, Error>((last, events.collect::<VecDeque<_>>()))
        };
        let (last, events) = self.inner.vault.read(read).await?;
        match last {
            // A page of messages that no longer read is passed over.
            Some(last) if events.is_empty() => self.last_seq = last,
            None if events.is_empty() => self.catching_up = false,
            _ => self.backlog = events,
        }
        Ok(())
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("last_seq", &self.last_seq).finish_non_exhaustive()
    }
}

/// The event of a stored message. The content of one that is about another lies beside that; of what counts no longer, nothing is
/// left to be told.
fn stored(tx: &dyn StoreTx, entry: InboxEntry, reader: &Reader<'_>) -> Result<Option<Event>, Error> {
    if let (true, Some(relation)) = (entry.message.plaintext.is_empty(), tx.relation_of(&entry.message.key)?)
    {
        return present::event(tx, entry.seq, &relation, reader);
    }
    let message = ReceivedMessage::from_entry(entry, reader.own, reader.limits);
    Ok(message.map(|message| Event::Message(Box::new(message))))
}

/// The event of a stored change of identity.
fn notice(tx: &dyn StoreTx, change: &IdentityEvent) -> Result<Option<Event>, Error> {
    let Ok(peer) = change.peer.parse() else { return Ok(None) };
    let record = tx.peer(&change.peer)?;
    Ok(Some(crate::trust::notice(change.seq, &peer, change.old, change.new, &record)))
}
