//! X3DH: the secret that a session begins with.

use landbridge_curve::{LowOrderKey, PreparedPublicKey, PrivateKey, PublicKey};
use zeroize::Zeroize;

use crate::ladder::{ChainKey, RootKey, begin};

/// `FF` 32 times, then up to four agreements.
struct MasterSecret {
    bytes: [u8; 160],
    len: usize,
}

impl MasterSecret {
    fn new() -> Self {
        let mut bytes = [0; 160];
        bytes[..32].fill(0xff);
        Self { bytes, len: 32 }
    }

    fn mix(&mut self, ours: &PrivateKey, theirs: &PreparedPublicKey) -> Result<(), LowOrderKey> {
        let shared = ours.agree_prepared(theirs)?;
        self.bytes[self.len..self.len + 32].copy_from_slice(shared.as_bytes());
        self.len += 32;
        Ok(())
    }

    fn derive(&self) -> (RootKey, ChainKey) {
        begin(&self.bytes[..self.len])
    }
}

impl Drop for MasterSecret {
    fn drop(&mut self) {
        self.bytes[..].zeroize();
    }
}

/// The keys of the side that begins: its identity and a fresh base key, against the other's bundle.
pub(crate) struct Initiator<'a> {
    pub(crate) identity: &'a PrivateKey,
    pub(crate) base: &'a PrivateKey,
    pub(crate) their_identity: &'a PublicKey,
    pub(crate) their_signed_prekey: &'a PreparedPublicKey,
    pub(crate) their_prekey: Option<&'a PublicKey>,
}

impl Initiator<'_> {
    pub(crate) fn agree(&self) -> Result<(RootKey, ChainKey), LowOrderKey> {
        let mut secret = MasterSecret::new();
        secret.mix(self.identity, self.their_signed_prekey)?;
        secret.mix(self.base, &self.their_identity.prepare())?;
        secret.mix(self.base, self.their_signed_prekey)?;
        if let Some(prekey) = self.their_prekey {
            secret.mix(self.base, &prekey.prepare())?;
        }
        Ok(secret.derive())
    }
}

/// The keys of the side that answers: what its bundle announced, against the other's identity and base key.
pub(crate) struct Responder<'a> {
    pub(crate) identity: &'a PrivateKey,
    pub(crate) signed_prekey: &'a PrivateKey,
    pub(crate) prekey: Option<&'a PrivateKey>,
    pub(crate) their_identity: &'a PublicKey,
    pub(crate) their_base: &'a PublicKey,
}

impl Responder<'_> {
    pub(crate) fn agree(&self) -> Result<(RootKey, ChainKey), LowOrderKey> {
        let mut secret = MasterSecret::new();
        let their_base = self.their_base.prepare();
        secret.mix(self.signed_prekey, &self.their_identity.prepare())?;
        secret.mix(self.identity, &their_base)?;
        secret.mix(self.signed_prekey, &their_base)?;
        if let Some(prekey) = self.prekey {
            secret.mix(prekey, &their_base)?;
        }
        Ok(secret.derive())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{hmac::HmacKey, ladder::RatchetKeyPair};

    fn bytes<const N: usize>(value: &Value) -> [u8; N] {
        hex::decode(value.as_str().unwrap()).unwrap().try_into().unwrap()
    }

    fn private(value: &Value) -> PrivateKey {
        PrivateKey::from_bytes(bytes(value))
    }

    fn public(value: &Value) -> PublicKey {
        PublicKey::from_typed(&bytes::<33>(value)).unwrap()
    }

    #[test]
    fn both_sides_derive_the_recorded_keys() {
        let file: Value = serde_json::from_str(include_str!("../tests/vectors/x3dh.json")).unwrap();
        for vector in file["vectors"].as_array().unwrap() {
            let (a, b) = (&vector["initiator"], &vector["responder"]);
            let one_time = !b["prekey_private"].is_null();
            let (root, chain) = Initiator {
                identity: &private(&a["identity_private"]),
                base: &private(&a["base_private"]),
                their_identity: &public(&b["identity_public"]),
                their_signed_prekey: &public(&b["signed_prekey_public"]).prepare(),
                their_prekey: one_time.then(|| public(&b["prekey_public"])).as_ref(),
            }
            .agree()
            .unwrap();
            let (their_root, their_chain) = Responder {
                identity: &private(&b["identity_private"]),
                signed_prekey: &private(&b["signed_prekey_private"]),
                prekey: one_time.then(|| private(&b["prekey_private"])).as_ref(),
                their_identity: &public(&a["identity_public"]),
                their_base: &public(&a["base_public"]),
            }
            .agree()
            .unwrap();
            assert_eq!(root.as_bytes(), &bytes(&vector["root_key_0"]));
            assert_eq!(root.as_bytes(), their_root.as_bytes());
            assert_eq!(chain.as_bytes(), &bytes(&vector["responder_chain_key_0"]));
            assert_eq!(chain.as_bytes(), their_chain.as_bytes());

            let ratchet = RatchetKeyPair::from_private(private(&a["ratchet_private"]));
            let theirs = public(&b["signed_prekey_public"]).prepare();
            let (root, chain) = root.turn(ratchet.private(), &theirs).unwrap();
            assert_eq!(root.as_bytes(), &bytes(&vector["root_key_1"]));
            assert_eq!(chain.as_bytes(), &bytes(&vector["initiator_chain_key_0"]));
            let (seed, next) = chain.step();
            assert_eq!(seed.as_bytes(), &bytes(&vector["message_key_seed_0"]));
            assert_eq!(next.as_bytes(), &bytes(&vector["initiator_chain_key_1"]));
            let keys = seed.keys();
            let recorded = &vector["message_keys_0"];
            assert_eq!(keys.cipher, bytes(&recorded["cipher"]));
            assert_eq!(keys.mac.sign(b"x"), HmacKey::new(&bytes(&recorded["mac"])).sign(b"x"));
            assert_eq!(keys.iv, bytes(&recorded["iv"]));
            for shown in
                [format!("{keys:?}"), format!("{seed:?}"), format!("{root:?}"), format!("{ratchet:?}")]
            {
                assert!(shown.contains("[redacted]"), "{shown}");
            }
        }
    }
}
