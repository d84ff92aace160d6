//! The symmetric state of a handshake. It is two types, so that sealing without a key cannot be written.

use landbridge_curve::SharedSecret;
use ring::{aead, digest};
use zeroize::Zeroizing;

use crate::{
    cipher::{derive, nonce, prepare},
    transport::{Opener, Sealer, Transport},
};

/// The state before the first key agreement.
pub(crate) struct Unkeyed {
    h: [u8; 32],
    ck: Zeroizing<[u8; 32]>,
}

/// The state since the first key agreement.
pub(crate) struct Keyed {
    h: [u8; 32],
    ck: Zeroizing<[u8; 32]>,
    key: aead::LessSafeKey,
    n: u64,
}

/// The AEAD refused: a wrong tag when opening.
#[derive(Debug)]
pub(crate) struct Refused;

impl Unkeyed {
    /// Init(name), then MixHash(prologue).
    pub(crate) fn new(name: &str, prologue: &[u8]) -> Self {
        let name = name.as_bytes();
        let mut h = [0; 32];
        match h.get_mut(..name.len()) {
            Some(start) => start.copy_from_slice(name),
            None => h = sha256(&[name]),
        }
        let mut state = Self { h, ck: Zeroizing::new(h) };
        state.mix_hash(prologue);
        state
    }

    pub(crate) fn mix_hash(&mut self, data: &[u8]) {
        self.h = sha256(&[&self.h, data]);
    }

    pub(crate) fn mix_key(self, shared: &SharedSecret) -> Keyed {
        let (ck, key) = derive(&self.ck, shared.as_bytes());
        Keyed { h: self.h, ck, key: prepare(&key), n: 0 }
    }
}

impl Keyed {
    pub(crate) fn mix_hash(&mut self, data: &[u8]) {
        self.h = sha256(&[&self.h, data]);
    }

    pub(crate) fn mix_key(&mut self, shared: &SharedSecret) {
        let (ck, key) = derive(&self.ck, shared.as_bytes());
        self.ck = ck;
        self.key = prepare(&key);
        self.n = 0;
    }

    /// EncryptAndHash.
    pub(crate) fn seal(&mut self, plaintext: &[u8]) -> Result<Vec<u8>, Refused> {
        let mut sealed = Vec::with_capacity(plaintext.len() + crate::TAG_LEN);
        sealed.extend_from_slice(plaintext);
        let aad = aead::Aad::from(self.h);
        self.key.seal_in_place_append_tag(nonce(self.n), aad, &mut sealed).map_err(|_| Refused)?;
        self.n += 1;
        self.mix_hash(&sealed);
        Ok(sealed)
    }

    /// DecryptAndHash.
    pub(crate) fn open(&mut self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Refused> {
        let mut plaintext = Zeroizing::new(sealed.to_vec());
        let aad = aead::Aad::from(self.h);
        let length = self.key.open_in_place(nonce(self.n), aad, &mut plaintext).map_err(|_| Refused)?.len();
        plaintext.truncate(length);
        self.n += 1;
        self.mix_hash(sealed);
        Ok(plaintext)
    }

    /// Split, for the client: seals with the first key, opens with the second.
    pub(crate) fn split(self) -> Transport {
        let (to_server, to_client) = derive(&self.ck, &[]);
        Transport { sealer: Sealer::new(&to_server), opener: Opener::new(&to_client), handshake_hash: self.h }
    }

    /// Split, for the server.
    pub(crate) fn split_server(self) -> Transport {
        let (to_server, to_client) = derive(&self.ck, &[]);
        Transport { sealer: Sealer::new(&to_client), opener: Opener::new(&to_server), handshake_hash: self.h }
    }
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}
