//! The queue between the connection and the application.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::Event;
use crate::fetch::Fetched;

/// Events that wait for the application at most; beyond it, messages wait in the store and others are counted.
const QUEUE: usize = 1_024;
/// Bytes of content that wait for the application at most; messages beyond it wait in the store.
const QUEUE_BYTES: usize = 2 * 1024 * 1024;

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
    pub(super) news: Notify,
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

    pub(super) fn subscribe(&self) -> u64 {
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

    pub(super) fn take(&self, generation: u64) -> Taken {
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

pub(super) enum Taken {
    Event(Event),
    Behind,
    Nothing,
    End,
}
