//! Who is let in.

use landbridge_curve::PublicKey;
use landbridge_enlist::IntegratorId;
use landbridge_enlist::jwt::{RejectReason, Verified};
use landbridge_noise::Pattern;
use landbridge_proto::login::{InteropClaims, LoginClaims, check_login};
use landbridge_stanza::stream::{FailureReason, LoginFailure};
use landbridge_wire::Jid;
use subtle::ConstantTimeEq;

use crate::SandboxError;
use crate::db::User;
use crate::events::{EventKind, Rule};
use crate::state::{State, chain};

/// A login that was accepted.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) user: User,
    /// Whether mail waits for `<active/>`.
    pub(crate) passive: bool,
    pub(crate) version: u32,
    pub(crate) name: Option<String>,
}

/// A login that was refused: the code for the client, the rest for the journal.
#[derive(Debug)]
struct Refused {
    code: u16,
    rule: Rule,
    detail: String,
}

/// The version of a client that states none: the published example of an enlistment states none either.
const UNSTATED_VERSION: u32 = 1;

impl State {
    /// Judges a login. A refusal is in the journal; the client gets its code.
    pub(crate) async fn login(
        &self,
        connection: u64,
        payload: &[u8],
        client_static: &PublicKey,
    ) -> Result<Admitted, LoginFailure> {
        let refused = match self.judge(payload, client_static).await {
            Ok(Ok(admitted)) => return Ok(admitted),
            Ok(Err(refused)) => refused,
            Err(error) => {
                self.internal("a login could not be judged", &error);
                return Err(LoginFailure::new(FailureReason::InternalServerError));
            }
        };
        self.broken(Some(connection), None, refused.rule, refused.detail);
        self.note(Some(connection), None, EventKind::LoginRefused { code: refused.code });
        Err(LoginFailure::new(FailureReason::from(refused.code)))
    }

    async fn judge(
        &self,
        payload: &[u8],
        client_static: &PublicKey,
    ) -> Result<Result<Admitted, Refused>, SandboxError> {
        let claims = match self.claims(payload) {
            Ok(claims) => claims,
            Err(refused) => return Ok(Err(refused)),
        };
        let (integrator, verified) = match self.token(&claims).await {
            Ok(verified) => verified,
            Err(refused) => return Ok(Err(refused)),
        };
        self.account(claims, integrator, &verified, client_static)
    }

    fn claims(&self, payload: &[u8]) -> Result<InteropClaims, Refused> {
        let server = &self.profile().server;
        let bad_payload =
            |detail: String| Refused { code: server.bad_payload_failure, rule: Rule::LOGIN_PAYLOAD, detail };
        let claims = match check_login(payload) {
            Ok(LoginClaims::Interop(claims)) => claims,
            Ok(_) => {
                return Err(bad_payload(
                    "the login is that of a phone; test phones live in the sandbox".to_owned(),
                ));
            }
            Err(error) => return Err(bad_payload(chain(&error))),
        };
        let (stated, least) =
            (claims.version.unwrap_or(UNSTATED_VERSION), self.profile().login.protocol_version);
        if stated < least {
            return Err(Refused {
                code: server.old_version_failure,
                rule: Rule::LOGIN_VERSION,
                detail: format!("version {stated} is no longer supported, {least} is the least"),
            });
        }
        Ok(claims)
    }

    async fn token(&self, claims: &InteropClaims) -> Result<(IntegratorId, Verified), Refused> {
        let server = &self.profile().server;
        let refused = |code, reason: &str| Refused {
            code,
            rule: Rule::LOGIN_TOKEN,
            detail: format!("the token is refused: {reason}"),
        };
        let Some(token) = claims.token.as_str() else {
            return Err(refused(server.token_invalid_failure, "it is no text"));
        };
        self.partners.verify(token, &self.clock).await.map_err(|rejected| {
            let code = match rejected.reason() {
                RejectReason::Expired => server.token_expired_failure,
                // Not the client's fault: the partner's key set cannot be had.
                RejectReason::KeysUnavailable => FailureReason::ServiceUnavailable.number(),
                _ => server.token_invalid_failure,
            };
            refused(code, rejected.reason().as_str())
        })
    }

    fn account(
        &self,
        claims: InteropClaims,
        integrator: IntegratorId,
        verified: &Verified,
        client_static: &PublicKey,
    ) -> Result<Result<Admitted, Refused>, SandboxError> {
        let server = &self.profile().server;
        let refused = |code, rule, detail: &str| Ok(Err(Refused { code, rule, detail: detail.to_owned() }));
        let jid = Jid::interop(integrator.get(), claims.account_id);
        let Some(user) = self.live_user(&jid)? else {
            let detail = format!("{jid} is not enlisted, was deleted, or was away for too long");
            return refused(server.unknown_account_failure, Rule::LOGIN_ACCOUNT, &detail);
        };
        if verified.identifier.as_ref().map(|identifier| identifier.as_str()) != user.identifier.as_deref() {
            let detail = format!("the token names another user than {jid}");
            return refused(server.token_invalid_failure, Rule::LOGIN_TOKEN, &detail);
        }
        let same = user.authkey.is_some_and(|key| bool::from(key.ct_eq(client_static.as_bytes())));
        if !same {
            let detail = format!("the static key is not the authkey of {jid}");
            return refused(server.unknown_account_failure, Rule::LOGIN_KEY, &detail);
        }
        Ok(Ok(Admitted {
            user,
            passive: claims.passive,
            version: claims.version.unwrap_or(UNSTATED_VERSION),
            name: claims.push_name.filter(|name| !name.is_empty()),
        }))
    }
}

/// The name of a handshake pattern, for the journal.
pub(crate) const fn pattern_name(pattern: Pattern) -> &'static str {
    match pattern {
        Pattern::Xx => "XX",
        Pattern::Ik => "IK",
        Pattern::XxFallback => "XXfallback",
    }
}
