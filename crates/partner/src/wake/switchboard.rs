//! How the servers of one partner know of each other's streams.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;

use super::{DeviceKey, UserKey};

/// What a device says about its connection to WhatsApp by the stream that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are two")]
pub enum Chat {
    /// It is connected as long as it holds the stream.
    Connected,
    /// It is not, or does not say.
    Unknown,
}

/// What became of a wake-up that was for a stream of another server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the hub must decide every case")]
pub enum HandOver {
    /// The stream has it.
    Taken,
    /// As far as is known, no other server has a stream of the device.
    NoStream,
    /// The other servers cannot be asked now.
    Unreachable,
}

/// What one server does for the others: implemented by the server itself, called by its [`Switchboard`].
///
/// No method waits for anything.
pub trait HeldStreams: Send + Sync {
    /// Every device that holds a stream here.
    fn devices(&self) -> Vec<DeviceKey>;

    /// What the device says by its stream; `None` if it holds none here.
    fn chat(&self, device: &DeviceKey) -> Option<Chat>;

    /// Whether some device of the user that holds a stream here is connected to WhatsApp.
    fn is_connected(&self, user: &UserKey) -> bool;

    /// Puts a wake-up into the device's stream. Whether it holds one here.
    fn wake(&self, device: &DeviceKey, wake_id: &str) -> bool;

    /// The device has opened a stream at another server since: the one here ends.
    fn moved(&self, device: &DeviceKey);

    /// The user has left: all their streams end.
    fn user_left(&self, user: &UserKey);

    /// There is something due in the store that the caller cannot see to.
    fn due(&self);
}

/// What ties the servers of one partner together, so that a push at one wakes a stream at another.
///
/// Every server has its own. Whatever travels here may be lost: pushes and deliveries are rows, and a server that hears
/// of nothing finds them there, only later. Without a switchboard that reaches them, other servers' streams are not known.
#[async_trait]
pub trait Switchboard: Send + Sync {
    /// Takes up the server that this switchboard is of. Called once, before anything else, inside a tokio runtime.
    fn attach(&self, server: Weak<dyn HeldStreams>);

    /// The device has opened a stream here, or has closed one: [`HeldStreams::chat`] says which. If it has opened one,
    /// that is its only one from now on.
    fn changed(&self, device: &DeviceKey);

    /// Whether some device of the user that holds a stream at another server is connected to WhatsApp. Asked for every
    /// push, so it answers from what is known here. When in doubt, `false`.
    fn is_connected(&self, user: &UserKey) -> bool;

    /// Hands a wake-up to the server that holds the device's stream. Waits for a second at most.
    ///
    /// # Cancel safety
    /// The stream may have got it.
    async fn hand_over(&self, device: &DeviceKey, wake_id: &str) -> HandOver;

    /// Tells the others that the user has left.
    fn user_left(&self, user: &UserKey);

    /// Tells the others that there is something due in the store that this server cannot see to.
    fn due(&self);

    /// Whether other servers would be reached now.
    fn is_linked(&self) -> bool;

    /// Tells the others that this server stops, and that what it has accepted and not seen to is theirs. Waits for a
    /// second at most.
    async fn leave(&self);
}

/// Ties servers of one process together. One that is alone is what a server has that is given no other.
#[derive(Clone, Default)]
pub struct LocalSwitchboard {
    own: Arc<Mutex<Option<Weak<dyn HeldStreams>>>>,
    servers: Arc<Mutex<Vec<Weak<dyn HeldStreams>>>>,
}

impl LocalSwitchboard {
    /// For one server, with nobody else.
    pub fn new() -> Self {
        Self::default()
    }

    /// For another server, tied to those of this one.
    #[must_use]
    pub fn join(&self) -> Self {
        Self { own: Arc::default(), servers: Arc::clone(&self.servers) }
    }

    /// All servers but the own one.
    fn others(&self) -> Vec<Arc<dyn HeldStreams>> {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let is_own = |server: &Weak<dyn HeldStreams>| own.as_ref().is_some_and(|own| own.ptr_eq(server));
        servers.iter().filter(|server| !is_own(server)).filter_map(Weak::upgrade).collect()
    }
}

impl fmt::Debug for LocalSwitchboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSwitchboard").finish_non_exhaustive()
    }
}

#[async_trait]
impl Switchboard for LocalSwitchboard {
    fn attach(&self, server: Weak<dyn HeldStreams>) {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.retain(|server| server.strong_count() > 0);
        servers.push(Weak::clone(&server));
        drop(servers);
        *self.own.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
    }

    fn changed(&self, device: &DeviceKey) {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if own.and_then(|own| own.upgrade()).is_some_and(|own| own.chat(device).is_some()) {
            for other in self.others() {
                other.moved(device);
            }
        }
    }

    fn is_connected(&self, user: &UserKey) -> bool {
        self.others().iter().any(|other| other.is_connected(user))
    }

    async fn hand_over(&self, device: &DeviceKey, wake_id: &str) -> HandOver {
        if self.others().iter().any(|other| other.wake(device, wake_id)) {
            HandOver::Taken
        } else {
            HandOver::NoStream
        }
    }

    fn user_left(&self, user: &UserKey) {
        for other in self.others() {
            other.user_left(user);
        }
    }

    fn due(&self) {
        for other in self.others() {
            other.due();
        }
    }

    fn is_linked(&self) -> bool {
        true
    }

    async fn leave(&self) {
        self.due();
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.retain(|server| !own.as_ref().is_some_and(|own| own.ptr_eq(server)));
    }
}
