//! The signing keys over time: when which of them signs, and how long it is published.
//!
//! There are always two: the active one signs, the standby is published beside it, so that verifiers know it before it is
//! needed. A rotation makes the standby the active one, keeps publishing the old one for as long as its tokens live, and
//! publishes a new standby. In an emergency the old one goes at once.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use landbridge_enlist::jwt::{KeyError, RsaSigner, Signer};
use landbridge_enlist::{GenerateError, generate_rsa_pem};
use thiserror::Error;
use tokio::sync::Mutex;

use crate::clock::Clock;
use crate::key_files::FileShelf;
use crate::key_shelf::{Kept, KeyShelf, KeyShelfError, KeyState, KeyTimes, PrivatePem, Swapped};
use crate::keys::{BadSigningKeys, SigningKeys};
use crate::wake::{Es256Key, Es256KeyError};

/// A key is used no sooner than this after it was published: the time the document may be cached, twice the longest
/// interval between two fetches of a verifier, and a minute. In seconds (ASSUMED).
pub const PUBLISHED_BEFORE_USE: u64 = 300 + 2 * 3600 + 60;
/// A key is published this long after it was used last: the life of a token, and a minute. In seconds.
pub const PUBLISHED_AFTER_USE: u64 = 3600 + 60;
/// How often the task that rotates looks at the clock, and at what other servers have done.
const LOOK_EVERY: Duration = Duration::from_secs(30);

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
    /// Where they are kept.
    #[error("the signing keys cannot be read or kept")]
    Shelf(#[source] KeyShelfError),
    /// They were there.
    #[error("the signing keys are gone from where they were kept")]
    Lost,
    /// No key came out of the generator.
    #[error("no signing key could be made")]
    Generate(#[source] GenerateError),
    /// The thread that made a key ended early.
    #[error("the thread that makes signing keys ended early")]
    Panicked,
    /// What is kept is no key.
    #[error("a signing key that is kept cannot be used")]
    Key(#[source] KeyError),
    /// What is kept as the key of Web Push is none, or none could be made.
    #[error("the key of Web Push cannot be used")]
    WebPush(#[source] Es256KeyError),
    /// The keys do not fit together.
    #[error("the signing keys cannot be used")]
    Keys(#[source] BadSigningKeys),
}

/// What signs and what is published, and how that changes.
pub(crate) struct KeyRing {
    current: RwLock<Current>,
    /// `None` for keys that the operator has brought.
    ours: Option<Ours>,
    clock: Clock,
}

/// What requests see.
struct Current {
    keys: SigningKeys,
    /// `None` for keys that the operator has brought.
    times: Option<KeyTimes>,
}

struct Ours {
    shelf: Arc<dyn KeyShelf>,
    /// What this server goes by; who changes it holds the lock.
    kept: Mutex<Kept>,
}

/// Makes the keys of a data directory that are not there yet. Gives the names of the active one and the standby.
///
/// # Errors
/// [`RotateError`].
pub async fn prepare_keys(data_dir: &Path) -> Result<[String; 2], RotateError> {
    let kept = complete(&FileShelf::new(data_dir), Clock::system().seconds()).await?;
    let kid = |pem: &Option<PrivatePem>| signer(pem.as_ref()).map(|signer| signer.kid().to_owned());
    Ok([kid(&kept.state.active)?, kid(&kept.state.standby)?])
}

/// The key of Web Push on a shelf; made if there is none.
pub(crate) async fn web_push_key(shelf: &dyn KeyShelf) -> Result<Es256Key, RotateError> {
    loop {
        let Kept { mut state, version } = shelf.load().await.map_err(RotateError::Shelf)?;
        if let Some(pem) = &state.web_push {
            return Es256Key::from_pem(pem.as_str()).map_err(RotateError::WebPush);
        }
        let pem = Es256Key::generate_pem().map_err(RotateError::WebPush)?;
        state.web_push = Some(PrivatePem::new(pem));
        // Whether it was kept or another server's: it is read again.
        shelf.swap(version, &state).await.map_err(RotateError::Shelf)?;
    }
}

/// What is on the shelf, after what is missing has been made and kept.
async fn complete(shelf: &dyn KeyShelf, now: u64) -> Result<Kept, RotateError> {
    loop {
        let kept = shelf.load().await.map_err(RotateError::Shelf)?;
        let mut state = kept.state.clone();
        let missing = [&state.active, &state.standby].iter().filter(|key| key.is_none()).count();
        let mut made = generate(missing).await?.into_iter();
        let fresh = KeyTimes { active_since: now, standby_since: now, retiring_until: None };
        let times = state.times.get_or_insert(fresh);
        if state.active.is_none() {
            state.active = made.next();
        }
        if state.standby.is_none() {
            state.standby = made.next();
            times.standby_since = now;
        }
        if state.retiring.is_some() {
            // A key that retires since nobody knows when is kept for as long as one that retires now.
            times.retiring_until.get_or_insert(now + PUBLISHED_AFTER_USE);
        }
        if state == kept.state {
            return Ok(kept);
        }
        match shelf.swap(kept.version, &state).await.map_err(RotateError::Shelf)? {
            Swapped::Yes(version) => return Ok(Kept { state, version }),
            // Another server was faster; what it made counts.
            Swapped::No => {}
        }
    }
}

/// Draws so many keys at once, for that is slow: 100 ms and more of CPU each.
async fn generate(count: usize) -> Result<Vec<PrivatePem>, RotateError> {
    let mut drawing = tokio::task::JoinSet::new();
    for _ in 0..count {
        drawing.spawn_blocking(|| generate_rsa_pem(&mut rand::rng()));
    }
    let mut keys = Vec::with_capacity(count);
    while let Some(drawn) = drawing.join_next().await {
        let pem = drawn.map_err(|_| RotateError::Panicked)?.map_err(RotateError::Generate)?;
        tracing::info!("made a signing key");
        keys.push(PrivatePem::new(pem));
    }
    Ok(keys)
}

fn signer(pem: Option<&PrivatePem>) -> Result<Arc<RsaSigner>, RotateError> {
    let pem = pem.ok_or(RotateError::Lost)?;
    RsaSigner::from_pkcs8_pem(pem.as_str()).map(Arc::new).map_err(RotateError::Key)
}

impl Current {
    fn of(state: &KeyState) -> Result<Self, RotateError> {
        let (active, standby) = (signer(state.active.as_ref())?, signer(state.standby.as_ref())?);
        let retiring = state.retiring.as_ref().map(|pem| signer(Some(pem))).transpose()?;
        let published: Vec<_> = [Some(&active), Some(&standby), retiring.as_ref()]
            .into_iter()
            .flatten()
            .map(|signer| signer.public_key().clone())
            .collect();
        let keys = SigningKeys::new(Arc::clone(&active) as Arc<dyn Signer>, &published);
        Ok(Self { keys: keys.map_err(RotateError::Keys)?, times: state.times })
    }
}

/// The standby signs; the old key stays published, or goes at once.
fn rotated(state: &KeyState, rotation: Rotation, fresh: PrivatePem, now: u64) -> KeyState {
    let (retiring, retiring_until) = match rotation {
        Rotation::Planned => (state.active.clone(), Some(now + PUBLISHED_AFTER_USE)),
        Rotation::Emergency => (None, None),
    };
    KeyState {
        active: state.standby.clone(),
        standby: Some(fresh),
        retiring,
        times: Some(KeyTimes { active_since: now, standby_since: now, retiring_until }),
        web_push: state.web_push.clone(),
    }
}

impl KeyRing {
    /// Keys that somebody else rotates.
    pub(crate) fn of(keys: SigningKeys, clock: Clock) -> Self {
        Self { current: RwLock::new(Current { keys, times: None }), ours: None, clock }
    }

    /// The keys on the shelf, after what is missing has been made.
    pub(crate) async fn load(shelf: Arc<dyn KeyShelf>, clock: Clock) -> Result<Self, RotateError> {
        let kept = complete(&*shelf, clock.seconds()).await?;
        let current = RwLock::new(Current::of(&kept.state)?);
        Ok(Self { current, ours: Some(Ours { shelf, kept: Mutex::new(kept) }), clock })
    }

    /// What signs and what is published now.
    pub(crate) fn current(&self) -> SigningKeys {
        self.current.read().unwrap_or_else(PoisonError::into_inner).keys.clone()
    }

    /// Goes by `found` from now on.
    fn adopt(&self, kept: &mut Kept, found: Kept) -> Result<(), RotateError> {
        let current = Current::of(&found.state)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
        *kept = found;
        Ok(())
    }

    /// Goes by what is on the shelf, if another server has changed it.
    async fn look(&self, ours: &Ours, kept: &mut Kept) -> Result<(), RotateError> {
        let found = ours.shelf.load().await.map_err(RotateError::Shelf)?;
        if found.version == kept.version {
            return Ok(());
        }
        self.adopt(kept, found)?;
        tracing::info!(kid = self.current().active().kid(), "the keys were changed elsewhere");
        Ok(())
    }

    /// Puts `next` in the place of what is kept. If another server was faster, goes by what that one did.
    async fn change(&self, ours: &Ours, kept: &mut Kept, next: KeyState) -> Result<Swapped, RotateError> {
        let swapped = ours.shelf.swap(kept.version, &next).await.map_err(RotateError::Shelf)?;
        match swapped {
            Swapped::Yes(version) => self.adopt(kept, Kept { state: next, version })?,
            Swapped::No => self.look(ours, kept).await?,
        }
        Ok(swapped)
    }

    /// Lets the standby sign in the place of the key that signs now. If another server does the same meanwhile, that is
    /// what was wanted.
    pub(crate) async fn rotate(&self, rotation: Rotation) -> Result<(), RotateError> {
        let ours = self.ours.as_ref().ok_or(RotateError::NotOurs)?;
        let mut kept = ours.kept.lock().await;
        let unwanted = kept.state.active.clone();
        loop {
            self.look(ours, &mut kept).await?;
            let KeyState { active, retiring, .. } = &kept.state;
            // In an emergency it must not verify either.
            let verifies = rotation == Rotation::Emergency && *retiring == unwanted;
            if *active != unwanted && !verifies {
                return Ok(());
            }
            let now = self.clock.seconds();
            let usable = kept.state.times.map_or(0, |times| times.standby_since) + PUBLISHED_BEFORE_USE;
            if rotation == Rotation::Planned && now < usable {
                return Err(RotateError::TooSoon { wait: usable - now });
            }
            let fresh = generate(1).await?.pop().ok_or(RotateError::Lost)?;
            let next = rotated(&kept.state, rotation, fresh, now);
            if let Swapped::Yes(_) = self.change(ours, &mut kept, next).await? {
                tracing::info!(kid = self.current().active().kid(), ?rotation, "another key signs");
            }
        }
    }

    /// Does what is due: takes over what other servers did, retires a key that has been published long enough, rotates
    /// every `period` seconds.
    pub(crate) async fn tick(&self, period: Option<u64>) -> Result<(), RotateError> {
        let Some(ours) = &self.ours else { return Ok(()) };
        let now = self.clock.seconds();
        let mut kept = ours.kept.lock().await;
        self.look(ours, &mut kept).await?;
        let Some(times) = kept.state.times else { return Err(RotateError::Lost) };
        if kept.state.retiring.is_some() && times.retiring_until.is_some_and(|until| now >= until) {
            let times = Some(KeyTimes { retiring_until: None, ..times });
            let next = KeyState { retiring: None, times, ..kept.state.clone() };
            if let Swapped::Yes(_) = self.change(ours, &mut kept, next).await? {
                tracing::info!("a retired key is published no more");
            }
        }
        drop(kept);
        if period.is_none_or(|period| now < times.active_since.saturating_add(period)) {
            return Ok(());
        }
        match self.rotate(Rotation::Planned).await {
            // It waits for the standby to be known.
            Err(RotateError::TooSoon { .. }) => Ok(()),
            other => other,
        }
    }

    /// Does what is due for as long as the future is polled.
    pub(crate) async fn run(self: Arc<Self>, period: Option<u64>) {
        if self.ours.is_none() {
            return;
        }
        loop {
            if let Err(cause) = self.tick(period).await {
                // What signs goes on signing.
                tracing::error!(cause = &cause as &dyn std::error::Error, "keys cannot be looked after");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Seconds that each key has been what it is, by the word for that.
    pub(crate) fn ages(&self) -> Vec<(&'static str, u64)> {
        let Some(times) = self.current.read().unwrap_or_else(PoisonError::into_inner).times else {
            return Vec::new();
        };
        let now = self.clock.seconds();
        let since = |at: u64| now.saturating_sub(at);
        let mut ages = vec![("active", since(times.active_since)), ("standby", since(times.standby_since))];
        if times.retiring_until.is_some() {
            ages.push(("retiring", since(times.active_since)));
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
    use crate::key_files::{ACTIVE, RETIRING, STANDBY};
    use crate::key_shelf::MemoryShelf;

    fn memory() -> Arc<dyn KeyShelf> {
        Arc::new(MemoryShelf::default())
    }

    fn files(data_dir: &Path) -> Arc<dyn KeyShelf> {
        Arc::new(FileShelf::new(data_dir))
    }

    struct World {
        now: Arc<AtomicU64>,
        ring: KeyRing,
    }

    fn clock(now: &Arc<AtomicU64>) -> Clock {
        let now = Arc::clone(now);
        Clock::of(move || Duration::from_secs(now.load(Ordering::SeqCst)))
    }

    impl World {
        async fn new(shelf: Arc<dyn KeyShelf>) -> Self {
            let now = Arc::new(AtomicU64::new(1_800_000_000));
            Self::at(now, shelf).await
        }

        /// One more server at the same time.
        async fn at(now: Arc<AtomicU64>, shelf: Arc<dyn KeyShelf>) -> Self {
            let ring = KeyRing::load(shelf, clock(&now)).await.unwrap();
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
    #[tokio::test]
    async fn a_rotation_breaks_no_token() {
        let world = World::new(memory()).await;
        let verifier = Verifier::new(Profile::user_token());
        let (mut held, mut tokens): (KeySet, Vec<(u64, jwt::Token)>) = (world.published(), Vec::new());
        let mut signers = std::collections::BTreeSet::new();
        for minute in 0..10 * 60 {
            let now = world.advance(60);
            world.ring.tick(Some(4 * 3600)).await.unwrap();
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

    #[tokio::test]
    async fn a_standby_nobody_knows_does_not_sign_unless_it_has_to() {
        let world = World::new(memory()).await;
        let first = world.active();
        world.advance(PUBLISHED_BEFORE_USE - 1);
        assert!(matches!(world.ring.rotate(Rotation::Planned).await, Err(RotateError::TooSoon { wait: 1 })));
        assert_eq!(world.active(), first);
        world.ring.rotate(Rotation::Emergency).await.unwrap();
        assert_ne!(world.active(), first);
        assert!(world.published().get(&first).is_none(), "it is gone at once");
        assert_eq!(world.published().kids().count(), 2);
    }

    #[tokio::test]
    async fn what_is_kept_is_what_is_published() {
        let directory = tempfile::tempdir().unwrap();
        let world = World::new(files(directory.path())).await;
        let first = world.active();
        world.advance(PUBLISHED_BEFORE_USE);
        world.ring.rotate(Rotation::Planned).await.unwrap();
        let again = KeyRing::load(files(directory.path()), clock(&world.now)).await.unwrap();
        assert_eq!(again.current().document(), world.ring.current().document());
        assert_eq!(again.ages().len(), 3);
        world.advance(PUBLISHED_AFTER_USE - 1);
        again.tick(None).await.unwrap();
        assert!(again.current().document().contains(&first));
        world.advance(1);
        again.tick(None).await.unwrap();
        assert!(!again.current().document().contains(&first));
        let third = KeyRing::load(files(directory.path()), clock(&world.now)).await.unwrap();
        assert_eq!(third.current().document(), again.current().document());
    }

    /// Killed between any two steps of a rotation, the next start publishes the key that signed. The first three are
    /// those of earlier releases, which renamed.
    #[tokio::test]
    async fn a_rotation_that_was_cut_short() {
        for step in 0..5 {
            let directory = tempfile::tempdir().unwrap();
            let world = World::new(files(directory.path())).await;
            let (first, standby) = (world.active(), world.published());
            let standby = standby.kids().find(|kid| **kid != *first).unwrap().to_owned();
            let path = |name: &str| directory.path().join("keys").join(format!("{name}.pem"));
            match step {
                0 => {}
                1 | 2 => {
                    std::fs::rename(path(ACTIVE), path(RETIRING)).unwrap();
                    if step == 2 {
                        std::fs::rename(path(STANDBY), path(ACTIVE)).unwrap();
                    }
                }
                _ => {
                    std::fs::copy(path(ACTIVE), path(RETIRING)).unwrap();
                    if step == 4 {
                        std::fs::copy(path(STANDBY), path(ACTIVE)).unwrap();
                    }
                }
            }
            let now = world.advance(PUBLISHED_BEFORE_USE);
            let again = KeyRing::load(files(directory.path()), clock(&world.now)).await.unwrap();
            let document = again.current().document().to_owned();
            assert!(document.contains(&first) && document.contains(&standby), "step {step}");
            let signs = if [0, 3].contains(&step) { &first } else { &standby };
            assert_eq!(again.current().active().kid(), signs, "step {step}");
            let kids = KeySet::parse(document.as_bytes()).unwrap().set.kids().count();
            assert_eq!(kids, if [0, 3].contains(&step) { 2 } else { 3 }, "step {step}");
            // A standby that was made just now is known to nobody yet.
            let rotated = again.rotate(Rotation::Planned).await;
            assert_eq!(rotated.is_ok(), [0, 3].contains(&step), "step {step} at {now}");
        }
    }

    /// Of two servers that want the same, one does it and the other goes by it.
    #[tokio::test]
    async fn servers_with_one_shelf() {
        let shelf = memory();
        let first = World::new(Arc::clone(&shelf)).await;
        let second = World::at(Arc::clone(&first.now), shelf).await;
        let document = |world: &World| world.ring.current().document().to_owned();
        assert_eq!(document(&first), document(&second));
        first.advance(PUBLISHED_BEFORE_USE);
        let before = first.active();
        let period = Some(PUBLISHED_BEFORE_USE);
        let (a, b) = tokio::join!(first.ring.tick(period), second.ring.tick(period));
        a.and(b).unwrap();
        assert_eq!(document(&first), document(&second));
        assert_ne!(first.active(), before);
        assert_eq!(first.published().kids().count(), 3, "one rotation");
        let before = first.active();
        first.ring.rotate(Rotation::Emergency).await.unwrap();
        assert_eq!(second.active(), before, "it has not looked");
        second.ring.rotate(Rotation::Emergency).await.unwrap();
        assert_eq!(document(&first), document(&second), "the key that it wanted gone is gone");
        first.advance(PUBLISHED_BEFORE_USE);
        let before = first.active();
        first.ring.rotate(Rotation::Planned).await.unwrap();
        second.ring.rotate(Rotation::Emergency).await.unwrap();
        assert!(!document(&second).contains(&before), "nor does it verify any more");
        let (a, b) = tokio::join!(first.ring.tick(None), second.ring.tick(None));
        a.and(b).unwrap();
        assert_eq!(document(&first), document(&second));
    }

    /// Keys that are gone are no reason to stop signing, nor to make others on the quiet.
    #[tokio::test]
    async fn a_shelf_that_was_emptied() {
        let directory = tempfile::tempdir().unwrap();
        let world = World::new(files(directory.path())).await;
        let document = world.ring.current().document().to_owned();
        std::fs::remove_dir_all(directory.path().join("keys")).unwrap();
        assert!(matches!(world.ring.tick(None).await, Err(RotateError::Lost)));
        assert_eq!(world.ring.current().document(), document);
    }
}
