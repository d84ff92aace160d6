//! The channel beside its bare primitives, `wacore-noise` and `snow`.

mod ours;
mod snow;
mod wacore;

use std::hint::black_box;

use landbridge_curve::PrivateKey;
use ring::aead;

use crate::{
    Options,
    measure::{Contender, Report, measure},
};

/// Plaintexts in bytes. A frame of snow holds 65,519.
const LENGTHS: [usize; 4] = [64, 200, 1_024, 65_519];
/// What the client sends in its last handshake message, in bytes.
const CLIENT_PAYLOAD: [u8; 200] = [0x5a; 200];
const KEY: [u8; 32] = [7; 32];
const TAG: usize = 16;

pub fn run(options: &Options) -> Result<Report, String> {
    let mut figures = Vec::new();
    for length in LENGTHS {
        let case = format!("seal+open {length} B");
        if options.wants(&case) {
            let plaintext = vec![0x5a; length];
            let contenders = vec![
                Contender::new("landbridge-noise", ours::transport(&plaintext)),
                Contender::new("bare ring", bare(&plaintext)),
                Contender::new("wacore-noise", wacore::transport(&plaintext)),
                Contender::new("snow", snow::transport(&plaintext)),
            ];
            figures.extend(measure("noise", case, options.rounds, contenders));
        }
    }
    if options.wants("XX both sides") {
        let parties = ours::Parties::new();
        let contenders = vec![
            Contender::new("landbridge-noise", || parties.handshake(&ours::Anyone)),
            Contender::new("bare X25519", agreements()),
            Contender::new("with certificates", || parties.handshake(&parties.trust)),
            Contender::new("the certificates", || parties.verify()),
            Contender::new("wacore-noise", wacore::handshake(parties.chain.clone())),
            Contender::new("snow", snow::handshake(parties.chain.clone())),
        ];
        figures.extend(measure("noise", "XX both sides", options.rounds, contenders));
    }
    Ok(Report { figures, ..Report::default() })
}

/// The cipher alone, with a counter nonce.
#[expect(clippy::expect_used, reason = "fixed keys and lengths")]
fn bare(plaintext: &[u8]) -> impl FnMut() {
    let key = || aead::LessSafeKey::new(aead::UnboundKey::new(&aead::AES_256_GCM, &KEY).expect("32 bytes"));
    let (seal, open) = (key(), key());
    let mut buffer = Vec::with_capacity(plaintext.len() + TAG);
    let mut counter = 0u64;
    move || {
        let nonce = || {
            let mut nonce = [0; 12];
            nonce[4..].copy_from_slice(&counter.to_be_bytes());
            aead::Nonce::assume_unique_for_key(nonce)
        };
        buffer.clear();
        buffer.extend_from_slice(plaintext);
        seal.seal_in_place_append_tag(nonce(), aead::Aad::empty(), &mut buffer).expect("seals");
        black_box(open.open_in_place(nonce(), aead::Aad::empty(), &mut buffer).expect("opens"));
        counter += 1;
    }
}

/// The curve operations of both sides: two fresh key pairs, three agreements each.
#[expect(clippy::expect_used, reason = "honest keys")]
fn agreements() -> impl FnMut() {
    let mut rng = rand::rng();
    let theirs = PrivateKey::generate(&mut rng).public();
    move || {
        for _ in 0..2 {
            let ephemeral = PrivateKey::generate(&mut rng);
            black_box(ephemeral.public());
            for _ in 0..3 {
                black_box(ephemeral.agree(&theirs).expect("honest"));
            }
        }
    }
}
