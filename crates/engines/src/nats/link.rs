//! One server's connection: what it says, what it hears, what it knows.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::{Client, Event};
use futures_util::StreamExt as _;
use landbridge_partner::wake::{DeviceKey, HeldStreams, UserKey};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::MissedTickBehavior;

use super::config::{NatsConfig, NatsError};
use super::routes::Routes;
use super::words::{Answer, Place, ServerId, WakeCall, Word};

/// Words that may wait to be said. What is beyond is lost, as words may be.
const WORDS: usize = 64;
/// How often in [`Link::alive`] a server says that it is there.
const BEATS: u32 = 4;
/// How many times [`Link::alive`] the bucket keeps an entry that is not renewed.
const ROUTE_LIFE: u32 = 15;

/// What is known of where a device's stream is.
pub(super) enum Found {
    /// At this server, by this change.
    At(ServerId, u64),
    /// At no other server.
    Nowhere,
    /// Not yet all routes have been heard of.
    Unknown,
}

/// What the tasks and the switchboard share.
pub(super) struct Link {
    pub(super) own: ServerId,
    pub(super) client: Client,
    pub(super) prefix: String,
    /// How long a server is believed to be there after it was heard of.
    pub(super) alive: Duration,
    pub(super) replicas: usize,
    routes: RwLock<Routes>,
    /// Since when the bucket is watched; `None` while it is not.
    watched: Mutex<Option<Instant>>,
    changed: Mutex<HashSet<DeviceKey>>,
    pub(super) has_changed: Notify,
    words: mpsc::Sender<Word>,
    said: Mutex<Option<mpsc::Receiver<Word>>>,
    /// Counts the connections that were made.
    pub(super) connections: watch::Receiver<u64>,
}

impl Link {
    pub(super) async fn new(config: NatsConfig) -> Result<Self, NatsError> {
        config.check()?;
        let addresses = config.addresses()?;
        let (counter, connections) = watch::channel(0);
        let told = AtomicBool::new(false);
        let asked = config.clone();
        let options = config.options().await?.retry_on_initial_connect().event_callback(move |event| {
            if note(&counter, &told, &event) {
                tokio::spawn(tell_trouble(asked.clone()));
            }
            std::future::ready(())
        });
        let client = options.connect(addresses).await.map_err(NatsError::Client)?;
        let (words, said) = mpsc::channel(WORDS);
        Ok(Self {
            own: ServerId::random().ok_or(NatsError::Random)?,
            client,
            prefix: config.prefix,
            alive: Duration::from_secs(config.alive_seconds),
            replicas: config.replicas,
            routes: RwLock::default(),
            watched: Mutex::default(),
            changed: Mutex::default(),
            has_changed: Notify::new(),
            words,
            said: Mutex::new(Some(said)),
            connections,
        })
    }

    /// The subject that all servers hear.
    pub(super) fn all(&self) -> String {
        format!("{}.all", self.prefix)
    }

    /// The subject of one server.
    pub(super) fn inbox_of(&self, server: ServerId) -> String {
        format!("{}.server.{server}", self.prefix)
    }

    pub(super) fn is_connected(&self, user: &UserKey) -> bool {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        routes.is_connected(user, Instant::now(), self.alive)
    }

    pub(super) fn find(&self, device: &DeviceKey) -> Found {
        let now = Instant::now();
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((server, revision)) = routes.find(device, now) {
            return Found::At(server, revision);
        }
        drop(routes);
        // The other servers need some time, too, to say again what they hold.
        match *lock(&self.watched) {
            Some(since) if now.saturating_duration_since(since) >= self.alive => Found::Nowhere,
            _ => Found::Unknown,
        }
    }

    pub(super) fn forget(&self, device: &DeviceKey, revision: u64) {
        self.routes().forget(device, revision);
    }

    pub(super) fn learn(&self, device: DeviceKey, place: Place, revision: u64) {
        self.routes().learn(device, place, revision, Instant::now() + self.route_life());
    }

    /// The change by which another server has the device, as far as is known.
    pub(super) fn foreign_revision(&self, device: &DeviceKey) -> Option<u64> {
        Some(self.routes().find(device, Instant::now())?.1)
    }

    /// How long the bucket keeps what is not renewed.
    pub(super) fn route_life(&self) -> Duration {
        self.alive * ROUTE_LIFE
    }

    /// The bucket is watched from the start, or is no longer.
    pub(super) fn set_watched(&self, since: Option<Instant>) {
        *lock(&self.watched) = since;
        if since.is_some() {
            self.routes().clear();
        }
    }

    pub(super) fn changed(&self, device: DeviceKey) {
        lock(&self.changed).insert(device);
        self.has_changed.notify_one();
    }

    pub(super) fn take_changed(&self) -> HashSet<DeviceKey> {
        std::mem::take(&mut lock(&self.changed))
    }

    pub(super) fn say(&self, word: Word) {
        // A full queue is that of a link that is down or has more to do than it can; words may be lost.
        let _ = self.words.try_send(word);
    }

    fn routes(&self) -> std::sync::RwLockWriteGuard<'_, Routes> {
        self.routes.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says once for each outage that there is one, and once for each connection that something is refused. Whether it has yet to be said why.
fn note(connections: &watch::Sender<u64>, told: &AtomicBool, event: &Event) -> bool {
    match event {
        Event::Connected => {
            told.store(false, Ordering::Relaxed);
            connections.send_modify(|count| *count += 1);
            tracing::info!("connected to NATS");
        }
        Event::Disconnected => {
            told.store(false, Ordering::Relaxed);
            tracing::warn!("NATS is away: streams at other servers are not known until it is back");
        }
        // A right that is missing is missing at every word.
        Event::ServerError(_) if !told.swap(true, Ordering::Relaxed) => {
            tracing::warn!(event = %event, "NATS refuses something");
        }
        Event::ClientError(_) => {
            tracing::debug!(event = %event, "NATS");
            return !told.swap(true, Ordering::Relaxed);
        }
        other => tracing::debug!(event = %other, "NATS"),
    }
    false
}

async fn tell_trouble(config: NatsConfig) {
    if let Some(trouble) = config.trouble().await {
        let cause = &*trouble as &dyn std::error::Error;
        tracing::warn!(cause, "NATS cannot be used");
    }
}

/// Puts what other servers hand over into the streams that are here.
pub(super) async fn answer_calls(link: Arc<Link>, server: Weak<dyn HeldStreams>) {
    let Ok(mut calls) = link.client.subscribe(link.inbox_of(link.own)).await else { return };
    while let Some(message) = calls.next().await {
        let Some(server) = server.upgrade() else { return };
        let (Some(call), Some(reply)) = (WakeCall::from_bytes(&message.payload), message.reply) else {
            continue;
        };
        let taken = server.wake(&call.device, &call.wake_id);
        let answer = if taken { Answer::Taken } else { Answer::NoStream };
        // The caller asks again if it hears nothing.
        let _ = link.client.publish(reply, answer.to_bytes()).await;
    }
}

/// Says what is to be said, hears the others, and forgets those that are silent.
pub(super) async fn talk(link: Arc<Link>, server: Weak<dyn HeldStreams>) {
    let Some(mut said) = lock(&link.said).take() else { return };
    let Ok(mut heard) = link.client.subscribe(link.all()).await else { return };
    let mut connections = link.connections.clone();
    let mut beat = tokio::time::interval(link.alive / BEATS);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let word = tokio::select! {
            _ = beat.tick() => {
                link.routes().sweep(Instant::now(), link.alive);
                Some(Word::Alive(link.own))
            }
            Ok(()) = connections.changed() => Some(Word::Alive(link.own)),
            Some(word) = said.recv() => Some(word),
            message = heard.next() => match (message, server.upgrade()) {
                (Some(message), Some(server)) => hear(&link, &*server, &message.payload),
                _ => return,
            },
        };
        // Without a connection words would only pile up.
        if let Some(word) = word.filter(|_| link.client.connection_state() == State::Connected) {
            let _ = link.client.publish(link.all(), word.to_bytes()).await;
        }
    }
}

/// Does what another server says; gives what to say to it.
fn hear(link: &Link, server: &dyn HeldStreams, payload: &[u8]) -> Option<Word> {
    match Word::from_bytes(payload)? {
        Word::Alive(other) if other != link.own => {
            // It may be new, and know nobody.
            let is_new = link.routes().heard(other, Instant::now());
            return is_new.then_some(Word::Alive(link.own));
        }
        Word::Gone(other) => link.routes().gone(other),
        Word::Due(other) if other != link.own => server.due(),
        Word::UserLeft(other, user) if other != link.own => server.user_left(&user),
        // The own voice.
        Word::Alive(_) | Word::Due(_) | Word::UserLeft(..) => {}
    }
    None
}

/// A panic elsewhere leaves nothing half done in here.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
