//! Verifying, in the order of the protocol page.

use std::fmt;

use thiserror::Error;

use super::{MAX_PUSH_BEARER, MAX_USER_TOKEN, PUSH_ISSUER, USER_AUDIENCE};
use crate::base64url;
use crate::ids::UserIdentifier;
use crate::json::{self, JsonError, Object, Value};
use crate::jwks::VerifyingKey;

/// What a verifier demands.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Profile {
    /// The one string that `aud` must be or contain, compared exactly.
    pub audience: String,
    /// The claim that holds the user-visible identifier; `None` for tokens that are about no user.
    pub identifier_claim: Option<String>,
    /// Longest token, in bytes.
    pub max_bytes: usize,
    /// Longest life, in seconds (ASSUMED).
    pub max_life: u64,
    /// How far clocks may differ, in seconds (ASSUMED).
    pub leeway: u64,
    /// Values of `typ` that are taken, in any case; a token without `typ` always is.
    pub types: Vec<String>,
}

impl Profile {
    /// A partner's word about its user, as enlistment and chat login verify it.
    pub fn user_token() -> Self {
        Self {
            audience: USER_AUDIENCE.to_owned(),
            identifier_claim: Some("sub".to_owned()),
            max_bytes: MAX_USER_TOKEN,
            max_life: 24 * 60 * 60,
            leeway: 60,
            types: vec!["JWT".to_owned()],
        }
    }

    /// WhatsApp's bearer on a push, as the partner that is called `audience` verifies it. Its issuer is
    /// [`PUSH_ISSUER`].
    pub fn push_bearer(audience: impl Into<String>) -> Self {
        Self {
            audience: audience.into(),
            identifier_claim: None,
            max_bytes: MAX_PUSH_BEARER,
            ..Self::user_token()
        }
    }

    /// The issuer of push bearers.
    pub const PUSH_ISSUER: &'static str = PUSH_ISSUER;
}

/// Verifies tokens of one [`Profile`].
#[derive(Debug, Clone)]
pub struct Verifier {
    profile: Profile,
}

/// A token that was read as far as its key's name. **Nothing in it is true yet.**
pub struct Unverified<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    kid: String,
    payload: Result<Object, JsonError>,
}

impl Unverified<'_> {
    /// The issuer that the token claims, to choose the key set by, and for nothing else.
    ///
    /// # Errors
    /// [`Rejected`] if the payload cannot be read or names no issuer: no set can be chosen then.
    pub fn claimed_issuer(&self) -> Result<&str, Rejected> {
        let claims = self.payload.as_ref().map_err(malformed)?;
        Ok(optional_string(claims, "iss")?.ok_or(RejectReason::MissingClaim)?)
    }

    /// The name of the key that the token claims to be signed with, to be looked up in the set of the claimed issuer.
    pub fn kid(&self) -> &str {
        &self.kid
    }
}

impl fmt::Debug for Unverified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { signed: _, signature: _, kid, payload: _ } = self;
        f.debug_struct("Unverified").field("kid", kid).finish_non_exhaustive()
    }
}

/// What a verified token says.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Verified {
    /// `iss`.
    pub issuer: String,
    /// The identifier claim; `Some` exactly if the profile names one.
    pub identifier: Option<UserIdentifier>,
    /// `exp`, unix seconds, fraction cut.
    pub expires_at: u64,
    /// `iat`, unix seconds, fraction cut.
    pub issued_at: u64,
    /// `jti`, if there is one.
    pub id: Option<String>,
    /// The key it was signed with.
    pub kid: String,
}

/// A token that is not believed. Its `Display` is the same for every cause, for it may reach the bearer;
/// [`reason`](Self::reason) is for logs and metrics.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the token is not accepted")]
pub struct Rejected {
    reason: RejectReason,
}

impl Rejected {
    /// The rule that the token breaks.
    pub fn reason(&self) -> RejectReason {
        self.reason
    }
}

impl From<RejectReason> for Rejected {
    fn from(reason: RejectReason) -> Self {
        Self { reason }
    }
}

/// The rule that a token breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectReason {
    /// Longer than the profile allows.
    TooLarge,
    /// Not three parts of strict base64url, or not strict JSON objects inside.
    Malformed,
    /// A member occurs twice.
    DuplicateMember,
    /// `alg` is not exactly `RS256`.
    AlgNotAllowed,
    /// A header member that no honest issuer sends.
    HeaderForbidden,
    /// No `kid`.
    KidMissing,
    /// The issuer's set has no usable key of that name.
    KidUnknown,
    /// No key set of the issuer is held.
    KeysUnavailable,
    /// The signature does not verify.
    BadSignature,
    /// A required claim is absent.
    MissingClaim,
    /// A claim has the wrong type or an impossible value.
    BadClaimType,
    /// `iss` is not one of ours.
    WrongIssuer,
    /// `aud` does not name us.
    WrongAudience,
    /// `exp` has passed.
    Expired,
    /// `exp` - `iat` exceeds the longest life.
    LifetimeTooLong,
    /// `iat` lies ahead.
    IatInFuture,
    /// `nbf` lies ahead.
    NotYetValid,
    /// The identifier breaks the rule for identifiers.
    BadIdentifier,
}

impl RejectReason {
    /// A stable word for metric labels and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "token_too_large",
            Self::Malformed => "malformed",
            Self::DuplicateMember => "duplicate_member",
            Self::AlgNotAllowed => "alg_not_allowed",
            Self::HeaderForbidden => "header_forbidden",
            Self::KidMissing => "kid_missing",
            Self::KidUnknown => "kid_unknown",
            Self::KeysUnavailable => "keys_unavailable",
            Self::BadSignature => "bad_signature",
            Self::MissingClaim => "missing_claim",
            Self::BadClaimType => "bad_claim_type",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::Expired => "expired",
            Self::LifetimeTooLong => "lifetime_too_long",
            Self::IatInFuture => "iat_in_future",
            Self::NotYetValid => "not_yet_valid",
            Self::BadIdentifier => "bad_identifier",
        }
    }
}

impl RejectReason {
    /// The rule in words, for a simulator that says what was wrong.
    pub fn rule(self) -> &'static str {
        match self {
            Self::TooLarge => "a token has at most 4096 bytes (a push bearer 8192)",
            Self::Malformed => {
                "a token is three parts of strict base64url, the first two of them JSON objects"
            }
            Self::DuplicateMember => "no member of header or payload occurs twice, at any level",
            Self::AlgNotAllowed => "alg is exactly RS256",
            Self::HeaderForbidden => "crit, jku, jwk, x5u, x5c, b64 and cty do not occur in the header",
            Self::KidMissing => "the header names its key with kid",
            Self::KidUnknown => "kid names a usable key in the key set of the issuer",
            Self::KeysUnavailable => "the issuer's key set could be fetched within the past 24 hours",
            Self::BadSignature => "the signature verifies with the key that kid names",
            Self::MissingClaim => "iss, aud, iat, exp and the identifier are present",
            Self::BadClaimType => "claims have the type that RFC 7519 gives them, and exp lies after iat",
            Self::WrongIssuer => "iss is the issuer URL of a known partner, to the letter",
            Self::WrongAudience => "aud is or contains the audience, to the letter",
            Self::Expired => "exp is not past by more than 60 seconds",
            Self::LifetimeTooLong => "exp lies at most 24 hours after iat",
            Self::IatInFuture => "iat lies at most 60 seconds ahead",
            Self::NotYetValid => "nbf lies at most 60 seconds ahead",
            Self::BadIdentifier => "the identifier has 1 to 40 characters and no control characters",
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Header members that ask a verifier to look for keys or rules inside the token (ASSUMED strict).
const FORBIDDEN: [&str; 7] = ["crit", "jku", "jwk", "x5u", "x5c", "b64", "cty"];

impl Verifier {
    /// A verifier of `profile`.
    pub fn new(profile: Profile) -> Self {
        Self { profile }
    }

    /// What is demanded.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Reads a token up to the name of its key: size, parts, header, algorithm, forbidden members, kid.
    ///
    /// # Errors
    /// [`Rejected`]; no key need be looked up then.
    pub fn open<'a>(&self, token: &'a str) -> Result<Unverified<'a>, Rejected> {
        if token.len() > self.profile.max_bytes {
            return Err(RejectReason::TooLarge.into());
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(RejectReason::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(RejectReason::Malformed)?;
        let part = |text: &str| base64url::decode(text).ok_or(RejectReason::Malformed);
        let (header, payload, signature) = (part(header)?, part(payload)?, part(signature)?);
        let header = json::parse_object(&header).map_err(|fault| malformed(&fault))?;
        let kid = self.check_header(&header)?.to_owned();
        Ok(Unverified { signed, signature, kid, payload: json::parse_object(&payload) })
    }

    /// Checks the header and gives the kid.
    fn check_header<'h>(&self, header: &'h Object) -> Result<&'h str, RejectReason> {
        match header.get("alg") {
            // Exactly this string: what else is allowed is a matter of configuration, never of the token.
            Some(Value::String(alg)) if alg == "RS256" => {}
            _ => return Err(RejectReason::AlgNotAllowed),
        }
        if FORBIDDEN.iter().any(|member| header.contains_key(*member)) {
            return Err(RejectReason::HeaderForbidden);
        }
        match header.get("typ") {
            None => {}
            Some(Value::String(typ))
                if self.profile.types.iter().any(|taken| taken.eq_ignore_ascii_case(typ)) => {}
            Some(_) => return Err(RejectReason::Malformed),
        }
        match header.get("kid") {
            Some(Value::String(kid)) => Ok(kid),
            Some(_) => Err(RejectReason::Malformed),
            None => Err(RejectReason::KidMissing),
        }
    }

    /// Verifies the signature and the claims.
    ///
    /// `issuer` is the one whose set `key` was looked up in; `key` is `None` if the set has no key of that name. `now`
    /// is unix seconds.
    ///
    /// # Errors
    /// [`Rejected`] with the first rule that the token breaks.
    pub fn verify(
        &self,
        token: &Unverified<'_>,
        issuer: &str,
        key: Option<&VerifyingKey>,
        now: u64,
    ) -> Result<Verified, Rejected> {
        let key = key.ok_or(RejectReason::KidUnknown)?;
        if !key.verify(token.signed.as_bytes(), &token.signature) {
            return Err(RejectReason::BadSignature.into());
        }
        let claims = token.payload.as_ref().map_err(malformed)?;
        let dates = Dates::read(claims)?;
        let id = optional_string(claims, "jti")?;
        let subject = optional_string(claims, "sub")?;
        let audience = claims.get("aud").ok_or(RejectReason::MissingClaim)?;
        let is_for_us = is_audience(audience, &self.profile.audience)?;
        let claimed = optional_string(claims, "iss")?.ok_or(RejectReason::MissingClaim)?;
        if claimed != issuer {
            return Err(RejectReason::WrongIssuer.into());
        }
        if !is_for_us {
            return Err(RejectReason::WrongAudience.into());
        }
        dates.check(&self.profile, now)?;
        let identifier = match self.profile.identifier_claim.as_deref() {
            None => None,
            Some(claim) => {
                let text = if claim == "sub" { subject } else { optional_string(claims, claim)? };
                let text = text.ok_or(RejectReason::MissingClaim)?;
                Some(UserIdentifier::new(text).map_err(|_| RejectReason::BadIdentifier)?)
            }
        };
        Ok(Verified {
            issuer: claimed.to_owned(),
            identifier,
            expires_at: whole(dates.expires_at),
            issued_at: whole(dates.issued_at),
            id: id.map(str::to_owned),
            kid: token.kid.clone(),
        })
    }
}

fn malformed(fault: &JsonError) -> Rejected {
    if fault.is_duplicate() { RejectReason::DuplicateMember } else { RejectReason::Malformed }.into()
}

fn optional_string<'a>(claims: &'a Object, name: &str) -> Result<Option<&'a str>, RejectReason> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(RejectReason::BadClaimType),
    }
}

fn is_audience(audience: &Value, ours: &str) -> Result<bool, RejectReason> {
    match audience {
        Value::String(one) => Ok(one == ours),
        Value::Array(several) => {
            let mut found = false;
            for one in several {
                found |= one.as_str().ok_or(RejectReason::BadClaimType)? == ours;
            }
            Ok(found)
        }
        _ => Err(RejectReason::BadClaimType),
    }
}

/// The dates of a token: NumericDate of RFC 7519, seconds that may have a fraction.
struct Dates {
    issued_at: f64,
    expires_at: f64,
    not_before: Option<f64>,
}

impl Dates {
    fn read(claims: &Object) -> Result<Self, RejectReason> {
        let date = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(Value::Number(seconds)) => Ok(Some(*seconds)),
            Some(_) => Err(RejectReason::BadClaimType),
        };
        Ok(Self {
            expires_at: date("exp")?.ok_or(RejectReason::MissingClaim)?,
            issued_at: date("iat")?.ok_or(RejectReason::MissingClaim)?,
            not_before: date("nbf")?,
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "seconds below 2^53 are exact, and no clock shows more")]
    fn check(&self, profile: &Profile, now: u64) -> Result<(), RejectReason> {
        let (now, leeway, max_life) = (now as f64, profile.leeway as f64, profile.max_life as f64);
        if now >= self.expires_at + leeway {
            return Err(RejectReason::Expired);
        }
        if self.issued_at > now + leeway {
            return Err(RejectReason::IatInFuture);
        }
        if self.not_before.is_some_and(|not_before| not_before > now + leeway) {
            return Err(RejectReason::NotYetValid);
        }
        if self.expires_at <= self.issued_at {
            return Err(RejectReason::BadClaimType);
        }
        if self.expires_at - self.issued_at > max_life {
            return Err(RejectReason::LifetimeTooLong);
        }
        Ok(())
    }
}

/// Cuts the fraction; out of range saturates, which `as` does for floats.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturating is what is wanted")]
fn whole(seconds: f64) -> u64 {
    seconds as u64
}
