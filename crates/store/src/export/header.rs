//! What stands before the sealed chunks, and the key that comes of it.

use argon2::{Algorithm, Argon2, Params, Version};
use ring::hkdf;
use zeroize::Zeroizing;

use super::{ExportError, ExportSecret, KdfCost, Secret};

/// The first bytes of every export.
const MAGIC: [u8; 8] = *b"LBexport";
/// The form that this release reads and writes.
const FORM: u8 = 1;
const BY_KEY: u8 = 0;
const BY_PASSPHRASE: u8 = 1;
/// What the key of a file is derived for.
const PURPOSE: &[u8] = b"landbridge export 1";

/// The header: 54 bytes, covered by the seal of every chunk.
pub(crate) struct Header {
    /// None if the secret is a key.
    cost: Option<KdfCost>,
    salt: [u8; Header::SALT],
}

impl Header {
    const SALT: usize = 32;
    pub(crate) const LEN: usize = 8 + 1 + 1 + 12 + Self::SALT;

    pub(crate) fn new(secret: &ExportSecret, rng: &mut dyn rand_core::CryptoRng) -> Self {
        let mut salt = [0; Self::SALT];
        rng.fill_bytes(&mut salt);
        let cost = match &secret.0 {
            Secret::Passphrase { cost, .. } => Some(*cost),
            Secret::Key(_) => None,
        };
        Self { cost, salt }
    }

    pub(crate) fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8] = FORM;
        bytes[9] = if self.cost.is_some() { BY_PASSPHRASE } else { BY_KEY };
        if let Some(KdfCost { memory_kib, passes, lanes }) = self.cost {
            bytes[10..14].copy_from_slice(&memory_kib.to_be_bytes());
            bytes[14..18].copy_from_slice(&passes.to_be_bytes());
            bytes[18..22].copy_from_slice(&lanes.to_be_bytes());
        }
        bytes[22..].copy_from_slice(&self.salt);
        bytes
    }

    /// Reads it back. Costs out of bounds are refused before any work is done for them.
    pub(crate) fn from_bytes(bytes: &[u8; Self::LEN]) -> Result<Self, ExportError> {
        let number = |at: usize| {
            let mut number = [0; 4];
            number.copy_from_slice(&bytes[at..at + 4]);
            u32::from_be_bytes(number)
        };
        if bytes[..8] != MAGIC {
            return Err(ExportError::NotAnExport);
        }
        if bytes[8] != FORM {
            return Err(ExportError::NewerForm { found: bytes[8] });
        }
        let cost = match bytes[9] {
            BY_KEY if bytes[10..22] == [0; 12] => None,
            BY_PASSPHRASE => Some(KdfCost::new(number(10), number(14), number(18))?),
            _ => return Err(ExportError::NotAnExport),
        };
        let mut salt = [0; Self::SALT];
        salt.copy_from_slice(&bytes[22..]);
        Ok(Self { cost, salt })
    }

    /// The key of this file: of the secret and of a salt that no other file has.
    pub(crate) fn key(&self, secret: &ExportSecret) -> Result<Zeroizing<[u8; 32]>, ExportError> {
        let mut stretched = Zeroizing::new([0; 32]);
        match (&secret.0, self.cost) {
            (Secret::Key(key), None) => *stretched = **key,
            (Secret::Passphrase { text, .. }, Some(cost)) => {
                let failed = |error: argon2::Error| ExportError::Kdf { what: error.to_string() };
                let params =
                    Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).map_err(failed)?;
                Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                    .hash_password_into(text.as_bytes(), &self.salt, &mut *stretched)
                    .map_err(failed)?;
            }
            (_, Some(_)) => return Err(ExportError::OtherSecret { wanted: "passphrase" }),
            (_, None) => return Err(ExportError::OtherSecret { wanted: "key" }),
        }
        let broken = |_| ExportError::Kdf { what: "the key could not be derived".to_owned() };
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, &self.salt).extract(&*stretched);
        let mut key = Zeroizing::new([0; 32]);
        let expanded = extracted.expand(&[PURPOSE], hkdf::HKDF_SHA256).map_err(broken)?;
        expanded.fill(&mut *key).map_err(broken)?;
        Ok(key)
    }
}
