//! The disk fills up, fails, tears writes and loses power under a whole client that talks with phones of a sandbox: it ends
//! with an error that names the store, acks nothing that it did not keep, and the next client on the same disk goes on.
//!
//! A run for each call to the disk takes minutes, so by default one in some twenty is taken, others each time; `LANDBRIDGE_CALLS=all`
//! takes all, `LANDBRIDGE_CALLS=N` the one at N.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod support;

use std::error::Error as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use landbridge::stanza::{MessageId, Profile};
use landbridge::store::{EpochWitness, Mark, OutState, SqliteStore, StoreError, WitnessError};
use landbridge::wire::Jid;
use landbridge::{Client, Ending, Error, Event, Events};
use landbridge_faultdisk::{Disk, Fault};
use landbridge_sandbox::Direction;
use rand::RngExt as _;
use support::world::{ALICE, World};
use tokio::sync::watch;

const BOB: &str = "14155551001";
const CAROL: &str = "14155551002";
/// Far more than anything takes: what hangs fails here.
const PATIENCE: Duration = Duration::from_secs(120);

/// A witness elsewhere, which forgets nothing.
#[derive(Clone, Default)]
struct Witness(Arc<Mutex<Option<Mark>>>);

impl EpochWitness for Witness {
    fn read(&mut self) -> Result<Option<Mark>, WitnessError> {
        Ok(*self.0.lock().unwrap())
    }

    fn write(&mut self, mark: &Mark) -> Result<(), WitnessError> {
        *self.0.lock().unwrap() = Some(*mark);
        Ok(())
    }
}

/// What an application has shown, over all its lives.
#[derive(Clone, Default, Debug)]
struct Shown {
    texts: Vec<String>,
    /// The last one was not confirmed when its life ended.
    doubtful: Vec<String>,
    failed: bool,
}

/// What the world remembers of both sides.
struct Story {
    world: World,
    disk: Disk,
    path: PathBuf,
    witness: Witness,
    own: Jid,
    shown: watch::Sender<Shown>,
    /// What phones have sent.
    written: Vec<&'static str>,
    /// What sending has taken.
    promised: Vec<(Jid, MessageId, &'static str)>,
    _directory: tempfile::TempDir,
}

/// Why a life ended before its end.
#[derive(Debug)]
#[expect(dead_code, reason = "shown when a test fails")]
enum Broken {
    Call(&'static str, Error),
    Connection(Arc<Ending>),
    Events,
}

impl Story {
    fn new() -> Self {
        let mut profile = Profile::default();
        profile.keys.first_batch = 12;
        let world = World::new(profile, &[BOB, CAROL]);
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::mount(directory.path());
        let path = directory.path().join("client.db");
        let witness = Witness::default();
        let mut store = SqliteStore::open_with(&path, witness.clone()).unwrap();
        let own = world.enlist_in(&mut store);
        let shown = watch::Sender::new(Shown::default());
        let (written, promised) = (Vec::new(), Vec::new());
        Self { world, disk, path, witness, own, shown, written, promised, _directory: directory }
    }

    /// Opens the store. The last one may be about to close it.
    async fn open(&self) -> Result<SqliteStore, StoreError> {
        loop {
            let (path, witness) = (self.path.clone(), self.witness.clone());
            match tokio::task::spawn_blocking(move || SqliteStore::open_with(path, witness)).await.unwrap() {
                Err(StoreError::InUse { .. }) => {}
                opened => return opened,
            }
        }
    }

    fn writes(&mut self, from: &str, text: &'static str) {
        self.world.handle().phone_send_text(from, ALICE, text).unwrap();
        self.written.push(text);
    }

    async fn sends(&mut self, client: &Client, to: &str, text: &'static str) -> Result<MessageId, Broken> {
        let to = Jid::user(to);
        let id = client.send_text(&to, text).await.map_err(|error| Broken::Call("send", error))?;
        self.promised.push((to, id.clone(), text));
        Ok(id)
    }

    /// Sends a text and waits until it is delivered.
    async fn tells(&mut self, client: &Client, to: &str, text: &'static str) -> Result<MessageId, Broken> {
        let id = self.sends(client, to, text).await?;
        let to = Jid::user(to);
        self.unless_broken(client, client.wait_for(&to, &id, OutState::Delivered))
            .await?
            .map_err(|error| Broken::Call("wait", error))?;
        Ok(id)
    }

    /// Waits until everything that phones have written is shown.
    async fn hears(&self, client: &Client) -> Result<(), Broken> {
        let mut shown = self.shown.subscribe();
        let all = |shown: &Shown| self.written.iter().all(|text| shown.texts.iter().any(|seen| seen == text));
        self.unless_broken(client, async { shown.wait_for(all).await.map(drop) }).await?.unwrap();
        Ok(())
    }

    async fn unless_broken<T>(&self, client: &Client, wait: impl Future<Output = T>) -> Result<T, Broken> {
        let mut shown = self.shown.subscribe();
        tokio::select! {
            done = wait => Ok(done),
            ending = client.closed() => Err(Broken::Connection(ending.unwrap())),
            _ = shown.wait_for(|shown| shown.failed) => Err(Broken::Events),
            () = tokio::time::sleep(PATIENCE) => {
                for event in self.world.handle().events(0) {
                    println!("{:?}", event.kind);
                }
                panic!("struck: {}; nothing comes: {:?}, {:?}", self.disk.struck(), self.written, self.promised)
            }
        }
    }

    /// Both directions, receipts, a copy that is asked for again, one that does not open, a new identity.
    async fn script(&mut self, client: &Client) -> Result<(), Broken> {
        let call = |what| move |error| Broken::Call(what, error);
        let own = self.own.to_string();
        client.connect().await.map_err(call("connect"))?;
        self.writes(BOB, "b 0");
        self.hears(client).await?;
        let first = self.tells(client, BOB, "to b 0").await?;
        self.world.handle().phone_ask_again(BOB, &own, &first).unwrap();
        self.tells(client, BOB, "to b 1").await?;
        self.writes(CAROL, "c 0");
        self.writes(BOB, "b 1");
        self.hears(client).await?;
        self.tells(client, CAROL, "to c 0").await?;
        self.world.handle().phone_lose_session(BOB, &own).unwrap();
        self.tells(client, BOB, "to b 2").await?;
        self.world.handle().phone_reinstall(CAROL).unwrap();
        self.tells(client, CAROL, "to c 1").await?;
        self.writes(CAROL, "c 1");
        self.writes(BOB, "b 2");
        self.hears(client).await?;
        client.ping().await.map_err(call("ping"))?;
        Ok(())
    }

    /// What is left to do, by a client that nothing happens to.
    async fn recover(&mut self, client: &Client) -> Result<(), Broken> {
        client.connect().await.map_err(|error| Broken::Call("connect", error))?;
        for (to, id, _) in self.promised.clone() {
            self.unless_broken(client, client.wait_for(&to, &id, OutState::Delivered))
                .await?
                .map_err(|error| Broken::Call("wait", error))?;
        }
        self.hears(client).await?;
        self.writes(BOB, "b last");
        self.tells(client, BOB, "to b last").await?;
        self.tells(client, CAROL, "to c last").await?;
        self.hears(client).await
    }

    /// The fault has struck: only the store may be named.
    fn judge(&self, fault: Fault, broken: &Broken) {
        assert!(self.disk.struck(), "without a fault: {broken:?}");
        let named = match broken {
            Broken::Events => true,
            Broken::Connection(ending) => matches!(&**ending, Ending::Store { .. }),
            Broken::Call(_, Error::NotConnected) => true,
            Broken::Call(_, Error::Disconnected { ending }) => matches!(&**ending, Ending::Store { .. }),
            Broken::Call(_, error) => names_the_store(error),
        };
        assert!(named, "{fault:?}: {broken:?}");
    }

    fn audit(&self) {
        let shown = self.shown.borrow();
        for text in &self.written {
            let times = shown.texts.iter().filter(|seen| seen == text).count();
            let most = 1 + shown.doubtful.iter().filter(|seen| seen == text).count();
            assert!((1..=most).contains(&times), "{text} was shown {times} times: {shown:?}");
        }
        for (number, name) in [(BOB, "b"), (CAROL, "c")] {
            let screen = self.world.handle().phone_messages(number).unwrap();
            let texts: Vec<_> = screen
                .iter()
                .filter(|message| message.direction == Direction::Received)
                .map(|message| message.text.clone().unwrap_or_default())
                .collect();
            for text in &texts {
                assert_eq!(texts.iter().filter(|other| *other == text).count(), 1, "twice: {texts:?}");
            }
            let prefix = format!("to {name}");
            for (_, _, text) in self.promised.iter().filter(|(_, _, text)| text.starts_with(&prefix)) {
                assert!(texts.iter().any(|seen| seen == text), "{text} is lost: {texts:?}");
            }
        }
        self.world.assert_nothing_used_twice();
    }
}

fn names_the_store(error: &Error) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        let ours = error.is::<StoreError>() || error.is::<landbridge::signal::StoreError>();
        if ours {
            return true;
        }
        next = error.source();
    }
    error.source().is_some_and(|source| source.is::<StoreError>())
}

/// Takes events until the store fails or the life is over.
async fn application(mut events: Events, shown: watch::Sender<Shown>) {
    while let Some(event) = events.next().await {
        match event {
            Event::Message(message) => {
                let text = message.text().unwrap_or_default().to_owned();
                shown.send_modify(|shown| shown.texts.push(text));
            }
            Event::StoreFailed { error } => {
                assert!(names_the_store(&error), "{error:?}");
                shown.send_modify(|shown| shown.failed = true);
                return;
            }
            _ => {}
        }
    }
}

/// What becomes of the disk once a life has ended on it.
#[derive(Clone, Copy, Debug)]
enum After {
    /// The fault is over.
    Lift,
    /// Power is lost, with that seed for what had reached the disk.
    Power(u64),
}

/// One story with a fault at the `n`-th call. Whether it struck.
async fn run(fault: Fault, n: u64, after: After) -> bool {
    let mut story = Story::new();
    story.disk.arm(fault, n);
    let outcome = match story.open().await {
        Ok(store) => {
            let client = story.world.client(store);
            let reader = tokio::spawn(application(client.events(), story.shown.clone()));
            let outcome = story.script(&client).await;
            client.disconnect().await;
            reader.abort();
            let ended = reader.await;
            assert!(ended.is_ok() || ended.unwrap_err().is_cancelled(), "the application fails");
            outcome
        }
        Err(source) => Err(Broken::Call("open", Error::from(source))),
    };
    let struck = story.disk.struck();
    if let Err(broken) = &outcome {
        story.judge(fault, broken);
    }
    match after {
        After::Lift => story.disk.lift(),
        After::Power(seed) => story.disk.power_cycle(seed),
    }
    // What was shown last was never confirmed, or the confirmation was not kept.
    story.shown.send_modify(|shown| {
        shown.failed = false;
        shown.doubtful = shown.texts.last().cloned().into_iter().collect();
    });
    let client = story.world.client(story.open().await.expect("the disk is well again"));
    let reader = tokio::spawn(application(client.events(), story.shown.clone()));
    let outcome = story.recover(&client).await;
    outcome.unwrap_or_else(|broken| panic!("{fault:?} at {n}: {broken:?}"));
    reader.abort();
    story.audit();
    struck
}

/// A fault at calls of the whole story. How many there are shows that the fault gets there.
async fn at_calls(fault: Fault, after: After, step: u64, at_least: u64) {
    let chosen = std::env::var("LANDBRIDGE_CALLS").ok();
    let (step, mut n) = match chosen.as_deref() {
        Some("all") => (1, 0),
        Some(one) => (u64::MAX, one.parse().expect("`all` or a number")),
        None => (step, rand::rng().random_range(0..step)),
    };
    let mut runs = 0;
    loop {
        println!("{fault:?}, {after:?}: call {n}");
        if !run(fault, n, after).await {
            break;
        }
        runs += 1;
        match n.checked_add(step) {
            Some(next) => n = next,
            None => return,
        }
    }
    println!("{fault:?}, {after:?}: {runs} runs, up to call {n}");
    assert!(runs * step >= at_least, "{fault:?} only struck {runs} times");
}

#[tokio::test]
async fn a_full_disk() {
    at_calls(Fault::Full, After::Lift, 19, 300).await;
}

#[tokio::test]
async fn one_call_that_fails() {
    at_calls(Fault::Io, After::Lift, 23, 300).await;
}

#[tokio::test]
async fn a_write_that_is_cut_short() {
    at_calls(Fault::ShortWrite, After::Power(6), 19, 300).await;
}

#[tokio::test]
async fn a_loss_of_power() {
    for seed in [0, 1, 2] {
        at_calls(Fault::PowerLoss, After::Power(seed), 29, 300).await;
    }
}
