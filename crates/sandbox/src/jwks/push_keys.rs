//! The sandbox's own keys, which sign what it pushes to partners, and the document that publishes them.

use std::sync::Arc;

use landbridge_enlist::generate_rsa_pem;
use landbridge_enlist::jwks;
use landbridge_enlist::jwt::RsaSigner;
use rand::rngs::StdRng;
use tokio::sync::OnceCell;

use crate::SandboxError;
use crate::state::State;

/// The active key and the standby beside it, by their names in the database.
const NAMES: [&str; 2] = ["push_key_active", "push_key_standby"];

/// The keys, made on the first start and kept. Making them takes 100 ms and more of CPU, so they come when they can:
/// whoever needs them waits, and nobody else does.
#[derive(Debug, Default)]
pub(crate) struct PushKeys {
    loaded: OnceCell<Loaded>,
}

/// The keys as they are used.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The published document.
    pub(crate) document: String,
    /// Its strong entity tag.
    pub(crate) etag: String,
}

impl PushKeys {
    /// Begins to load or make the keys.
    pub(crate) fn begin(state: &Arc<State>) -> Arc<Self> {
        let keys = Arc::new(Self::default());
        let (here, state) = (Arc::clone(&keys), Arc::clone(state));
        tokio::spawn(async move {
            if let Err(error) = here.get(&state).await {
                state.internal("push keys", &error);
            }
        });
        keys
    }

    /// The keys, once they are there.
    pub(crate) async fn get(&self, state: &Arc<State>) -> Result<&Loaded, SandboxError> {
        self.loaded
            .get_or_try_init(|| async {
                let state = Arc::clone(state);
                tokio::task::spawn_blocking(move || load(&state))
                    .await
                    .unwrap_or(Err(SandboxError::Record { what: "push key" }))
            })
            .await
    }
}

fn load(state: &State) -> Result<Loaded, SandboxError> {
    // Under a seed the order of the draws must not depend on who is faster.
    let rngs = NAMES.map(|_| state.rng());
    let signers: Vec<RsaSigner> = std::thread::scope(|scope| {
        let loaders =
            NAMES.into_iter().zip(rngs).map(|(name, rng)| scope.spawn(move || load_one(state, name, rng)));
        // Both are begun before the first is waited for.
        let loaders: Vec<_> = loaders.collect();
        loaders
            .into_iter()
            .map(|loader| loader.join().unwrap_or(Err(SandboxError::Record { what: "push key" })))
            .collect::<Result<_, _>>()
    })?;
    let document = jwks::to_json(signers.iter().map(RsaSigner::public_key));
    let etag = jwks::etag(&document);
    Ok(Loaded { document, etag })
}

fn load_one(state: &State, name: &str, mut rng: StdRng) -> Result<RsaSigner, SandboxError> {
    const BROKEN: SandboxError = SandboxError::Record { what: "push key" };
    let stored = state.db.read(|tx| tx.meta(name))?;
    let pem = match stored {
        Some(bytes) => String::from_utf8(bytes).map_err(|_| BROKEN)?,
        None => {
            let pem = generate_rsa_pem(&mut rng).map_err(|_| BROKEN)?;
            state.db.write(|tx| tx.set_meta(name, pem.as_bytes()))?;
            pem.to_string()
        }
    };
    RsaSigner::from_pkcs8_pem(&pem).map_err(|_| BROKEN)
}
