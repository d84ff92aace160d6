//! Properties of whole files: round trips in pieces of any size, and what no piece of a bad file brings about.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::cell::RefCell;
use std::rc::Rc;

use landbridge_media::{
    Claim, DecryptError, Decryptor, Encryptor, Expected, MediaKey, MediaKind, Quarantine, RangeError,
    RangeReader, Refusal, Remedy, Sealed, Sidecar, decrypt, encrypt, encrypted_length,
};
use proptest::prelude::*;

const KEY: [u8; 32] = [0x37; 32];

fn key() -> MediaKey {
    MediaKey::from_bytes(&KEY).unwrap()
}

fn claim(sealed: &Sealed) -> Claim<'_> {
    let mut claim = Claim::default();
    claim.media_key = Some(&KEY);
    claim.file_sha256 = Some(&sealed.file_sha256);
    claim.file_enc_sha256 = Some(&sealed.file_enc_sha256);
    claim.file_length = Some(sealed.file_length);
    claim
}

/// Tells what happened to it.
#[derive(Clone, Default)]
struct Watched(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    held: usize,
    released: bool,
    full_at: Option<usize>,
}

impl Quarantine for Watched {
    type Released = usize;
    type Error = &'static str;

    fn hold(&mut self, plain: &[u8]) -> Result<(), &'static str> {
        let mut state = self.0.borrow_mut();
        state.held += plain.len();
        if state.full_at.is_some_and(|full| state.held > full) { Err("disk full") } else { Ok(()) }
    }

    fn release(self) -> Result<usize, &'static str> {
        let mut state = self.0.borrow_mut();
        state.released = true;
        Ok(state.held)
    }
}

fn kinds() -> impl Strategy<Value = MediaKind> {
    proptest::sample::select(MediaKind::ALL.to_vec())
}

proptest! {
    #[test]
    fn what_is_encrypted_in_any_pieces_is_decrypted_in_any_other(
        kind in kinds(),
        plain in proptest::collection::vec(any::<u8>(), 0..20_000),
        cuts in proptest::collection::vec(1_usize..5_000, 1..8),
    ) {
        let whole = encrypt(kind, &key(), &plain);
        let mut encryptor = Encryptor::new(kind, &key());
        let mut encrypted = Vec::new();
        let mut rest = &plain[..];
        for cut in cuts.iter().cycle() {
            let (now, later) = rest.split_at(rest.len().min(*cut));
            encryptor.update(now, &mut encrypted);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        let sealed = encryptor.finish(&mut encrypted);
        prop_assert_eq!((&encrypted, &sealed), (&whole.0, &whole.1));
        prop_assert_eq!(encrypted_length(plain.len() as u64), Some(encrypted.len() as u64));

        let expected = Expected::of_message(kind, claim(&sealed), 20_000).unwrap();
        let mut decryptor = Decryptor::new(&expected, Vec::new());
        let mut rest = &encrypted[..];
        for cut in cuts.iter().rev().cycle() {
            let (now, later) = rest.split_at(rest.len().min(*cut));
            decryptor.update(now).unwrap();
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        let opened = decryptor.finish().unwrap();
        prop_assert_eq!(opened.file, plain);
        prop_assert_eq!(opened.file_enc_sha256, sealed.file_enc_sha256);
    }

    #[test]
    fn one_bit_anywhere_and_nothing_is_released(
        kind in kinds(),
        length in 0_usize..9_000,
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let (mut encrypted, mut sealed) = encrypt(kind, &key(), &vec![0x61; length]);
        let at = at.index(encrypted.len());
        encrypted[at] ^= 1 << bit;
        for hash_follows in [false, true] {
            if hash_follows {
                let digest = ring::digest::digest(&ring::digest::SHA256, &encrypted);
                sealed.file_enc_sha256 = digest.as_ref().try_into().unwrap();
            }
            let expected = Expected::of_message(kind, claim(&sealed), 9_000).unwrap();
            let watched = Watched::default();
            let mut decryptor = Decryptor::new(&expected, watched.clone());
            decryptor.update(&encrypted).unwrap();
            let Err(DecryptError::Refused(refusal)) = decryptor.finish() else { panic!("it was taken") };
            let why = if hash_follows { Refusal::MacMismatch } else { Refusal::EncHashMismatch };
            prop_assert_eq!(refusal, why);
            prop_assert!(refusal.is_damage());
            prop_assert!(!watched.0.borrow().released);
        }
    }

    #[test]
    fn no_bytes_are_a_file_by_chance(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let expected = Expected::by_key_alone(MediaKind::Image, key(), 1_000);
        prop_assert!(decrypt(&expected, &bytes).is_err());
    }

    #[test]
    fn parts_are_those_of_the_file(
        length in 1_u64..200_000,
        bounds in any::<(prop::sample::Index, prop::sample::Index)>(),
    ) {
        let plain: Vec<u8> = (0..length).map(|n| (n * 7 + n / 251) as u8).collect();
        let (encrypted, sealed) = encrypt(MediaKind::Audio, &key(), &plain);
        let reader = RangeReader::new(MediaKind::Audio, &key(), length, sealed.sidecar.unwrap()).unwrap();
        let start = bounds.0.index(plain.len());
        let end = start + 1 + bounds.1.index(plain.len() - start);
        let part = reader.part(start as u64..end as u64).unwrap();
        let fetch = part.fetch();
        let fetched = &encrypted[fetch.start as usize..fetch.end as usize];
        prop_assert_eq!(&reader.open(&part, fetched).unwrap()[..], &plain[start..end]);
        let short = reader.open(&part, &fetched[1..]).unwrap_err();
        let is_short = matches!(short, RangeError::WrongLength { .. });
        prop_assert!(is_short);
    }
}

#[test]
fn a_file_over_the_limit_is_given_up_while_it_comes() {
    let (encrypted, sealed) = encrypt(MediaKind::Image, &key(), &[1; 5_000]);
    let too_large = Refusal::TooLarge { limit: 4_000 };
    let refused = Expected::of_message(MediaKind::Image, claim(&sealed), 4_000);
    assert_eq!(refused.err(), Some(too_large));
    // A message that does not say the length, or lies about it.
    for said in [None, Some(10)] {
        let mut claim = claim(&sealed);
        claim.file_length = said;
        let expected = Expected::of_message(MediaKind::Image, claim, 4_000).unwrap();
        let watched = Watched::default();
        let mut decryptor = Decryptor::new(&expected, watched.clone());
        let taken = encrypted.chunks(100).take_while(|piece| decryptor.update(piece).is_ok()).count();
        assert_eq!(taken, 40);
        assert!(
            matches!(decryptor.update(&[0]), Err(DecryptError::Refused(refusal)) if refusal == too_large)
        );
        assert!(watched.0.borrow().held <= 4_000);
    }
}

#[test]
fn a_quarantine_that_fails_is_told_apart_from_a_bad_file() {
    let (encrypted, sealed) = encrypt(MediaKind::Image, &key(), &[1; 50_000]);
    let expected = Expected::of_message(MediaKind::Image, claim(&sealed), 50_000).unwrap();
    let watched = Watched::default();
    watched.0.borrow_mut().full_at = Some(30_000);
    let mut decryptor = Decryptor::new(&expected, watched.clone());
    assert!(matches!(decryptor.update(&encrypted), Err(DecryptError::Quarantine("disk full"))));
    assert!(!watched.0.borrow().released);
}

#[test]
fn what_a_message_claims_is_held_against_the_file() {
    let (encrypted, sealed) = encrypt(MediaKind::Document, &key(), b"twelve bytes");
    let check = |change: fn(&mut Sealed)| {
        let mut changed = sealed.clone();
        change(&mut changed);
        let expected = Expected::of_message(MediaKind::Document, claim(&changed), 100).unwrap();
        decrypt(&expected, &encrypted).unwrap_err()
    };
    let refusal = check(|sealed| sealed.file_enc_sha256[0] ^= 1);
    assert_eq!((refusal, refusal.remedy()), (Refusal::EncHashMismatch, Remedy::FetchOnceMore));
    let refusal = check(|sealed| sealed.file_sha256[31] ^= 1);
    assert_eq!((refusal, refusal.remedy()), (Refusal::PlainHashMismatch, Remedy::AskSender));
    let refusal = check(|sealed| sealed.file_length = 13);
    assert_eq!(refusal, Refusal::LengthMismatch { expected: 13, got: 12 });
}

#[test]
fn a_sidecar_of_another_length_is_of_no_use() {
    let (encrypted, sealed) = encrypt(MediaKind::Video, &key(), &[7; 100_005]);
    let sidecar = sealed.sidecar.unwrap();
    assert!(Sidecar::from_bytes(&sidecar.as_bytes()[1..]).is_err());
    let reader = |length| RangeReader::new(MediaKind::Video, &key(), length, sidecar.clone());
    assert_eq!(reader(65_000).err(), Some(RangeError::WrongSidecar { needed: 1, got: 2 }));
    assert!(reader(u64::MAX).is_err());
    // A length that fits as many windows and blocks is found out where the file ends.
    let lying = reader(100_001).unwrap();
    let part = lying.part(100_000..100_001).unwrap();
    let fetch = part.fetch();
    let fetched = &encrypted[fetch.start as usize..fetch.end as usize];
    assert_eq!(lying.open(&part, fetched), Err(RangeError::WrongFileLength { length: 100_001 }));
    for bad in [0..0, 5..5, 100_000..100_002] {
        assert!(matches!(lying.part(bad), Err(RangeError::OutOfBounds { .. })));
    }
    assert_eq!((lying.len(), lying.is_empty()), (100_001, false));
}

#[test]
fn nothing_secret_is_printed() {
    let (_, sealed) = encrypt(MediaKind::Video, &key(), b"film");
    let expected = Expected::of_message(MediaKind::Video, claim(&sealed), 100).unwrap();
    let reader = RangeReader::new(MediaKind::Video, &key(), 4, sealed.sidecar.clone().unwrap()).unwrap();
    let decryptor = Decryptor::new(&expected, Vec::new());
    let encryptor = Encryptor::new(MediaKind::Video, &key());
    let printed = format!("{expected:?} {reader:?} {decryptor:?} {encryptor:?} {:?}", claim(&sealed));
    assert!(!printed.contains("55, 55") && !printed.contains("3737"), "{printed}");
}
