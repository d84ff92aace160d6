//! What is known of the streams at other servers. Kept by watching, so that a push asks nobody.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use landbridge_partner::wake::{Chat, DeviceKey, UserKey};

use super::words::{Place, ServerId};

/// Routes that are remembered; what is beyond is not known, and waits for its device in the store.
const MAX_ROUTES: usize = 4 << 20;
/// Servers that are remembered.
const MAX_SERVERS: usize = 1024;

#[derive(Debug, Clone, Copy)]
struct Route {
    place: Place,
    /// The bucket's number of this change.
    revision: u64,
    /// When the bucket has dropped it, if it is not renewed.
    until: Instant,
}

/// The table. Times are arguments.
#[derive(Debug, Default)]
pub(super) struct Routes {
    users: HashMap<UserKey, HashMap<DeviceKey, Route>>,
    count: usize,
    /// When each was last heard of.
    servers: HashMap<ServerId, Instant>,
}

impl Routes {
    /// A device's stream is there.
    pub(super) fn learn(&mut self, device: DeviceKey, place: Place, revision: u64, until: Instant) {
        let known = self.get(&device).map(|route| route.revision);
        if known.is_none() && self.count >= MAX_ROUTES || known.is_some_and(|known| known > revision) {
            return;
        }
        self.count += usize::from(known.is_none());
        self.users.entry(device.user()).or_default().insert(device, Route { place, revision, until });
    }

    /// What was said of the device before `revision` holds no longer.
    pub(super) fn forget(&mut self, device: &DeviceKey, revision: u64) {
        if self.get(device).is_some_and(|route| route.revision <= revision) {
            self.remove(device);
        }
    }

    /// The bucket is another one, which counts from the start.
    pub(super) fn clear(&mut self) {
        self.users.clear();
        self.count = 0;
    }

    fn get(&self, device: &DeviceKey) -> Option<&Route> {
        self.users.get(&device.user())?.get(device)
    }

    fn remove(&mut self, device: &DeviceKey) {
        if let Some(devices) = self.users.get_mut(&device.user()) {
            self.count -= usize::from(devices.remove(device).is_some());
            if devices.is_empty() {
                self.users.remove(&device.user());
            }
        }
    }

    /// Which server has the device's stream, and by which change.
    pub(super) fn find(&self, device: &DeviceKey, now: Instant) -> Option<(ServerId, u64)> {
        let route = self.get(device).filter(|route| now < route.until)?;
        Some((route.place.server, route.revision))
    }

    /// Whether a server that was heard of within `alive` has a stream of the user that says "connected".
    pub(super) fn is_connected(&self, user: &UserKey, now: Instant, alive: Duration) -> bool {
        let Some(devices) = self.users.get(user) else { return false };
        devices.values().any(|route| {
            let heard = self.servers.get(&route.place.server);
            route.place.chat == Chat::Connected
                && now < route.until
                && heard.is_some_and(|heard| now.saturating_duration_since(*heard) < alive)
        })
    }

    /// A server is there. Whether it was not known to be.
    pub(super) fn heard(&mut self, server: ServerId, now: Instant) -> bool {
        if self.servers.len() >= MAX_SERVERS && !self.servers.contains_key(&server) {
            return false;
        }
        self.servers.insert(server, now).is_none()
    }

    /// A server has stopped.
    pub(super) fn gone(&mut self, server: ServerId) {
        self.servers.remove(&server);
        self.retain(|route| route.place.server != server);
    }

    /// Drops what has run out.
    pub(super) fn sweep(&mut self, now: Instant, alive: Duration) {
        self.servers.retain(|_, heard| now.saturating_duration_since(*heard) < alive);
        self.retain(|route| now < route.until);
    }

    fn retain(&mut self, keep: impl Fn(&Route) -> bool) {
        self.users.retain(|_, devices| {
            devices.retain(|_, route| keep(route));
            !devices.is_empty()
        });
        self.count = self.users.values().map(HashMap::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALIVE: Duration = Duration::from_secs(40);

    fn seconds(start: Instant, n: u64) -> Instant {
        start + Duration::from_secs(n)
    }

    #[test]
    fn presence_ends_with_the_stream_the_route_or_the_server() {
        let (start, server) = (Instant::now(), ServerId::random().unwrap());
        let place = Place { server, chat: Chat::Connected };
        let (device, other) = (DeviceKey::of("alice", "phone"), DeviceKey::of("alice", "desk"));
        let user = device.user();
        let mut routes = Routes::default();
        routes.learn(device, place, 7, seconds(start, 600));
        assert!(!routes.is_connected(&user, start, ALIVE), "a server that nobody heard of");
        assert!(routes.heard(server, start));
        assert!(!routes.heard(server, start));
        assert!(routes.is_connected(&user, seconds(start, 39), ALIVE));
        assert!(!routes.is_connected(&user, seconds(start, 40), ALIVE), "the server is silent");
        assert_eq!(routes.find(&device, seconds(start, 599)), Some((server, 7)), "asking it costs little");
        assert_eq!(routes.find(&device, seconds(start, 600)), None);
        routes.heard(server, seconds(start, 590));
        assert!(!routes.is_connected(&user, seconds(start, 600), ALIVE), "the route was not renewed");
        routes.learn(device, Place { chat: Chat::Unknown, ..place }, 8, seconds(start, 900));
        assert!(!routes.is_connected(&user, seconds(start, 600), ALIVE), "it no longer says so");
        routes.learn(other, place, 9, seconds(start, 900));
        assert!(routes.is_connected(&user, seconds(start, 600), ALIVE), "another device");
        assert!(!routes.is_connected(&UserKey::of("bob"), seconds(start, 600), ALIVE));
        routes.gone(server);
        assert_eq!((routes.find(&other, start), routes.count), (None, 0));
    }

    #[test]
    fn the_last_change_counts_in_whatever_order_it_is_heard() {
        let now = Instant::now();
        let [a, b] = [ServerId::random().unwrap(), ServerId::random().unwrap()];
        let at = |server| Place { server, chat: Chat::Unknown };
        let device = DeviceKey::of("alice", "phone");
        let mut routes = Routes::default();
        routes.learn(device, at(b), 5, now + ALIVE);
        routes.learn(device, at(a), 4, now + ALIVE);
        assert_eq!(routes.find(&device, now), Some((b, 5)));
        routes.forget(&device, 4);
        assert_eq!(routes.find(&device, now), Some((b, 5)), "that was another one");
        routes.forget(&device, 5);
        assert_eq!((routes.find(&device, now), routes.count), (None, 0));
        routes.learn(device, at(a), 6, now + ALIVE);
        routes.sweep(now + ALIVE, ALIVE);
        assert_eq!((routes.find(&device, now), routes.count), (None, 0));
    }
}
