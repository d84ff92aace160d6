//! The stream that the application reads.

use std::collections::VecDeque;
use std::sync::Arc;

use landbridge_store::{IdentityEvent, InboxEntry, Lineage, Rollback, StoreTx};

use super::queue::Taken;
use super::{Event, Place};
use crate::client::Inner;
use crate::error::Error;
use crate::message::ReceivedMessage;
use crate::messages::present::{self, Reader};

/// Messages read from the store at a time.
const PAGE: usize = 64;

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
