//! The request as a client sends it.

use super::{DeviceKeys, Field, form};
use crate::base64url;
use crate::ids::{IntegratorId, UserIdentifier};
use crate::jwt::Token;

/// Which of the two published forms a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum FormKind {
    /// All ten fields of the published example (SEED).
    #[default]
    Full,
    /// Without `integrator_id` and `user_identifier`, as in revision 1.0.3 of the document (V103).
    V103,
}

/// What a client asks: to be known at WhatsApp as `identifier` with `keys`, on the word of `token`.
///
/// ```
/// # use landbridge_curve::PrivateKey;
/// use landbridge_enlist::{DeviceKeys, EnlistmentRequest, FormKind, IntegratorId, SignedPreKeyPublic, jwt::Token};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut rng = rand::rng();
/// let [noise, identity, prekey] = [(); 3].map(|()| PrivateKey::generate(&mut rng));
/// let request = EnlistmentRequest {
///     keys: DeviceKeys {
///         auth_key: noise.public(),
///         registration_id: 4711,
///         identity_key: identity.public(),
///         signed_prekey: SignedPreKeyPublic {
///             id: 1,
///             key: prekey.public(),
///             signature: identity.sign(&[&prekey.public().to_typed()], &mut rng),
///         },
///     },
///     integrator: IntegratorId::new(1).ok_or("1..=999")?,
///     identifier: "alice".parse()?,
///     token: Token::new("eyJraWQiOiIt..."),
/// };
/// let body = request.to_form(FormKind::Full);
/// assert!(body.starts_with("user_identifier=alice&e_ident="));
/// assert!(body.contains("&e_keytype=BQ&"));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct EnlistmentRequest {
    /// The device's public keys.
    pub keys: DeviceKeys,
    /// The partner.
    pub integrator: IntegratorId,
    /// The user-visible identifier.
    pub identifier: UserIdentifier,
    /// The partner's word for it.
    pub token: Token,
}

impl EnlistmentRequest {
    /// The media type of [`to_form`](Self::to_form).
    pub const CONTENT_TYPE: &'static str = "application/x-www-form-urlencoded";

    /// The body of the request, fields in the order of the published example.
    ///
    /// It holds a credential: send it over TLS, follow no redirect, and keep it out of logs.
    pub fn to_form(&self, kind: FormKind) -> String {
        let DeviceKeys { auth_key, registration_id, identity_key, signed_prekey } = &self.keys;
        let [_, id @ ..] = signed_prekey.id.to_be_bytes();
        let mut body = String::with_capacity(512 + self.token.as_str().len());
        let mut put = |field: Field, value: &str| form::append(&mut body, field.name(), value);
        if kind == FormKind::Full {
            put(Field::Identifier, self.identifier.as_str());
        }
        put(Field::Identity, &base64url::encode(identity_key.as_bytes()));
        put(Field::KeyType, &base64url::encode([landbridge_curve::TYPE_CURVE25519]));
        put(Field::RegistrationId, &base64url::encode(registration_id.to_be_bytes()));
        put(Field::PreKeyId, &base64url::encode(id));
        put(Field::PreKeySignature, &base64url::encode(signed_prekey.signature));
        put(Field::PreKey, &base64url::encode(signed_prekey.key.as_bytes()));
        put(Field::AuthKey, &base64url::encode(auth_key.as_bytes()));
        put(Field::Token, self.token.as_str());
        if kind == FormKind::Full {
            put(Field::Integrator, &self.integrator.to_string());
        }
        body
    }

    /// The same with fields of other names behind them. They are escaped; a name of the published example must not be
    /// among them, for a server refuses a field that comes twice.
    pub fn to_form_with(&self, kind: FormKind, more: &[(&str, &str)]) -> String {
        let mut body = self.to_form(kind);
        for (name, value) in more {
            form::append(&mut body, name, value);
        }
        body
    }
}
