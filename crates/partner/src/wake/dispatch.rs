//! From accepted pushes to attempts: one task that fans out, and one per kind that sends.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::lanes::{Lanes, delay, with_jitter};
use super::{Delivery, SEND_TIME, Switchboard, WakeOutcome, WakeSender};
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::store::{Counted, Settlement, Store};

/// Attempts at once of one kind.
const IN_FLIGHT: usize = 64;
/// Users fanned out in one step.
const FAN_OUT: u32 = 256;
/// From one step to the next, so that pushes which come one after the other are fanned out together.
const GATHER: Duration = Duration::from_millis(10);
/// A taken delivery is nobody else's for as long as an attempt takes, and a little.
const LEASE_MS: u64 = 30_000;
/// How often to look without a reason: another server may have put something there.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How soon to look again after the store has failed.
const STORE_RETRY: Duration = Duration::from_secs(1);
/// How often to ask the other servers for help at most.
const HELP_EVERY: Duration = Duration::from_secs(1);

/// Runs the tasks. Dropping it ends them; what they had taken is taken up again by the next server.
pub(crate) struct Dispatcher {
    wanted: Arc<Wanted>,
    _tasks: JoinSet<()>,
}

/// What tells the tasks that there may be something to do.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    fan_out: Notify,
    kinds: Mutex<Vec<Arc<Notify>>>,
}

impl Wanted {
    fn kind(&self) -> Arc<Notify> {
        let notify = Arc::new(Notify::new());
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&notify));
        notify
    }

    fn all_kinds(&self) {
        for kind in self.kinds.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            kind.notify_one();
        }
    }

    /// Another server has put something into the store, or leaves something there.
    pub(super) fn everything(&self) {
        self.fan_out.notify_one();
        self.all_kinds();
    }
}

impl Dispatcher {
    pub(crate) fn start(
        store: &Arc<dyn Store>,
        senders: Vec<Arc<dyn WakeSender>>,
        (wanted, switchboard): (Arc<Wanted>, &Arc<dyn Switchboard>),
        clock: &Clock,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let mut tasks = JoinSet::new();
        for sender in senders {
            let lane = Worker {
                store: Arc::clone(store),
                sender,
                clock: clock.clone(),
                metrics: Arc::clone(metrics),
                lanes: Mutex::default(),
                switchboard: Arc::clone(switchboard),
            };
            tasks.spawn(Arc::new(lane).run(wanted.kind()));
        }
        tasks.spawn(fan_out(Arc::clone(store), clock.clone(), Arc::clone(&wanted)));
        Self { wanted, _tasks: tasks }
    }

    /// A push was stored.
    pub(crate) fn pushed(&self) {
        self.wanted.fan_out.notify_one();
    }

    /// Something became due for the senders.
    pub(crate) fn hurried(&self) {
        self.wanted.all_kinds();
    }
}

async fn fan_out(store: Arc<dyn Store>, clock: Clock, wanted: Arc<Wanted>) {
    loop {
        let (now, begun) = (clock.millis(), Instant::now());
        let wait = match store.fan_out(now, FAN_OUT).await {
            Ok(due) => {
                if due.items > 0 {
                    wanted.all_kinds();
                }
                if due.items >= FAN_OUT {
                    continue;
                }
                until(due.next, now)
            }
            Err(cause) => {
                tracing::error!(cause = &cause as &dyn std::error::Error, "pushes cannot be fanned out");
                STORE_RETRY
            }
        };
        // Only a push or time can bring something to do.
        let _ = tokio::time::timeout(wait, wanted.fan_out.notified()).await;
        tokio::time::sleep_until((begun + GATHER).into()).await;
    }
}

/// How long to wait for what is due at `next`.
fn until(next: Option<u64>, now: u64) -> Duration {
    next.map_or(LOOK_EVERY, |next| Duration::from_millis(next.saturating_sub(now)).min(LOOK_EVERY))
}

/// One kind's attempts.
struct Worker {
    store: Arc<dyn Store>,
    sender: Arc<dyn WakeSender>,
    clock: Clock,
    metrics: Arc<Metrics>,
    lanes: Mutex<Lanes>,
    switchboard: Arc<dyn Switchboard>,
}

impl Worker {
    async fn run(self: Arc<Self>, wanted: Arc<Notify>) {
        let mut attempts = JoinSet::new();
        let mut helped: Option<Instant> = None;
        loop {
            let free = IN_FLIGHT - attempts.len();
            let now = self.clock.millis();
            let taken = self
                .store
                .take(self.sender.kind(), now, now + LEASE_MS, u32::try_from(free).unwrap_or(0))
                .await;
            let wait = match taken {
                Ok(due) => {
                    for delivery in due.items {
                        attempts.spawn(Arc::clone(&self).attempt(delivery));
                    }
                    let more = due.next.is_some_and(|next| next <= now) && attempts.len() >= IN_FLIGHT;
                    if more && helped.is_none_or(|last| last.elapsed() >= HELP_EVERY) {
                        helped = Some(Instant::now());
                        self.switchboard.due();
                    }
                    until(due.next, now)
                }
                Err(cause) => {
                    tracing::error!(cause = &cause as &dyn std::error::Error, "wake-ups cannot be taken");
                    STORE_RETRY
                }
            };
            // With all hands full, only a free hand helps; with none full, time or a new wake-up.
            tokio::select! {
                Some(_) = attempts.join_next() => {}
                () = tokio::time::sleep(wait), if attempts.len() < IN_FLIGHT => {}
                () = wanted.notified(), if attempts.len() < IN_FLIGHT => {}
            }
        }
    }

    async fn attempt(self: Arc<Self>, delivery: Delivery) {
        let settlement = self.send(&delivery).await;
        if let Err(cause) = self.store.settle(&delivery, settlement).await {
            // Its lease ends, and it is sent once more: a wake-up too many does no harm.
            tracing::error!(cause = &cause as &dyn std::error::Error, "a wake-up cannot be settled");
        }
    }

    async fn send(&self, delivery: &Delivery) -> Settlement {
        let lane = self.sender.lane(&delivery.target);
        if let Err(open_at) = self.lanes().enter(&lane, self.clock.millis()) {
            let spread = u64::from(rand::random::<u16>() % 1000);
            return Settlement::Retry { at: open_at + spread, counted: Counted::No };
        }
        let begun = Instant::now();
        let outcome = tokio::time::timeout(SEND_TIME, self.sender.send(delivery))
            .await
            .unwrap_or(WakeOutcome::Retry { after: None });
        let kind = self.sender.kind().as_str();
        let labels = [("kind", kind), ("result", outcome.as_str())];
        self.metrics.count("landbridge_wake_sent_total", &labels);
        self.metrics.observe("landbridge_wake_duration_seconds", &labels, begun.elapsed());
        let now = self.clock.millis();
        let failed = match outcome {
            // A device that is away says nothing about the others.
            WakeOutcome::Retry { after } if self.sender.kind() != super::WakeKind::Socket => {
                Some(after.unwrap_or_default())
            }
            _ => None,
        };
        self.lanes().ended(&lane, failed, now);
        match outcome {
            WakeOutcome::Sent => Settlement::Done,
            WakeOutcome::Gone => Settlement::Gone,
            WakeOutcome::Fatal => {
                tracing::warn!(kind, wake_id = delivery.wake_id, "a wake-up was refused for good");
                Settlement::Done
            }
            WakeOutcome::Retry { after } => {
                let wait = with_jitter(delay(delivery.attempt)).max(after.unwrap_or_default());
                let at = now + u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                Settlement::Retry { at, counted: Counted::Yes }
            }
        }
    }

    fn lanes(&self) -> std::sync::MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
