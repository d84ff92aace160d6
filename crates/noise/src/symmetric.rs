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

#[cfg(test)]
mod tests {
    use landbridge_curve::{PrivateKey, PublicKey};
    use serde_json::Value;

    use super::*;

    fn bytes(value: &Value) -> Vec<u8> {
        hex::decode(value.as_str().unwrap()).unwrap()
    }

    fn array(value: &Value) -> [u8; 32] {
        bytes(value).try_into().unwrap()
    }

    /// A recorded byte string, which is a hash when it is long.
    fn assert_recorded(value: &Value, got: &[u8], step: usize) {
        let text = value.as_str().unwrap();
        match text.strip_prefix("sha256:") {
            Some(hash) => assert_eq!(hex::encode(sha256(&[got])), hash, "step {step}"),
            None => assert_eq!(hex::encode(got), text, "step {step}"),
        }
    }

    enum State {
        Start,
        Unkeyed(Unkeyed),
        Keyed(Box<Keyed>),
    }

    /// The client's operations, one by one, with every intermediate value. The key agreements are done with the
    /// recorded keys, and the sealed parts come from the recorded messages.
    fn replay(transcript: &Value, trace: &Value, sealed: &[Value], agreements: &[(PrivateKey, PublicKey)]) {
        let mut sealed = sealed.iter();
        let mut agreements = agreements.iter();
        let payload = bytes(&transcript["client_payload"]);
        let mut plain_static = true;
        let mut state = State::Start;
        let mut ck = [0; 32];
        for (step, entry) in trace.as_array().unwrap().iter().enumerate() {
            let op = entry["op"].as_str().unwrap();
            state = match (state, op) {
                (State::Start, "init") => {
                    // Init mixes the prologue at once: the bare start is checked by the entry that follows.
                    let name = entry["name"].as_str().unwrap();
                    State::Unkeyed(Unkeyed::new(name, &bytes(&transcript["prologue"])))
                }
                (State::Unkeyed(state), "mix_hash") if step == 1 => State::Unkeyed(state),
                (State::Unkeyed(mut state), "mix_hash") => {
                    state.mix_hash(&bytes(&entry["data"]));
                    State::Unkeyed(state)
                }
                (State::Keyed(mut state), "mix_hash") => {
                    state.mix_hash(&bytes(&entry["data"]));
                    State::Keyed(state)
                }
                (state, "mix_key") => {
                    let (mine, theirs) = agreements.next().unwrap();
                    let shared = mine.agree(theirs).unwrap();
                    assert_recorded(&entry["ikm"], shared.as_bytes(), step);
                    let (_, key) = derive(&ck, shared.as_bytes());
                    assert_recorded(&entry["k"], key.as_ref(), step);
                    match state {
                        State::Unkeyed(state) => State::Keyed(Box::new(state.mix_key(&shared))),
                        State::Keyed(mut state) => {
                            state.mix_key(&shared);
                            State::Keyed(state)
                        }
                        State::Start => panic!("step {step}: mix_key before init"),
                    }
                }
                (State::Keyed(mut state), "encrypt_and_hash") => {
                    let own = array(&transcript["client"]["static_public"]);
                    let plaintext = if plain_static { &own[..] } else { &payload };
                    plain_static = !plain_static;
                    assert_recorded(&entry["plaintext"], plaintext, step);
                    let ciphertext = state.seal(plaintext).unwrap();
                    assert_recorded(&entry["ciphertext"], &ciphertext, step);
                    State::Keyed(state)
                }
                (State::Keyed(mut state), "decrypt_and_hash") => {
                    let ciphertext = bytes(sealed.next().unwrap());
                    assert_recorded(&entry["ciphertext"], &ciphertext, step);
                    let plaintext = state.open(&ciphertext).unwrap();
                    assert_recorded(&entry["plaintext"], &plaintext, step);
                    State::Keyed(state)
                }
                (_, op) => panic!("step {step}: {op} out of order"),
            };
            let (h, chaining_key, n) = match &state {
                State::Start => panic!("step {step}: no state"),
                State::Unkeyed(state) => (state.h, &state.ck, 0),
                State::Keyed(state) => (state.h, &state.ck, state.n),
            };
            ck = **chaining_key;
            if step > 0 {
                assert_recorded(&entry["h"], &h, step);
            }
            assert_recorded(&entry["ck"], &ck, step);
            assert_eq!(entry["n"].as_u64(), Some(n), "step {step}");
        }
        assert!(sealed.next().is_none() && agreements.next().is_none(), "not all was used");
        if trace == &transcript["trace"] {
            let State::Keyed(state) = state else { panic!("no key at the end") };
            assert_recorded(&transcript["handshake_hash"], &state.h, usize::MAX);
            assert_recorded(&transcript["chaining_key"], state.ck.as_ref(), usize::MAX);
            let (to_server, to_client) = derive(&state.ck, &[]);
            assert_recorded(&transcript["key_client_to_server"], to_server.as_ref(), usize::MAX);
            assert_recorded(&transcript["key_server_to_client"], to_client.as_ref(), usize::MAX);
        }
    }

    fn load(name: &str) -> Value {
        let path = format!("{}/tests/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    struct Keys {
        e: PrivateKey,
        s: PrivateKey,
        server_e: PublicKey,
        server_s: PublicKey,
    }

    fn keys(transcript: &Value) -> Keys {
        let (client, server) = (&transcript["client"], &transcript["server"]);
        Keys {
            e: PrivateKey::from_bytes(array(&client["ephemeral_private"])),
            s: PrivateKey::from_bytes(array(&client["static_private"])),
            server_e: PublicKey::from_bytes(array(&server["ephemeral_public"])),
            server_s: PublicKey::from_bytes(array(&server["static_public"])),
        }
    }

    #[test]
    fn xx_and_fallback_traces() {
        for name in ["xx", "xxfallback"] {
            let transcript = load(name);
            let Keys { e, s, server_e, server_s } = keys(&transcript);
            let fields = &transcript["handshake"][1]["fields"];
            let sealed = [fields["static"].clone(), fields["payload"].clone()];
            let agreements = [(e.clone(), server_e), (e, server_s), (s, server_e)];
            replay(&transcript, &transcript["trace"], &sealed, &agreements);
        }
    }

    #[test]
    fn ik_traces() {
        for name in ["ik", "ik_empty_server_payload"] {
            let transcript = load(name);
            let Keys { e, s, server_e, server_s } = keys(&transcript);
            let sealed = [transcript["handshake"][1]["fields"]["payload"].clone()];
            let agreements = [(e.clone(), server_s), (s.clone(), server_s), (e, server_e), (s, server_e)];
            replay(&transcript, &transcript["trace"], &sealed, &agreements);
        }
    }

    #[test]
    fn trace_of_ik_before_the_fallback() {
        let transcript = load("xxfallback");
        let Keys { e, s, .. } = keys(&transcript);
        let stale = PublicKey::from_bytes(array(&transcript["stale_server_static"]));
        replay(&transcript, &transcript["ik_trace"], &[], &[(e, stale), (s, stale)]);
        let last = transcript["ik_trace"].as_array().unwrap().last().unwrap();
        assert_eq!(last["h"], transcript["ik_handshake_hash_after_client_hello"]);
    }
}
