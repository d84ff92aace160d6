//! Backends beside each other: what `ring` and `curve25519-dalek` do here, and what `aws-lc-rs` would.

#![expect(clippy::expect_used, reason = "fixed keys and lengths")]

use std::hint::black_box;

use landbridge_curve::PrivateKey;

use crate::{
    Options,
    measure::{Contender, Report, measure},
};

const KEY: [u8; 32] = [7; 32];
const TAG: usize = 16;

pub fn run(options: &Options) -> Result<Report, String> {
    let mut figures = Vec::new();
    let mut add = |case: String, contenders: Vec<Contender<'_>>| {
        if options.wants(&case) {
            figures.extend(measure("crypto", case, options.rounds, contenders));
        }
    };
    for length in [64, 200, 1_024, 65_536] {
        let plaintext = vec![0x5a; length];
        let contenders = vec![
            Contender::new("ring", ring_gcm(&plaintext)),
            Contender::new("aws-lc-rs", aws_gcm(&plaintext)),
        ];
        add(format!("AES-256-GCM seal+open {length} B"), contenders);
    }
    let theirs = PrivateKey::generate(&mut rand::rng()).public();
    let mine = PrivateKey::generate(&mut rand::rng());
    let aws_mine =
        aws_lc_rs::agreement::PrivateKey::from_private_key(&aws_lc_rs::agreement::X25519, mine.as_bytes())
            .expect("32 bytes");
    let contenders = vec![
        Contender::new("curve25519-dalek", || {
            drop(black_box(mine.agree(black_box(&theirs)).expect("honest")))
        }),
        Contender::new("aws-lc-rs", || {
            let theirs = aws_lc_rs::agreement::UnparsedPublicKey::new(
                &aws_lc_rs::agreement::X25519,
                theirs.as_bytes(),
            );
            aws_lc_rs::agreement::agree(&aws_mine, theirs, (), |shared| {
                black_box(shared);
                Ok(())
            })
            .expect("honest");
        }),
    ];
    add("X25519 agreement".to_owned(), contenders);
    let ring_random = ring::rand::SystemRandom::new();
    let contenders = vec![
        Contender::new("curve25519-dalek", || {
            let key = PrivateKey::generate(&mut rand::rng());
            black_box((key.public(), key));
        }),
        Contender::new("ring", || {
            let key = ring::agreement::EphemeralPrivateKey::generate(&ring::agreement::X25519, &ring_random);
            let key = key.expect("generates");
            black_box((key.compute_public_key().expect("computes"), key));
        }),
        Contender::new("aws-lc-rs", || {
            let key =
                aws_lc_rs::agreement::PrivateKey::generate(&aws_lc_rs::agreement::X25519).expect("generates");
            black_box((key.compute_public_key().expect("computes"), key));
        }),
    ];
    add("X25519 key pair".to_owned(), contenders);
    let contenders = vec![
        Contender::new("curve25519-dalek", || {
            let key = PrivateKey::generate(&mut rand::rng());
            black_box((key.public(), key.agree(&theirs).expect("honest")));
        }),
        Contender::new("ring", || {
            let key = ring::agreement::EphemeralPrivateKey::generate(&ring::agreement::X25519, &ring_random);
            let key = key.expect("generates");
            black_box(key.compute_public_key().expect("computes"));
            let theirs = ring::agreement::UnparsedPublicKey::new(&ring::agreement::X25519, theirs.as_bytes());
            ring::agreement::agree_ephemeral(key, &theirs, |shared| _ = black_box(shared)).expect("honest");
        }),
        Contender::new("aws-lc-rs", || {
            let key =
                aws_lc_rs::agreement::PrivateKey::generate(&aws_lc_rs::agreement::X25519).expect("generates");
            black_box(key.compute_public_key().expect("computes"));
            let theirs = aws_lc_rs::agreement::UnparsedPublicKey::new(
                &aws_lc_rs::agreement::X25519,
                theirs.as_bytes(),
            );
            aws_lc_rs::agreement::agree(&key, theirs, (), |shared| {
                black_box(shared);
                Ok(())
            })
            .expect("honest");
        }),
    ];
    add("X25519 key pair and agreement".to_owned(), contenders);
    Ok(Report { figures, ..Report::default() })
}

macro_rules! gcm {
    ($name:ident, $library:ident) => {
        fn $name(plaintext: &[u8]) -> impl FnMut() {
            use $library::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
            let key = || LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &KEY).expect("32 bytes"));
            let (seal, open) = (key(), key());
            let mut buffer = Vec::with_capacity(plaintext.len() + TAG);
            let mut counter = 0u64;
            move || {
                let nonce = || {
                    let mut nonce = [0; 12];
                    nonce[4..].copy_from_slice(&counter.to_be_bytes());
                    Nonce::assume_unique_for_key(nonce)
                };
                buffer.clear();
                buffer.extend_from_slice(plaintext);
                seal.seal_in_place_append_tag(nonce(), Aad::empty(), &mut buffer).expect("seals");
                black_box(open.open_in_place(nonce(), Aad::empty(), &mut buffer).expect("opens"));
                counter += 1;
            }
        }
    };
}

gcm!(ring_gcm, ring);
gcm!(aws_gcm, aws_lc_rs);
