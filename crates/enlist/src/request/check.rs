//! The checks of the protocol page, in its order: the first failure is the answer.

use landbridge_curve::{PublicKey, TYPE_CURVE25519};

use super::form::Form;
use super::version::client_version;
use super::{DeviceKeys, Field, SignedPreKeyPublic, VersionHints};
use crate::base64url;
use crate::ids::{IntegratorId, UserIdentifier};
use crate::jwt::Token;
use crate::reply::{Reason, Refusal};

/// What a server knows before it reads a form.
pub struct FormRules<'a> {
    /// Clients below it are answered `old_version`.
    pub min_version: u32,
    /// Whether an integrator is known and enabled.
    pub is_enabled: &'a dyn Fn(IntegratorId) -> bool,
}

impl std::fmt::Debug for FormRules<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FormRules").field("min_version", &self.min_version).finish_non_exhaustive()
    }
}

/// A form that is well formed in itself (checks 5 to 12); nothing is known yet about who sent it.
#[derive(Debug, Clone)]
pub struct CheckedForm {
    version: u32,
    keys: DeviceKeys,
    integrator: Option<IntegratorId>,
    identifier: Option<UserIdentifier>,
    token: Token,
}

/// Whom a verified token speaks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenSubject {
    /// The integrator that the token's issuer stands for.
    pub integrator: IntegratorId,
    /// The identifier claim.
    pub identifier: UserIdentifier,
}

/// A request that passed every check up to the signature (5 to 16). Only [`CheckedForm::bind`] makes one.
#[derive(Debug, Clone)]
pub struct VerifiedEnlistment {
    user: TokenSubject,
    keys: DeviceKeys,
    version: u32,
}

impl VerifiedEnlistment {
    /// Who is enlisted.
    pub fn user(&self) -> &TokenSubject {
        &self.user
    }

    /// With which keys. The pre-key's signature has been checked.
    pub fn keys(&self) -> &DeviceKeys {
        &self.keys
    }

    /// The client's protocol version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Gives the parts away.
    pub fn into_parts(self) -> (TokenSubject, DeviceKeys) {
        (self.user, self.keys)
    }
}

/// Checks 5 to 12: the form, its version, its integrator, its keys, its identifier.
///
/// The body must have been limited to [`MAX_BODY`](super::MAX_BODY) by the caller, who answers 413 beyond it.
///
/// # Errors
/// The [`Refusal`] of the first check that fails; its `detail` names the rule.
pub fn check_form(
    body: &[u8],
    hints: VersionHints<'_>,
    rules: &FormRules<'_>,
) -> Result<CheckedForm, Refusal> {
    let form = Form::parse(body)?;
    if let Some(field) = form.first_missing() {
        let refusal = Refusal::new(Reason::MissingParam).param(field.name());
        return Err(refusal.detail("a required field is absent or empty"));
    }
    let version = client_version(form.get(Field::Version), hints)?;
    if version < rules.min_version {
        return Err(Refusal::new(Reason::OldVersion)
            .detail(format!("protocol version {version} is below the minimum of {}", rules.min_version)));
    }
    let integrator = form.get(Field::Integrator).map(|text| check_integrator(text, rules)).transpose()?;
    let keys = check_keys(&form)?;
    let identifier = form.get(Field::Identifier).map(check_identifier).transpose()?;
    let token = Token::new(form.get(Field::Token).unwrap_or_default());
    Ok(CheckedForm { version, keys, integrator, identifier, token })
}

impl CheckedForm {
    /// The token to be verified next.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// The client's protocol version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The integrator that the form names, if it names one. Not yet confirmed by the token.
    pub fn claimed_integrator(&self) -> Option<IntegratorId> {
        self.integrator
    }

    /// The keys; the pre-key's signature is not yet checked.
    pub fn unverified_keys(&self) -> &DeviceKeys {
        &self.keys
    }

    /// Checks 14 to 16: the token is about this form, and the pre-key is signed.
    ///
    /// # Errors
    /// `bad_integrator`, `bad_token` or `bad_param` (`e_skey_sig`).
    pub fn bind(self, subject: TokenSubject) -> Result<VerifiedEnlistment, Refusal> {
        if self.integrator.is_some_and(|claimed| claimed != subject.integrator) {
            return Err(Refusal::new(Reason::BadIntegrator)
                .detail("the token's issuer is another integrator than integrator_id"));
        }
        if self.identifier.as_ref().is_some_and(|claimed| *claimed != subject.identifier) {
            return Err(Refusal::new(Reason::BadToken)
                .detail("the token's identifier is not, byte for byte, user_identifier"));
        }
        if !self.keys.signed_prekey.is_signed_by(&self.keys.identity_key) {
            return Err(bad(
                Field::PreKeySignature,
                "the identity key's signature over 05 || e_skey_val does not verify",
            ));
        }
        Ok(VerifiedEnlistment { user: subject, keys: self.keys, version: self.version })
    }
}

fn bad(field: Field, detail: impl Into<String>) -> Refusal {
    Refusal::new(Reason::BadParam).param(field.name()).detail(detail)
}

fn check_integrator(text: &str, rules: &FormRules<'_>) -> Result<IntegratorId, Refusal> {
    let refuse =
        |detail: &str| Refusal::new(Reason::BadIntegrator).param(Field::Integrator.name()).detail(detail);
    let integrator: IntegratorId =
        text.parse().map_err(|_| refuse("integrator_id is no number from 1 to 999"))?;
    if (rules.is_enabled)(integrator) {
        Ok(integrator)
    } else {
        Err(refuse("integrator_id is unknown or disabled"))
    }
}

/// Checks 9 to 11, each over all fields before the next begins.
fn check_keys(form: &Form<'_>) -> Result<DeviceKeys, Refusal> {
    let auth_key = raw(form, Field::AuthKey)?;
    let [key_type] = raw(form, Field::KeyType)?;
    let registration_id = raw(form, Field::RegistrationId)?;
    let identity_key = raw(form, Field::Identity)?;
    let [high, middle, low] = raw(form, Field::PreKeyId)?;
    let prekey = raw(form, Field::PreKey)?;
    let signature = raw(form, Field::PreKeySignature)?;
    if key_type != TYPE_CURVE25519 {
        return Err(bad(Field::KeyType, format!("key type {key_type:#04x} is not 0x05 (Curve25519)")));
    }
    Ok(DeviceKeys {
        auth_key: point(Field::AuthKey, auth_key)?,
        registration_id: u32::from_be_bytes(registration_id),
        identity_key: point(Field::Identity, identity_key)?,
        signed_prekey: SignedPreKeyPublic {
            id: u32::from_be_bytes([0, high, middle, low]),
            key: point(Field::PreKey, prekey)?,
            signature,
        },
    })
}

fn raw<const N: usize>(form: &Form<'_>, field: Field) -> Result<[u8; N], Refusal> {
    base64url::decode_exact(form.get(field).unwrap_or_default())
        .ok_or_else(|| bad(field, format!("not the strict base64url text, without padding, of {N} byte(s)")))
}

fn point(field: Field, bytes: [u8; 32]) -> Result<PublicKey, Refusal> {
    let key = PublicKey::from_bytes(bytes);
    if key.is_low_order() { Err(bad(field, "the key is a point of low order")) } else { Ok(key) }
}

fn check_identifier(text: &str) -> Result<UserIdentifier, Refusal> {
    UserIdentifier::new(text).map_err(|fault| bad(Field::Identifier, fault.to_string()))
}
