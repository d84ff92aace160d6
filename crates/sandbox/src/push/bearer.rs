//! What a push proves itself with: a token that says that WhatsApp speaks, and to whom.

use std::collections::HashMap;
use std::sync::Mutex;

use landbridge_enlist::jwt::{Claims, IssueError, Signer as _, Token, issue};
use ring::digest::{SHA256, digest};
use thiserror::Error;

use crate::SandboxError;
use crate::jwks::Loaded;
use crate::partners::Partner;
use crate::state::{State, hex, lock};

/// Why there is no bearer.
#[derive(Debug, Error)]
pub(super) enum BearerError {
    /// The keys.
    #[error("the push keys are not at hand")]
    Keys(#[source] SandboxError),
    /// The token.
    #[error("no bearer could be issued")]
    Issue(#[source] IssueError),
}

/// A bearer.
#[derive(Debug, Clone)]
pub(super) struct Bearer {
    pub(super) token: Token,
    /// SHA-256 of its text in hex: what the journal shows.
    pub(super) hash: String,
    /// Key that signed it.
    kid: String,
    issued_at: u64,
}

/// What is wrong with a bearer on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It ended an hour ago.
    Expired,
    /// It is for another partner.
    Audience,
    /// The clock that dated it is wrong by so many seconds.
    Clock(i64),
}

/// Audience of a bearer that is for nobody here.
const ELSEWHERE: &str = "https://elsewhere.invalid/whatsapp";

/// The bearers in use, one per partner.
#[derive(Debug, Default)]
pub(super) struct Bearers(Mutex<HashMap<u16, Bearer>>);

impl Bearers {
    /// The bearer for a partner: the last one, unless too much of its life is over, another key signs by now, or the
    /// clock is behind its beginning.
    pub(super) async fn get(&self, state: &State, partner: &Partner) -> Result<Bearer, BearerError> {
        let keys = self.keys(state).await?;
        let (now, rules) = (state.now(), &state.profile().push);
        let reused_for = rules.token_life_s.saturating_mul(rules.token_reuse_percent) / 100;
        let integrator = partner.integrator().get();
        let held = lock(&self.0).get(&integrator).cloned();
        let good = |bearer: &Bearer| {
            let age = now.checked_sub(bearer.issued_at);
            bearer.kid == keys.signer.kid() && age.is_some_and(|age| age < reused_for)
        };
        if let Some(bearer) = held.filter(good) {
            return Ok(bearer);
        }
        let bearer = make(&keys, claims(partner.base_url(), now, rules.token_life_s))?;
        lock(&self.0).insert(integrator, bearer.clone());
        Ok(bearer)
    }

    /// A bearer that should not be believed, or only just. Nobody keeps it.
    pub(super) async fn flawed(
        &self,
        state: &State,
        partner: &Partner,
        flaw: Flaw,
    ) -> Result<Bearer, BearerError> {
        let keys = self.keys(state).await?;
        let (now, life) = (state.now(), state.profile().push.token_life_s);
        let claims = match flaw {
            Flaw::Expired => claims(partner.base_url(), now.saturating_sub(life).saturating_sub(3_600), life),
            Flaw::Audience => claims(ELSEWHERE, now, life),
            Flaw::Clock(by) => claims(partner.base_url(), now.saturating_add_signed(by), life),
        };
        make(&keys, claims)
    }

    /// Lets go of a bearer that the partner did not believe.
    pub(super) fn refused(&self, partner: &Partner, bearer: &Bearer) {
        let mut held = lock(&self.0);
        let integrator = partner.integrator().get();
        if held.get(&integrator).is_some_and(|held| held.hash == bearer.hash) {
            held.remove(&integrator);
        }
    }

    async fn keys(&self, state: &State) -> Result<std::sync::Arc<Loaded>, BearerError> {
        let state = state.me.upgrade().ok_or(BearerError::Keys(SandboxError::Record { what: "push key" }))?;
        state.push_keys.get(&state).await.map_err(BearerError::Keys)
    }
}

fn claims(audience: &str, now: u64, life: u64) -> Claims {
    Claims { expires_at: now.saturating_add(life), ..Claims::push(audience, now) }
}

fn make(keys: &Loaded, claims: Claims) -> Result<Bearer, BearerError> {
    let token = issue(&keys.signer, &claims).map_err(BearerError::Issue)?;
    let (hash, kid) = (hash(token.as_str().as_bytes()), keys.signer.kid().to_owned());
    Ok(Bearer { token, hash, kid, issued_at: claims.issued_at })
}

/// SHA-256 in hex.
pub(super) fn hash(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}
