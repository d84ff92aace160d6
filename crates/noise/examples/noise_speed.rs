//! How near the crate comes to what its primitives allow: sealed frames beside bare AES-256-GCM, handshakes beside
//! the key agreements in them. Run it with `--release`.

#![expect(clippy::unwrap_used, reason = "a measurement that fails has no result")]

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use landbridge_noise::{
    CertificateAuthority, CertificateError, ClientFinish, ClientHandshake, FrameDecoder, Header, Hello,
    Intro, PREFIX_LEN, PrivateKey, PublicKey, ServerHandshake, ServerIdentity, ServerTrust, StaticKeyPair,
    TAG_LEN, Validity, VerifiedServer, danger,
};
use ring::aead;

const NOW: u64 = 1_767_225_600;
const ROUND: Duration = Duration::from_millis(20);
const ROUNDS: usize = 60;

fn main() {
    for length in [64, 1_024, 65_536] {
        frames(length);
    }
    handshakes();
}

/// Calls of `work` in about one round.
fn calls(work: &mut dyn FnMut()) -> usize {
    let (start, mut calls) = (Instant::now(), 0);
    while start.elapsed() < ROUND {
        work();
        calls += 1;
    }
    calls
}

/// Seconds that each of `work` takes for a call at its best. Short rounds of all are interleaved, so that neither a
/// neighbour on the machine nor a change of its speed favours one.
fn measure<const N: usize>(mut work: [&mut dyn FnMut(); N]) -> [f64; N] {
    let counts: Vec<usize> = work.iter_mut().map(|work| calls(*work)).collect();
    let mut best = [f64::INFINITY; N];
    for _ in 0..ROUNDS {
        for ((work, count), best) in work.iter_mut().zip(&counts).zip(&mut best) {
            let start = Instant::now();
            for _ in 0..*count {
                work();
            }
            *best = best.min(start.elapsed().as_secs_f64() / *count as f64);
        }
    }
    best
}

fn nonce(n: u64) -> aead::Nonce {
    let mut nonce = [0; aead::NONCE_LEN];
    nonce[4..].copy_from_slice(&n.to_be_bytes());
    aead::Nonce::assume_unique_for_key(nonce)
}

/// Seals and opens one frame: ring alone, the ciphers in place, and whole frames through the decoder.
fn frames(length: usize) {
    const BATCH: usize = 64;
    let key = [3; 32];
    let plaintext = vec![1; length];

    let raw = aead::LessSafeKey::new(aead::UnboundKey::new(&aead::AES_256_GCM, &key).unwrap());
    let (mut n, mut buffer) = (0, Vec::with_capacity(length + TAG_LEN));
    buffer.resize(length, 1);
    let mut bare = || {
        for _ in 0..BATCH {
            let tag = raw.seal_in_place_separate_tag(nonce(n), aead::Aad::empty(), &mut buffer).unwrap();
            buffer.extend_from_slice(tag.as_ref());
            black_box(raw.open_in_place(nonce(n), aead::Aad::empty(), &mut buffer).unwrap());
            buffer.truncate(length);
            n += 1;
        }
    };

    let (mut sealer, mut opener) = (danger::sealer_from_key(&key), danger::opener_from_key(&key));
    let mut body = Vec::with_capacity(length + TAG_LEN);
    body.resize(length, 1);
    let mut in_place = || {
        for _ in 0..BATCH {
            sealer.seal_in_place(&mut body).unwrap();
            black_box(opener.open_in_place(&mut body).unwrap());
            body.truncate(length);
        }
    };

    let (mut sealer, mut opener) = (danger::sealer_from_key(&key), danger::opener_from_key(&key));
    let mut out = Vec::with_capacity(length + TAG_LEN + PREFIX_LEN);
    let mut framed = || {
        for _ in 0..BATCH {
            out.clear();
            sealer.seal_frame(&plaintext, &mut out).unwrap();
            black_box(opener.open_in_place(&mut out[PREFIX_LEN..]).unwrap());
        }
    };

    let (mut sealer, mut opener) = (danger::sealer_from_key(&key), danger::opener_from_key(&key));
    let mut decoder = FrameDecoder::new();
    decoder.switch_to_transport();
    let mut wire = Vec::new();
    let mut streamed = || {
        wire.clear();
        for _ in 0..BATCH {
            sealer.seal_frame(&plaintext, &mut wire).unwrap();
        }
        for piece in wire.chunks(16 * 1024) {
            decoder.feed(piece);
            while let Some(frame) = decoder.next_frame().unwrap() {
                black_box(opener.open_in_place(frame).unwrap());
            }
        }
    };

    let seconds = measure([&mut bare, &mut in_place, &mut framed, &mut streamed]);
    let [bare, in_place, framed, streamed] = seconds.map(|seconds| (BATCH * length) as f64 / seconds / 1e6);
    println!(
        "seal + open {length:>6} B: ring {bare:7.0} MB/s, in place {in_place:7.0} ({:.3}), with frame and copy {framed:7.0} ({:.3}), \
         through the decoder {streamed:7.0} ({:.3})",
        in_place / bare,
        framed / bare,
        streamed / bare,
    );
}

/// Takes any server, to time a handshake without its certificates.
struct Anyone;

impl ServerTrust for Anyone {
    fn verify(&self, _: &[u8], server: &PublicKey, _: u64) -> Result<VerifiedServer, CertificateError> {
        Ok(danger::assert_verified(*server))
    }
}

/// XX on both sides, beside the six agreements and two public keys in it.
fn handshakes() {
    let mut rng = rand::rng();
    let validity = Validity::new(NOW - 1, NOW + 1);
    let authority = CertificateAuthority::generate(validity, &mut rng);
    let keys = StaticKeyPair::generate(&mut rng);
    let chain = authority.issue(keys.public(), validity, &mut rng);
    let identity = Arc::new(ServerIdentity::new(keys, chain.clone()));
    let client = StaticKeyPair::generate(&mut rng);

    let theirs = PrivateKey::generate(&mut rng).public();
    let mut agreements = || {
        let mut rng = rand::rng();
        for _ in 0..2 {
            let ephemeral = PrivateKey::generate(&mut rng);
            black_box(ephemeral.public());
            for _ in 0..3 {
                black_box(ephemeral.agree(&theirs).unwrap());
            }
        }
    };
    let run = |trust: &dyn ServerTrust| {
        let mut rng = rand::rng();
        let (state, write) = ClientHandshake::new(client.clone(), Intro::default(), &mut rng).xx().unwrap();
        let server = ServerHandshake::new(Arc::clone(&identity), Header::DEFAULT, &mut rng);
        let Hello::Answered { state: server, write } = server.read(&write[4 + PREFIX_LEN..]).unwrap() else {
            return;
        };
        let state = state.read(&write[PREFIX_LEN..], trust, NOW).unwrap();
        let ClientFinish { write, transport, .. } = state.finish(&[1; 200]).unwrap();
        black_box((transport, server.read(&write[PREFIX_LEN..]).unwrap()));
    };
    let trust = authority.trust();
    let (mut without, mut with) = (|| run(&Anyone), || run(&trust));
    let mut certificates = || {
        black_box(trust.verify(&chain, identity.keys().public(), NOW).unwrap());
    };
    let [bound, without, with, certificates] =
        measure([&mut agreements, &mut without, &mut with, &mut certificates]);
    println!(
        "XX, both sides: {:.0}/s of {:.0}/s that X25519 allows ({:.3}); with certificates {:.0}/s of {:.0}/s ({:.3})",
        1.0 / without,
        1.0 / bound,
        bound / without,
        1.0 / with,
        1.0 / (bound + certificates),
        (bound + certificates) / with,
    );
    println!(
        "in µs: X25519 {:.1}, handshake {:.1}, with certificates {:.1}, of which checking them {:.1}",
        bound * 1e6,
        without * 1e6,
        with * 1e6,
        certificates * 1e6,
    );
}
