//! The enlistment request: what a client sends and what a server checks.
//!
//! A server drives the checks in the order of the protocol page, because the first failure is the answer:
//!
//! 1. HTTP method, size and media type, and the rate limits by address, are the shell's;
//!    [`claimed_integrator`] serves the limit by integrator.
//! 2. [`check_form`] does everything that the form alone decides and gives a [`CheckedForm`].
//! 3. The shell verifies [`CheckedForm::token`] with [`jwt`](crate::jwt), since that may need a fetch of keys.
//! 4. [`CheckedForm::bind`] joins form and token and gives a [`VerifiedEnlistment`], which nothing else can make.

mod check;
mod encode;
mod form;
mod version;

pub use check::{CheckedForm, FormRules, TokenSubject, VerifiedEnlistment, check_form};
pub use encode::{EnlistmentRequest, FormKind};
pub use form::{MAX_BODY, claimed_integrator};
pub use version::{VERSION_FIELD, VERSION_HEADER, VERSION_PRODUCT, VersionHints};

use landbridge_curve::{PublicKey, SIGNATURE_LEN};

/// The public keys that an enlistment hands to WhatsApp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceKeys {
    /// `authkey`: the static public key of the Noise handshake.
    pub auth_key: PublicKey,
    /// `e_regid`: the Signal registration id. Servers must not insist on 14 bits: the published sample exceeds them.
    pub registration_id: u32,
    /// `e_ident`: the Signal identity key.
    pub identity_key: PublicKey,
    /// The signed pre-key.
    pub signed_prekey: SignedPreKeyPublic,
}

/// `e_skey_id`, `e_skey_val`, `e_skey_sig`: the public part of a signed pre-key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedPreKeyPublic {
    /// 24 bits, big endian on the wire; 0 is legal.
    pub id: u32,
    /// The public key.
    pub key: PublicKey,
    /// Signature of the identity key over `05 ‖ key` (33 bytes).
    pub signature: [u8; SIGNATURE_LEN],
}

impl SignedPreKeyPublic {
    /// Whether `identity` signed this pre-key (XEdDSA over `05 ‖ key`).
    pub fn is_signed_by(&self, identity: &PublicKey) -> bool {
        identity.verify(&[&self.key.to_typed()], &self.signature).is_ok()
    }
}

/// The fields of the form, in the order of the published table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Field {
    AuthKey,
    KeyType,
    RegistrationId,
    Identity,
    PreKeyId,
    PreKey,
    PreKeySignature,
    Integrator,
    Identifier,
    Token,
    /// ASSUMED: not in the published table.
    Version,
}

impl Field {
    pub(crate) const ALL: [Self; 11] = [
        Self::AuthKey,
        Self::KeyType,
        Self::RegistrationId,
        Self::Identity,
        Self::PreKeyId,
        Self::PreKey,
        Self::PreKeySignature,
        Self::Integrator,
        Self::Identifier,
        Self::Token,
        Self::Version,
    ];

    /// The name on the wire (SEED's example, which agrees with PEERS; its table misspells two).
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AuthKey => "authkey",
            Self::KeyType => "e_keytype",
            Self::RegistrationId => "e_regid",
            Self::Identity => "e_ident",
            Self::PreKeyId => "e_skey_id",
            Self::PreKey => "e_skey_val",
            Self::PreKeySignature => "e_skey_sig",
            Self::Integrator => "integrator_id",
            Self::Identifier => "user_identifier",
            Self::Token => "token",
            Self::Version => VERSION_FIELD,
        }
    }

    pub(crate) fn is_required(self) -> bool {
        !matches!(self, Self::Integrator | Self::Identifier | Self::Version)
    }
}
