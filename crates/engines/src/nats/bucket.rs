//! The bucket of routes: this server's entries in it, and the others' as they change.
//!
//! An entry is written when a device opens a stream here, whoever has it: the last one to open has it. It is renewed only if
//! nobody else has written it since.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::jetstream::kv::{Entry, Operation, Store, UpdateErrorKind};
use async_nats::jetstream::stream;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use landbridge_partner::wake::{Chat, DeviceKey, HeldStreams};
use tokio::time::MissedTickBehavior;

use super::link::Link;
use super::words::{Place, ServerId};

/// Entries that are being written at once.
const WRITING: usize = 64;
/// Longest message of the bucket, headers included, in bytes.
const MAX_VALUE: i32 = 1024;
/// How soon to begin again after something has failed.
const RETRY: Duration = Duration::from_secs(1);
/// When to say that NATS has not come yet.
const PATIENCE: Duration = Duration::from_secs(5);

type Failure = Box<dyn Error + Send + Sync>;

/// Why an entry is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// The stream has been opened or closed.
    Changed,
    /// So that it stays.
    Renewal,
}

/// What came of writing one.
enum Written {
    /// The own entry, by this change.
    Own(u64),
    /// Another server has opened a stream of the device since.
    Elsewhere,
    /// There is none of this server.
    None,
}

type Write = BoxFuture<'static, (DeviceKey, Result<Written, Failure>)>;

/// Keeps the bucket and the table of routes up to date, through all outages.
pub(super) async fn keep_routes(link: Arc<Link>, server: Weak<dyn HeldStreams>) {
    let mut connections = link.connections.clone();
    let mut keeper = Keeper::new(link, server);
    let first = tokio::time::timeout(PATIENCE, connections.wait_for(|count| *count > 0));
    if first.await.map(drop).is_err() {
        tracing::warn!("NATS does not answer yet: streams at other servers are not known until it does");
    }
    loop {
        connections.borrow_and_update();
        if keeper.link.client.connection_state() == State::Connected {
            let ended = tokio::select! {
                ended = keeper.run() => Some(ended),
                // What was watched over the old connection may have missed something.
                changed = connections.changed() => match changed {
                    Ok(()) => None,
                    Err(_) => return,
                },
            };
            keeper.link.set_watched(None);
            if let Some(Err(failed)) = ended {
                keeper.note(&*failed);
                // Whatever it was, NATS is given some time.
                let _ = tokio::time::timeout(RETRY, connections.changed()).await;
            }
        } else if connections.changed().await.is_err() {
            return;
        }
        if keeper.server.strong_count() == 0 {
            return;
        }
    }
}

struct Keeper {
    link: Arc<Link>,
    server: Weak<dyn HeldStreams>,
    /// The own entries, each by its last change.
    own: HashMap<DeviceKey, u64>,
    waiting: HashMap<DeviceKey, Reason>,
    busy: HashSet<DeviceKey>,
    /// Whether a failure has been told and not got over.
    failing: bool,
}

impl Keeper {
    fn new(link: Arc<Link>, server: Weak<dyn HeldStreams>) -> Self {
        let (own, waiting, busy) = (HashMap::new(), HashMap::new(), HashSet::new());
        Self { link, server, own, waiting, busy, failing: false }
    }

    /// Says once that something is wrong, other than that there is no connection.
    fn note(&mut self, failed: &(dyn Error + Send + Sync + 'static)) {
        let is_connected = self.link.client.connection_state() == State::Connected;
        if is_connected && !std::mem::replace(&mut self.failing, true) {
            let cause = failed as &dyn Error;
            tracing::warn!(cause, "routes are not kept in NATS: streams at other servers are not known");
        }
    }

    /// Watches and writes until something fails.
    async fn run(&mut self) -> Result<(), Failure> {
        let bucket = self.open_bucket().await?;
        self.link.set_watched(Some(Instant::now()));
        let mut entries = bucket.watch_with_history(">").await?;
        self.begin();
        let mut writes = FuturesUnordered::new();
        let mut renewal = tokio::time::interval(self.link.route_life() / 3);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        renewal.reset();
        let link = Arc::clone(&self.link);
        loop {
            self.write_more(&bucket, &mut writes);
            tokio::select! {
                entry = entries.next() => match entry {
                    Some(entry) => self.heard(&entry?),
                    None => return Err("the bucket of routes is watched no longer".into()),
                },
                Some((device, written)) = writes.next() => self.written(device, written?),
                () = link.has_changed.notified() => self.take_changed(),
                _ = renewal.tick() => self.renew(),
            }
        }
    }

    async fn open_bucket(&self) -> Result<Store, Failure> {
        let context = async_nats::jetstream::new(self.link.client.clone());
        let name = format!("{}_routes", self.link.prefix);
        // The client's own way to make a bucket asks for the account in a form that NATS 2.9 does not answer in.
        let stream = stream::Config {
            name: format!("KV_{name}"),
            description: Some("which server holds the stream of which device".to_owned()),
            subjects: vec![format!("$KV.{name}.>")],
            max_messages_per_subject: 1,
            max_message_size: MAX_VALUE,
            max_age: self.link.route_life(),
            // It is said again whenever it is lost.
            storage: stream::StorageType::Memory,
            num_replicas: self.link.replicas,
            discard: stream::DiscardPolicy::New,
            allow_rollup: true,
            deny_delete: true,
            allow_direct: true,
            ..stream::Config::default()
        };
        context.create_or_update_stream(stream).await?;
        Ok(context.get_key_value(name).await?)
    }

    /// The bucket may have lost anything, and may have a stream that has been opened elsewhere since.
    fn begin(&mut self) {
        self.busy.clear();
        let open = self.server.upgrade().map(|server| server.devices()).unwrap_or_default();
        let known: Vec<DeviceKey> = self.own.keys().copied().collect();
        for device in open.into_iter().chain(known) {
            self.waiting.entry(device).or_insert(Reason::Renewal);
        }
        self.take_changed();
    }

    fn take_changed(&mut self) {
        self.waiting.extend(self.link.take_changed().into_iter().map(|device| (device, Reason::Changed)));
    }

    fn renew(&mut self) {
        for device in self.own.keys() {
            self.waiting.entry(*device).or_insert(Reason::Renewal);
        }
    }

    fn write_more(&mut self, bucket: &Store, writes: &mut FuturesUnordered<Write>) {
        while writes.len() < WRITING {
            let next = self.waiting.iter().find(|(device, _)| !self.busy.contains(*device));
            let Some((device, reason)) = next.map(|(device, reason)| (*device, *reason)) else { return };
            self.waiting.remove(&device);
            let chat = self.server.upgrade().and_then(|server| server.chat(&device));
            let known = self.own.get(&device).copied();
            self.busy.insert(device);
            let (bucket, server) = (bucket.clone(), self.link.own);
            writes.push(Box::pin(async move {
                let place = chat.map(|chat: Chat| Place { server, chat });
                (device, write(&bucket, &device, place, known, reason).await)
            }));
        }
    }

    /// An entry of the bucket, as it is now.
    fn heard(&mut self, entry: &Entry) {
        let Ok(device) = entry.key.parse::<DeviceKey>() else { return };
        match place_of(entry) {
            Some(place) if place.server != self.link.own => {
                self.link.learn(device, place, entry.revision);
                let settled = !self.busy.contains(&device) && !self.waiting.contains_key(&device);
                if settled && self.own.get(&device).is_some_and(|own| *own < entry.revision) {
                    self.moved(&device);
                }
            }
            Some(_) => {
                self.link.forget(&device, entry.revision);
                self.heard_own(device, entry.revision);
            }
            None => self.link.forget(&device, entry.revision),
        }
    }

    /// An entry may have been written before the connection broke, and its stream be closed since.
    fn heard_own(&mut self, device: DeviceKey, revision: u64) {
        if self.busy.contains(&device) || self.own.get(&device).is_some_and(|own| *own >= revision) {
            return;
        }
        self.own.insert(device, revision);
        if self.server.upgrade().is_some_and(|server| server.chat(&device).is_none()) {
            self.waiting.insert(device, Reason::Changed);
        }
    }

    fn written(&mut self, device: DeviceKey, written: Written) {
        self.failing = false;
        self.busy.remove(&device);
        match written {
            Written::Own(revision) => {
                self.own.insert(device, revision);
                if self.link.foreign_revision(&device).is_some_and(|foreign| foreign > revision) {
                    self.moved(&device);
                }
            }
            Written::Elsewhere => self.moved(&device),
            Written::None => drop(self.own.remove(&device)),
        }
    }

    /// The stream here is an old one, unless it has just been opened.
    fn moved(&mut self, device: &DeviceKey) {
        self.own.remove(device);
        self.take_changed();
        if let Some(server) = self.server.upgrade().filter(|_| !self.waiting.contains_key(device)) {
            server.moved(device);
        }
    }
}

/// Where the device is by this entry; `None` if nowhere.
fn place_of(entry: &Entry) -> Option<Place> {
    if entry.operation == Operation::Put { Place::from_bytes(&entry.value) } else { None }
}

/// Brings one entry to what this server knows. An empty value is an entry of nobody.
async fn write(
    bucket: &Store,
    device: &DeviceKey,
    place: Option<Place>,
    known: Option<u64>,
    reason: Reason,
) -> Result<Written, Failure> {
    let key = device.to_string();
    let Some(place) = place else {
        let Some(known) = known else { return Ok(Written::None) };
        return match bucket.update(&key, Bytes::new(), known).await {
            Ok(_) => Ok(Written::None),
            Err(failed) if failed.kind() == UpdateErrorKind::WrongLastRevision => Ok(Written::None),
            Err(failed) => Err(failed.into()),
        };
    };
    if let Some(known) = known.filter(|_| reason == Reason::Renewal) {
        match bucket.update(&key, place.to_bytes(), known).await {
            Ok(revision) => return Ok(Written::Own(revision)),
            Err(failed) if failed.kind() == UpdateErrorKind::WrongLastRevision => {
                if is_elsewhere(bucket, &key, place.server).await? {
                    return Ok(Written::Elsewhere);
                }
            }
            Err(failed) => return Err(failed.into()),
        }
    }
    Ok(Written::Own(bucket.put(&key, place.to_bytes()).await?))
}

async fn is_elsewhere(bucket: &Store, key: &str, own: ServerId) -> Result<bool, Failure> {
    let entry = bucket.entry(key).await?;
    Ok(entry.as_ref().and_then(place_of).is_some_and(|place| place.server != own))
}
