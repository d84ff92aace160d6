//! The streams that devices hold open, and what they tell about the user.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{Delivery, WakeKind, WakeOutcome, WakeSender};

/// Wake-ups that may wait for a slow reader; one says as much as many.
const WAITING: usize = 4;
/// Streams of one user.
const STREAMS: usize = 10;

/// What the device says about its connection to WhatsApp by holding this stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chat {
    /// It is connected as long as it holds the stream.
    Connected,
    /// It is not, or does not say.
    Unknown,
}

#[derive(Debug)]
struct Open {
    id: u64,
    chat: Chat,
    wakes: mpsc::Sender<String>,
}

#[derive(Debug, Default)]
struct Streams {
    next_id: u64,
    closed: bool,
    /// User, then device.
    users: HashMap<String, HashMap<String, Open>>,
}

/// All open streams.
#[derive(Debug, Default)]
pub(crate) struct WakeHub {
    streams: Mutex<Streams>,
}

/// The receiving end of one stream. Dropping it closes the stream.
#[derive(Debug)]
pub(crate) struct WakeStream {
    wakes: mpsc::Receiver<String>,
    hub: Arc<WakeHub>,
    user_id: String,
    device: String,
    id: u64,
}

impl WakeHub {
    fn lock(&self) -> MutexGuard<'_, Streams> {
        // A panic elsewhere leaves nothing half done in the table.
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a stream; an earlier one of the same device ends. `None` if the user has too many, or the server stops.
    pub(crate) fn open(self: &Arc<Self>, user_id: &str, device: &str, chat: Chat) -> Option<WakeStream> {
        let mut streams = self.lock();
        if streams.closed {
            return None;
        }
        streams.next_id += 1;
        let id = streams.next_id;
        let devices = streams.users.entry(user_id.to_owned()).or_default();
        if devices.len() >= STREAMS && !devices.contains_key(device) {
            return None;
        }
        let (sender, wakes) = mpsc::channel(WAITING);
        devices.insert(device.to_owned(), Open { id, chat, wakes: sender });
        let (user_id, device) = (user_id.to_owned(), device.to_owned());
        Some(WakeStream { wakes, hub: Arc::clone(self), user_id, device, id })
    }

    /// Whether some device of the user is connected to WhatsApp.
    pub(crate) fn is_connected(&self, user_id: &str) -> bool {
        let streams = self.lock();
        streams
            .users
            .get(user_id)
            .is_some_and(|devices| devices.values().any(|open| open.chat == Chat::Connected))
    }

    /// Ends the streams of one user.
    pub(crate) fn close_user(&self, user_id: &str) {
        self.lock().users.remove(user_id);
    }

    /// Ends all streams, and takes no more.
    pub(crate) fn close(&self) {
        let mut streams = self.lock();
        streams.closed = true;
        streams.users.clear();
    }
}

impl WakeStream {
    /// The id of the next wake-up; `None` at the end.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(crate) async fn next(&mut self) -> Option<String> {
        self.wakes.recv().await
    }
}

impl Drop for WakeStream {
    fn drop(&mut self) {
        let mut streams = self.hub.lock();
        let Some(devices) = streams.users.get_mut(&self.user_id) else { return };
        if devices.get(&self.device).is_some_and(|open| open.id == self.id) {
            devices.remove(&self.device);
        }
        if devices.is_empty() {
            streams.users.remove(&self.user_id);
        }
    }
}

#[async_trait]
impl WakeSender for WakeHub {
    fn kind(&self) -> WakeKind {
        WakeKind::Socket
    }

    /// Every device is its own way: one that is away is no outage.
    fn lane(&self, _: &super::WakeTarget) -> String {
        String::new()
    }

    async fn send(&self, delivery: &Delivery) -> WakeOutcome {
        let streams = self.lock();
        let open = streams.users.get(&delivery.user_id).and_then(|devices| devices.get(&delivery.device));
        match open.map(|open| open.wakes.try_send(delivery.wake_id.clone())) {
            // A full channel holds wake-ups that were not read yet; they say what this one says.
            Some(Ok(()) | Err(mpsc::error::TrySendError::Full(_))) => WakeOutcome::Sent,
            // It is hurried when the device opens its stream.
            Some(Err(mpsc::error::TrySendError::Closed(_))) | None => {
                WakeOutcome::Retry { after: Some(Duration::from_secs(60)) }
            }
        }
    }
}
