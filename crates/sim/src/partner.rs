//! The partner's side of identity: accounts in stores, and tokens.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use landbridge::enlist::jwks::{self, Fetched};
use landbridge::enlist::jwt::{self, Claims, RsaSigner, Token};
use landbridge::enlist::{DeviceKeys, IntegratorId, SignedPreKeyPublic, UserIdentifier};
use landbridge::noise::PrivateKey;
use landbridge::signal::{IdentityKeyPair, SignedPreKey, prekeys};
use landbridge::store::{Account, ClientStore, Enlistment, MemoryStore};
use landbridge::{Freshness, TokenError, TokenSource};
use landbridge_sandbox::{Clock, EnlistKeys, SandboxHandle};
use rand_chacha::ChaCha20Rng;

use crate::Broken;

/// Issuer of all tokens, which nobody asks for anything.
pub(crate) const ISSUER: &str = "http://partner.invalid";
/// Its number.
pub(crate) const INTEGRATOR: IntegratorId = IntegratorId::ONE;
/// Signs nothing but simulated tokens.
const KEY: &str = include_str!("../data/partner-key.pem");
/// Tokens are renewed when they end within so many seconds.
const RENEW_BEFORE: u64 = 600;

/// The partner's key.
pub(crate) struct Partner {
    signer: RsaSigner,
    document: String,
}

impl Partner {
    pub(crate) fn new() -> Result<Self, Broken> {
        let signer = RsaSigner::from_pkcs8_pem(KEY)?;
        let document = jwks::to_json([signer.public_key()]);
        Ok(Self { signer, document })
    }

    /// Gives the server the key set, as often as it would fetch it.
    pub(crate) fn publish(&self, sandbox: &SandboxHandle) {
        let now = sandbox.clock().now();
        if let Some(partner) = sandbox.partners().get(INTEGRATOR)
            && partner.due(now).is_some()
        {
            let answer = Fetched::Response {
                status: 200,
                etag: None,
                cache_control: None,
                body: self.document.as_bytes(),
            };
            partner.fetched(answer, now);
        }
    }
}

/// Makes an account, enlists it, and gives its store and its address.
pub(crate) fn enlist(
    sandbox: &SandboxHandle,
    identifier: &str,
    rng: &mut ChaCha20Rng,
) -> Result<(MemoryStore, String), Broken> {
    let now = sandbox.clock().now();
    let identity = IdentityKeyPair::generate(rng);
    let mut account = Account {
        registration_id: prekeys::generate_registration_id(rng),
        noise_static: PrivateKey::generate(rng),
        integrator: INTEGRATOR.get(),
        identifier: identifier.to_owned(),
        enlistment: Enlistment::Prepared,
        identity: identity.clone(),
    };
    let mut store = MemoryStore::new();
    let mut tx = store.begin()?;
    let signed = SignedPreKey::generate(tx.next_signed_prekey_id()?, &identity, rng);
    let public = signed.public();
    let keys = DeviceKeys {
        auth_key: account.noise_static.public(),
        registration_id: account.registration_id,
        identity_key: *account.identity.public(),
        signed_prekey: SignedPreKeyPublic {
            id: public.id.get(),
            key: public.key,
            signature: public.signature,
        },
    };
    let enlisted =
        sandbox.enlist_user(INTEGRATOR, &UserIdentifier::new(identifier)?, &EnlistKeys::from(&keys))?;
    let login = enlisted.login.to_string();
    account.enlistment = Enlistment::Enlisted { login: login.clone(), at: now };
    tx.create_account(&account)?;
    tx.add_signed_prekey(&signed, now)?;
    tx.mark_signed_uploaded(signed.id)?;
    tx.commit()?;
    Ok((store, login))
}

/// Tokens of one user.
pub(crate) struct Tokens {
    partner: Arc<Partner>,
    identifier: UserIdentifier,
    clock: Clock,
    state: Mutex<(ChaCha20Rng, Option<(Token, u64)>)>,
}

impl Tokens {
    pub(crate) fn new(
        partner: &Arc<Partner>,
        identifier: &str,
        clock: &Clock,
        rng: ChaCha20Rng,
    ) -> Result<Self, Broken> {
        Ok(Self {
            partner: Arc::clone(partner),
            identifier: UserIdentifier::new(identifier)?,
            clock: clock.clone(),
            state: Mutex::new((rng, None)),
        })
    }
}

#[async_trait]
impl TokenSource for Tokens {
    async fn token(&self, freshness: Freshness) -> Result<Token, TokenError> {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (rng, kept) = &mut *state;
        if let Some((token, ends)) = kept
            && freshness == Freshness::MayBeCached
            && *ends > now + RENEW_BEFORE
        {
            return Ok(token.clone());
        }
        let claims = Claims::user(ISSUER, &self.identifier, now, rng);
        let token = jwt::issue(&self.partner.signer, &claims)
            .map_err(|source| TokenError::Other { source: source.into() })?;
        *kept = Some((token.clone(), claims.expires_at));
        Ok(token)
    }
}
