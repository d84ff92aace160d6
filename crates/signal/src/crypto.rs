//! HKDF-SHA-256 and AES-256-CBC, as the protocol combines them.

use std::sync::LazyLock;

use aes::{Aes256Dec, Aes256Enc};
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, block_padding::Pkcs7};
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
    let mut prk = salt.sign(ikm);
    let key = HmacKey::new(&prk);
    prk[..].zeroize();
    let mut okm = Zeroizing::new([0; N]);
    // T(n-1), then info, then n.
    let mut block = [0; 32 + MAX_INFO + 1];
    let counter_at = 32 + info.len();
    block[32..counter_at].copy_from_slice(info);
    let mut from = 32;
    for (counter, out) in (1..=u8::MAX).zip(okm.chunks_mut(32)) {
        block[counter_at] = counter;
        let mut part = key.sign(&block[from..=counter_at]);
        out.copy_from_slice(&part[..out.len()]);
        block[..32].copy_from_slice(&part);
        part[..].zeroize();
        from = 0;
    }
    block[..].zeroize();
    okm
}

/// Bytes of the ciphertext of `length` bytes: PKCS#7 always adds 1 to 16.
pub(crate) const fn padded_len(length: usize) -> usize {
    (length / BLOCK + 1) * BLOCK
}

/// Appends the AES-256-CBC encryption of `plaintext` to `out`.
pub(crate) fn encrypt_onto(out: &mut Vec<u8>, key: &[u8; 32], iv: &[u8; 16], plaintext: &[u8]) {
    let start = out.len();
    out.extend_from_slice(plaintext);
    out.resize(start + padded_len(plaintext.len()), 0);
    let cipher = cbc::Encryptor::<Aes256Enc>::new(key.into(), iv.into());
    let done = cipher.encrypt_padded::<Pkcs7>(&mut out[start..], plaintext.len());
    debug_assert!(done.is_ok(), "the buffer has room for the padding");
}

/// Decrypts AES-256-CBC; `None` if length or padding is wrong.
pub(crate) fn decrypt(key: &[u8; 32], iv: &[u8; 16], ciphertext: &[u8]) -> Option<Vec<u8>> {
    let mut text = ciphertext.to_vec();
    let cipher = cbc::Decryptor::<Aes256Dec>::new(key.into(), iv.into());
    match cipher.decrypt_padded::<Pkcs7>(&mut text) {
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
        for length in 0..70 {
            let text: Vec<u8> = (0..length).collect();
            let mut sealed = vec![1, 2, 3];
            encrypt_onto(&mut sealed, &key, &iv, &text);
            assert_eq!(sealed.len(), 3 + padded_len(text.len()));
            assert_eq!(decrypt(&key, &iv, &sealed[3..]).as_deref(), Some(&text[..]));
            assert_eq!(decrypt(&key, &iv, &sealed[4..]), None, "not whole blocks");
        }
        assert_eq!(decrypt(&key, &iv, &[]), None);
    }
}
