//! The wire between a client and the server: the in-memory transport with the faults of a network on top.
//!
//! Bytes are delayed, split and run together; a link breaks between or within frames, or goes on without carrying anything,
//! in one direction or both. All of it is drawn from the seed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use landbridge::transport::memory::{BUFFER, MemoryTransport};
use landbridge::transport::{Stream, Transport, TransportError};
use rand_chacha::ChaCha20Rng;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex, split};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::seed::{Draw, source};

/// Everything between all clients and the server.
pub(crate) struct Network {
    seed: u64,
    server: MemoryTransport,
    calm: AtomicBool,
    opened: AtomicU64,
    links: Mutex<BTreeMap<String, Arc<Link>>>,
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Up,
    Down,
}

/// What a link does with bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    /// Carries them.
    Open,
    /// Loses all of them, one way or both, and neither end is told.
    Deaf { up: bool, down: bool },
    /// Carries a part of the next piece, then breaks.
    BreaksInside,
    /// Is broken.
    Broken,
}

/// One connection.
pub(crate) struct Link {
    position: Mutex<Position>,
    broken: Notify,
    /// Ends that were seen on a deaf link.
    ends: AtomicU64,
    /// Whether anything was done to it that a server may complain about.
    disturbed: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Network {
    pub(crate) fn new(seed: u64, server: MemoryTransport) -> Arc<Self> {
        Arc::new(Self {
            seed,
            server,
            calm: AtomicBool::new(true),
            opened: AtomicU64::new(0),
            links: Mutex::default(),
        })
    }

    /// No more faults but those that are under way.
    pub(crate) fn set_calm(&self, calm: bool) {
        self.calm.store(calm, Ordering::Relaxed);
    }

    fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    /// Whether the link of that name was disturbed.
    pub(crate) fn was_disturbed(&self, name: &str) -> bool {
        lock(&self.links).get(name).is_some_and(|link| link.disturbed.load(Ordering::Relaxed))
    }
}

impl Link {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            position: Mutex::new(Position::Open),
            broken: Notify::new(),
            ends: AtomicU64::new(0),
            disturbed: AtomicBool::new(false),
        })
    }

    fn position(&self) -> Position {
        *lock(&self.position)
    }

    /// Changes what the link does. Nothing gets better: what was lost stays lost, and no byte comes after it.
    fn set(&self, position: Position) {
        let mut now = lock(&self.position);
        let position = match (*now, position) {
            (Position::Broken, _) => return,
            (Position::Deaf { up, down }, Position::Deaf { up: more_up, down: more_down }) => {
                Position::Deaf { up: up || more_up, down: down || more_down }
            }
            (Position::Deaf { .. }, _) => Position::Broken,
            (_, position) => position,
        };
        *now = position;
        drop(now);
        self.disturbed.store(true, Ordering::Relaxed);
        if position == Position::Broken {
            self.broken.notify_waiters();
        }
    }

    async fn broken(&self) {
        loop {
            let mut broken = std::pin::pin!(self.broken.notified());
            broken.as_mut().enable();
            if self.position() == Position::Broken {
                return;
            }
            broken.await;
        }
    }

    fn loses(&self, way: Way) -> bool {
        match self.position() {
            Position::Deaf { up, down } => {
                if way == Way::Up {
                    up
                } else {
                    down
                }
            }
            _ => false,
        }
    }
}

/// The network as one process of one client has it.
#[derive(Clone)]
pub(crate) struct Wire {
    network: Arc<Network>,
    name: Arc<str>,
    state: Arc<Mutex<WireState>>,
}

#[derive(Default)]
struct WireState {
    links: Vec<Arc<Link>>,
    dead: bool,
    unreachable_until: Option<Instant>,
}

impl Wire {
    pub(crate) fn new(network: &Arc<Network>, name: &str) -> Self {
        Self { network: Arc::clone(network), name: name.into(), state: Arc::default() }
    }

    /// Changes what the present links do. Whether there was one.
    pub(crate) fn set(&self, position: Position) -> bool {
        let mut state = lock(&self.state);
        state.links.retain(|link| link.position() != Position::Broken);
        for link in &state.links {
            link.set(position);
        }
        !state.links.is_empty()
    }

    /// The process is dead: its links break, and it opens no more.
    pub(crate) fn die(&self) {
        lock(&self.state).dead = true;
        self.set(Position::Broken);
    }

    /// For so long no new link comes about.
    pub(crate) fn unreachable_for(&self, time: Duration) {
        lock(&self.state).unreachable_until = Some(Instant::now() + time);
    }

    fn may_open(&self) -> bool {
        let state = lock(&self.state);
        !state.dead && state.unreachable_until.is_none_or(|until| until <= Instant::now())
    }
}

#[async_trait]
impl Transport for Wire {
    async fn open(&self) -> Result<Box<dyn Stream>, TransportError> {
        let number = self.network.opened.fetch_add(1, Ordering::Relaxed);
        let mut rng = source(self.network.seed, "link", number);
        let refused = !self.network.is_calm() && rng.per_mille(20);
        if !self.may_open() || refused {
            return Err(TransportError::Other { source: "no route".into() });
        }
        let name = format!("{}#{number}", self.name);
        let far = self.network.server.named(name.as_str()).open().await?;
        let (near, middle) = duplex(BUFFER);
        let link = Link::new();
        lock(&self.network.links).insert(name, Arc::clone(&link));
        lock(&self.state).links.push(Arc::clone(&link));
        let (from_near, to_near) = split(middle);
        let (from_far, to_far) = split(far);
        let up = Pump { way: Way::Up, link: Arc::clone(&link), network: Arc::clone(&self.network), rng };
        let rng = source(self.network.seed, "link down", number);
        let down = Pump { way: Way::Down, link, network: Arc::clone(&self.network), rng };
        tokio::spawn(up.run(from_near, to_far));
        tokio::spawn(down.run(from_far, to_near));
        Ok(Box::new(near))
    }
}

/// One way of one link.
struct Pump {
    way: Way,
    link: Arc<Link>,
    network: Arc<Network>,
    rng: ChaCha20Rng,
}

impl Pump {
    async fn run<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(mut self, mut from: R, mut to: W) {
        let link = Arc::clone(&self.link);
        tokio::select! {
            biased;
            () = link.broken() => {}
            () = self.carry(&mut from, &mut to) => {}
        }
    }

    async fn carry<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(&mut self, from: &mut R, to: &mut W) {
        let mut bytes = Vec::with_capacity(4_096);
        loop {
            if !matches!(from.read_buf(&mut bytes).await, Ok(1..)) {
                break;
            }
            while !self.network.is_calm() && self.rng.per_mille(200) && bytes.len() < BUFFER / 2 {
                // Run together with what comes within the next moments.
                let moments = Duration::from_millis(1 + self.rng.below(30));
                if !matches!(tokio::time::timeout(moments, from.read_buf(&mut bytes)).await, Ok(Ok(1..))) {
                    break;
                }
            }
            if self.forward(&bytes, to).await.is_none() {
                break;
            }
            bytes.clear();
        }
        if self.link.loses(self.way) {
            // An end is not told either. When both ends have gone, there is nothing left of the link.
            if self.link.ends.fetch_add(1, Ordering::Relaxed) == 1 {
                self.link.set(Position::Broken);
            }
            self.link.broken().await;
        }
        // Who has gone need not be told.
        let _ = to.shutdown().await;
    }

    /// `None`: nobody reads any more.
    async fn forward<W: AsyncWrite + Unpin>(&mut self, mut bytes: &[u8], to: &mut W) -> Option<()> {
        while !bytes.is_empty() {
            let calm = self.network.is_calm();
            let delay = match () {
                () if calm => 5,
                () if self.rng.per_mille(5) => {
                    self.link.disturbed.store(true, Ordering::Relaxed);
                    1_000 + self.rng.below(14_000)
                }
                () => self.rng.below(60),
            };
            sleep(Duration::from_millis(delay)).await;
            let whole = calm || !self.rng.per_mille(200);
            let length = if whole { bytes.len() } else { 1 + self.rng.index(bytes.len()) };
            let (piece, rest) = bytes.split_at(length.min(bytes.len()));
            bytes = rest;
            if self.link.loses(self.way) {
                continue;
            }
            if self.link.position() == Position::BreaksInside {
                let part = piece.get(..piece.len() / 2).unwrap_or_default();
                let _ = to.write_all(part).await;
                self.link.set(Position::Broken);
                return None;
            }
            to.write_all(piece).await.ok()?;
        }
        Some(())
    }
}
