//! A partner's application: a client, the tasks around it, and its lives.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use landbridge::noise::PinnedRoot;
use landbridge::stanza::MessageId;
use landbridge::store::MemoryStore;
use landbridge::transport::HttpClient;
use landbridge::wire::Jid;
use landbridge::{Client, Direction, Ending, Error, Event, Events};
use landbridge_sandbox::Clock;
use rand_chacha::ChaCha20Rng;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::Broken;
use crate::disk::{Fate, Mortal};
use crate::ledger::Party;
use crate::partner::Tokens;
use crate::world::{Shared, lock};

/// What an application is told to do, one after the other.
pub(crate) enum Command {
    Send { number: usize, to: Jid, text: String },
    Read { chat: Jid },
    Block { whom: Jid },
    Unblock { whom: Jid, block: usize },
    Disconnect,
}

/// A client's clock: the world's, set wrong by some seconds.
#[derive(Clone)]
pub(crate) struct Skewed {
    pub(crate) clock: Clock,
    pub(crate) behind: Arc<std::sync::atomic::AtomicU64>,
}

impl landbridge::Clock for Skewed {
    fn now(&self) -> u64 {
        self.clock.now().saturating_sub(self.behind.load(Ordering::Relaxed))
    }
}

/// What a life begins with.
pub(crate) struct Birth {
    pub(crate) number: usize,
    pub(crate) store: MemoryStore,
    pub(crate) wire: crate::wire::Wire,
    pub(crate) tokens: Tokens,
    pub(crate) clock: Skewed,
    pub(crate) rng: ChaCha20Rng,
    pub(crate) trust: PinnedRoot,
    pub(crate) http: HttpClient,
    pub(crate) own: String,
}

/// A running process of an application.
pub(crate) struct Life {
    pub(crate) fate: Arc<Fate>,
    pub(crate) client: Client,
    pub(crate) wire: crate::wire::Wire,
    hands: mpsc::UnboundedSender<Command>,
    tasks: Vec<JoinHandle<()>>,
    running: Arc<AtomicBool>,
    runner: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    party: Party,
}

impl Life {
    pub(crate) fn begin(shared: &Arc<Shared>, birth: Birth) -> Result<Self, Broken> {
        let Birth { number, store, wire, tokens, clock, rng, trust, http, own } = birth;
        let party = Party::Client(number);
        let fate = Fate::new({
            let wire = wire.clone();
            move || wire.die()
        });
        let client = Client::builder()
            .store(Mortal::new(store, &fate))
            .transport(wire.clone())
            .trust(trust)
            .token_source(tokens)
            .http(http)
            .push_name(own.as_str())
            .profile(shared.profile.clone())
            .clock(clock)
            .rng(rng)
            .trace(sink(shared, party, own.clone(), &fate))
            .build()?;
        let events = client.events();
        let (hands, commands) = mpsc::unbounded_channel();
        let app =
            App { shared: Arc::clone(shared), fate: Arc::clone(&fate), party, own, unread: Arc::default() };
        let tasks =
            vec![tokio::spawn(app.clone().watch(events)), tokio::spawn(app.work(client.clone(), commands))];
        let running = Arc::new(AtomicBool::new(false));
        let shared = Arc::clone(shared);
        let mut life = Self { fate, client, wire, hands, tasks, running, runner: None, shared, party };
        life.run();
        Ok(life)
    }

    /// Stays connected from now on, if it does not yet.
    pub(crate) fn run(&mut self) {
        if self.running.swap(true, Ordering::Relaxed) {
            return;
        }
        let (client, running) = (self.client.clone(), Arc::clone(&self.running));
        let (shared, fate, party) = (Arc::clone(&self.shared), Arc::clone(&self.fate), self.party);
        self.runner = Some(tokio::spawn(async move {
            let why = client.run().await;
            running.store(false, Ordering::Relaxed);
            if fate.is_dead() {
                return;
            }
            shared.trace.note(&party.to_string(), &format!("no longer connected: {}", chain(&why)));
            if !may_stop(&why) {
                shared.trace.violation(format!("{party} stopped for ever: {}", chain(&why)));
            }
        }));
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    pub(crate) fn tell(&self, command: Command) {
        // Who is dead hears nothing.
        let _ = self.hands.send(command);
    }

    /// Ends the tasks around the client, and lets it go.
    pub(crate) fn let_go(self) -> Arc<Fate> {
        for task in self.tasks.iter().chain(&self.runner) {
            task.abort();
        }
        self.fate
    }
}

/// Whether an application is right to stay away until somebody acts.
fn may_stop(why: &Error) -> bool {
    let Error::Disconnected { ending } = why else { return false };
    match &**ending {
        Ending::Requested => true,
        // A login that was late on the wire may push out the one after it.
        Ending::StreamError { error } => {
            matches!(error, landbridge::stanza::stream::StreamError::Replaced)
        }
        _ => false,
    }
}

/// Where a client's stanzas go.
fn sink(
    shared: &Arc<Shared>,
    party: Party,
    own: String,
    fate: &Arc<Fate>,
) -> impl Fn(landbridge::TracedStanza) + Send + Sync + 'static {
    let (shared, fate) = (Arc::clone(shared), Arc::clone(fate));
    move |stanza| {
        if fate.is_dead() {
            return;
        }
        let way = if stanza.direction == Direction::Out { ">" } else { "<" };
        let id = stanza.id.as_deref().unwrap_or("-");
        shared.trace.note(&party.to_string(), &format!("{way} {} {id} {}", stanza.tag, stanza.wire_bytes));
        lock(&shared.recorder).stanza(&own, &stanza);
    }
}

/// What the tasks of an application share.
#[derive(Clone)]
struct App {
    shared: Arc<Shared>,
    fate: Arc<Fate>,
    party: Party,
    own: String,
    /// What was shown and not read: chat and id.
    unread: Arc<Mutex<Vec<(Jid, MessageId)>>>,
}

impl App {
    /// Takes the events.
    async fn watch(self, mut events: Events) {
        while let Some(event) = events.next().await {
            if self.fate.is_dead() {
                return;
            }
            self.event(event);
        }
    }

    fn event(&self, event: Event) {
        let (trace, party) = (&self.shared.trace, self.party);
        match event {
            Event::Message(message) => {
                trace.note(&party.to_string(), &format!("shows {} of {}", message.id, message.sender));
                let from = self.shared.party(&message.sender.to_string());
                let text = message.text().unwrap_or_default();
                lock(&self.shared.ledger).shown(party, from, message.id.as_str(), text);
                lock(&self.unread).push((message.chat.clone(), message.id.clone()));
            }
            Event::MessageState { to, id, state, .. } => {
                trace.note(&party.to_string(), &format!("{id} is {state:?}"));
                match self.shared.party(&to.to_string()) {
                    Some(to) => lock(&self.shared.ledger).state(party, to, id.as_str(), state),
                    None => trace.violation(format!("{party}: {id} went to nobody known, {to}")),
                }
            }
            Event::Undecryptable { chat, id, reason, .. } => {
                let between = (chat.to_string(), self.own.clone());
                let what = format!("{party} cannot open {id} of {chat}: {reason}");
                trace.odd(&[id.as_str()], (&between.0, &between.1), what);
            }
            Event::Unavailable { id, .. } => trace.violation(format!("{party} does not get {id}")),
            Event::IdentityChanged { seq, peer, .. } => {
                trace.note(&party.to_string(), &format!("notice {seq}: {peer} has changed"));
                match self.shared.party(&peer.to_string()) {
                    Some(peer) => lock(&self.shared.ledger).notice(party, peer, seq),
                    None => trace.violation(format!("{party} takes {peer} for changed, whom nobody knows")),
                }
            }
            Event::StoreFailed { error } => trace.violation(format!("{party}: {}", chain(&*error))),
            Event::Disconnected { ending, .. } => trace.note(&party.to_string(), &format!("ended: {ending}")),
            other => trace.note(&party.to_string(), &format!("event {:.60}", format!("{other:?}"))),
        }
    }

    /// Does what it is told.
    async fn work(self, client: Client, mut commands: mpsc::UnboundedReceiver<Command>) {
        while let Some(command) = commands.recv().await {
            match command {
                Command::Send { number, to, text } => self.send(&client, number, &to, &text).await,
                Command::Read { chat } => self.read(&client, &chat).await,
                Command::Block { whom } => {
                    let outcome = client.block(&whom).await;
                    self.outcome("block", outcome);
                }
                Command::Unblock { whom, block } => {
                    let outcome = client.unblock(&whom).await;
                    let done = outcome.is_ok();
                    if let Some(whom) = self
                        .outcome("unblock", outcome)
                        .then(|| self.shared.party(&whom.to_string()))
                        .flatten()
                        && done
                    {
                        lock(&self.shared.ledger).unblocked(self.party, whom, block);
                    }
                }
                Command::Disconnect => client.disconnect().await,
            }
        }
    }

    async fn send(&self, client: &Client, number: usize, to: &Jid, text: &str) {
        let sent = client.send_text(to, text).await;
        if self.fate.is_dead() {
            return;
        }
        match sent {
            Ok(id) => {
                self.shared.trace.note(&self.party.to_string(), &format!("message {number} is {id}"));
                lock(&self.shared.ledger).accepted(number, id.as_str());
            }
            Err(error) => {
                lock(&self.shared.ledger).refused(number);
                self.outcome::<()>("send", Err(error));
            }
        }
    }

    async fn read(&self, client: &Client, chat: &Jid) {
        let ids: Vec<MessageId> = {
            let mut unread = lock(&self.unread);
            let (read, rest) = unread.drain(..).partition(|(from, _)| from == chat);
            *unread = rest;
            let read: Vec<(Jid, MessageId)> = read;
            read.into_iter().map(|(_, id)| id).collect()
        };
        let outcome = client.mark_read(chat, &ids).await;
        self.outcome("read", outcome);
    }

    /// Whether the process lives and an error is one that a network explains.
    fn outcome<T>(&self, what: &str, outcome: Result<T, Error>) -> bool {
        let Err(error) = outcome else { return !self.fate.is_dead() };
        if self.fate.is_dead() {
            return false;
        }
        let text = format!("{what}: {}", chain(&error));
        self.shared.trace.note(&self.party.to_string(), &text);
        let expected =
            matches!(error, Error::NotConnected | Error::TimedOut { .. } | Error::Disconnected { .. });
        if !expected {
            self.shared.trace.violation(format!("{} cannot {text}", self.party));
        }
        expected
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
