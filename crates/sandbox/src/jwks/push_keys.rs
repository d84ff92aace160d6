//! The sandbox's own keys, which sign what it pushes to partners, and the document that publishes them.

use std::sync::Arc;

use landbridge_enlist::generate_rsa_pem;
use landbridge_enlist::jwks;
use landbridge_enlist::jwt::RsaSigner;
use rand::rngs::StdRng;
use tokio::sync::Mutex;

use crate::SandboxError;
use crate::state::State;

/// Names in the database: the key that signs, and the one that stands by.
const NAMES: [&str; 2] = ["push_key_active", "push_key_standby"];
/// The one that signed before, once the keys have moved on: what it signed can still be checked.
const RETIRED: &str = "push_key_retired";
const BROKEN: SandboxError = SandboxError::Record { what: "push key" };

/// The keys, made on the first start and kept. Making them takes 100 ms and more of CPU, so they come when they can:
/// whoever needs them waits, and nobody else does.
#[derive(Debug, Default)]
pub(crate) struct PushKeys {
    loaded: Mutex<Option<Arc<Loaded>>>,
}

/// The keys as they are used.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The published document.
    pub(crate) document: String,
    /// Its strong entity tag.
    pub(crate) etag: String,
    /// What signs.
    pub(crate) signer: RsaSigner,
}

impl PushKeys {
    /// Begins to load or make the keys. Must be called within a tokio runtime.
    pub(crate) fn begin(state: &Arc<State>) {
        let state = Arc::clone(state);
        tokio::spawn(async move {
            if let Err(error) = state.push_keys.get(&state).await {
                state.internal("push keys", &error);
            }
        });
    }

    /// The keys, once they are there.
    pub(crate) async fn get(&self, state: &Arc<State>) -> Result<Arc<Loaded>, SandboxError> {
        let mut loaded = self.loaded.lock().await;
        if let Some(keys) = &*loaded {
            return Ok(Arc::clone(keys));
        }
        let keys = aside(state, load).await?;
        *loaded = Some(Arc::clone(&keys));
        Ok(keys)
    }

    /// Moves the keys on by one, and gives them. Nobody waits while the new one is made.
    pub(crate) async fn rotate(&self, state: &Arc<State>) -> Result<Arc<Loaded>, SandboxError> {
        self.get(state).await?;
        let fresh = aside(state, |state| generate_rsa_pem(&mut state.rng()).map_err(|_| BROKEN)).await?;
        let mut loaded = self.loaded.lock().await;
        let keys = aside(state, move |state| {
            move_on(state, fresh.as_bytes())?;
            load(state)
        })
        .await?;
        *loaded = Some(Arc::clone(&keys));
        Ok(keys)
    }
}

/// Runs work that takes a while beside the runtime.
async fn aside<T: Send + 'static>(
    state: &Arc<State>,
    work: impl FnOnce(&State) -> Result<T, SandboxError> + Send + 'static,
) -> Result<T, SandboxError> {
    let state = Arc::clone(state);
    tokio::task::spawn_blocking(move || work(&state)).await.unwrap_or(Err(BROKEN))
}

/// The key that stands by becomes the one that signs, and that one retires.
fn move_on(state: &State, fresh: &[u8]) -> Result<(), SandboxError> {
    let [active, standby] = NAMES;
    state.db.write(|tx| {
        let (Some(old), Some(new)) = (tx.meta(active)?, tx.meta(standby)?) else { return Err(BROKEN) };
        tx.set_meta(RETIRED, &old)?;
        tx.set_meta(active, &new)?;
        tx.set_meta(standby, fresh)
    })
}

fn load(state: &State) -> Result<Arc<Loaded>, SandboxError> {
    // Under a seed the order of the draws must not depend on who is faster.
    let rngs = NAMES.map(|_| state.rng());
    let mut signers: Vec<RsaSigner> = std::thread::scope(|scope| {
        let loaders =
            NAMES.into_iter().zip(rngs).map(|(name, rng)| scope.spawn(move || load_one(state, name, rng)));
        // Both are begun before the first is waited for.
        let loaders: Vec<_> = loaders.collect();
        loaders.into_iter().map(|loader| loader.join().unwrap_or(Err(BROKEN))).collect::<Result<_, _>>()
    })?;
    if let Some(retired) = state.db.read(|tx| tx.meta(RETIRED))? {
        signers.push(signer(retired)?);
    }
    let document = jwks::to_json(signers.iter().map(RsaSigner::public_key));
    let etag = jwks::etag(&document);
    let signer = signers.into_iter().next().ok_or(BROKEN)?;
    Ok(Arc::new(Loaded { document, etag, signer }))
}

fn load_one(state: &State, name: &str, mut rng: StdRng) -> Result<RsaSigner, SandboxError> {
    if let Some(stored) = state.db.read(|tx| tx.meta(name))? {
        return signer(stored);
    }
    let pem = generate_rsa_pem(&mut rng).map_err(|_| BROKEN)?;
    state.db.write(|tx| tx.set_meta(name, pem.as_bytes()))?;
    RsaSigner::from_pkcs8_pem(&pem).map_err(|_| BROKEN)
}

fn signer(pem: Vec<u8>) -> Result<RsaSigner, SandboxError> {
    let pem = String::from_utf8(pem).map_err(|_| BROKEN)?;
    RsaSigner::from_pkcs8_pem(&pem).map_err(|_| BROKEN)
}
