//! Enlistment: how a partner's user becomes known at WhatsApp, and how either side proves who speaks.
//!
//! | subject | where |
//! |---|---|
//! | the request, as a client sends it and a server checks it | [`EnlistmentRequest`], [`check_form`] |
//! | the answer, and what a client does about it | [`EnlistmentReply`], [`react`] |
//! | identity tokens, issued and verified | [`jwt`] |
//! | key sets, published, read and kept fresh | [`jwks`] |
//!
//! The crate does no I/O, reads no clock and owns no random source: bytes, unix seconds and random numbers come in as
//! arguments. (Signing goes through ring, which brings its own source for blinding.) What the public document leaves
//! open is marked ASSUMED where it is decided.
//!
//! A server's side of an enlistment, with a key set that is already at hand:
//!
//! ```
//! use landbridge_enlist::jwks::KeySet;
//! use landbridge_enlist::jwt::Verifier;
//! use landbridge_enlist::{FormRules, IntegratorId, Reason, Refusal, TokenSubject, VerifiedEnlistment, check_form};
//!
//! fn enlist(body: &[u8], verifier: &Verifier, keys: &KeySet, now: u64) -> Result<VerifiedEnlistment, Refusal> {
//!     let one = IntegratorId::new(1).ok_or(Refusal::new(Reason::TemporarilyUnavailable))?;
//!     let rules = FormRules { min_version: 1, is_enabled: &|integrator| integrator == one };
//!     let form = check_form(body, Default::default(), &rules)?;
//!     let bad_token = |_| Refusal::new(Reason::BadToken);
//!     let token = verifier.open(form.token().as_str()).map_err(bad_token)?;
//!     let verified = verifier
//!         .verify(&token, "https://partner.example", keys.get(token.kid()), now)
//!         .map_err(bad_token)?;
//!     let identifier = verified.identifier.ok_or(Refusal::new(Reason::BadToken))?;
//!     let subject = TokenSubject { integrator: one, identifier };
//!     form.bind(subject)
//! }
//! ```

mod base64url;
#[cfg(feature = "generate")]
mod generate;
mod ids;
mod json;
pub mod jwks;
pub mod jwt;
mod reaction;
mod reply;
mod request;

#[cfg(feature = "generate")]
pub use generate::{GenerateError, generate_rsa_pem};
pub use ids::{
    BadIdentifier, BadIntegratorId, BadLogin, IDENTIFIER_MAX_CHARS, IntegratorId, Login, UserIdentifier,
};
pub use json::JsonError;
pub use reaction::{
    Answer, CONNECT_TIMEOUT, MAX_TRIES, ProtocolFault, Reaction, TOTAL_TIMEOUT, react, retry_delay,
    with_jitter,
};
pub use reply::{EnlistmentReply, MAX_REPLY, Reason, Refusal, ReplyError};
pub use request::{
    CheckedForm, DeviceKeys, EnlistmentRequest, FormKind, FormRules, MAX_BODY, SignedPreKeyPublic,
    TokenSubject, VERSION_FIELD, VERSION_HEADER, VERSION_PRODUCT, VerifiedEnlistment, VersionHints,
    check_form, claimed_integrator,
};
