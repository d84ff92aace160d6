//! The signing keys over time: when which of them signs, and how long it is published.
//!
//! There are always two: the active one signs, the standby is published beside it, so that verifiers know it before it is
//! needed. A rotation makes the standby the active one, keeps publishing the old one for as long as its tokens live, and
//! publishes a new standby. In an emergency the old one goes at once.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use landbridge_enlist::jwt::{RsaSigner, Signer};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::clock::Clock;
use crate::key_files::{self, KeyFileError, RETIRING};
use crate::keys::{BadSigningKeys, SigningKeys};

/// A key is used no sooner than this after it was published: the time the document may be cached, twice the longest
/// interval between two fetches of a verifier, and a minute. In seconds (ASSUMED).
pub const PUBLISHED_BEFORE_USE: u64 = 300 + 2 * 3600 + 60;
/// A key is published this long after it was used last: the life of a token, and a minute. In seconds.
pub const PUBLISHED_AFTER_USE: u64 = 3600 + 60;
/// How often the task that rotates looks at the clock.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Since when which key is what it is, unix seconds. Kept beside the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Times {
    active_since: u64,
    standby_since: u64,
    /// Until when the last active key is published.
    retiring_until: Option<u64>,
}

/// How a rotation is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are two")]
pub enum Rotation {
    /// Tokens that were issued stay valid; refused before the standby has been published long enough.
    Planned,
    /// The active key is not to be trusted any more: its tokens stop being valid as soon as verifiers look.
    Emergency,
}

/// A rotation that was not done.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RotateError {
    /// The keys were given by the operator and not made here.
    #[error("the signing keys are not this server's to rotate")]
    NotOurs,
    /// Verifiers may not know the standby yet.
    #[error("the standby key has not been published long enough; in {wait} seconds it has")]
    TooSoon {
        /// Seconds.
        wait: u64,
    },
    /// The key files.
    #[error("the signing keys cannot be stored")]
    Files(#[source] KeyFileError),
    /// The keys do not fit together.
    #[error("the signing keys cannot be used")]
    Keys(#[source] BadSigningKeys),
}

/// What signs and what is published, and how that changes.
pub(crate) struct KeyRing {
    current: RwLock<SigningKeys>,
    /// `None` for keys that the operator has brought.
    ours: Option<Mutex<Ours>>,
    clock: Clock,
}

struct Ours {
    data_dir: Option<PathBuf>,
    active: Arc<RsaSigner>,
    standby: Arc<RsaSigner>,
    retiring: Option<Arc<RsaSigner>>,
    times: Times,
}

impl Ours {
    fn load(data_dir: Option<&Path>, now: u64) -> Result<Self, KeyFileError> {
        let kept: Option<Times> = key_files::read_times(data_dir)?;
        let loaded = key_files::load_or_generate(data_dir)?;
        let retiring = loaded.retiring.map(Arc::new);
        let mut times = kept.unwrap_or(Times { active_since: now, standby_since: now, retiring_until: None });
        if loaded.standby_is_new {
            times.standby_since = now;
        }
        if retiring.is_some() {
            // A key that retires since nobody knows when is kept for as long as one that retires now.
            times.retiring_until.get_or_insert(now + PUBLISHED_AFTER_USE);
        }
        key_files::write_times(data_dir, &times)?;
        let (active, standby) = (Arc::new(loaded.active), Arc::new(loaded.standby));
        Ok(Self { data_dir: data_dir.map(Path::to_owned), active, standby, retiring, times })
    }

    fn signing_keys(&self) -> Result<SigningKeys, BadSigningKeys> {
        let published: Vec<_> = [Some(&self.active), Some(&self.standby), self.retiring.as_ref()]
            .into_iter()
            .flatten()
            .map(|signer| signer.public_key().clone())
            .collect();
        SigningKeys::new(Arc::clone(&self.active) as Arc<dyn Signer>, &published)
    }

    /// Files first: what is published is what would be loaded again.
    fn rotate(&mut self, rotation: Rotation, now: u64) -> Result<(), KeyFileError> {
        let data_dir = self.data_dir.as_deref();
        let retiring_until = match rotation {
            Rotation::Planned => Some(now + PUBLISHED_AFTER_USE),
            Rotation::Emergency => None,
        };
        let times = Times { active_since: now, standby_since: now, retiring_until };
        let fresh = key_files::rotate(data_dir, rotation)?;
        key_files::write_times(data_dir, &times)?;
        let old = std::mem::replace(&mut self.active, std::mem::replace(&mut self.standby, Arc::new(fresh)));
        self.retiring = (rotation == Rotation::Planned).then_some(old);
        self.times = times;
        Ok(())
    }

    /// Whether something has come to its end.
    fn retire(&mut self, now: u64) -> Result<bool, KeyFileError> {
        if self.retiring.is_none() || self.times.retiring_until.is_some_and(|until| now < until) {
            return Ok(false);
        }
        let times = Times { retiring_until: None, ..self.times };
        key_files::remove(self.data_dir.as_deref(), RETIRING)?;
        key_files::write_times(self.data_dir.as_deref(), &times)?;
        self.retiring = None;
        self.times = times;
        Ok(true)
    }
}

/// Makes the keys of a data directory that are not there yet. Gives the names of the active one and the standby. Blocks.
///
/// # Errors
/// [`RotateError::Files`].
pub fn prepare_keys(data_dir: &Path) -> Result<[String; 2], RotateError> {
    let ours = Ours::load(Some(data_dir), Clock::system().seconds()).map_err(RotateError::Files)?;
    Ok([&ours.active, &ours.standby].map(|signer| signer.kid().to_owned()))
}

impl KeyRing {
    /// Keys that somebody else rotates.
    pub(crate) fn of(keys: SigningKeys, clock: Clock) -> Self {
        Self { current: RwLock::new(keys), ours: None, clock }
    }

    /// The keys of the data directory, or fresh ones. Blocks.
    pub(crate) fn load(data_dir: Option<&Path>, clock: Clock) -> Result<Self, RotateError> {
        let ours = Ours::load(data_dir, clock.seconds()).map_err(RotateError::Files)?;
        let current = RwLock::new(ours.signing_keys().map_err(RotateError::Keys)?);
        Ok(Self { current, ours: Some(Mutex::new(ours)), clock })
    }

    /// What signs and what is published now.
    pub(crate) fn current(&self) -> SigningKeys {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Ours) -> Result<T, RotateError>) -> Result<T, RotateError> {
        let ours = self.ours.as_ref().ok_or(RotateError::NotOurs)?;
        let mut ours = ours.lock().unwrap_or_else(PoisonError::into_inner);
        let done = change(&mut ours)?;
        let keys = ours.signing_keys().map_err(RotateError::Keys)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(done)
    }

    /// Lets the standby sign. Blocks: a new standby is drawn.
    pub(crate) fn rotate(&self, rotation: Rotation) -> Result<(), RotateError> {
        let now = self.clock.seconds();
        self.change(|ours| {
            let usable = ours.times.standby_since + PUBLISHED_BEFORE_USE;
            if rotation == Rotation::Planned && now < usable {
                return Err(RotateError::TooSoon { wait: usable - now });
            }
            ours.rotate(rotation, now).map_err(RotateError::Files)?;
            tracing::info!(kid = ours.active.kid(), ?rotation, "another key signs");
            Ok(())
        })
    }

    /// Does what is due: retires a key that has been published long enough, rotates every `period` seconds. Blocks.
    pub(crate) fn tick(&self, period: Option<u64>) -> Result<(), RotateError> {
        let now = self.clock.seconds();
        let due = self.change(|ours| {
            if ours.retire(now).map_err(RotateError::Files)? {
                tracing::info!("a retired key is published no more");
            }
            Ok(period.is_some_and(|period| now >= ours.times.active_since.saturating_add(period)))
        });
        match due {
            Ok(true) => match self.rotate(Rotation::Planned) {
                // It waits for the standby to be known.
                Err(RotateError::TooSoon { .. }) => Ok(()),
                other => other,
            },
            Ok(false) | Err(RotateError::NotOurs) => Ok(()),
            Err(cause) => Err(cause),
        }
    }

    /// Does what is due for as long as the future is polled.
    pub(crate) async fn run(self: Arc<Self>, period: Option<u64>) {
        if self.ours.is_none() {
            return;
        }
        loop {
            let ring = Arc::clone(&self);
            match tokio::task::spawn_blocking(move || ring.tick(period)).await {
                Ok(Ok(())) => {}
                Ok(Err(cause)) => {
                    tracing::error!(cause = &cause as &dyn std::error::Error, "keys cannot be rotated");
                }
                Err(_) => tracing::error!("keys cannot be rotated: the thread ended early"),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Seconds that each key has been what it is, by the word for that.
    pub(crate) fn ages(&self) -> Vec<(&'static str, u64)> {
        let Some(ours) = &self.ours else { return Vec::new() };
        let ours = ours.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.seconds();
        let since = |at: u64| now.saturating_sub(at);
        let mut ages =
            vec![("active", since(ours.times.active_since)), ("standby", since(ours.times.standby_since))];
        if ours.retiring.is_some() {
            ages.push(("retiring", since(ours.times.active_since)));
        }
        ages
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use landbridge_enlist::jwks::KeySet;
    use landbridge_enlist::jwt::{self, Claims, Profile, Verifier};

    use super::*;
    use crate::key_files::{ACTIVE, STANDBY};

    struct World {
        now: Arc<AtomicU64>,
        ring: KeyRing,
    }

    fn clock(now: &Arc<AtomicU64>) -> Clock {
        let now = Arc::clone(now);
        Clock::of(move || Duration::from_secs(now.load(Ordering::SeqCst)))
    }

    impl World {
        fn new(data_dir: Option<&Path>) -> Self {
            let now = Arc::new(AtomicU64::new(1_800_000_000));
            let ring = KeyRing::load(data_dir, clock(&now)).unwrap();
            Self { now, ring }
        }

        fn advance(&self, seconds: u64) -> u64 {
            self.now.fetch_add(seconds, Ordering::SeqCst) + seconds
        }

        fn published(&self) -> KeySet {
            KeySet::parse(self.ring.current().document().as_bytes()).unwrap().set
        }

        fn active(&self) -> String {
            self.ring.current().active().kid().to_owned()
        }
    }

    /// Tokens issued at every minute of two rotations verify with the set of a verifier that fetches once an hour.
    #[test]
    fn a_rotation_breaks_no_token() {
        let world = World::new(None);
        let verifier = Verifier::new(Profile::user_token());
        let (mut held, mut tokens): (KeySet, Vec<(u64, jwt::Token)>) = (world.published(), Vec::new());
        let mut signers = std::collections::BTreeSet::new();
        for minute in 0..10 * 60 {
            let now = world.advance(60);
            world.ring.tick(Some(4 * 3600)).unwrap();
            if minute % 60 == 0 {
                held = world.published();
                assert!(held.kids().count() >= 2, "a standby is published");
            }
            let keys = world.ring.current();
            signers.insert(keys.active().kid().to_owned());
            let claims = Claims::user("https://a", &"alice".parse().unwrap(), now, &mut rand::rng());
            tokens.push((now + jwt::TOKEN_LIFE, jwt::issue(&**keys.active(), &claims).unwrap()));
            tokens.retain(|(ends, _)| *ends > now);
            // The youngest, the oldest, and one between.
            for (_, token) in
                [tokens.first(), tokens.get(tokens.len() / 2), tokens.last()].into_iter().flatten()
            {
                let open = verifier.open(token.as_str()).unwrap();
                verifier.verify(&open, "https://a", held.get(open.kid()), now).unwrap();
            }
        }
        assert_eq!(signers.len(), 3, "two rotations");
    }

    #[test]
    fn a_standby_nobody_knows_does_not_sign_unless_it_has_to() {
        let world = World::new(None);
        let first = world.active();
        world.advance(PUBLISHED_BEFORE_USE - 1);
        assert!(matches!(world.ring.rotate(Rotation::Planned), Err(RotateError::TooSoon { wait: 1 })));
        assert_eq!(world.active(), first);
        world.ring.rotate(Rotation::Emergency).unwrap();
        assert_ne!(world.active(), first);
        assert!(world.published().get(&first).is_none(), "it is gone at once");
        assert_eq!(world.published().kids().count(), 2);
    }

    #[test]
    fn what_is_kept_is_what_is_published() {
        let directory = tempfile::tempdir().unwrap();
        let world = World::new(Some(directory.path()));
        let first = world.active();
        world.advance(PUBLISHED_BEFORE_USE);
        world.ring.rotate(Rotation::Planned).unwrap();
        let again = KeyRing::load(Some(directory.path()), clock(&world.now)).unwrap();
        assert_eq!(again.current().document(), world.ring.current().document());
        assert_eq!(again.ages().len(), 3);
        world.advance(PUBLISHED_AFTER_USE - 1);
        again.tick(None).unwrap();
        assert!(again.current().document().contains(&first));
        world.advance(1);
        again.tick(None).unwrap();
        assert!(!again.current().document().contains(&first));
        let third = KeyRing::load(Some(directory.path()), clock(&world.now)).unwrap();
        assert_eq!(third.current().document(), again.current().document());
    }

    /// Killed between any two steps of a rotation, the next start publishes the key that signed.
    #[test]
    fn a_rotation_that_was_cut_short() {
        for step in 0..3 {
            let directory = tempfile::tempdir().unwrap();
            let world = World::new(Some(directory.path()));
            let (first, standby) = (world.active(), world.published());
            let standby = standby.kids().find(|kid| **kid != *first).unwrap().to_owned();
            let path = |name: &str| directory.path().join("keys").join(format!("{name}.pem"));
            if step > 0 {
                std::fs::rename(path(ACTIVE), path(RETIRING)).unwrap();
            }
            if step > 1 {
                std::fs::rename(path(STANDBY), path(ACTIVE)).unwrap();
            }
            let again = KeyRing::load(Some(directory.path()), clock(&world.now)).unwrap();
            let document = again.current().document().to_owned();
            assert!(document.contains(&first) && document.contains(&standby), "step {step}");
            let signs = if step == 0 { &first } else { &standby };
            assert_eq!(again.current().active().kid(), signs, "step {step}");
        }
    }
}
