//! `POST /3p/interop_reg`: checks 4 to 18.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Extension, Request, State as Shared};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, USER_AGENT};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use landbridge_enlist::{
    CheckedForm, EnlistmentReply, FormRules, Login, Reason, Refusal, TokenSubject, VERSION_HEADER,
    VersionHints, check_form, claimed_integrator,
};
use landbridge_transport::PeerAddr;
use ring::digest::{Context, SHA256};

use super::limits::{Fingerprint, TooMany};
use super::{Desk, barred, gate};
use crate::db::EnlistKeys;
use crate::events::EventKind;

/// When to come back after trouble at the server, in seconds (ASSUMED).
const RETRY_AFTER_TROUBLE: u64 = 10;

pub(super) async fn register(
    Shared(desk): Shared<Arc<Desk>>,
    Extension(PeerAddr(peer)): Extension<PeerAddr>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let max_bytes = desk.state.profile().enlistment.max_request_bytes;
    let body = match gate::read(&head, body, max_bytes).await {
        Ok(body) => body,
        Err(refused) => {
            let reason = refused.status().as_u16().to_string();
            let detail = refused.rule().to_owned();
            desk.state.note(None, None, EventKind::EnlistRefused { reason, detail });
            return refused.into_response();
        }
    };
    let reply = match desk.enlist(&head, &body, peer).await {
        Ok(login) => EnlistmentReply::Enlisted(login),
        Err(refusal) => {
            desk.refused(&refusal);
            EnlistmentReply::Refused(refusal)
        }
    };
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], reply.to_json()).into_response()
}

impl Desk {
    async fn enlist(&self, head: &Parts, body: &[u8], peer: SocketAddr) -> Result<Login, Refusal> {
        let state = &self.state;
        let fingerprint = fingerprint(peer, body);
        let pass = self
            .limits
            .arrive(peer.ip(), claimed_integrator(body), fingerprint, state.now())
            .map_err(|too_many| limited(4, too_many))?;

        let form = self.check(head, body)?;
        let verified = state.partners.verify(form.token().as_str(), &state.clock).await;
        let subject = match verified {
            Ok((integrator, verified)) => {
                let identifier =
                    verified.identifier.ok_or_else(|| bad_token("identifier", "the token names a user"))?;
                TokenSubject { integrator, identifier }
            }
            Err(rejected) => return Err(bad_token(rejected.reason().as_str(), rejected.reason().rule())),
        };
        self.limits.identify(pass, &subject, state.now()).map_err(|too_many| limited(13, too_many))?;

        let (TokenSubject { integrator, identifier }, keys) = form.bind(subject)?.into_parts();
        let trouble = |error| {
            state.internal("an enlistment could not be stored", &error);
            Refusal::new(Reason::TemporarilyUnavailable)
                .retry_after(RETRY_AFTER_TROUBLE)
                .detail("check 18: the sandbox's storage failed")
        };
        if barred::is_barred(state, integrator, &identifier).map_err(trouble)? {
            return Err(Refusal::new(Reason::Blocked).detail("check 17: the user is barred"));
        }
        let enlisted =
            state.enlist_user(integrator, &identifier, &EnlistKeys::from(&keys)).map_err(trouble)?;
        Ok(enlisted.login)
    }

    /// Checks 5 to 12.
    fn check(&self, head: &Parts, body: &[u8]) -> Result<CheckedForm, Refusal> {
        let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let hints = VersionHints { header: text(VERSION_HEADER), user_agent: text(USER_AGENT.as_str()) };
        let rules = FormRules {
            min_version: self.state.profile().login.protocol_version,
            is_enabled: &|integrator| self.state.partners.get(integrator).is_some(),
        };
        check_form(body, hints, &rules)
    }

    /// Writes to the journal which rule was broken. A refusal's detail never holds a value of the request's.
    fn refused(&self, refusal: &Refusal) {
        let mut detail = refusal.detail.clone().unwrap_or_default();
        if let Some(param) = &refusal.param {
            detail = format!("{param}: {detail}");
        }
        let reason = refusal.reason.as_str().to_owned();
        self.state.note(None, None, EventKind::EnlistRefused { reason, detail });
    }
}

fn bad_token(reason: &str, rule: &str) -> Refusal {
    Refusal::new(Reason::BadToken).detail(format!("check 13, {reason}: {rule}"))
}

fn limited(check: u32, too_many: TooMany) -> Refusal {
    let TooMany { retry_after, what } = too_many;
    let detail = format!("check {check}: too many {what}");
    Refusal::new(Reason::TooRecent).retry_after(retry_after).detail(detail)
}

/// What makes two requests the same one: who sends it and every byte of it.
fn fingerprint(peer: SocketAddr, body: &[u8]) -> Fingerprint {
    let mut hash = Context::new(&SHA256);
    hash.update(peer.ip().to_canonical().to_string().as_bytes());
    hash.update(&[0]);
    hash.update(body);
    // A SHA-256 always has the 32 bytes.
    hash.finish().as_ref().try_into().unwrap_or_default()
}
