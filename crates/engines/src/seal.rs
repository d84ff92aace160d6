//! What lies in a database and must not be readable there.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use landbridge_partner::{KeyFileError, read_key_file};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use thiserror::Error;
use zeroize::Zeroizing;

/// A key of AES-256, in bytes.
const KEY: usize = 32;
/// The first byte of what is sealed: how it was done.
const FORMAT: u8 = 1;
/// What is authenticated beside the version, so that nothing else sealed with the same key can take its place.
const CONTEXT: &[u8] = b"landbridge keyring";

/// What the key of references is derived with.
const REFERENCES: &[u8] = b"landbridge references";
/// What a reference that is sealed begins with; none begins so that is not.
const SEALED: char = '~';

/// The key that what is secret in a database is sealed with.
///
/// Private keys: AES-256-GCM, a random nonce each time (RFC 5116). That happens at each rotation, which is 2^32 times too rare to
/// bring the same nonce twice. References of media: AES-256-GCM with a key of its own for each, which is HMAC-SHA256 of the name
/// of its bytes, so that there may be any number of them.
#[derive(Clone)]
pub struct SealKey {
    keyring: LessSafeKey,
    references: hmac::Key,
}

/// A seal key cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SealKeyError {
    /// The file.
    #[error("the seal key cannot be read")]
    File(#[source] KeyFileError),
    /// What is in it.
    #[error("the seal key {} is not 32 bytes in base64, as `openssl rand -base64 32` writes them", path.display())]
    Form {
        /// The file.
        path: PathBuf,
    },
}

/// The system gave no random numbers.
#[derive(Debug, Error)]
#[error("nothing can be sealed without random numbers")]
pub(crate) struct NoRandomness;

/// A reference cannot be sealed, or was sealed with another key.
#[derive(Debug, Error)]
#[error("the reference of an object is sealed with another key than the server has")]
pub(crate) struct Unsealable;

impl SealKey {
    /// Takes the bytes.
    ///
    /// # Errors
    /// None that is known: AES-256 takes any 32 bytes.
    pub fn new(bytes: &[u8; KEY]) -> Result<Self, ring::error::Unspecified> {
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, bytes), REFERENCES);
        let references = hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref());
        UnboundKey::new(&AES_256_GCM, bytes).map(|key| Self { keyring: LessSafeKey::new(key), references })
    }

    /// Reads 32 bytes in base64 from a file with mode 0600. Blocks.
    ///
    /// # Errors
    /// [`SealKeyError`].
    pub fn read(path: &Path) -> Result<Self, SealKeyError> {
        let text = read_key_file(path).map_err(SealKeyError::File)?;
        let form = || SealKeyError::Form { path: path.to_owned() };
        let bytes = decode(text.trim()).ok_or_else(form)?;
        Self::new(&bytes).map_err(|_| form())
    }

    /// Format, nonce, ciphertext and tag.
    pub(crate) fn seal(&self, plain: &[u8], version: u64) -> Result<Vec<u8>, NoRandomness> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| NoRandomness)?;
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
        sealed.push(FORMAT);
        sealed.extend_from_slice(&nonce);
        let mut body = plain.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.keyring.seal_in_place_append_tag(nonce, aad(version), &mut body).map_err(|_| NoRandomness)?;
        sealed.append(&mut body);
        Ok(sealed)
    }

    /// What was sealed under this version; `None` for anything else.
    pub(crate) fn open(&self, sealed: &[u8], version: u64) -> Option<Zeroizing<Vec<u8>>> {
        let (format, rest) = sealed.split_first()?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>()?;
        let mut body = Zeroizing::new(body.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self.keyring.open_in_place(nonce, aad(version), &mut body).ok()?.len();
        body.truncate(length);
        (*format == FORMAT).then_some(body)
    }

    /// The reference of the bytes with this name, so that nobody can fetch them who only sees the database.
    pub(crate) fn seal_reference(&self, reference: &str, name: &str) -> Result<String, Unsealable> {
        let mut body = reference.as_bytes().to_vec();
        let (key, nonce) = self.of_reference(name)?;
        key.seal_in_place_append_tag(nonce, Aad::empty(), &mut body).map_err(|_| Unsealable)?;
        Ok(format!("{SEALED}{}", URL_SAFE_NO_PAD.encode(body)))
    }

    /// The reference again. One that was stored before references were sealed is given as it is.
    pub(crate) fn open_reference(&self, stored: String, name: &str) -> Result<String, Unsealable> {
        let Some(sealed) = stored.strip_prefix(SEALED) else { return Ok(stored) };
        let mut body = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| Unsealable)?;
        let (key, nonce) = self.of_reference(name)?;
        let plain = key.open_in_place(nonce, Aad::empty(), &mut body).map_err(|_| Unsealable)?;
        String::from_utf8(plain.to_vec()).map_err(|_| Unsealable)
    }

    /// A name belongs to one reference, so its key seals one text and needs no more than one nonce.
    fn of_reference(&self, name: &str) -> Result<(LessSafeKey, Nonce), Unsealable> {
        let own = hmac::sign(&self.references, name.as_bytes());
        let key = UnboundKey::new(&AES_256_GCM, own.as_ref()).map_err(|_| Unsealable)?;
        Ok((LessSafeKey::new(key), Nonce::assume_unique_for_key([0; NONCE_LEN])))
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey([redacted])")
    }
}

/// Whether a reference is readable only with the key.
pub(crate) fn is_sealed(stored: &str) -> bool {
    stored.starts_with(SEALED)
}

fn aad(version: u64) -> Aad<Vec<u8>> {
    Aad::from([CONTEXT, &version.to_be_bytes()].concat())
}

/// Strict base64 of 32 bytes, with or without padding.
fn decode(text: &str) -> Option<Zeroizing<[u8; KEY]>> {
    let mut bytes = Zeroizing::new([0; KEY]);
    let decoded = Zeroizing::new(STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok()?);
    (decoded.len() == KEY).then(|| bytes.copy_from_slice(&decoded))?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_and_nothing_else() {
        let (key, other) = (SealKey::new(&[7; 32]).unwrap(), SealKey::new(&[8; 32]).unwrap());
        let sealed = key.seal(b"secret", 3).unwrap();
        assert_eq!(key.open(&sealed, 3).unwrap().as_slice(), b"secret");
        assert_ne!(key.seal(b"secret", 3).unwrap(), sealed, "a nonce of its own");
        assert!(!sealed.windows(6).any(|part| part == b"secret"));
        assert!(other.open(&sealed, 3).is_none());
        assert!(key.open(&sealed, 4).is_none(), "another version's");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key.open(&changed, 3).is_none(), "byte {at}");
            assert!(key.open(&sealed[..at], 3).is_none(), "{at} bytes");
        }
    }

    #[test]
    fn references_that_were_sealed_open_with_their_name() {
        let (key, other) = (SealKey::new(&[7; 32]).unwrap(), SealKey::new(&[8; 32]).unwrap());
        let (reference, name) = ("A".repeat(43), "0".repeat(64));
        let sealed = key.seal_reference(&reference, &name).unwrap();
        assert!(sealed.starts_with(SEALED) && !sealed.contains("AAAAAAAA"), "{sealed}");
        assert_eq!(key.open_reference(sealed.clone(), &name).unwrap(), reference);
        let elsewhere = key.seal_reference(&reference, &"1".repeat(64)).unwrap();
        assert_ne!(elsewhere, sealed, "each has a key of its own");
        assert!(key.open_reference(elsewhere, &name).is_err());
        assert!(other.open_reference(sealed.clone(), &name).is_err());
        for at in 1..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            // The last character has bits that belong to no byte.
            assert!(key.open_reference(changed, &name).is_err(), "character {at}");
            assert!(key.open_reference(sealed[..at].to_owned(), &name).is_err(), "{at} characters");
        }
        assert_eq!(key.open_reference(reference.clone(), &name).unwrap(), reference, "an old one");
    }

    #[test]
    fn keys_in_files() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seal");
        let with = |text: &str, mode: u32| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            SealKey::read(&path)
        };
        let good = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
        let sealed = with(&format!("{good}\n"), 0o600).unwrap().seal(b"x", 1).unwrap();
        assert!(SealKey::new(&[7; 32]).unwrap().open(&sealed, 1).is_some());
        for bad in ["", "BwcH", &good[1..], "not base64", &format!("{good}{good}")] {
            assert!(matches!(with(bad, 0o600), Err(SealKeyError::Form { .. })), "{bad}");
        }
        assert!(matches!(with(good, 0o640), Err(SealKeyError::File(KeyFileError::Mode { .. }))));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(SealKey::read(&path), Err(SealKeyError::File(KeyFileError::Read { .. }))));
    }
}
