//! The operations that are guarded.

#![expect(clippy::expect_used, reason = "inputs of our own")]

use std::hint::black_box;

use landbridge_noise::{PREFIX_LEN, danger};
use landbridge_signal::{
    Address, Ciphertext, IdentityKeyPair, IdentityStore as _, MemorySignalStore, PreKeyBundle, SignedPreKey,
    SignedPreKeyId, TrustPolicy, decrypt, encrypt, process_bundle,
};
use landbridge_wire::{EncodeOptions, Jid, Limits, Node, decode_payload_ref, encode_payload, json};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

type Work = Box<dyn FnMut()>;
type Prepare = fn() -> Result<Work, String>;

/// Each with what makes it ready.
pub const OPERATIONS: [(&str, Prepare); 8] = [
    ("wire-decode-message", || decoding("message_enc_200")),
    ("wire-decode-users", || decoding("users_100")),
    ("wire-build-in-place", || Ok(Box::new(build_in_place))),
    ("wire-build-apart", || Ok(Box::new(build_apart))),
    ("noise-seal-open", || Ok(seal_and_open())),
    ("signal-encrypt", || Ok(signal_encrypt())),
    ("signal-decrypt", || Ok(signal_decrypt(false))),
    ("signal-decrypt-reversed", || Ok(signal_decrypt(true))),
];

const TEXT: [u8; 200] = [0x5a; 200];
const POLICY: TrustPolicy = TrustPolicy::Accept;

fn decoding(input: &str) -> Result<Work, String> {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("../../inputs/wire.json")).map_err(|error| error.to_string())?;
    let inputs = file["inputs"].as_array().ok_or("no inputs")?;
    let found = inputs.iter().find(|found| found["name"] == input).ok_or("no such input")?;
    let node = json::parse(&found["node"].to_string()).map_err(|error| error.to_string())?;
    let payload = encode_payload(&node, &EncodeOptions::default()).map_err(|error| error.to_string())?;
    Ok(Box::new(move || drop(black_box(decode_payload_ref(black_box(&payload), &Limits::default())))))
}

fn build_in_place() {
    let message = Node::new("message")
        .attr("id", black_box("3EB0A1C52E77F09B14D6E8"))
        .attr("to", Jid::user("14155551001"))
        .attr("type", "text")
        .child_with("enc", |enc| enc.attr("v", "2").attr("type", "msg").bytes(black_box(&TEXT[..])));
    drop(black_box(message.into_payload(&EncodeOptions::default())));
}

/// The child is a node of its own, and the whole is copied.
fn build_apart() {
    let message = Node::new("message")
        .attr("id", black_box("3EB0A1C52E77F09B14D6E8"))
        .attr("to", Jid::user("14155551001"))
        .attr("type", "text")
        .child(Node::new("enc").attr("v", "2").attr("type", "msg").bytes(black_box(&TEXT[..])));
    drop(black_box(encode_payload(&message, &EncodeOptions::default())));
}

fn seal_and_open() -> Work {
    let (mut sealer, mut opener) = (danger::sealer_from_key(&[7; 32]), danger::opener_from_key(&[7; 32]));
    let mut buffer = Vec::with_capacity(1_024);
    Box::new(move || {
        buffer.clear();
        sealer.seal_frame(&TEXT, &mut buffer).expect("seals");
        black_box(opener.open_in_place(&mut buffer[PREFIX_LEN..]).expect("opens"));
    })
}

struct Pair {
    rng: ChaCha20Rng,
    alice: MemorySignalStore,
    bob: MemorySignalStore,
    to: Address,
    from: Address,
}

impl Pair {
    /// Two parties that have each heard of the other, so that only plain messages follow.
    fn new() -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let alice = MemorySignalStore::new(IdentityKeyPair::generate(&mut rng), 7);
        let identity = IdentityKeyPair::generate(&mut rng);
        let signed = SignedPreKey::generate(SignedPreKeyId::new(1).expect("in range"), &identity, &mut rng);
        let mut bob = MemorySignalStore::new(identity, 7);
        let bundle = PreKeyBundle {
            registration_id: 7,
            identity: *bob.identity_key().expect("in memory").public(),
            signed_prekey: signed.public(),
            prekey: None,
        };
        bob.add_signed_prekey(signed);
        let mut pair = Self { rng, alice, bob, to: Address::new("bob", 0), from: Address::new("alice", 0) };
        let _ = process_bundle(&mut pair.alice, &pair.to, &bundle, POLICY, &mut pair.rng).expect("agrees");
        let first = pair.encrypt();
        pair.decrypt(&first);
        let answer = encrypt(&mut pair.bob, &pair.from, &TEXT, POLICY).expect("encrypts");
        let Ciphertext { kind, bytes } = answer;
        decrypt(&mut pair.alice, &pair.to, kind, &bytes, POLICY, &mut pair.rng).expect("decrypts");
        pair
    }

    fn encrypt(&mut self) -> Ciphertext {
        encrypt(&mut self.alice, &self.to, &TEXT, POLICY).expect("encrypts")
    }

    fn decrypt(&mut self, message: &Ciphertext) {
        let opened = decrypt(&mut self.bob, &self.from, message.kind, &message.bytes, POLICY, &mut self.rng);
        black_box(opened.expect("decrypts"));
    }
}

fn signal_encrypt() -> Work {
    let mut pair = Pair::new();
    Box::new(move || drop(black_box(pair.encrypt())))
}

fn signal_decrypt(reversed: bool) -> Work {
    let mut pair = Pair::new();
    // The first turns the ratchet; more than are ever asked for follow.
    let mut sent: Vec<Ciphertext> = (0..1_000).map(|_| pair.encrypt()).collect();
    if !reversed {
        sent.reverse();
    }
    Box::new(move || {
        let message = sent.pop().expect("enough");
        pair.decrypt(&message);
    })
}
