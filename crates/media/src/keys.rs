//! The key of a file and what is derived from it.

use core::fmt;

use aes::{Aes256Dec, Aes256Enc};
use cbc::cipher::{KeyInit, KeyIvInit};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{MediaKind, refusal::Refusal, sha::MacKey};

/// Bytes of a block of the cipher.
pub(crate) const CIPHER_BLOCK: usize = 16;

/// Bytes that are derived: iv, cipher key, mac key and a key that no public client uses (PEERS).
const EXPANDED: usize = 112;

/// The key of one file: 32 random bytes, new for every file and every sending. Wiped when dropped, printed as
/// `[redacted]`, compared in constant time.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MediaKey([u8; 32]);

impl MediaKey {
    /// A new key.
    #[must_use]
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut key = Self([0; 32]);
        rng.fill_bytes(&mut key.0);
        key
    }

    /// The key that a message carries.
    ///
    /// # Errors
    ///
    /// [`Refusal::BadMediaKey`] if it does not have 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Refusal> {
        match bytes.try_into() {
            Ok(bytes) => Ok(Self(bytes)),
            Err(_) => Err(Refusal::BadMediaKey { got: bytes.len() }),
        }
    }

    /// The 32 bytes, to be put into a message.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn expand(&self, kind: MediaKind) -> FileKeys {
        let expanded = expand(&self.0, kind.info().as_bytes());
        let mut keys = FileKeys { iv: [0; CIPHER_BLOCK], cipher: [0; 32], mac: [0; 32] };
        keys.iv.copy_from_slice(&expanded[..16]);
        keys.cipher.copy_from_slice(&expanded[16..48]);
        keys.mac.copy_from_slice(&expanded[48..80]);
        keys
    }
}

impl fmt::Debug for MediaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.write_str("MediaKey([redacted])")
    }
}

impl PartialEq for MediaKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for MediaKey {}

/// What encrypts and authenticates one file.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct FileKeys {
    iv: [u8; CIPHER_BLOCK],
    cipher: [u8; 32],
    mac: [u8; 32],
}

impl FileKeys {
    pub(crate) const fn iv(&self) -> &[u8; CIPHER_BLOCK] {
        &self.iv
    }

    pub(crate) fn mac_key(&self) -> MacKey {
        MacKey::new(&self.mac)
    }

    pub(crate) fn encryptor(&self) -> Aes256Enc {
        Aes256Enc::new((&self.cipher).into())
    }

    /// Decrypts from the block that follows `before`.
    pub(crate) fn decryptor(&self, before: &[u8; CIPHER_BLOCK]) -> cbc::Decryptor<Aes256Dec> {
        cbc::Decryptor::new((&self.cipher).into(), before.into())
    }
}

/// HKDF-SHA-256 (RFC 5869) with an empty salt.
fn expand(key: &[u8; 32], info: &[u8]) -> Zeroizing<[u8; EXPANDED]> {
    let extracted = Zeroizing::new(MacKey::new(&[0; 32]).sign(key));
    let prk = MacKey::new(&extracted);
    let mut output = Zeroizing::new([0; EXPANDED]);
    let mut input = Zeroizing::new(Vec::with_capacity(32 + info.len() + 1));
    for (counter, part) in (1_u8..).zip(output.chunks_mut(32)) {
        input.extend_from_slice(info);
        input.push(counter);
        let block = Zeroizing::new(prk.sign(&input));
        part.copy_from_slice(&block[..part.len()]);
        input.clear();
        input.extend_from_slice(&block[..]);
    }
    output
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn keys_are_derived_as_others_derive_them() {
        let vectors: Value = serde_json::from_str(include_str!("../tests/vectors/kdf.json")).unwrap();
        let mut seen = 0;
        for case in vectors["cases"].as_array().unwrap() {
            let bytes = |name: &str| hex::decode(case[name].as_str().unwrap()).unwrap();
            let key = MediaKey::from_bytes(&bytes("media_key")).unwrap();
            let info = case["info"].as_str().unwrap();
            let whole = [bytes("iv"), bytes("cipher_key"), bytes("mac_key"), bytes("ref_key")].concat();
            assert_eq!(expand(&key.0, info.as_bytes())[..], whole, "{}", case["type"]);
            // History and app state are no files of messages, so they are no kinds.
            if let Ok(kind) = case["type"].as_str().unwrap().parse::<MediaKind>() {
                assert_eq!(kind.info(), info);
                let keys = key.expand(kind);
                assert_eq!([&keys.iv[..], &keys.cipher, &keys.mac].concat(), whole[..80]);
                seen += 1;
            }
        }
        assert_eq!(seen, MediaKind::ALL.len());
    }

    #[test]
    fn keys_are_not_printed() {
        let key = MediaKey::from_bytes(&[0x41; 32]).unwrap();
        assert_eq!(format!("{key:?}"), "MediaKey([redacted])");
        assert_eq!(key, key.clone());
        assert_ne!(key, MediaKey::from_bytes(&[0x42; 32]).unwrap());
    }
}
