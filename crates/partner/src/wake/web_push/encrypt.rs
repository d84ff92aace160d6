//! RFC 8291: a message that only the browser can read.

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::rand::{SecureRandom as _, SystemRandom};

/// One record holds everything (RFC 8188).
const RECORD_SIZE: u32 = 4096;
/// Marks the last record.
const LAST: u8 = 2;

/// Encrypts `message` for the holder of `public` and `secret`. `None` if `public` is no point of the curve, or the system
/// gives no random numbers.
pub(super) fn encrypt(message: &[u8], public: &[u8; 65], secret: &[u8; 16]) -> Option<Vec<u8>> {
    let random = SystemRandom::new();
    let mut salt = [0; 16];
    random.fill(&mut salt).ok()?;
    let own = EphemeralPrivateKey::generate(&ECDH_P256, &random).ok()?;
    let own_public: [u8; 65] = own.compute_public_key().ok()?.as_ref().try_into().ok()?;
    let peer = UnparsedPublicKey::new(&ECDH_P256, public);
    agree_ephemeral(own, &peer, |shared| {
        seal(message, &Parties { shared, public, own_public: &own_public, secret }, &salt)
    })
    .ok()?
}

/// What both sides know.
struct Parties<'a> {
    shared: &'a [u8],
    public: &'a [u8; 65],
    own_public: &'a [u8; 65],
    secret: &'a [u8; 16],
}

/// Length of what is derived, in bytes.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn derive<const N: usize>(salt: &[u8], ikm: &[u8], info: &[&[u8]]) -> Option<[u8; N]> {
    let mut derived = [0; N];
    let prk = Salt::new(HKDF_SHA256, salt).extract(ikm);
    prk.expand(info, Length(N)).ok()?.fill(&mut derived).ok()?;
    Some(derived)
}

fn keys(parties: &Parties<'_>, salt: &[u8; 16]) -> Option<([u8; 16], [u8; 12])> {
    let info: [&[u8]; 3] = [b"WebPush: info\0", parties.public, parties.own_public];
    let ikm: [u8; 32] = derive(parties.secret, parties.shared, &info)?;
    let key = derive(salt, &ikm, &[b"Content-Encoding: aes128gcm\0"])?;
    let nonce = derive(salt, &ikm, &[b"Content-Encoding: nonce\0"])?;
    Some((key, nonce))
}

/// Header of RFC 8188 and the one record.
fn seal(message: &[u8], parties: &Parties<'_>, salt: &[u8; 16]) -> Option<Vec<u8>> {
    let (key, nonce) = keys(parties, salt)?;
    let mut record = [message, &[LAST]].concat();
    LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).ok()?)
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut record)
        .ok()?;
    let id_length = u8::try_from(parties.own_public.len()).ok()?;
    Some([salt.as_slice(), &RECORD_SIZE.to_be_bytes(), &[id_length], parties.own_public, &record].concat())
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        URL_SAFE_NO_PAD.decode(text).unwrap().try_into().unwrap()
    }

    /// RFC 8291, appendix A: from the shared secret to the bytes that are posted.
    #[test]
    fn the_example_of_the_rfc() {
        let shared: [u8; 32] = bytes("kyrL1jIIOHEzg3sM2ZWRHDRB62YACZhhSlknJ672kSs");
        let parties = Parties {
            shared: &shared,
            public: &bytes(
                "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
            ),
            own_public: &bytes(
                "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8",
            ),
            secret: &bytes("BTBZMqHH6r4Tts7J_aSIgg"),
        };
        let salt = bytes("DGv6ra1nlYgDCS1FRnbzlw");
        let (key, nonce) = keys(&parties, &salt).unwrap();
        assert_eq!(key, bytes("oIhVW04MRdy2XN9CiKLxTg"));
        assert_eq!(nonce, bytes("4h_95klXJ5E_qnoN"));
        let sealed = seal(b"When I grow up, I want to be a watermelon", &parties, &salt).unwrap();
        let expected = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_\
                        yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
        assert_eq!(URL_SAFE_NO_PAD.encode(sealed), expected);
    }

    #[test]
    fn a_point_off_the_curve_is_refused() {
        let mut public = [7; 65];
        public[0] = 4;
        assert_eq!(encrypt(b"x", &public, &[0; 16]), None);
    }
}
