//! What all parts of a sandbox share.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use landbridge_curve::{PrivateKey, PublicKey};
use landbridge_enlist::{IntegratorId, Login, UserIdentifier};
use landbridge_noise::{CertificateAuthority, ServerIdentity, StaticKeyPair, Validity};
use landbridge_stanza::Profile;
use landbridge_stanza::notification::Notification;
use landbridge_wire::Jid;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::db::{Change, Db, EnlistKeys, Enlisted, MailClass, User, UserId};
use crate::events::{EventKind, Journal, Rule};
use crate::faults::{Fault, Faults};
use crate::hold::Hold;
use crate::jwks::PushKeys;
use crate::media::MediaHost;
use crate::partners::Partners;
use crate::phones::Phones;
use crate::push::Pushes;
use crate::router::{Bucket, End, Router};
use crate::{Calm, Clock, SandboxConfig, SandboxError, Trace};

/// Seconds of a day.
pub(crate) const DAY: u64 = 86_400;
/// Name of the chat server's static key in the database.
const SERVER_KEY: &str = "server_key";
/// How long certificates count: long enough for a clock that is moved ahead by years.
const CERTIFICATE_LIFE: u64 = 20 * 365 * DAY;

/// What all parts of a sandbox share.
pub(crate) struct State {
    /// Itself, for tasks that begin while it is at work.
    pub(crate) me: Weak<Self>,
    pub(crate) config: SandboxConfig,
    pub(crate) clock: Clock,
    pub(crate) db: Db,
    pub(crate) journal: Journal,
    pub(crate) router: Router,
    pub(crate) partners: Partners,
    pub(crate) phones: Phones,
    pub(crate) media: MediaHost,
    pub(crate) faults: Faults,
    /// What signs pushes to partners.
    pub(crate) push_keys: PushKeys,
    /// Which pushes are planned.
    pub(crate) pushes: Pushes,
    /// The chat server's static key and chain.
    pub(crate) identity: Arc<ServerIdentity>,
    pub(crate) root_key: PublicKey,
    /// Whether stanzas are written to the journal.
    pub(crate) trace: AtomicBool,
    rng: Mutex<StdRng>,
    connections: AtomicU64,
    logins: AtomicU64,
    pub(crate) buckets: Mutex<HashMap<UserId, Bucket>>,
    pub(crate) holds: Mutex<HashMap<UserId, Hold>>,
}

impl State {
    pub(crate) fn new(config: SandboxConfig) -> Result<Arc<Self>, SandboxError> {
        if let Some(path) = &config.data_dir {
            make_private_dir(path).map_err(|source| SandboxError::DataDir { path: path.clone(), source })?;
        }
        let mut rng = match config.seed {
            Some(seed) => StdRng::seed_from_u64(seed),
            None => StdRng::from_rng(&mut rand::rng()),
        };
        let clock = config.clock.clone();
        let db = Db::open(config.data_dir.as_deref())?;
        // What an earlier run held back was to come late, not never.
        db.write(|tx| tx.release_all())?;
        let faults = Faults::new(&config);
        let has_run = db.read(|tx| tx.meta(SERVER_KEY))?.is_some();
        let rotated = has_run && faults.roll(Fault::ServerKeyRotated).is_some();
        if rotated {
            db.write(|tx| tx.forget_meta(SERVER_KEY))?;
        }
        let (root_key, identity) = server_keys(&db, clock.now(), &mut rng)?;
        let partners = Partners::new(&config)?;
        if config.calm != Calm::Calm || !config.faults.is_empty() {
            tracing::info!(profile = ?config.calm, seed = faults.seed(), "faults are injected");
        }
        let state = Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            faults,
            phones: Phones::new(config.data_dir.clone()),
            media: MediaHost::default(),
            clock,
            db,
            journal: Journal::new(),
            router: Router::default(),
            partners,
            identity: Arc::new(identity),
            root_key,
            trace: AtomicBool::new(config.trace == Trace::On),
            rng: Mutex::new(rng),
            connections: AtomicU64::new(1),
            logins: AtomicU64::new(1),
            buckets: Mutex::default(),
            holds: Mutex::default(),
            push_keys: PushKeys::default(),
            pushes: Pushes::new(),
            config,
        });
        if rotated {
            let detail = "the chat server's static key is a new one, under the same root";
            state.injected(Fault::ServerKeyRotated, None, None, None, detail);
        }
        Ok(state)
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.now()
    }

    pub(crate) fn profile(&self) -> &Profile {
        &self.config.profile
    }

    /// A source of randomness of the caller's own, drawn from the sandbox's. No lock is held while it is used.
    pub(crate) fn rng(&self) -> StdRng {
        StdRng::from_rng(&mut *lock(&self.rng))
    }

    pub(crate) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    /// The place of a login among all logins.
    pub(crate) fn next_login(&self) -> u64 {
        self.logins.fetch_add(1, Ordering::Relaxed)
    }

    /// Writes to the journal.
    pub(crate) fn note(&self, connection: Option<u64>, user: Option<&Jid>, kind: EventKind) {
        self.journal.append(self.now(), connection, user.map(Jid::to_string), kind);
    }

    /// Writes a broken rule to the journal.
    pub(crate) fn broken(
        &self,
        connection: Option<u64>,
        user: Option<&Jid>,
        rule: Rule,
        detail: impl Into<String>,
    ) {
        self.note(connection, user, EventKind::Broken { rule, detail: detail.into() });
    }

    /// Writes a failure of the sandbox itself to the journal.
    pub(crate) fn internal(&self, what: &str, error: &dyn std::error::Error) {
        self.note(None, None, EventKind::Internal { detail: format!("{what}: {}", chain(error)) });
    }

    /// The account with an address, unless it has expired by now.
    pub(crate) fn live_user(&self, jid: &Jid) -> Result<Option<User>, SandboxError> {
        let Some(user) = self.db.read(|tx| tx.user(jid))? else { return Ok(None) };
        if user.authkey.is_some()
            && user.last_seen < self.inactive_since()
            && !self.router.is_connected(user.id)
        {
            self.remove(&user, "30 days without a connection")?;
            return Ok(None);
        }
        Ok(Some(user))
    }

    pub(crate) fn is_connected(&self, jid: &Jid) -> Result<bool, SandboxError> {
        let user = self.db.read(|tx| tx.user(jid))?;
        Ok(user.is_some_and(|user| self.router.is_connected(user.id)))
    }

    fn inactive_since(&self) -> u64 {
        self.now().saturating_sub(u64::from(self.profile().server.inactive_days) * DAY)
    }

    /// Enlists a user, or enlists again, by the rules of repeats and rotation. The caller has checked request, token and
    /// keys.
    pub(crate) fn enlist_user(
        &self,
        integrator: IntegratorId,
        identifier: &UserIdentifier,
        keys: &EnlistKeys,
    ) -> Result<Enlisted, SandboxError> {
        let now = self.now();
        self.expire_identifier(integrator, identifier)?;
        let mut rng = self.rng();
        let (user, change) = self.db.write(|tx| tx.enlist(integrator, identifier, keys, now, &mut rng))?;
        let stays = user.authkey == Some(keys.authkey);
        if !stays {
            self.router.end(user.id, End::KeyChanged);
        }
        self.note(None, Some(&user.jid), EventKind::Enlisted { change });
        if change == Change::Identity {
            self.tell_identity(&user)?;
        }
        let login =
            user.jid.to_string().parse::<Login>().map_err(|_| SandboxError::Record { what: "login" })?;
        Ok(Enlisted { login, change })
    }

    /// An account that has expired does not come back under its old address.
    fn expire_identifier(
        &self,
        integrator: IntegratorId,
        identifier: &UserIdentifier,
    ) -> Result<(), SandboxError> {
        if let Some(old) = self.db.read(|tx| tx.enlisted(integrator, identifier.as_str()))? {
            self.live_user(&old.jid)?;
        }
        Ok(())
    }

    /// Tells everybody who has exchanged a message with the user of late that the identity has changed.
    pub(crate) fn tell_identity(&self, user: &User) -> Result<(), SandboxError> {
        let now = self.now();
        let after = now.saturating_sub(u64::from(self.profile().server.identity_notice_days) * DAY);
        let contacts = self.db.write(|tx| {
            let contacts = tx.contacts(user.id, after)?;
            for contact in &contacts {
                let id = notification_id(&mut self.rng());
                let notice = Notification::identity_changed(id, now, user.jid.clone());
                tx.post(contact.id, MailClass::Notification, &notice.to_node(self.profile()), now)?;
            }
            Ok(contacts)
        })?;
        self.note(None, Some(&user.jid), EventKind::IdentityChanged { contacts: contacts.len() });
        for contact in &contacts {
            self.news(contact);
        }
        Ok(())
    }

    /// Removes an account and ends its connection.
    pub(crate) fn remove(&self, user: &User, reason: &'static str) -> Result<(), SandboxError> {
        self.db.write(|tx| {
            if user.authkey.is_none() {
                tx.forget_phone(user.jid.user_part())?;
            }
            tx.remove_user(user.id)
        })?;
        lock(&self.buckets).remove(&user.id);
        lock(&self.holds).remove(&user.id);
        self.router.end(user.id, End::Removed);
        self.forget_pushes(user.id);
        self.note(None, Some(&user.jid), EventKind::Removed { reason });
        Ok(())
    }

    /// Moves the clock, if a fault wants it so.
    pub(crate) fn jump_by_chance(&self) {
        const HOUR: u64 = 3_600;
        let Some(mut dice) = self.faults.roll(Fault::ClockJump) else { return };
        let detail = match dice.below(4) {
            0 => {
                self.clock.set_back(5);
                "5 seconds back"
            }
            1 => {
                self.clock.set_back(HOUR);
                "an hour back"
            }
            2 => {
                self.clock.advance(HOUR);
                "an hour ahead"
            }
            _ => {
                self.clock.advance(31 * DAY);
                "31 days ahead"
            }
        };
        self.clock_moved();
        self.injected(Fault::ClockJump, None, None, None, detail);
    }

    /// Lets everything that waits for a time look at the clock again, which was moved.
    pub(crate) fn clock_moved(&self) {
        self.partners.clock_moved();
        self.pushes.look();
    }

    /// Lets time do its work: accounts away for too long go, old mail goes.
    pub(crate) fn sweep(&self) -> Result<(), SandboxError> {
        let since = self.inactive_since();
        for user in self.db.read(|tx| tx.inactive(since))? {
            if !self.router.is_connected(user.id) {
                self.remove(&user, "30 days without a connection")?;
            }
        }
        let keep = u64::from(self.profile().mailbox.keep_days) * DAY;
        self.db.write(|tx| tx.expire_mail(self.now().saturating_sub(keep)))?;
        Ok(())
    }
}

/// Id of a notification: ten decimal digits or less.
pub(crate) fn notification_id(rng: &mut StdRng) -> String {
    rand::Rng::next_u32(rng).to_string()
}

/// The server's own keys: read, or drawn and stored.
fn server_keys(db: &Db, now: u64, rng: &mut StdRng) -> Result<(PublicKey, ServerIdentity), SandboxError> {
    let mut key = |name: &str| {
        db.write(|tx| match tx.meta(name)? {
            Some(bytes) => {
                let bytes = bytes.try_into().map_err(|_| SandboxError::Record { what: "server key" })?;
                Ok(PrivateKey::from_bytes(bytes))
            }
            None => {
                let key = PrivateKey::generate(rng);
                tx.set_meta(name, key.as_bytes())?;
                Ok(key)
            }
        })
    };
    let (root, intermediate, server) = (key("root_key")?, key("intermediate_key")?, key(SERVER_KEY)?);
    let validity = Validity::new(now.saturating_sub(DAY), now.saturating_add(CERTIFICATE_LIFE));
    let authority = CertificateAuthority::from_keys(root, intermediate, validity, rng);
    let keys = StaticKeyPair::new(server);
    let chain = authority.issue(keys.public(), validity, rng);
    Ok((*authority.root(), ServerIdentity::new(keys, chain)))
}

/// Makes a directory that only its owner can read: it holds private keys.
fn make_private_dir(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Locks; a panic elsewhere does not spread, for every value behind a lock here is whole between statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Bytes in lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |text, byte| format!("{text}{byte:02x}"))
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
