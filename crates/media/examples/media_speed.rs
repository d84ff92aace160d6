//! Megabytes a second that one core encrypts and decrypts with every check, beside the cipher and the hash alone.
//!
//! `cargo run --release -p landbridge-media --example media_speed`

use std::{
    error::Error,
    hint::black_box,
    sync::LazyLock,
    time::{Duration, Instant},
};

use aes::{Aes256Enc, cipher::KeyIvInit};
use cbc::cipher::{Array, BlockModeEncrypt};
use landbridge_media::{Claim, Decryptor, Encryptor, Expected, MediaKey, MediaKind, Quarantine};
use sha2::block_api::compress256;

const FILE: usize = 256 << 20;
const PIECE: usize = 64 << 10;

/// Keeps nothing.
struct Count(u64);

impl Quarantine for Count {
    type Released = u64;
    type Error = std::convert::Infallible;

    fn hold(&mut self, plain: &[u8]) -> Result<(), Self::Error> {
        self.0 += black_box(plain).len() as u64;
        Ok(())
    }

    fn release(self) -> Result<u64, Self::Error> {
        Ok(self.0)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut piece = vec![0x5a_u8; PIECE];
    for _ in 0..3 {
        measure("AES-256-CBC alone", || {
            let mut cipher = cbc::Encryptor::<Aes256Enc>::new(&[1; 32].into(), &[2; 16].into());
            for _ in 0..FILE / PIECE {
                cipher.encrypt_blocks(Array::cast_slice_from_core_mut(piece.as_chunks_mut::<16>().0));
            }
            Ok(())
        })?;
        measure("SHA-256 alone", || {
            let mut state = [7; 8];
            for _ in 0..FILE / PIECE {
                compress256(&mut state, piece.as_chunks().0);
            }
            black_box(state);
            Ok(())
        })?;
        for kind in [MediaKind::Document, MediaKind::Video] {
            file(kind, &piece)?;
        }
    }
    Ok(())
}

fn file(kind: MediaKind, piece: &[u8]) -> Result<(), Box<dyn Error>> {
    let key = MediaKey::generate(&mut rand::rng());
    let mut encrypted = Vec::with_capacity(FILE + 4096);
    encrypted.resize(FILE + 4096, 1);
    encrypted.clear();
    let mut sealed = None;
    measure(&format!("encrypt {kind}"), || {
        let mut encryptor = Encryptor::new(kind, &key);
        for _ in 0..FILE / PIECE {
            encryptor.update(piece, &mut encrypted);
        }
        sealed = Some(encryptor.finish(&mut encrypted));
        Ok(())
    })?;
    let sealed = sealed.ok_or("no file")?;
    let mut claim = Claim::default();
    claim.media_key = Some(key.as_bytes());
    claim.file_sha256 = Some(&sealed.file_sha256);
    claim.file_enc_sha256 = Some(&sealed.file_enc_sha256);
    claim.file_length = Some(sealed.file_length);
    let expected = Expected::of_message(kind, claim, FILE as u64)?;
    measure(&format!("decrypt {kind}"), || {
        let mut decryptor = Decryptor::new(&expected, Count(0));
        for piece in encrypted.chunks(PIECE) {
            decryptor.update(piece)?;
        }
        assert_eq!(decryptor.finish()?.file, FILE as u64);
        Ok(())
    })
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
fn measure(what: &str, work: impl FnOnce() -> Result<(), Box<dyn Error>>) -> Result<(), Box<dyn Error>> {
    let start = busy();
    work()?;
    println!("{what}: {:.0} MB/s", FILE as f64 / 1e6 / (busy() - start).as_secs_f64());
    Ok(())
}

/// Time that this process had a processor, where the system tells it (Linux): other programs do not count. Else the
/// time that passed.
fn busy() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let told = std::fs::read_to_string("/proc/self/schedstat").ok();
    let nanoseconds = told.and_then(|text| text.split(' ').next()?.parse().ok());
    nanoseconds.map_or_else(|| START.elapsed(), Duration::from_nanos)
}
