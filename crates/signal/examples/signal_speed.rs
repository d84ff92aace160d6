//! How many messages of 200 bytes a second one thread encrypts and decrypts, through the store in memory.
//!
//! `cargo run --release -p landbridge-signal --example signal_speed`

use std::{error::Error, time::Instant};

use landbridge_signal::{
    Address, Ciphertext, IdentityKeyPair, IdentityStore as _, MemorySignalStore, PreKeyBundle, SignedPreKey,
    SignedPreKeyId, TrustPolicy, decrypt, encrypt, process_bundle,
};

const TEXT: [u8; 200] = [0x5a; 200];
const POLICY: TrustPolicy = TrustPolicy::Accept;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn party() -> Outcome<(MemorySignalStore, PreKeyBundle)> {
    let mut rng = rand::rng();
    let identity = IdentityKeyPair::generate(&mut rng);
    let signed = SignedPreKey::generate(SignedPreKeyId::new(1)?, &identity, &mut rng);
    let mut store = MemorySignalStore::new(identity, 7);
    let bundle = PreKeyBundle {
        registration_id: 7,
        identity: *store.identity_key()?.public(),
        signed_prekey: signed.public(),
        prekey: None,
    };
    store.add_signed_prekey(signed);
    Ok((store, bundle))
}

struct Pair {
    alice: MemorySignalStore,
    bob: MemorySignalStore,
    to: Address,
    from: Address,
}

impl Pair {
    /// Two parties that have each heard of the other, so that only plain messages follow.
    fn new() -> Outcome<Self> {
        let ((alice, _), (bob, bundle)) = (party()?, party()?);
        let mut pair = Self { alice, bob, to: Address::new("bob", 0), from: Address::new("alice", 0) };
        let mut rng = rand::rng();
        let _ = process_bundle(&mut pair.alice, &pair.to, &bundle, POLICY, &mut rng)?;
        let first = pair.send()?;
        pair.open(&first)?;
        let answer = encrypt(&mut pair.bob, &pair.from, b"hello", POLICY)?;
        decrypt(&mut pair.alice, &pair.to, answer.kind, &answer.bytes, POLICY, &mut rng)?;
        Ok(pair)
    }

    fn send(&mut self) -> Outcome<Ciphertext> {
        Ok(encrypt(&mut self.alice, &self.to, &TEXT, POLICY)?)
    }

    fn open(&mut self, message: &Ciphertext) -> Outcome<()> {
        decrypt(&mut self.bob, &self.from, message.kind, &message.bytes, POLICY, &mut rand::rng())?;
        Ok(())
    }
}

fn main() -> Outcome<()> {
    const IN_ORDER: usize = 200_000;
    for _ in 0..3 {
        let mut pair = Pair::new()?;
        let start = Instant::now();
        let sent = (0..IN_ORDER).map(|_| pair.send()).collect::<Outcome<Vec<_>>>()?;
        report("encrypted in order", IN_ORDER, start);
        let start = Instant::now();
        for message in &sent {
            pair.open(message)?;
        }
        report("decrypted in order", IN_ORDER, start);
    }
    const ROUNDS: usize = 50;
    const REVERSED: usize = 1_000;
    let mut pairs = Vec::new();
    for _ in 0..ROUNDS {
        let mut pair = Pair::new()?;
        let sent = (0..REVERSED).map(|_| pair.send()).collect::<Outcome<Vec<_>>>()?;
        pairs.push((pair, sent));
    }
    let start = Instant::now();
    for (pair, sent) in &mut pairs {
        for message in sent.iter().rev() {
            pair.open(message)?;
        }
    }
    report("decrypted, 1,000 reversed", ROUNDS * REVERSED, start);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
fn report(what: &str, count: usize, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    println!("{what}: {:.0} a second", count as f64 / seconds);
}
