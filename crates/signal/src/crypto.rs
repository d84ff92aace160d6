//! HKDF-SHA-256 and AES-256-CBC, as the protocol combines them.

use std::sync::LazyLock;

use aes::{Aes256Dec, Aes256Enc};
use cbc::cipher::{Array, BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, block_padding::Pkcs7};
use zeroize::{Zeroize, Zeroizing};

use crate::hmac::HmacKey;

/// Bytes of one AES block, and of the IV.
const BLOCK: usize = 16;

/// The longest `info` there is: the labels are constants of this crate.
const MAX_INFO: usize = 32;

/// HKDF's empty salt, which is 32 zero bytes, with its HMAC key prepared once.
static EMPTY_SALT: LazyLock<HmacKey> = LazyLock::new(|| HmacKey::new(&[0; 32]));

/// HKDF (RFC 5869) with an empty salt.
pub(crate) fn hkdf<const N: usize>(ikm: &[u8], info: &[u8]) -> Zeroizing<[u8; N]> {
    hkdf_with(&EMPTY_SALT, ikm, info)
}

/// HKDF (RFC 5869) with a salt of 32 bytes.
pub(crate) fn hkdf_salted<const N: usize>(salt: &[u8; 32], ikm: &[u8], info: &[u8]) -> Zeroizing<[u8; N]> {
    hkdf_with(&HmacKey::new(salt), ikm, info)
}

fn hkdf_with<const N: usize>(salt: &HmacKey, ikm: &[u8], info: &[u8]) -> Zeroizing<[u8; N]> {
    let mut expand = Expand::new(salt, ikm, info);
    let mut okm = Zeroizing::new([0; N]);
    for out in okm.chunks_mut(32) {
        out.copy_from_slice(&expand.part()[..out.len()]);
    }
    okm
}

/// HKDF whose output is asked for part by part, T(1), T(2) and so on: what needs one of them can be begun while the
/// next is being made.
pub(crate) struct Expand {
    key: HmacKey,
    /// T(n-1), then info, then n.
    block: [u8; 32 + MAX_INFO + 1],
    /// Where n stands.
    counter_at: usize,
    /// Where the block begins: before the first part there is no T(n-1).
    from: usize,
}

impl Expand {
    fn new(salt: &HmacKey, ikm: &[u8], info: &[u8]) -> Self {
        let mut prk = salt.sign(ikm);
        let key = HmacKey::new(&prk);
        prk[..].zeroize();
        let counter_at = 32 + info.len();
        let mut block = [0; 32 + MAX_INFO + 1];
        block[32..counter_at].copy_from_slice(info);
        Self { key, block, counter_at, from: 32 }
    }

    /// With an empty salt.
    pub(crate) fn unsalted(ikm: &[u8], info: &[u8]) -> Self {
        Self::new(&EMPTY_SALT, ikm, info)
    }

    /// The next part; no label of this crate asks for more than three of the 255 there are.
    pub(crate) fn part(&mut self) -> Zeroizing<[u8; 32]> {
        self.block[self.counter_at] = self.block[self.counter_at].wrapping_add(1);
        let part = Zeroizing::new(self.key.sign(&self.block[self.from..=self.counter_at]));
        self.block[..32].copy_from_slice(&part[..]);
        self.from = 0;
        part
    }
}

impl Drop for Expand {
    fn drop(&mut self) {
        self.block[..].zeroize();
    }
}

/// Bytes of the ciphertext of `length` bytes: PKCS#7 always adds 1 to 16.
pub(crate) const fn padded_len(length: usize) -> usize {
    (length / BLOCK + 1) * BLOCK
}

/// Appends the AES-256-CBC encryption of `plaintext` to `out`, and shows each piece to `seen` as soon as it is made.
///
/// Each block of CBC waits for the one before, which leaves most of a processor idle; a MAC that takes the pieces in is
/// worked on meanwhile.
pub(crate) fn encrypt_onto(
    out: &mut Vec<u8>,
    key: &[u8; 32],
    iv: &[u8; 16],
    plaintext: &[u8],
    mut seen: impl FnMut(&[u8]),
) {
    /// Bytes of a piece, the same as a block of SHA-256.
    const PIECE: usize = 4 * BLOCK;
    let start = out.len();
    let padding = BLOCK - plaintext.len() % BLOCK;
    out.extend_from_slice(plaintext);
    // PKCS#7: as many bytes as are missing, each of which says how many they are.
    out.resize(start + padded_len(plaintext.len()), padding as u8);
    let mut cipher = cbc::Encryptor::<Aes256Enc>::new(key.into(), iv.into());
    for piece in out[start..].chunks_mut(PIECE) {
        let (blocks, _) = Array::slice_as_chunks_mut(piece);
        cipher.encrypt_blocks(blocks);
        seen(piece);
    }
}

/// AES-256-CBC with one key and IV, ready to decrypt.
pub(crate) struct Decryption(cbc::Decryptor<Aes256Dec>);

impl Decryption {
    pub(crate) fn new(key: &[u8; 32], iv: &[u8; 16]) -> Self {
        Self(cbc::Decryptor::new(key.into(), iv.into()))
    }

    /// Decrypts; `None` if length or padding is wrong.
    pub(crate) fn decrypt(self, ciphertext: &[u8]) -> Option<Vec<u8>> {
        let mut text = ciphertext.to_vec();
        match self.0.decrypt_padded::<Pkcs7>(&mut text) {
            Ok(plain) => {
                let length = plain.len();
                text.truncate(length);
                Some(text)
            }
            Err(_) => {
                text.zeroize();
                None
            }
        }
    }
}

#[cfg(test)]
mod wycheproof;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hkdf_gives_the_recorded_keys() {
        let file: serde_json::Value =
            serde_json::from_str(include_str!("../tests/vectors/hkdf.json")).unwrap();
        let mut checked = 0;
        for vector in file["vectors"].as_array().unwrap() {
            let field = |name: &str| hex::decode(vector[name].as_str().unwrap()).unwrap();
            let (ikm, salt, info, okm) = (field("ikm"), field("salt"), field("info"), field("okm"));
            // A short key is the same as one that is filled up with zeros; a longer one is never used here.
            let mut key = [0; 32];
            let Some(front) = key.get_mut(..salt.len()) else { continue };
            front.copy_from_slice(&salt);
            let made = hkdf_with::<80>(&HmacKey::new(&key), &ikm, &info);
            let length = okm.len().min(80);
            assert_eq!(made[..length], okm[..length], "{}", vector["note"]);
            checked += 1;
        }
        assert_eq!(checked, 7, "all but the one with an 80-byte salt");
    }

    #[test]
    fn every_length_round_trips() {
        let (key, iv) = ([7; 32], [9; 16]);
        let decrypt = |ciphertext: &[u8]| Decryption::new(&key, &iv).decrypt(ciphertext);
        for length in 0..70 {
            let text: Vec<u8> = (0..length).collect();
            let mut sealed = vec![1, 2, 3];
            let mut seen = Vec::new();
            encrypt_onto(&mut sealed, &key, &iv, &text, |piece| seen.extend_from_slice(piece));
            assert_eq!(sealed.len(), 3 + padded_len(text.len()));
            assert_eq!(seen, sealed[3..]);
            assert_eq!(decrypt(&sealed[3..]).as_deref(), Some(&text[..]));
            assert_eq!(decrypt(&sealed[4..]), None, "not whole blocks");
        }
        assert_eq!(decrypt(&[]), None);
    }
}
