//! The streams that devices hold open at this server, and the way to those at others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::dispatch::Wanted;
use super::{
    Chat, Delivery, DeviceKey, HandOver, HeldStreams, Switchboard, UserKey, WakeKind, WakeOutcome, WakeSender,
};

/// Wake-ups that may wait for a slow reader; one says as much as many.
const WAITING: usize = 4;
/// Streams of one user at one server.
const STREAMS: usize = 10;
/// When to try again with a device that is away (ASSUMED). It is hurried when it opens a stream.
const AWAY: Duration = Duration::from_secs(60);

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
    users: HashMap<UserKey, HashMap<DeviceKey, Open>>,
}

impl Streams {
    fn get(&self, device: &DeviceKey) -> Option<&Open> {
        self.users.get(&device.user())?.get(device)
    }

    fn remove(&mut self, device: &DeviceKey) {
        if let Some(devices) = self.users.get_mut(&device.user()) {
            devices.remove(device);
            if devices.is_empty() {
                self.users.remove(&device.user());
            }
        }
    }
}

/// All open streams. The switchboard is never called while they are locked: it calls back.
pub(crate) struct WakeHub {
    streams: Mutex<Streams>,
    switchboard: Arc<dyn Switchboard>,
    wanted: Arc<Wanted>,
}

/// The receiving end of one stream. Dropping it closes the stream.
pub(crate) struct WakeStream {
    wakes: mpsc::Receiver<String>,
    hub: Arc<WakeHub>,
    device: DeviceKey,
    id: u64,
}

impl WakeHub {
    /// A hub without streams, known to the switchboard.
    pub(crate) fn new(switchboard: Arc<dyn Switchboard>, wanted: Arc<Wanted>) -> Arc<Self> {
        let hub = Arc::new(Self { streams: Mutex::default(), switchboard, wanted });
        let known: Arc<dyn HeldStreams> = Arc::clone(&hub) as Arc<dyn HeldStreams>;
        hub.switchboard.attach(Arc::downgrade(&known));
        hub
    }

    fn lock(&self) -> MutexGuard<'_, Streams> {
        // A panic elsewhere leaves nothing half done in the table.
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a stream; an earlier one of the same device ends, here or at another server. `None` if the user has too
    /// many, or the server stops.
    pub(crate) fn open(self: &Arc<Self>, device: DeviceKey, chat: Chat) -> Option<WakeStream> {
        let (sender, wakes) = mpsc::channel(WAITING);
        let mut streams = self.lock();
        if streams.closed {
            return None;
        }
        streams.next_id += 1;
        let id = streams.next_id;
        let devices = streams.users.entry(device.user()).or_default();
        if devices.len() >= STREAMS && !devices.contains_key(&device) {
            return None;
        }
        devices.insert(device, Open { id, chat, wakes: sender });
        drop(streams);
        self.switchboard.changed(&device);
        Some(WakeStream { wakes, hub: Arc::clone(self), device, id })
    }

    /// Whether some device of the user is connected to WhatsApp, as far as is known here.
    pub(crate) fn is_connected_anywhere(&self, user: &UserKey) -> bool {
        HeldStreams::is_connected(self, user) || self.switchboard.is_connected(user)
    }

    /// Ends the streams of one user, wherever they are.
    pub(crate) fn close_user(&self, user: &UserKey) {
        HeldStreams::user_left(self, user);
        self.switchboard.user_left(user);
    }

    /// Whether other servers would be reached.
    pub(crate) fn is_linked(&self) -> bool {
        self.switchboard.is_linked()
    }

    /// Ends all streams, and takes no more.
    pub(crate) fn close(&self) {
        let mut streams = self.lock();
        streams.closed = true;
        streams.users.clear();
    }

    /// The last word to the other servers.
    pub(crate) async fn leave(&self) {
        self.switchboard.leave().await;
    }
}

impl HeldStreams for WakeHub {
    fn devices(&self) -> Vec<DeviceKey> {
        self.lock().users.values().flat_map(HashMap::keys).copied().collect()
    }

    fn chat(&self, device: &DeviceKey) -> Option<Chat> {
        self.lock().get(device).map(|open| open.chat)
    }

    fn is_connected(&self, user: &UserKey) -> bool {
        let streams = self.lock();
        let devices = streams.users.get(user);
        devices.is_some_and(|devices| devices.values().any(|open| open.chat == Chat::Connected))
    }

    fn wake(&self, device: &DeviceKey, wake_id: &str) -> bool {
        match self.lock().get(device).map(|open| open.wakes.try_send(wake_id.to_owned())) {
            // A full channel holds wake-ups that were not read yet; they say what this one says.
            Some(Ok(()) | Err(mpsc::error::TrySendError::Full(_))) => true,
            Some(Err(mpsc::error::TrySendError::Closed(_))) | None => false,
        }
    }

    fn moved(&self, device: &DeviceKey) {
        self.lock().remove(device);
    }

    fn user_left(&self, user: &UserKey) {
        self.lock().users.remove(user);
    }

    fn due(&self) {
        self.wanted.everything();
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
        let is_own = streams.get(&self.device).is_some_and(|open| open.id == self.id);
        if is_own {
            streams.remove(&self.device);
        }
        drop(streams);
        if is_own {
            self.hub.switchboard.changed(&self.device);
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
        let device = DeviceKey::of(&delivery.user_id, &delivery.device);
        if self.wake(&device, &delivery.wake_id) {
            return WakeOutcome::Sent;
        }
        match self.switchboard.hand_over(&device, &delivery.wake_id).await {
            HandOver::Taken => WakeOutcome::Sent,
            HandOver::NoStream => WakeOutcome::Retry { after: Some(AWAY) },
            // One of the servers has the stream, if there is one, and will take the delivery sooner or later.
            HandOver::Unreachable => WakeOutcome::Retry { after: None },
        }
    }
}
