//! Everybody and everything of one run, and what is looked at after each step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use landbridge::noise::PinnedRoot;
use landbridge::stanza::Profile;
use landbridge::store::MemoryStore;
use landbridge::transport::{HttpClient, memory};
use landbridge::wire::Jid;
use landbridge_sandbox::events::{Event, EventKind, Rule};
use landbridge_sandbox::{
    Clock, Direction, EmbeddedSandbox, MessageState, RateLimits, SandboxConfig, SandboxHandle,
};
use tokio::time::Instant;

use crate::choice::Choices;
use crate::client::{Birth, Life, Skewed};
use crate::disk::Fate;
use crate::excuses::{self, Excuses};
use crate::ledger::{Ledger, Party};
use crate::partner::{INTEGRATOR, ISSUER, Partner, Tokens, enlist};
use crate::recorder::Recorder;
use crate::seed::source;
use crate::trace::Trace;
use crate::wire::{Network, Wire};
use crate::{Broken, Config};

/// When runs begin, in unix seconds.
const BEGIN: u64 = 1_800_000_000;
/// One-time prekeys of an upload: few, so that they run out and are made again.
const PREKEYS: u32 = 16;
/// How long a killed process may take to let go of its store.
const LETS_GO: Duration = Duration::from_secs(60);

/// How long a token may be on its way.
const ON_ITS_WAY: Duration = Duration::from_secs(60);

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What applications and driver share.
pub(crate) struct Shared {
    pub(crate) trace: Trace,
    pub(crate) profile: Profile,
    pub(crate) recorder: Mutex<Recorder>,
    pub(crate) ledger: Mutex<Ledger>,
    parties: Mutex<BTreeMap<String, Party>>,
}

impl Shared {
    /// Whose address that is.
    pub(crate) fn party(&self, address: &str) -> Option<Party> {
        lock(&self.parties).get(address).copied()
    }
}

/// A user of the partner, alive or not.
pub(crate) struct Seat {
    pub(crate) number: usize,
    pub(crate) address: String,
    identifier: String,
    pub(crate) life: Option<Life>,
    /// The process that was killed last.
    grave: Option<Arc<Fate>>,
    /// The store before the first life.
    fresh: Option<MemoryStore>,
    lives: u64,
    pub(crate) behind: Arc<AtomicU64>,
}

/// A test phone.
pub(crate) struct PhoneSeat {
    pub(crate) number: String,
    pub(crate) address: String,
    seen: u64,
    shown: BTreeSet<(String, String)>,
}

/// See the [module](self).
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) shared: Arc<Shared>,
    sandbox: EmbeddedSandbox,
    pub(crate) network: Arc<Network>,
    partner: Arc<Partner>,
    http: HttpClient,
    pub(crate) clients: Vec<Seat>,
    pub(crate) phones: Vec<PhoneSeat>,
    pub(crate) choices: Choices,
    /// Seconds that the clock was moved ahead, and when last.
    pub(crate) jumped: u64,
    pub(crate) jumped_at: Option<Instant>,
    journal_at: u64,
    /// Connection to the name of its link.
    links: BTreeMap<u64, String>,
    /// One-time prekeys that were handed out: whose, and which.
    handed_out: BTreeSet<(String, u32)>,
    /// What phones have opened: phone, sender, id.
    opened: BTreeSet<(String, String, String)>,
    pub(crate) excuses: Excuses,
}

impl World {
    /// Makes everybody. Nobody is connected yet but the phones.
    pub(crate) fn new(config: &Config, choices: Choices, trace: &Trace) -> Result<Self, Broken> {
        let seed = config.seed;
        let mut profile = Profile::default();
        profile.keys.first_batch = PREKEYS;
        profile.keys.refill_batch = PREKEYS;
        let (transport, listener) = memory::pair();
        let sandbox = SandboxConfig {
            rate_limits: RateLimits::Off,
            seed: Some(seed),
            profile: profile.clone(),
            clock: Clock::timer(BEGIN),
            ..SandboxConfig::default()
        };
        let sandbox = EmbeddedSandbox::start(sandbox.partner(INTEGRATOR.get(), ISSUER), listener)?;
        let shared = Arc::new(Shared {
            trace: trace.clone(),
            profile,
            recorder: Mutex::new(Recorder::new(trace.clone())),
            ledger: Mutex::new(Ledger::new(trace.clone())),
            parties: Mutex::default(),
        });
        let mut world = Self {
            config: config.clone(),
            shared,
            sandbox,
            network: Network::new(seed, transport),
            partner: Arc::new(Partner::new()?),
            http: HttpClient::builder().build()?,
            clients: Vec::new(),
            phones: Vec::new(),
            choices,
            jumped: 0,
            jumped_at: None,
            journal_at: 0,
            links: BTreeMap::new(),
            handed_out: BTreeSet::new(),
            opened: BTreeSet::new(),
            excuses: Excuses::default(),
        };
        world.partner.publish(world.sandbox.handle());
        for number in 0..config.clients {
            world.add_client(number)?;
        }
        for number in 0..config.phones {
            world.add_phone(number)?;
        }
        Ok(world)
    }

    pub(crate) fn handle(&self) -> &SandboxHandle {
        self.sandbox.handle()
    }

    fn add_client(&mut self, number: usize) -> Result<(), Broken> {
        let identifier = format!("user{number}");
        let mut rng = source(self.config.seed, "account", number as u64);
        let (store, address) = enlist(self.sandbox.handle(), &identifier, &mut rng)?;
        lock(&self.shared.parties).insert(address.clone(), Party::Client(number));
        self.clients.push(Seat {
            number,
            address,
            identifier,
            life: None,
            grave: None,
            fresh: Some(store),
            lives: 0,
            behind: Arc::default(),
        });
        Ok(())
    }

    fn add_phone(&mut self, number: usize) -> Result<(), Broken> {
        let digits = format!("1415555{number:04}");
        let info = self.sandbox.handle().create_phone(&digits, &format!("phone {number}"))?;
        lock(&self.shared.parties).insert(info.jid.clone(), Party::Phone(number));
        self.phones.push(PhoneSeat { number: digits, address: info.jid, seen: 0, shown: BTreeSet::new() });
        Ok(())
    }

    /// Notes a step of the driver.
    pub(crate) fn step(&self, what: &str) {
        self.shared.trace.note("step", what);
    }

    /// A client's process begins, with what the last one left behind.
    pub(crate) async fn start(&mut self, at: usize) -> Result<(), Broken> {
        let (seed, trust) = (self.config.seed, PinnedRoot::new(self.sandbox.handle().root_key()));
        let clock = self.sandbox.handle().clock().clone();
        let Some(seat) = self.clients.get_mut(at).filter(|seat| seat.life.is_none()) else { return Ok(()) };
        let store = match (seat.fresh.take(), seat.grave.take()) {
            (Some(store), _) => store,
            (None, Some(fate)) => match tokio::time::timeout(LETS_GO, fate.store()).await {
                Ok(store) => store,
                Err(_) => {
                    let what = format!("c{at}: a client that was dropped still holds its store");
                    self.shared.trace.violation(what);
                    return Ok(());
                }
            },
            (None, None) => return Ok(()),
        };
        seat.lives += 1;
        let life = seat.number as u64 * 1_000_000 + seat.lives;
        let birth = Birth {
            number: seat.number,
            store,
            wire: Wire::new(&self.network, &format!("c{at}.{}", seat.lives)),
            tokens: Tokens::new(&self.partner, &seat.identifier, &clock, source(seed, "tokens", life))?,
            clock: Skewed { clock, behind: Arc::clone(&seat.behind) },
            rng: source(seed, "client", life),
            trust,
            http: self.http.clone(),
            own: seat.address.clone(),
        };
        seat.life = Some(Life::begin(&self.shared, birth)?);
        Ok(())
    }

    /// A client's process is over: killed, or let go by its application.
    pub(crate) fn bury(&mut self, at: usize) {
        let Some(seat) = self.clients.get_mut(at) else { return };
        let Some(life) = seat.life.take() else { return };
        lock(&self.shared.ledger).killed(Party::Client(seat.number));
        seat.grave = Some(life.let_go());
    }

    /// Looks at everything that has happened since the last time.
    pub(crate) fn observe(&mut self) {
        self.partner.publish(self.sandbox.handle());
        for at in 0..self.clients.len() {
            let died = |seat: &Seat| seat.life.as_ref().is_some_and(|life| life.fate.is_dead());
            if self.clients.get(at).is_some_and(died) {
                self.shared.trace.note(&format!("c{at}"), "was killed");
                self.bury(at);
            }
        }
        self.read_journal();
        self.look_at_phones();
        for oddity in self.shared.trace.take_oddities() {
            if !self.excuses.explain(&oddity) {
                let (from, to) = oddity.between;
                self.shared.trace.violation(format!("{} (from {from} to {to})", oddity.what));
            }
        }
        let mut ledger = lock(&self.shared.ledger);
        ledger.check_order();
        ledger.check_notices();
    }

    fn read_journal(&mut self) {
        let events = self.sandbox.handle().events(self.journal_at);
        if events.first().is_some_and(|event| event.seq != self.journal_at + 1) {
            self.shared.trace.violation("more happened in one step than the journal keeps".to_owned());
        }
        for event in events {
            self.journal_at = event.seq;
            self.judge(event);
        }
    }

    fn judge(&mut self, event: Event) {
        let trace = self.shared.trace.clone();
        trace
            .note("server", &format!("{} {:?} {:?} {:?}", event.t, event.connection, event.user, event.kind));
        let user = event.user.as_deref().unwrap_or_default();
        match event.kind {
            EventKind::Connected { peer } => {
                self.links.extend(event.connection.map(|connection| (connection, peer)));
            }
            EventKind::MessageStored { to, id, .. } => {
                match (self.shared.party(user), self.shared.party(&to)) {
                    (Some(from), Some(to)) => lock(&self.shared.ledger).stored(from, to, &id),
                    _ => trace.violation(format!("a message from {user} to {to}")),
                }
            }
            EventKind::BundleFetched { of, prekey } => {
                if let (Some(by), Some(whose)) = (self.shared.party(user), self.shared.party(&of)) {
                    lock(&self.shared.ledger).overtaken.fetched(by, whose);
                }
                let used_up = prekey.filter(|prekey| !self.handed_out.insert((of.clone(), *prekey)));
                if let Some(prekey) = used_up {
                    trace.violation(format!("one-time prekey {prekey} of {of} was handed out twice"));
                }
            }
            EventKind::Taken { class, id } if class == "message" => {
                if let Some(by) = self.shared.party(user) {
                    lock(&self.shared.ledger).overtaken.taken(by, &id);
                }
            }
            EventKind::PhoneReceived { from, id, .. } => {
                let fresh = self.opened.insert((user.to_owned(), from, id.clone()));
                if !fresh {
                    trace.violation(format!("{user} has opened {id} twice"));
                }
            }
            EventKind::Broken { rule, detail } => {
                let link = event.connection.and_then(|connection| self.links.get(&connection));
                let cut = event.connection.is_some_and(|connection| self.excuses.was_cut(connection));
                let disturbed = cut || link.is_some_and(|link| self.network.was_disturbed(link));
                let network = disturbed && is_of_network(rule);
                let excused = match rule {
                    Rule::LOGIN_TOKEN => self.has_jumped(),
                    // The answer to an earlier change was lost with its connection: the client learns it this way.
                    Rule::BLOCK_DHASH => true,
                    _ => network,
                };
                if !excused {
                    trace.violation(format!("{user} {link:?} broke the rule `{}`: {detail}", rule.text));
                }
            }
            // Receipts still owed from the connection before can be there sooner than the request for the mailbox.
            EventKind::Unusual { rule, detail }
                if ![Rule::ACK_ID, Rule::MAILBOX_ASK, Rule::DECRYPT].contains(&rule) =>
            {
                trace.violation(format!("{user}: `{}`: {detail}", rule.text));
            }
            EventKind::FaultInjected { fault, id, .. } => {
                self.excuses.injected(fault, id.as_deref(), event.connection);
                if let Some(id) = id.filter(|_| excuses::reorders(fault)) {
                    lock(&self.shared.ledger).out_of_order(id);
                }
            }
            // What is encrypted anew comes behind what was written after it.
            EventKind::ReceiptForwarded { id, kind, .. } if kind == "retry" => {
                lock(&self.shared.ledger).out_of_order(id);
            }
            // The prekeys of another identity are others.
            EventKind::IdentityChanged { .. } => {
                self.handed_out.retain(|(of, _)| of != user);
                self.excuses.renewed(user);
                match self.shared.party(user) {
                    Some(phone @ Party::Phone(_)) => lock(&self.shared.ledger).set_up_anew(phone),
                    _ => trace.violation(format!("{user} has another identity")),
                }
            }
            EventKind::Nacked { id, code } => trace.violation(format!("{user} refuses {id} with {code}")),
            EventKind::LoginRefused { .. } if self.has_jumped() => {}
            EventKind::LoginRefused { code } => trace.violation(format!("a login was refused with {code}")),
            EventKind::Removed { reason } => trace.violation(format!("{user} was removed: {reason}")),
            EventKind::Internal { detail } => trace.violation(format!("inside the server: {detail}")),
            EventKind::PhoneNotice { of, .. } => trace.violation(format!("{user} takes {of} for changed")),
            _ => {}
        }
    }

    /// Whether the clock has jumped so recently that a token may have expired on its way.
    fn has_jumped(&self) -> bool {
        self.jumped_at.is_some_and(|at| at.elapsed() < ON_ITS_WAY)
    }

    fn look_at_phones(&mut self) {
        let handle = self.sandbox.handle();
        for (number, phone) in self.phones.iter_mut().enumerate() {
            let Ok((lines, last)) = handle.phone_changes(&phone.number, phone.seen) else { continue };
            phone.seen = last;
            let me = Party::Phone(number);
            let mut ledger = lock(&self.shared.ledger);
            for line in lines {
                let peer = self.shared.party(&line.peer);
                match (line.direction, line.state) {
                    (Direction::Received, MessageState::Waiting) => {
                        let why = line.failure.unwrap_or_default();
                        let what = format!("{me} cannot open {} of {}: {why}", line.id, line.peer);
                        self.shared.trace.odd(&[line.id.as_str()], (&line.peer, &phone.address), what);
                    }
                    (Direction::Received, _) => {
                        if phone.shown.insert((line.peer, line.id.clone())) {
                            ledger.shown(me, peer, &line.id, line.text.as_deref().unwrap_or_default());
                        }
                    }
                    (Direction::Sent, state) => match peer {
                        Some(peer) => ledger.phone_state(me, peer, &line.id, state),
                        None => self.shared.trace.violation(format!("{me} wrote to {}", line.peer)),
                    },
                }
            }
        }
    }

    /// The address of a party.
    pub(crate) fn address(&self, party: Party) -> Option<Jid> {
        let text = match party {
            Party::Client(number) => &self.clients.get(number)?.address,
            Party::Phone(number) => &self.phones.get(number)?.address,
        };
        text.parse().ok()
    }

    /// Takes the store of a client that was let go.
    pub(crate) async fn store_of(&mut self, at: usize) -> Option<MemoryStore> {
        let fate = self.clients.get_mut(at)?.grave.take()?;
        tokio::time::timeout(LETS_GO, fate.store()).await.ok()
    }

    pub(crate) async fn shutdown(self) {
        self.sandbox.shutdown().await;
    }
}

/// Whether a server may say that of a client whose link was disturbed.
fn is_of_network(rule: Rule) -> bool {
    [Rule::FIRST_BYTE, Rule::HANDSHAKE, Rule::HANDSHAKE_TIME, Rule::SILENCE, Rule::UNACKED].contains(&rule)
}
