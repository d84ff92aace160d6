//! The sandbox's journal as a stream in which nothing is missing.

use std::collections::VecDeque;

use landbridge_sandbox::SandboxHandle;
use landbridge_sandbox::events::Event;
use tokio::sync::broadcast::Receiver;

pub(crate) struct Feed {
    handle: SandboxHandle,
    seen: u64,
    kept: VecDeque<Event>,
    live: Receiver<Event>,
}

impl Feed {
    pub(crate) fn new(handle: &SandboxHandle) -> Self {
        let (kept, live) = handle.follow(0);
        Self { handle: handle.clone(), seen: 0, kept: kept.into(), live }
    }

    /// The next event, and whether all before it were seen: the sandbox keeps only so many. Safe to cancel.
    pub(crate) async fn next(&mut self) -> (Event, bool) {
        loop {
            if let Some(found) = self.kept() {
                return found;
            }
            match self.live.recv().await {
                Ok(event) if event.seq > self.seen => return self.take(event),
                Ok(_) => {}
                Err(_) => self.catch_up(),
            }
        }
    }

    /// The next event that is there already.
    pub(crate) fn ready(&mut self) -> Option<(Event, bool)> {
        if self.kept.is_empty() {
            self.catch_up();
        }
        self.kept()
    }

    fn kept(&mut self) -> Option<(Event, bool)> {
        while let Some(event) = self.kept.pop_front() {
            if event.seq > self.seen {
                return Some(self.take(event));
            }
        }
        None
    }

    fn take(&mut self, event: Event) -> (Event, bool) {
        let complete = event.seq == self.seen + 1;
        self.seen = event.seq;
        (event, complete)
    }

    fn catch_up(&mut self) {
        let (kept, live) = self.handle.follow(self.seen);
        self.kept = kept.into();
        self.live = live;
    }
}
